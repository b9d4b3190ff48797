//! Probes in the programs of targets: where one task wakes or makes another.
//!
//! A probe is for one process. The kernel would put it into every process that maps the file, also one that starts when the
//! file was overwritten in the meantime, where it would break an instruction. It is placed through the descriptor by which
//! the file was read, not by a path that may lead elsewhere by then.

use std::{
    collections::HashMap,
    fs::File,
    num::NonZeroU32,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use aya::{
    maps::{HashMap as BpfHashMap, MapData, MapError},
    programs::{
        ProgramError, UProbe,
        uprobe::{UProbeAttachLocation, UProbeLinkId, UProbeScope},
    },
};
use otel_ebpf_events::TaskLayout;

use super::{Tap, maps::remove_if_present};
use crate::runtime::{Hook, Tasks};

/// Names a file as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    device: u64,
    inode: u64,
    size: u64,
    /// When it was last written, in nanoseconds since 1970: a number of an inode is used again.
    written_ns: i128,
}

impl FileId {
    /// Of an open file.
    ///
    /// # Errors
    ///
    /// The file's metadata cannot be read.
    pub fn of(file: &File) -> std::io::Result<Self> {
        let about = file.metadata()?;
        Ok(Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            written_ns: i128::from(about.mtime()) * 1_000_000_000 + i128::from(about.mtime_nsec()),
        })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// A program whose tasks can be followed.
#[derive(Clone)]
pub struct Followed {
    /// Its file.
    pub file: Arc<File>,
    /// What the file was when it was looked at.
    pub id: FileId,
    /// What was found in it.
    pub tasks: Arc<Tasks>,
}

/// The attached programs, for as long as the agent runs; empty once they are detached.
pub type SharedTap = Arc<Mutex<Option<Tap>>>;

/// Why tasks of a process cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TaskProbeError {
    /// The kernel refuses the program or its place.
    #[error("attach {program} at file offset {file_offset:#x}")]
    Attach {
        /// Program at fault.
        program: &'static str,
        /// Place in the file.
        file_offset: u64,
        /// The kernel's answer.
        #[source]
        source: Box<ProgramError>,
    },
    /// The kernel refuses to note how tasks lie in the process's memory.
    #[error("note the layout of tasks")]
    Layout(#[from] MapError),
    /// The file was written to meanwhile: what was found in it may be elsewhere.
    #[error("the executable has changed")]
    Changed,
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Probes in the programs of processes.
pub struct TaskProbes {
    tap: SharedTap,
    layouts: BpfHashMap<MapData, u32, TaskLayout>,
    by_process: HashMap<u32, Attached>,
}

/// What is attached to a process.
struct Attached {
    followed: Followed,
    links: Vec<(&'static str, UProbeLinkId)>,
}

/// Name of the program that sees a hook.
fn program(hook: Hook) -> &'static str {
    match hook {
        Hook::TokioWake => "tokio_wake",
        Hook::TokioSpawn => "tokio_spawn",
        Hook::GoReady => "go_ready",
        Hook::GoSpawn => "go_spawn",
        Hook::GoAsk => "go_ask",
        Hook::GoSendFor => "go_send_for",
    }
}

impl TaskProbes {
    /// No probe yet.
    pub fn new(tap: SharedTap, layouts: BpfHashMap<MapData, u32, TaskLayout>) -> Self {
        Self { tap, layouts, by_process: HashMap::new() }
    }

    /// Follows the tasks of a process that runs this program.
    ///
    /// # Errors
    ///
    /// The kernel refuses a probe or a map update, or the file has changed; nothing is attached for this process then.
    pub fn follow(&mut self, pid: u32, followed: Followed) -> Result<(), TaskProbeError> {
        self.leave(pid);
        let layout = followed.tasks.layout;
        let links = self.attach(pid, &followed)?;
        let is_unchanged = FileId::of(&followed.file).is_ok_and(|id| id == followed.id);
        self.by_process.insert(pid, Attached { followed, links });
        let noted = if is_unchanged {
            self.layouts.insert(pid, layout, 0).map_err(TaskProbeError::from)
        } else {
            Err(TaskProbeError::Changed)
        };
        if noted.is_err() {
            self.leave(pid);
        }
        noted
    }

    /// A process has made another, which runs the same program.
    ///
    /// # Errors
    ///
    /// As for [`Self::follow`].
    pub fn fork(&mut self, parent: u32, child: u32) -> Result<(), TaskProbeError> {
        let followed = self.by_process.get(&parent).map(|attached| attached.followed.clone());
        let runs = File::open(format!("/proc/{child}/exe")).and_then(|file| FileId::of(&file));
        match followed.filter(|followed| runs.is_ok_and(|id| id == followed.id)) {
            Some(followed) => self.follow(child, followed),
            // It runs another program by now, or has ended.
            None => {
                self.leave(child);
                Ok(())
            }
        }
    }

    /// A process has ended, or runs another program.
    pub fn leave(&mut self, pid: u32) {
        // Where it has ended, the kernel side may have forgotten it.
        let _: Result<(), _> = remove_if_present(&mut self.layouts, &pid);
        if let Some(attached) = self.by_process.remove(&pid) {
            self.detach(attached.links);
        }
    }

    /// Attaches all probes of a process, or none.
    fn attach(
        &self,
        pid: u32,
        followed: &Followed,
    ) -> Result<Vec<(&'static str, UProbeLinkId)>, TaskProbeError> {
        let scope = NonZeroU32::new(pid).map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
        let path = PathBuf::from(format!("/proc/self/fd/{}", followed.file.as_raw_fd()));
        let mut links = Vec::new();
        for (hook, site) in &followed.tasks.sites {
            let program = program(*hook);
            match self.attach_one(program, site.file_offset, &path, scope) {
                Ok(link) => links.push((program, link)),
                Err(error) => {
                    self.detach(links);
                    return Err(error);
                }
            }
        }
        Ok(links)
    }

    fn attach_one(
        &self,
        program: &'static str,
        file_offset: u64,
        path: &PathBuf,
        scope: UProbeScope,
    ) -> Result<UProbeLinkId, TaskProbeError> {
        let mut tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        let tap = tap.as_mut().ok_or(TaskProbeError::Stopping)?;
        let refused = |source| TaskProbeError::Attach { program, file_offset, source: Box::new(source) };
        let found = tap.ebpf.program_mut(program).ok_or_else(|| refused(ProgramError::NotLoaded))?;
        let found: &mut UProbe = found.try_into().map_err(refused)?;
        match found.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(error) => return Err(refused(error)),
        }
        let location = UProbeAttachLocation::AbsoluteOffset(file_offset);
        let link = found.attach(location, path, scope).map_err(refused)?;
        tap.task_probes += 1;
        Ok(link)
    }

    fn detach(&self, links: Vec<(&'static str, UProbeLinkId)>) {
        let mut tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tap) = tap.as_mut() else { return };
        for (program, link) in links {
            if let Some(Ok(found)) = tap.ebpf.program_mut(program).map(<&mut UProbe>::try_from) {
                // A link that is there can be taken off.
                let _: Result<(), _> = found.detach(link);
                tap.task_probes -= 1;
            }
        }
    }
}

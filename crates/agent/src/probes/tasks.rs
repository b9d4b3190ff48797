//! Probes in the programs of targets: where one task wakes or makes another.
//!
//! A probe belongs to a file, so processes of one program share it. It is there while one of them is.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex},
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

/// Names a file for as long as a process runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device.
    pub device: u64,
    /// Inode on it.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// When it was last changed, in nanoseconds since 1970: a number of an inode is used again.
    pub changed_ns: i128,
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
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Probes in the programs of processes.
pub struct TaskProbes {
    tap: SharedTap,
    layouts: BpfHashMap<MapData, u32, TaskLayout>,
    files: HashMap<FileId, Attached>,
    by_process: HashMap<u32, FileId>,
}

/// What is attached to a file.
struct Attached {
    links: Vec<(&'static str, UProbeLinkId)>,
    processes: HashSet<u32>,
}

/// Name of the program that sees a hook.
fn program(hook: Hook) -> &'static str {
    match hook {
        Hook::TokioWake => "tokio_wake",
        Hook::TokioSpawn => "tokio_spawn",
        Hook::GoReady => "go_ready",
        Hook::GoAsk => "go_ask",
        Hook::GoSendFor => "go_send_for",
    }
}

impl TaskProbes {
    /// No probe yet.
    pub fn new(tap: SharedTap, layouts: BpfHashMap<MapData, u32, TaskLayout>) -> Self {
        Self { tap, layouts, files: HashMap::new(), by_process: HashMap::new() }
    }

    /// Follows the tasks of a process that runs this file, which `path` leads to.
    ///
    /// # Errors
    ///
    /// The kernel refuses a probe or a map update; nothing is attached for this process then.
    pub fn follow(
        &mut self,
        pid: u32,
        file: FileId,
        path: &Path,
        tasks: &Tasks,
    ) -> Result<(), TaskProbeError> {
        if self.by_process.get(&pid).is_some_and(|followed| *followed != file) {
            self.leave(pid);
        }
        if !self.files.contains_key(&file) {
            let links = self.attach(path, tasks)?;
            self.files.insert(file, Attached { links, processes: HashSet::new() });
        }
        self.by_process.insert(pid, file);
        if let Some(attached) = self.files.get_mut(&file) {
            attached.processes.insert(pid);
        }
        if let Err(error) = self.layouts.insert(pid, tasks.layout, 0) {
            self.leave(pid);
            return Err(error.into());
        }
        Ok(())
    }

    /// A process has made another, which runs the same file; the kernel side has given it the layout.
    pub fn fork(&mut self, parent: u32, child: u32) {
        if let Some(file) = self.by_process.get(&parent).copied()
            && let Some(attached) = self.files.get_mut(&file)
        {
            attached.processes.insert(child);
            self.by_process.insert(child, file);
        }
    }

    /// A process has ended, or runs another program; takes the probes off a file that no process runs any more.
    pub fn leave(&mut self, pid: u32) {
        // It has ended: the kernel side has forgotten it.
        let _: Result<(), _> = remove_if_present(&mut self.layouts, &pid);
        let Some(file) = self.by_process.remove(&pid) else { return };
        let Some(attached) = self.files.get_mut(&file) else { return };
        attached.processes.remove(&pid);
        if attached.processes.is_empty()
            && let Some(attached) = self.files.remove(&file)
        {
            self.detach(attached.links);
        }
    }

    /// Attaches all probes of a file, or none.
    fn attach(
        &self,
        path: &Path,
        tasks: &Tasks,
    ) -> Result<Vec<(&'static str, UProbeLinkId)>, TaskProbeError> {
        let mut links = Vec::new();
        for (hook, site) in &tasks.sites {
            let program = program(*hook);
            match self.attach_one(program, site.file_offset, path) {
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
        path: &Path,
    ) -> Result<UProbeLinkId, TaskProbeError> {
        let mut tap = self.tap.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let tap = tap.as_mut().ok_or(TaskProbeError::Stopping)?;
        let refused = |source| TaskProbeError::Attach { program, file_offset, source: Box::new(source) };
        let found = tap.ebpf.program_mut(program).ok_or_else(|| refused(ProgramError::NotLoaded))?;
        let found: &mut UProbe = found.try_into().map_err(refused)?;
        match found.load() {
            Ok(()) | Err(ProgramError::AlreadyLoaded) => {}
            Err(error) => return Err(refused(error)),
        }
        let location = UProbeAttachLocation::AbsoluteOffset(file_offset);
        found.attach(location, path, UProbeScope::AllProcesses).map_err(refused)
    }

    fn detach(&self, links: Vec<(&'static str, UProbeLinkId)>) {
        let mut tap = self.tap.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(tap) = tap.as_mut() else { return };
        for (program, link) in links {
            if let Some(Ok(found)) = tap.ebpf.program_mut(program).map(<&mut UProbe>::try_from) {
                // A link that is there can be taken off.
                let _: Result<(), _> = found.detach(link);
            }
        }
    }
}

//! Looks at the programs of new targets for a runtime whose tasks can be followed, on a thread of its own: a program may be
//! a hundred megabytes, and the reader of events must not wait for it.

use std::{
    collections::HashMap,
    fs::File,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};
use tracing::{debug, info};

use super::proc;
use crate::{
    probes::tasks::{FileId, Followed, TaskProbes},
    runtime::{Found, Runtime, examine, threads},
};

/// Processes that may wait to be looked at.
const QUEUE: usize = 4096;
/// Largest program that is looked at, in bytes.
const LARGEST: u64 = 128 << 20;
/// Most programs whose examination is remembered.
const MOST_REMEMBERED: usize = 256;

/// What happened to a target.
#[derive(Clone, Debug)]
enum Notice {
    /// It is traced from now on, or runs another program.
    Taken(Taken),
    /// A target made it.
    Forked { parent: u32, child: u32 },
    /// It is gone, or not traced any more.
    Left(u32),
}

/// A process that is traced from now on.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Process.
    pub pid: u32,
    /// When it started, in clock ticks since boot; 0 where not known.
    pub start_ticks: u64,
    /// What its service is called.
    pub service: String,
    /// Path of its executable, in its own mount namespace.
    pub exe_path: String,
}

/// Tells the thread about targets.
#[derive(Clone)]
pub struct Runtimes {
    notices: SyncSender<Notice>,
}

impl Runtimes {
    /// Starts the thread. It ends when the last handle is dropped.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn start(probes: TaskProbes) -> Result<Self> {
        let (notices, received) = sync_channel(QUEUE);
        thread::Builder::new()
            .name("runtimes".to_owned())
            .spawn(move || Examiner { probes, examined: HashMap::new() }.run(&received))
            .context("start thread")?;
        Ok(Self { notices })
    }

    /// A process is traced from now on, or runs another program.
    pub fn taken(&self, taken: Taken) {
        self.send(Notice::Taken(taken));
    }

    /// A traced process made another.
    pub fn forked(&self, parent: u32, child: u32) {
        self.send(Notice::Forked { parent, child });
    }

    /// A process is gone, or not traced any more.
    pub fn left(&self, pid: u32) {
        self.send(Notice::Left(pid));
    }

    fn send(&self, notice: Notice) {
        match self.notices.try_send(notice) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(notice)) => {
                debug!(?notice, "too many processes at once: tasks are not followed");
            }
        }
    }
}

struct Examiner {
    probes: TaskProbes,
    /// What is known of programs, by their file and when anything about it last changed: the time of writing may be set to
    /// any, as it is in images that are built to be the same each time.
    examined: HashMap<(FileId, i64, i64), Runtime>,
}

impl Examiner {
    fn run(mut self, notices: &Receiver<Notice>) {
        while let Ok(notice) = notices.recv() {
            match notice {
                Notice::Taken(taken) => self.taken(&taken),
                Notice::Forked { parent, child } => {
                    if let Err(error) = self.probes.fork(parent, child) {
                        debug!(pid = child, %error, "tasks are not followed");
                    }
                }
                Notice::Left(pid) => self.probes.leave(pid),
            }
        }
    }

    /// Finds the runtime of a process, attaches what is needed to follow it, and says what links can be expected.
    fn taken(&mut self, taken: &Taken) {
        let Taken { pid, start_ticks, service, exe_path } = taken;
        let threads = threads::model(exe_path);
        let path = PathBuf::from(format!("/proc/{pid}/exe"));
        let runtime = match self.examine(&path) {
            Ok(found) => found,
            Err(_) if proc::has_ended(*pid, *start_ticks) => return,
            Err(error) => {
                let lacks = format!("{error:#}");
                info!(pid, service, runtime = "unknown", links = threads.links, lacks, "runtime");
                return;
            }
        };
        match runtime {
            (file, id, Runtime::Tasks(tasks)) => {
                let tasks = Arc::new(tasks);
                let followed = Followed { file: Arc::new(file), id, tasks: Arc::clone(&tasks) };
                let found = match tasks.found {
                    Found::Symbols => "by symbols",
                    Found::Shape => "by shape",
                };
                let probes = tasks.sites.len();
                let runtime = tasks.name.clone();
                match self.probes.follow(*pid, followed) {
                    Ok(()) => info!(
                        pid,
                        service,
                        runtime,
                        found,
                        probes,
                        dear_probes = tasks.sites.iter().filter(|(_, site)| !site.is_cheap).count(),
                        links = "task, else sole",
                        lacks = tasks.lacks.unwrap_or("nothing"),
                        "runtime"
                    ),
                    Err(error) => {
                        let lacks = format!("{:#}", anyhow::Error::from(error));
                        info!(pid, service, runtime, found, links = threads.links, lacks, "runtime");
                    }
                }
                // Between the look and now the number may have become another process's.
                if proc::has_ended(*pid, *start_ticks) {
                    self.probes.leave(*pid);
                }
            }
            (_, _, Runtime::Opaque { name, lacks }) => {
                self.probes.leave(*pid);
                info!(pid, service, runtime = name, links = threads.links, lacks, "runtime");
            }
            (_, _, Runtime::None) => {
                self.probes.leave(*pid);
                info!(
                    pid,
                    service,
                    runtime = threads.name,
                    links = threads.links,
                    lacks = threads.lacks,
                    "runtime"
                );
            }
        }
    }

    /// What the program at this path is.
    fn examine(&mut self, path: &PathBuf) -> Result<(File, FileId, Runtime)> {
        let mut file = File::open(path).context("read the executable")?;
        let id = FileId::of(&file).context("read the executable")?;
        let about = file.metadata().context("read the executable")?;
        let key = (id, about.ctime(), about.ctime_nsec());
        if let Some(known) = self.examined.get(&key) {
            return Ok((file, id, known.clone()));
        }
        if id.size() > LARGEST {
            bail!("the executable has {} bytes, more than {LARGEST}", id.size());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(id.size()).unwrap_or(0));
        file.read_to_end(&mut bytes).context("read the executable")?;
        let runtime = examine(&bytes);
        if self.examined.len() >= MOST_REMEMBERED {
            self.examined.clear();
        }
        self.examined.insert(key, runtime.clone());
        Ok((file, id, runtime))
    }
}

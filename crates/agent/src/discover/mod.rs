//! Which processes are traced and what they are called: a look at `/proc` at start, and events from then on.

pub mod container;
pub mod host;
mod name;
pub mod proc;
mod resource;
pub mod runtimes;

pub use resource::DISTRO;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use aya::maps::{Array, HashMap as BpfHashMap, MapData};
use otel_ebpf_events::{ProcessEvent, config::target, process::what};
use tracing::{debug, info, warn};

use crate::{
    config::{Naming, ProcessFacts, SamplerSettings, Selection},
    export::Service,
    probes::maps::remove_if_present,
};
use container::{Awaited, Containers};
use proc::{Listeners, ProcessInfo};
use runtimes::{Runtimes, Taken};

/// How long a process that ended is remembered: its connections end after it does.
const REMEMBER_ENDED: Duration = Duration::from_secs(5);

/// Time between two looks whether every traced process is still there.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Maps through which the kernel side learns whom to trace.
pub struct TargetMaps {
    /// Traced processes.
    pub targets: BpfHashMap<MapData, u32, u32>,
    /// Ports that make a process a target.
    pub rule_ports: BpfHashMap<MapData, u16, u8>,
    /// Ports on which targets listen.
    pub served_ports: BpfHashMap<MapData, u16, u8>,
    /// Whether every program that begins is traced until it was looked at.
    pub new_programs: Array<MapData, u32>,
}

/// What a traced process is called and how its traces are sampled.
#[derive(Clone)]
pub struct Traced {
    /// Its resource.
    pub service: Arc<Service>,
    /// Sampler of its rule, or the general one.
    pub sampler: SamplerSettings,
}

/// What `/proc` told of a process when it was taken up.
struct Origin {
    process: ProcessInfo,
    environment: HashMap<String, String>,
    container: Awaited,
}

/// A traced process.
enum Target {
    /// Looked at and selected.
    Known(Arc<Origin>, Traced),
    /// Made by a traced process. Until it turns into another program it is what its parent was; it may be gone before
    /// its first span is finished, so `/proc` is not asked.
    Child(Arc<Origin>),
}

/// Every traced process.
pub struct Targets {
    selection: Selection,
    naming: Naming,
    sampler: SamplerSettings,
    host_name: String,
    maps: TargetMaps,
    known: HashMap<u32, Target>,
    ended: Vec<(u32, Instant)>,
    swept: Instant,
    runtimes: Runtimes,
    containers: Containers,
}

impl Targets {
    /// No process yet; tells the kernel side what selects.
    ///
    /// # Errors
    ///
    /// The kernel refuses an entry.
    pub fn new(
        selection: Selection,
        naming: Naming,
        sampler: SamplerSettings,
        host_name: String,
        mut maps: TargetMaps,
        runtimes: Runtimes,
        containers: Containers,
    ) -> Result<Self, aya::maps::MapError> {
        for port in selection.rules.iter().flat_map(|rule| rule.open_ports.ranges().iter().cloned().flatten())
        {
            maps.rule_ports.insert(port, 1, 0)?;
        }
        // A program that is chosen by what it is may be over before it was looked at.
        if selection.rules.iter().any(|rule| rule.open_ports.is_empty() && rule.pids.is_empty()) {
            maps.new_programs.set(0, 1, 0)?;
        }
        Ok(Self {
            selection,
            naming,
            sampler,
            host_name,
            maps,
            known: HashMap::new(),
            ended: Vec::new(),
            swept: Instant::now(),
            runtimes,
            containers,
        })
    }

    /// Follows the tasks of a process no more: they are woken too often.
    pub fn leave_tasks(&self, pid: u32) {
        let service = match self.known.get(&pid) {
            Some(Target::Known(_, traced)) => traced.service.name.as_str(),
            _ => "",
        };
        info!(pid, service, links = "sole", "its tasks are woken too often: they are not followed any more");
        self.runtimes.left(pid);
    }

    /// Looks at every process there is.
    pub fn scan(&mut self) {
        let mut listeners = Listeners::default();
        for pid in proc::all_pids() {
            self.look(pid, None, &mut listeners);
        }
    }

    /// Traced processes.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether a process is traced. One that is not may still be in the kernel's events: it was taken up by its port or its
    /// start alone, and let go when it was looked at, or had ended by then.
    pub fn knows(&self, pid: u32) -> bool {
        self.known.contains_key(&pid)
    }

    /// Whether no process is traced.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// A process started, turned into another program, began to listen, or ended.
    pub fn process(&mut self, event: &ProcessEvent) {
        let pid = event.header.tgid;
        match event.what {
            what::FORK => {
                self.ended.retain(|(ended, _)| *ended != pid);
                let origin = match self.known.get(&event.parent_tgid) {
                    Some(Target::Known(origin, _) | Target::Child(origin)) => Some(Arc::clone(origin)),
                    None => None,
                };
                match origin {
                    Some(origin) => {
                        self.runtimes.forked(event.parent_tgid, pid);
                        self.known.insert(pid, Target::Child(origin));
                    }
                    // The parent began to listen, which made the kernel side trace it, and was refused or is gone already.
                    None if !self.look(pid, None, &mut Listeners::default()) => {
                        self.forget_if(pid, target::INHERITED)
                    }
                    None => {}
                }
            }
            what::EXEC => {
                if !self.look(pid, None, &mut Listeners::default()) && event.traced != 0 {
                    self.forget_if(pid, target::PROVISIONAL);
                }
            }
            what::LISTEN => {
                let port = Some(event.port).filter(|port| *port != 0);
                if matches!(self.known.get(&pid), Some(Target::Known(..))) {
                    self.serve(port.as_slice());
                } else if !self.look(pid, port, &mut Listeners::default()) && event.traced != 0 {
                    // The kernel side went by the port alone.
                    self.forget_in_kernel(pid);
                }
            }
            _ => {
                if self.known.contains_key(&pid) {
                    self.ended.push((pid, Instant::now()));
                } else {
                    // The event by which it would have been taken up or let go was lost.
                    self.forget_in_kernel(pid);
                }
            }
        }
    }

    /// Forgets processes that ended a while ago, and now and then those of whose end the event was lost.
    pub fn tick(&mut self) {
        self.rename();
        if self.swept.elapsed() >= SWEEP_EVERY {
            self.swept = Instant::now();
            let known: Vec<u32> = self.known.keys().copied().collect();
            known.into_iter().for_each(|pid| self.forget_ended(pid));
        }
        if self.ended.is_empty() {
            return;
        }
        let mut due = Vec::new();
        self.ended.retain(|(pid, since)| {
            let is_due = since.elapsed() >= REMEMBER_ENDED;
            if is_due {
                due.push(*pid);
            }
            !is_due
        });
        for pid in due {
            self.forget_ended(pid);
            // The main thread may have ended before the others; the next sweep looks again.
        }
    }

    /// Gives processes the names of their containers that were found since.
    fn rename(&mut self) {
        while let Some(found) = self.containers.next() {
            let of_container: Vec<(u32, Arc<Origin>)> = self
                .known
                .iter()
                .filter_map(|(pid, target)| match target {
                    Target::Known(origin, _) if Arc::ptr_eq(&origin.container, &found) => {
                        Some((*pid, Arc::clone(origin)))
                    }
                    // The others are described when they are asked for.
                    _ => None,
                })
                .collect();
            for (pid, origin) in of_container {
                let traced = self.describe(&origin);
                info!(pid, service = traced.service.name, "looked at the container of a process");
                self.known.insert(pid, Target::Known(origin, traced));
            }
        }
    }

    /// Forgets a process if it is gone.
    fn forget_ended(&mut self, pid: u32) {
        let start_ticks = match self.known.get(&pid) {
            Some(Target::Known(origin, _)) => origin.process.start_ticks,
            Some(Target::Child(_)) => 0,
            None => return,
        };
        if proc::has_ended(pid, start_ticks) {
            self.known.remove(&pid);
            self.runtimes.left(pid);
            self.forget_in_kernel(pid);
            debug!(pid, "process ended");
        }
    }

    /// What is known of a process; `None` for one that is not traced.
    pub fn traced(&mut self, pid: u32) -> Option<Traced> {
        match self.known.get(&pid)? {
            Target::Known(_, traced) => Some(traced.clone()),
            Target::Child(origin) => {
                let process = ProcessInfo { pid, start_ticks: 0, ..origin.process.clone() };
                let origin = Arc::new(Origin {
                    process,
                    environment: origin.environment.clone(),
                    container: Arc::clone(&origin.container),
                });
                let traced = self.describe(&origin);
                self.known.insert(pid, Target::Known(origin, traced.clone()));
                Some(traced)
            }
        }
    }

    /// Looks at one process and takes it up, or lets it go, as the rules say. `port` is one that it just began to listen
    /// on, which `/proc` may not show yet. Returns whether the process is traced now.
    fn look(&mut self, pid: u32, port: Option<u16>, listeners: &mut Listeners) -> bool {
        if pid == std::process::id() {
            return false;
        }
        let process = proc::read(pid, listeners).map(|mut process| {
            process.listening_ports.extend(port.filter(|port| !process.listening_ports.contains(port)));
            process
        });
        let selected =
            process.as_ref().is_some_and(|process| self.selection.select(&facts(process)).is_some());
        if process.is_none() && self.known.contains_key(&pid) {
            // It has ended meanwhile. What is known of it holds for what it did.
            return true;
        }
        let Some(process) = process.filter(|_| selected) else {
            if self.known.remove(&pid).is_some() {
                self.runtimes.left(pid);
                self.forget_in_kernel(pid);
                debug!(pid, "process is not traced any more");
            }
            return false;
        };
        if let Err(error) = self.maps.targets.insert(pid, target::CONFIRMED, 0) {
            warn!(pid, %error, "cannot trace process");
            return false;
        }
        self.serve(&process.listening_ports);
        let environment = proc::naming_environment(pid);
        let container = self.containers.look(&process, &environment);
        let origin = Arc::new(Origin { process, environment, container });
        let traced = self.describe(&origin);
        info!(
            pid,
            service = traced.service.name,
            exe = origin.process.exe_path,
            ports = ?origin.process.listening_ports,
            "tracing process"
        );
        self.runtimes.taken(Taken {
            pid,
            start_ticks: origin.process.start_ticks,
            service: traced.service.name.clone(),
            exe_path: origin.process.exe_path.clone(),
        });
        self.known.insert(pid, Target::Known(origin, traced));
        true
    }

    fn describe(&self, origin: &Origin) -> Traced {
        let rule = self.selection.select(&facts(&origin.process));
        let resource = resource::describe(
            &origin.process,
            &origin.environment,
            origin.container.get(),
            rule,
            &self.naming,
            &self.host_name,
        );
        let sampler = rule.and_then(|rule| rule.sampler).unwrap_or(self.sampler);
        Traced { service: Arc::new(Service::new(resource)), sampler }
    }

    /// Arrival times are taken on these ports.
    fn serve(&mut self, ports: &[u16]) {
        for port in ports {
            if let Err(error) = self.maps.served_ports.insert(port, 1, 0) {
                warn!(port, %error, "no arrival times on port");
            }
        }
    }

    /// Forgets what the kernel side took up by itself for this reason, unless it has found another one since.
    fn forget_if(&mut self, pid: u32, reason: u32) {
        if self.maps.targets.get(&pid, 0).is_ok_and(|flags| flags & reason != 0) {
            self.forget_in_kernel(pid);
        }
    }

    fn forget_in_kernel(&mut self, pid: u32) {
        if let Err(error) = remove_if_present(&mut self.maps.targets, &pid) {
            warn!(pid, %error, "cannot stop tracing process");
        }
    }
}

/// The part of a process that rules ask about.
fn facts(process: &ProcessInfo) -> ProcessFacts {
    ProcessFacts {
        pid: process.pid,
        exe_path: process.exe_path.clone(),
        listening_ports: process.listening_ports.clone(),
        cmdline: process.args.join(" "),
        in_container: process.in_container,
    }
}

//! Loads the programs, chooses the tap that this kernel allows, and attaches.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
    time::Instant,
};

use aya::{
    Btf, Ebpf, EbpfLoader,
    programs::{BtfTracePoint, FExit, Program, ProgramError},
};
use otel_ebpf_events::{PAYLOAD_MAX, TapConfig};
use tracing::{debug, warn};

use crate::config::TapChoice;

use super::offsets::{KERNEL_BTF, KernelTypes, OffsetError, resolve};

/// The BPF object, built by the build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/otel-ebpf-programs"));

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct TapSettings {
    /// Which attachment.
    pub choice: TapChoice,
    /// Bytes of a message's head to capture, 1 to [`PAYLOAD_MAX`].
    pub head_max: u32,
    /// Size of the ring buffer in bytes: a power of two and a multiple of the page size.
    pub ring_bytes: u32,
}

/// Why nothing can be traced here.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Kernel types.
    #[error(transparent)]
    Offsets(#[from] OffsetError),
    /// The object or its maps were refused.
    #[error("load BPF object and create its maps{}", hint(.0))]
    Object(#[source] Box<aya::EbpfError>),
    /// The kernel's type information could not be parsed.
    #[error("parse {KERNEL_BTF}")]
    Btf(#[source] Box<aya::BtfError>),
    /// A program that cannot be done without was refused.
    #[error("load BPF program {program} ({hook}){}", remedy(source))]
    Program {
        /// Program at fault.
        program: &'static str,
        /// What it attaches to.
        hook: &'static str,
        /// The kernel's answer.
        #[source]
        source: Box<ProgramError>,
    },
    /// No tap can be attached.
    #[error(
        "no tap: the kernel has neither sock_recv_length and sock_send_length (6.3+) nor lets fexit attach: {0}"
    )]
    NoTap(String),
}

/// Says what to do about a refused object.
fn hint(error: &aya::EbpfError) -> &'static str {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut is_refusal = false;
    while let Some(error) = cause {
        let errno = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        is_refusal |= errno == Some(libc::EPERM);
        cause = error.source();
    }
    if is_refusal { " (needs root, or CAP_BPF and CAP_PERFMON)" } else { "" }
}

/// Says what to do about a refused program.
fn remedy(error: &ProgramError) -> &'static str {
    match error {
        ProgramError::LoadError { io_error, .. } if io_error.raw_os_error() == Some(libc::EPERM) => {
            " (not allowed: it needs root, or CAP_BPF and CAP_PERFMON, and a kernel that is not built or locked down against it)"
        }
        _ => "",
    }
}

/// A program that is attached.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Its name.
    pub program: &'static str,
    /// What it is attached to.
    pub hook: &'static str,
    /// Instructions that the verifier walked through, where the kernel tells (5.16+).
    pub verified_instructions: Option<u32>,
}

/// The loaded and attached programs; dropping it detaches everything.
pub struct Tap {
    /// Holds programs, links and maps.
    pub ebpf: Ebpf,
    /// Which attachment carries the data.
    pub choice: TapChoice,
    /// Every attached program.
    pub attached: Vec<Attached>,
    /// What is missing, in words, where the kernel lacks something.
    pub degraded: Vec<String>,
    /// Probes in the programs of targets.
    pub task_probes: usize,
}

impl Tap {
    /// Name and descriptor of each attached program; a descriptor is valid while the tap is.
    pub fn program_fds(&self) -> Vec<(&'static str, i32)> {
        let fd = |attached: &Attached| {
            let fd = match self.ebpf.program(attached.program)? {
                Program::BtfTracePoint(program) => program.fd(),
                Program::FExit(program) => program.fd(),
                _ => return None,
            };
            Some((attached.program, fd.ok()?.as_fd().as_raw_fd()))
        };
        self.attached.iter().filter_map(fd).collect()
    }
}

/// A loaded object whose programs are not attached yet.
pub struct Loader {
    ebpf: Ebpf,
    btf: Btf,
    types: KernelTypes,
    choice: TapChoice,
}

/// Creates the maps; nothing is attached yet, so that they can be filled first.
///
/// # Errors
///
/// The kernel's types are unknown or the object is refused.
pub fn load(settings: TapSettings) -> Result<Loader, LoadError> {
    let started = Instant::now();
    let types = resolve(Path::new(KERNEL_BTF))?;
    debug!(elapsed_us = started.elapsed().as_micros(), "kernel offsets resolved");
    let btf = Btf::from_sys_fs().map_err(|error| LoadError::Btf(Box::new(error)))?;
    debug!(elapsed_us = started.elapsed().as_micros(), "kernel types parsed");
    let config = TapConfig {
        head_max: settings.head_max.clamp(1, PAYLOAD_MAX as u32),
        agent_tgid: std::process::id(),
    };
    let ebpf = EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("OFFSETS", &types.offsets, true)
        .override_global("CONFIG", &config, true)
        .map_max_entries("EVENTS", settings.ring_bytes)
        .load(OBJECT)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    debug!(elapsed_us = started.elapsed().as_micros(), "maps created");
    Ok(Loader { ebpf, btf, types, choice: settings.choice })
}

/// Loads and attaches one program. The types of programs have the same methods and no trait in common.
macro_rules! attach_as {
    ($loader:ident, $kind:ty, $program:ident, $hook:ident) => {{
        let refused = |source: ProgramError| LoadError::Program {
            program: $program,
            hook: $hook,
            source: Box::new(source),
        };
        let found = $loader.ebpf.program_mut($program).ok_or_else(|| refused(ProgramError::NotLoaded))?;
        let found: &mut $kind = found.try_into().map_err(refused)?;
        found.load($hook, &$loader.btf).map_err(refused)?;
        found.attach().map_err(refused)?;
        let verified_instructions = found.info().ok().and_then(|info| info.verified_instruction_count());
        Ok(Attached { program: $program, hook: $hook, verified_instructions })
    }};
}

impl Loader {
    /// The object, to take its maps from.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Attaches everything. A program that is only nice to have and is refused is named in [`Tap::degraded`].
    ///
    /// # Errors
    ///
    /// No tap, or no process events, can be attached.
    pub fn attach(mut self) -> Result<Tap, LoadError> {
        let mut attached = Vec::new();
        let mut degraded = Vec::new();
        for (program, hook) in [
            ("process_exec", "sched_process_exec"),
            ("process_fork", "sched_process_fork"),
            ("process_exit", "sched_process_exit"),
            ("socket_state", "inet_sock_set_state"),
            ("socket_destroy", "tcp_destroy_sock"),
        ] {
            attached.push(self.tracepoint(program, hook)?);
        }
        let choice = self.attach_tap(&mut attached)?;
        self.attach_arrival(&mut attached, &mut degraded);
        for program in &attached {
            debug!(
                program = program.program,
                hook = program.hook,
                verified = program.verified_instructions,
                "attached"
            );
        }
        Ok(Tap { ebpf: self.ebpf, choice, attached, degraded, task_probes: 0 })
    }

    fn attach_tap(&mut self, attached: &mut Vec<Attached>) -> Result<TapChoice, LoadError> {
        let mut refusals = Vec::new();
        let has_tracepoints =
            self.types.has_tracepoint("sock_recv_length") && self.types.has_tracepoint("sock_send_length");
        if self.choice != TapChoice::Fexit {
            if has_tracepoints {
                let programs = [("tap_recv_tp", "sock_recv_length"), ("tap_send_tp", "sock_send_length")];
                match self.together(&programs, Self::tracepoint) {
                    Ok(programs) => {
                        attached.extend(programs);
                        return Ok(TapChoice::Tracepoint);
                    }
                    Err(error) => refusals.push(describe(&error)),
                }
            } else {
                refusals.push("the tracepoints are not in this kernel".to_owned());
            }
        }
        if self.choice != TapChoice::Tracepoint {
            let mut programs = vec![("tap_recv_fexit", "tcp_recvmsg"), ("tap_send_fexit", "tcp_sendmsg")];
            if self.types.has_sendpage {
                programs.push(("tap_page_fexit", "tcp_sendpage"));
            }
            match self.together(&programs, Self::fexit) {
                Ok(programs) => {
                    attached.extend(programs);
                    return Ok(TapChoice::Fexit);
                }
                Err(error) => refusals.push(describe(&error)),
            }
        }
        Err(LoadError::NoTap(refusals.join("; ")))
    }

    /// Attaches all of these programs, or none: one without the others would report everything twice beside another tap.
    fn together(
        &mut self,
        programs: &[(&'static str, &'static str)],
        attach: impl Fn(&mut Self, &'static str, &'static str) -> Result<Attached, LoadError>,
    ) -> Result<Vec<Attached>, LoadError> {
        let attached: Result<Vec<Attached>, LoadError> =
            programs.iter().map(|(program, hook)| attach(self, program, hook)).collect();
        if attached.is_err() {
            for (program, _) in programs {
                let unloaded = match self.ebpf.program_mut(program) {
                    Some(Program::BtfTracePoint(program)) => program.unload(),
                    Some(Program::FExit(program)) => program.unload(),
                    _ => Ok(()),
                };
                if let Err(error) = unloaded {
                    debug!(program, %error, "was not loaded");
                }
            }
        }
        attached
    }

    /// Arrival times make `in queue` spans; without them a request starts when it is read.
    fn attach_arrival(&mut self, attached: &mut Vec<Attached>, degraded: &mut Vec<String>) {
        let candidates = [("arrival_ready", "sk_data_ready"), ("arrival_probe", "tcp_probe")];
        for (program, hook) in candidates {
            if !self.types.has_tracepoint(hook) {
                continue;
            }
            match self.tracepoint(program, hook) {
                Ok(program) => {
                    attached.push(program);
                    return;
                }
                Err(error) => warn!(program, hook, error = %describe(&error), "attach failed"),
            }
        }
        degraded.push(
            "no arrival times: a request starts when it is read, and no `in queue` span is made".to_owned(),
        );
    }

    fn tracepoint(&mut self, program: &'static str, hook: &'static str) -> Result<Attached, LoadError> {
        attach_as!(self, BtfTracePoint, program, hook)
    }

    fn fexit(&mut self, program: &'static str, hook: &'static str) -> Result<Attached, LoadError> {
        attach_as!(self, FExit, program, hook)
    }
}

/// An error with its causes, on one line; of a verifier log only the end, where the verdict stands.
fn describe(error: &LoadError) -> String {
    const TAIL: usize = 600;
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    let text = text.replace('\n', " | ");
    match text.char_indices().rev().nth(TAIL) {
        Some((at, _)) if at > 200 => format!("{} … {}", &text[..text.floor_char_boundary(200)], &text[at..]),
        _ => text,
    }
}

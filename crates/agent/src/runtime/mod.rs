//! What runs a program's tasks, as its executable shows it: where the number of the task that a thread runs is kept, and
//! where a probe sees that one task wakes or makes another.
//!
//! Pure: bytes of an ELF file in, places out. Nothing is attached here.

mod elf;
mod go;
mod site;
pub mod threads;
mod tokio;

use otel_ebpf_events::TaskLayout;

/// A place in a file where a probe is cheap, and sees what it needs.
///
/// The kernel emulates some instructions (`push`, `jmp`, conditional jumps, `nop`) and steps through copies of all others,
/// which takes ten times as long; so the place may lie a few instructions behind the function's entry, where the
/// arguments are still in their registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Offset in the file, as perf_event_open(2) wants it.
    pub file_offset: u64,
    /// Whether the instruction there is one that the kernel emulates.
    pub is_cheap: bool,
}

/// What the probes at a site see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// tokio: a task is woken; `rdi` holds its header.
    TokioWake,
    /// tokio: a task is made; `rsi` holds its header.
    TokioSpawn,
    /// Go: a goroutine is made ready to run; `rax` holds the `g` of the one that does so, and the word behind the one that
    /// `rdx` points to that of the other.
    GoReady,
    /// Go: a goroutine is made; `rbx` holds its `g`.
    GoSpawn,
    /// Go: a goroutine hands a request to a connection of `net/http`; `rax` holds the connection, `r14` the current `g`.
    GoAsk,
    /// Go: a goroutine begins to send the requests of such a connection; with the same registers.
    GoSendFor,
}

/// How the places were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// By the names of functions.
    Symbols,
    /// By the shape of data and code, in a stripped file.
    Shape,
}

/// A runtime whose tasks can be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tasks {
    /// Its name and, where the file tells it, version: `tokio 1.54.1`, `Go 1.27.3`.
    pub name: String,
    /// Where the kernel side finds the number of the current task, and of one that a probe is given.
    pub layout: TaskLayout,
    /// Probes.
    pub sites: Vec<(Hook, Site)>,
    /// How they were found.
    pub found: Found,
    /// What was not found, in words, for the log.
    pub lacks: Option<&'static str>,
}

/// What an executable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Its tasks can be followed.
    Tasks(Tasks),
    /// It has tasks that cannot be followed; the reason in words, for the log.
    Opaque {
        /// `tokio`, `Go`.
        name: String,
        /// Which of the things needed is missing.
        lacks: String,
    },
    /// No runtime with tasks that is known here.
    None,
}

/// Looks at an executable.
///
/// Any bytes are accepted; what is no ELF file for this processor has no runtime.
pub fn examine(executable: &[u8]) -> Runtime {
    let Some(file) = elf::Executable::parse(executable) else { return Runtime::None };
    match go::examine(&file) {
        Runtime::None => tokio::examine(&file),
        found => found,
    }
}

//! Who is traced.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;

use crate::maps::TARGETS;

/// A thread of a traced process.
#[derive(Clone, Copy)]
pub struct Caller {
    /// Process.
    pub tgid: u32,
    /// Thread.
    pub tid: u32,
}

impl Caller {
    /// The current thread, whoever it is.
    #[inline(always)]
    pub fn current() -> Self {
        Self::from_pid_tgid(bpf_get_current_pid_tgid())
    }

    /// Splits what `bpf_get_current_pid_tgid` returns.
    #[inline(always)]
    pub fn from_pid_tgid(pid_tgid: u64) -> Self {
        Self { tgid: (pid_tgid >> 32) as u32, tid: pid_tgid as u32 }
    }

    /// The current thread, if its process is traced.
    #[inline(always)]
    pub fn traced() -> Option<Self> {
        let caller = Self::current();
        if is_target(caller.tgid) { Some(caller) } else { None }
    }
}

/// Whether a process is traced for a reason of [`otel_ebpf_events::config::target`].
#[inline(always)]
pub fn is_target_by(tgid: u32, reason: u32) -> bool {
    match TARGETS.get_ptr(tgid) {
        // SAFETY: a map value stays valid while the program runs.
        Some(flags) => (unsafe { *flags }) & reason != 0,
        None => false,
    }
}

/// Whether a process is traced.
#[inline(always)]
pub fn is_target(tgid: u32) -> bool {
    TARGETS.get_ptr(tgid).is_some()
}

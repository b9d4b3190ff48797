//! `struct task_struct` (include/linux/sched.h).

use aya_ebpf::helpers::bpf_get_current_task_btf;

use super::{load, offset};

/// A task that a hook was given.
#[derive(Clone, Copy)]
pub struct Task(*const u8);

impl Task {
    /// Wraps a hook's `struct task_struct *` argument.
    ///
    /// # Safety
    ///
    /// `task` must be a BTF pointer to a `struct task_struct`.
    #[inline(always)]
    pub unsafe fn new(task: *const u8) -> Self {
        Self(task)
    }

    /// The current thread.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: no arguments, no conditions.
        Self(unsafe { bpf_get_current_task_btf() }.cast_const().cast())
    }

    /// Where its thread-local block ends (x86-64); 0 on other architectures.
    ///
    /// The kernel keeps the base in `task_struct` from `arch_prctl` or `clone` on. A program that sets it by instruction
    /// (`wrfsbase`) may have another one than this until it is next taken off its processor.
    #[inline(always)]
    pub fn fs_base(self) -> u64 {
        let at = offset!(task_fsbase);
        if at == 0 {
            return 0;
        }
        // SAFETY: `self.0` is a `struct task_struct`.
        unsafe { load(self.0, at) }
    }

    /// Thread id, which the kernel calls `pid`.
    #[inline(always)]
    pub fn tid(self) -> u32 {
        // SAFETY: `self.0` is a `struct task_struct`.
        unsafe { load(self.0, offset!(task_pid)) }
    }

    /// Process id.
    #[inline(always)]
    pub fn tgid(self) -> u32 {
        // SAFETY: `self.0` is a `struct task_struct`.
        unsafe { load(self.0, offset!(task_tgid)) }
    }
}

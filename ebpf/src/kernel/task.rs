//! `struct task_struct` (include/linux/sched.h).

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

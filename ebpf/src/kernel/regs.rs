//! The registers at system-call entry, which lead to the caller's buffer. One architecture, one table.

use aya_ebpf::helpers::{bpf_get_current_task_btf, generated::bpf_task_pt_regs};

use super::load;

/// Where `struct pt_regs` keeps what a system call was given, and the numbers of the calls that move bytes.
#[cfg(bpf_target_arch = "x86_64")]
mod arch {
    // Offsets: arch/x86/include/asm/ptrace.h, `struct pt_regs`.
    pub const NUMBER: usize = 120;
    pub const ARG1: usize = 104;
    pub const ARG2: usize = 96;
    pub const RESULT: usize = 80;
    /// What stands in place of the result until the call returns (`PUSH_AND_CLEAR_REGS rax=$-ENOSYS`,
    /// arch/x86/entry/entry_64.S).
    pub const NO_RESULT: i64 = -38;
    // Numbers: arch/x86/entry/syscalls/syscall_64.tbl. A 32-bit process reaches sockets by other numbers, none of
    // which is in this list, so its registers are never misread.
    pub const READ: u64 = 0;
    pub const WRITE: u64 = 1;
    pub const READV: u64 = 19;
    pub const WRITEV: u64 = 20;
    pub const SENDTO: u64 = 44;
    pub const RECVFROM: u64 = 45;
    pub const SENDMSG: u64 = 46;
    pub const RECVMSG: u64 = 47;
}

/// The system call a thread is in, as far as it concerns buffers.
pub enum Syscall {
    /// One buffer at this address.
    Buffer(u64),
    /// An array of `count` `struct iovec` at `address`.
    Vector {
        /// Of the first `struct iovec`.
        address: u64,
        /// Entries of the array.
        count: u64,
    },
    /// A `struct msghdr` at this address.
    Message(u64),
    /// A call that leads to no buffer.
    Other,
}

/// The system call that the current thread is in.
#[inline(always)]
pub fn syscall() -> Syscall {
    // SAFETY: both helpers may be called in a tracing program that runs in process context.
    let regs = unsafe { bpf_task_pt_regs(bpf_get_current_task_btf()) } as *const u8;
    // io_uring completes operations on the way out of any system call, and in threads that are in none.
    // SAFETY: `regs` is a BTF pointer to a `struct pt_regs`.
    if unsafe { load::<i64>(regs, arch::RESULT) } != arch::NO_RESULT {
        return Syscall::Other;
    }
    // SAFETY: as above.
    let (number, arg1, arg2) = unsafe {
        (load::<u64>(regs, arch::NUMBER), load::<u64>(regs, arch::ARG1), load::<u64>(regs, arch::ARG2))
    };
    match number {
        arch::READ | arch::WRITE | arch::SENDTO | arch::RECVFROM => Syscall::Buffer(arg1),
        arch::READV | arch::WRITEV => Syscall::Vector { address: arg1, count: arg2 },
        arch::SENDMSG | arch::RECVMSG => Syscall::Message(arg1),
        _ => Syscall::Other,
    }
}

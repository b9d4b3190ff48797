//! Changes in the life of a process that decide whether it is traced.

use crate::EventHeader;

/// Values of [`ProcessEvent::what`].
pub mod what {
    /// The process replaced its program.
    pub const EXEC: u8 = 1;
    /// The main thread of the process ends; others may go on.
    pub const EXIT: u8 = 2;
    /// A traced process made a child, which is traced from its first instruction.
    pub const FORK: u8 = 3;
    /// The process began to listen on `port`.
    pub const LISTEN: u8 = 4;
}

/// One change of a process.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ProcessEvent {
    /// [`crate::kind::PROCESS`]; for `FORK` the process is the child.
    pub header: EventHeader,
    /// For `FORK` the process that made the child; otherwise 0.
    pub parent_tgid: u32,
    /// For `LISTEN` the TCP port; otherwise 0.
    pub port: u16,
    /// One of [`what`].
    pub what: u8,
    /// 1 where the kernel side already traces the process.
    pub traced: u8,
}

const _: () = assert!(size_of::<ProcessEvent>() == 32 && align_of::<ProcessEvent>() == 8);

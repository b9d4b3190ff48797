//! What every event starts with.

/// Version of the layout of all events; raised whenever a field moves, so that a stale object is refused.
pub const EVENT_VERSION: u8 = 5;

/// Values of [`EventHeader::kind`].
pub mod kind {
    /// A [`crate::DataEvent`], followed by its payload.
    pub const DATA: u8 = 1;
    /// A [`crate::SocketEvent`].
    pub const SOCKET: u8 = 2;
    /// A [`crate::ProcessEvent`].
    pub const PROCESS: u8 = 3;
    /// A [`crate::TaskEvent`].
    pub const TASK: u8 = 4;
}

/// First bytes of every event.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct EventHeader {
    /// When the hook ran, in nanoseconds of `CLOCK_MONOTONIC`.
    pub ktime_ns: u64,
    /// Process (`tgid` in the kernel), in the initial pid namespace.
    pub tgid: u32,
    /// Thread (the kernel calls it `pid`), in the initial pid namespace.
    pub tid: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// [`EVENT_VERSION`] of the sender.
    pub version: u8,
    /// Zero.
    pub _pad: [u8; 6],
}

const _: () = assert!(size_of::<EventHeader>() == 24 && align_of::<EventHeader>() == 8);

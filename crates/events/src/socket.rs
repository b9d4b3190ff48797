//! Changes in the life of a connection.

use crate::{ConnKey, EventHeader};

/// Values of [`SocketEvent::what`].
pub mod what {
    /// An outgoing connection could not be made; `error` says why.
    pub const CONNECT_FAILED: u8 = 1;
    /// This end will send nothing more (a FIN is on its way).
    pub const SEND_CLOSED: u8 = 2;
    /// The socket is gone.
    pub const CLOSED: u8 = 3;
}

/// One change of a connection's state.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct SocketEvent {
    /// [`crate::kind::SOCKET`]. For `CONNECT_FAILED` the process and thread are those that called `connect`; otherwise
    /// they are whoever was running and mean nothing.
    pub header: EventHeader,
    /// The connection's end.
    pub conn: ConnKey,
    /// When `connect` was called, in nanoseconds of `CLOCK_MONOTONIC`; 0 unless `CONNECT_FAILED`.
    pub start_ns: u64,
    /// Positive errno left on the socket (`sk_err`); 0 for none.
    pub error: u32,
    /// One of [`what`].
    pub what: u8,
    /// Zero.
    pub _pad: [u8; 3],
}

const _: () = assert!(size_of::<SocketEvent>() == 24 + 48 + 16 && align_of::<SocketEvent>() == 8);

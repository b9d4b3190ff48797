//! Changes in the life of a connection.

use crate::{ConnKey, EventHeader};

/// Values of [`SocketEvent::what`].
pub mod what {
    /// An outgoing connection could not be made; `error` says why.
    pub const CONNECT_FAILED: u8 = 1;
    /// This end will send nothing more (a FIN is on its way).
    pub const SEND_CLOSED: u8 = 2;
    /// The socket is gone. A process may have read from it until now, even when the connection had ended before.
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
    /// In nanoseconds of `CLOCK_MONOTONIC`: for `CONNECT_FAILED` when `connect` was called; for `CLOSED` when the
    /// connection came to its end, which may be long before the socket is gone, 0 where that was not seen.
    pub since_ns: u64,
    /// Positive errno left on the socket (`sk_err`); 0 for none.
    pub error: u32,
    /// One of [`what`].
    pub what: u8,
    /// Zero.
    pub _pad: [u8; 3],
}

const _: () = assert!(size_of::<SocketEvent>() == 24 + 48 + 16 && align_of::<SocketEvent>() == 8);

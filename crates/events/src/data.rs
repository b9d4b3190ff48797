//! Bytes that moved through a socket.

use crate::{ConnKey, EventHeader};

/// Most bytes of a message's head that one event carries.
pub const PAYLOAD_MAX: usize = 8192;
/// Most bytes of an operation's end that one event carries when its middle was not captured.
pub const TAIL_MAX: usize = 16;

/// Values of [`DataEvent::direction`].
pub mod direction {
    /// The process received the bytes.
    pub const RECEIVE: u8 = 0;
    /// The process sent the bytes.
    pub const SEND: u8 = 1;
}

/// Values of [`DataEvent::capture`]: why the payload is what it is.
pub mod capture {
    /// The bytes were read from the process's buffer.
    pub const READ: u8 = 0;
    /// The system call leads to no buffer in user memory (sendfile, splice, io_uring, in-kernel senders).
    pub const NO_BUFFER: u8 = 1;
    /// The buffer could not be read.
    pub const FAULT: u8 = 2;
}

/// One completed send or receive. `head_bytes` and then `tail_bytes` of payload follow it in the ring buffer.
///
/// The bytes between head and tail were not captured: `total_bytes - head_bytes - tail_bytes` of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct DataEvent {
    /// [`crate::kind::DATA`], and when the operation completed.
    pub header: EventHeader,
    /// The connection's end in this process.
    pub conn: ConnKey,
    /// When the first byte that this receive took had reached the socket, in nanoseconds of `CLOCK_MONOTONIC`;
    /// 0 where that is not known.
    pub arrival_ns: u64,
    /// Task that the thread ran; 0 where there is none, or none that can be known.
    pub task: u64,
    /// TCP sequence number of the first byte moved (absolute, wraps).
    pub seq: u32,
    /// Place of the other direction when the operation completed: for a receive the sequence number behind the last byte
    /// sent, for a send that of the first byte not yet received. A receive may be reported before the send that it
    /// answers, when two threads share a socket.
    pub other_seq: u32,
    /// Bytes moved; 0 for a receive that found the end of the stream.
    pub total_bytes: u32,
    /// Captured bytes at the operation's start, at most [`PAYLOAD_MAX`].
    pub head_bytes: u16,
    /// Captured bytes at the operation's end, at most [`TAIL_MAX`].
    pub tail_bytes: u16,
    /// One of [`direction`].
    pub direction: u8,
    /// One of [`capture`].
    pub capture: u8,
    /// 1 for a receive that the thread was ready to wait in (no `MSG_DONTWAIT`, which the kernel also sets for a socket
    /// in non-blocking mode), else 0.
    pub blocking: u8,
    /// Zero.
    pub _pad: [u8; 5],
}

const _: () = assert!(size_of::<DataEvent>() == 24 + 48 + 40 && align_of::<DataEvent>() == 8);

//! What the agent tells the BPF programs, as read-only globals and map values.

/// Byte offsets of the kernel fields that the programs read, resolved from the running kernel's BTF.
///
/// Read-only for the loaded programs, so the verifier takes each as a constant.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct KernelOffsets {
    /// `sock_common.skc_family` in `struct sock`.
    pub skc_family: u32,
    /// `sock_common.skc_daddr` in `struct sock`.
    pub skc_daddr: u32,
    /// `sock_common.skc_rcv_saddr` in `struct sock`.
    pub skc_rcv_saddr: u32,
    /// `sock_common.skc_dport` in `struct sock` (network byte order).
    pub skc_dport: u32,
    /// `sock_common.skc_num` in `struct sock` (host byte order).
    pub skc_num: u32,
    /// `sock_common.skc_v6_daddr` in `struct sock`.
    pub skc_v6_daddr: u32,
    /// `sock_common.skc_v6_rcv_saddr` in `struct sock`.
    pub skc_v6_rcv_saddr: u32,
    /// `sock.sk_protocol`.
    pub sk_protocol: u32,
    /// `sock.sk_err`.
    pub sk_err: u32,
    /// `sock_common.skc_flags` in `struct sock`.
    pub skc_flags: u32,
    /// `tcp_sock.write_seq`.
    pub write_seq: u32,
    /// `tcp_sock.copied_seq`.
    pub copied_seq: u32,
    /// `tcp_sock.rcv_nxt`.
    pub rcv_nxt: u32,
    /// `task_struct.pid`.
    pub task_pid: u32,
    /// `task_struct.tgid`.
    pub task_tgid: u32,
    /// `task_struct.thread.fsbase`: where a thread's thread-local block ends on x86-64; 0 elsewhere.
    pub task_fsbase: u32,
    /// `sk_buff.len`.
    pub skb_len: u32,
    /// Number of `tcp_recvmsg`'s parameters, behind which its return value stands: six up to 5.18, then five, and four
    /// on the newest kernels.
    pub recvmsg_ret_arg: u32,
}

/// Settings of the tap.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct TapConfig {
    /// Bytes captured of a run of operations in one direction, 1 to [`crate::PAYLOAD_MAX`].
    pub head_max: u32,
    /// The agent's own process, never traced.
    pub agent_tgid: u32,
}

/// What the kernel side remembers of a connection between operations.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ConnState {
    /// When the first byte not yet received had reached the socket (`CLOCK_MONOTONIC` ns); 0 for none or unknown.
    pub arrival_ns: u64,
    /// When the connection came to its end (`CLOCK_MONOTONIC` ns); 0 while it goes on.
    pub ended_ns: u64,
    /// Place of the first byte not yet received when `arrival_ns` was taken: another place means that bytes were taken
    /// from the socket unseen, and the time with them.
    pub arrival_seq: u32,
    /// `sk_err` when the connection came to its end.
    pub error: u32,
    /// Bytes of the current run of operations that may still be captured.
    pub head_left: u32,
    /// One of [`crate::data::direction`], or [`ConnState::NO_DIRECTION`].
    pub direction: u8,
    /// 1 once the agent said that nothing on this connection can become a span.
    pub ignored: u8,
    /// 1 once an operation of a traced process was seen.
    pub seen: u8,
    /// Zero.
    pub _pad: u8,
}

impl ConnState {
    /// [`ConnState::direction`] before the first operation.
    pub const NO_DIRECTION: u8 = 0xff;

    /// A connection of which nothing is known.
    pub const FRESH: Self = Self {
        arrival_ns: 0,
        ended_ns: 0,
        arrival_seq: 0,
        error: 0,
        head_left: 0,
        direction: Self::NO_DIRECTION,
        ignored: 0,
        seen: 0,
        _pad: 0,
    };
}

const _: () = assert!(size_of::<ConnState>() == 32);

/// Flags of a traced process.
pub mod target {
    /// Traced because its parent was; an exec ends that until user space has looked at the new program.
    pub const INHERITED: u32 = 1;
    /// Traced by the kernel side at `listen`, before user space had a say.
    pub const BY_PORT: u32 = 2;
    /// Confirmed by user space.
    pub const CONFIRMED: u32 = 4;
    /// A program that has just begun, traced until user space has looked at it: it may be over by then.
    pub const PROVISIONAL: u32 = 8;
}

//! What the kernel side could not deliver, by cause.

/// Index into the per-CPU drop counters.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelDrop {
    /// The ring buffer was full: a data event is missing.
    DataRingFull = 0,
    /// The ring buffer was full: a socket event is missing.
    SocketRingFull = 1,
    /// The ring buffer was full: a process event is missing.
    ProcessRingFull = 2,
    /// No connection state could be stored; the operation was not reported.
    ConnStateFull = 3,
    /// The set of traced processes was full.
    TargetsFull = 4,
    /// A pending connect could not be stored; its failure would not be reported.
    ConnectsFull = 5,
    /// Payload could not be read from user memory; the event went out without it.
    PayloadFault = 6,
    /// A socket pointer could not be turned into a `tcp_sock`.
    NotTcpSock = 7,
    /// The ring buffer was full: an event of tasks is missing.
    TaskRingFull = 8,
}

impl KernelDrop {
    /// Every cause, in index order.
    pub const ALL: [Self; 9] = [
        Self::DataRingFull,
        Self::SocketRingFull,
        Self::ProcessRingFull,
        Self::ConnStateFull,
        Self::TargetsFull,
        Self::ConnectsFull,
        Self::PayloadFault,
        Self::NotTcpSock,
        Self::TaskRingFull,
    ];

    /// Whether an event is missing that tells what a traced process did.
    pub const fn is_of_event(self) -> bool {
        matches!(self, Self::DataRingFull | Self::SocketRingFull | Self::ConnStateFull | Self::TaskRingFull)
    }

    /// Name as it appears in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DataRingFull => "data_ring_full",
            Self::SocketRingFull => "socket_ring_full",
            Self::ProcessRingFull => "process_ring_full",
            Self::ConnStateFull => "conn_state_full",
            Self::TargetsFull => "targets_full",
            Self::ConnectsFull => "connects_full",
            Self::PayloadFault => "payload_fault",
            Self::NotTcpSock => "not_tcp_sock",
            Self::TaskRingFull => "task_ring_full",
        }
    }
}

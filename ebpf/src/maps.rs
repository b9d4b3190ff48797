//! Every map and every read-only global.

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use otel_ebpf_events::{
    ConnState, DataEvent, KernelDrop, KernelOffsets, PAYLOAD_MAX, TAIL_MAX, TapConfig, TaskLayout,
};

/// Kernel field offsets. Written by the loader before load; never after.
#[unsafe(no_mangle)]
pub static OFFSETS: KernelOffsets = KernelOffsets {
    skc_family: 0,
    skc_daddr: 0,
    skc_rcv_saddr: 0,
    skc_dport: 0,
    skc_num: 0,
    skc_v6_daddr: 0,
    skc_v6_rcv_saddr: 0,
    sk_protocol: 0,
    sk_err: 0,
    skc_flags: 0,
    write_seq: 0,
    copied_seq: 0,
    rcv_nxt: 0,
    task_pid: 0,
    task_tgid: 0,
    task_fsbase: 0,
    skb_len: 0,
    recvmsg_ret_arg: 0,
};

/// Settings of the tap. Written by the loader before load; never after.
#[unsafe(no_mangle)]
pub static CONFIG: TapConfig = TapConfig { head_max: 0, agent_tgid: 0 };

/// Events for user space. The loader sets its size. Written by every program, read by the agent's one reader.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// Traced processes: tgid to [`otel_ebpf_events::config::target`] flags. Written by user space, at fork and at
/// `listen`; user space deletes at exit, an exec deletes what was only inherited. 8192 processes is far above what a
/// host serves HTTP with; a full map is counted.
#[map]
pub static TARGETS: HashMap<u32, u32> = HashMap::with_max_entries(8192, 0);

/// Index 0 is 1 when a rule goes by the program, so that every program that begins is traced until user space has
/// looked at it. Written by user space at start.
#[map]
pub static NEW_PROGRAMS: Array<u32> = Array::with_max_entries(1, 0);

/// Ports that make a process a target as soon as it listens on one. Written by user space at start: one entry a
/// port, hence room for all.
#[map]
pub static RULE_PORTS: HashMap<u16, u8> = HashMap::with_max_entries(65536, 1);

/// Ports on which targets listen: arrival times are taken on these only. Written by user space and at `listen`; an
/// entry that outlives its process costs one look-up per arrival there, nothing else. LRU, because nobody deletes.
#[map]
pub static SERVED_PORTS: LruHashMap<u16, u8> = LruHashMap::with_max_entries(4096, 0);

/// How tasks lie in the memory of a process, by tgid: those whose runtime is known. Written by user space when it has
/// looked at the program, and at fork; deleted at exec, and by user space when the process ends. As many as there may be
/// traced processes.
#[map]
pub static TASK_LAYOUTS: HashMap<u32, TaskLayout> = HashMap::with_max_entries(8192, 0);

/// Connections by socket cookie. Written by the tap and at arrival; user space sets `ignored`; deleted when the
/// socket closes. LRU because a socket may outlive every target; an evicted live connection starts anew at its next
/// operation.
#[map]
pub static CONNS: LruHashMap<u64, ConnState> = LruHashMap::with_max_entries(65536, 0);

/// Outgoing connections under way, by socket cookie. Written at connect, deleted when its outcome is known.
#[map]
pub static CONNECTS: LruHashMap<u64, PendingConnect> = LruHashMap::with_max_entries(4096, 0);

/// Index 0 is 1 while the agent's reader sleeps until it is woken, 0 while it looks by itself every few
/// milliseconds. Written by user space.
#[map]
pub static READER_ASLEEP: Array<u32> = Array::with_max_entries(1, 0);

/// Wakes the agent's reader while it looks by itself: what a process event changes must not wait for its next look.
/// One empty message for each process event; when it is full, the reader is awake. The least that a kernel allows.
#[map]
pub static DOORBELL: RingBuf = RingBuf::with_byte_size(4096, 0);

/// Losses by [`KernelDrop`]. Written by every program, read by user space.
#[map]
pub static DROPS: PerCpuArray<u64> = PerCpuArray::with_max_entries(KernelDrop::ALL.len() as u32, 0);

/// Where a data event is put together before it is copied to the ring buffer: one slot for each program, because a
/// kernel may preempt one with another. It skips a program that would preempt itself (`prog->active`,
/// kernel/bpf/trampoline.c), and user space reports how often.
#[map]
pub static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(3, 0);

/// A data event under construction.
#[repr(C)]
pub struct Scratch {
    /// The fixed part.
    pub event: DataEvent,
    /// Head, then a tail in two parts. Twice the largest of each, because the verifier adds the bounds that it knows of
    /// offsets and lengths, which are powers of two.
    pub payload: [u8; 2 * (PAYLOAD_MAX + 2 * TAIL_MAX)],
}

/// Who called `connect`, and when.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PendingConnect {
    /// `CLOCK_MONOTONIC` ns.
    pub start_ns: u64,
    /// `bpf_get_current_pid_tgid`.
    pub pid_tgid: u64,
}

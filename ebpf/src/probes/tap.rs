//! The tap: every send and receive on a TCP socket, in the process that does it.
//!
//! Emits a `DataEvent` for each operation of a traced process.
//!
//! Since 6.3: `tp_btf/sock_recv_length` and `tp_btf/sock_send_length`, raised by `sock_recvmsg_nosec` and
//! `sock_sendmsg_nosec` (net/socket.c) with `(struct sock *sk, int ret, int flags)`.
//! Before: `fexit/tcp_recvmsg` and `fexit/tcp_sendmsg` (net/ipv4/tcp.c), with
//! `(struct sock *sk, struct msghdr *msg, size_t len, [int nonblock,] int flags[, int *addr_len])` and
//! `(struct sock *sk, struct msghdr *msg, size_t size)`; and `fexit/tcp_sendpage` where there is one.

use aya_ebpf::{
    EbpfContext as _,
    macros::{btf_tracepoint, fexit},
    programs::{BtfTracePointContext, FExitContext},
};
use otel_ebpf_events::{
    ConnState, DataEvent, KernelDrop, PAYLOAD_MAX, TAIL_MAX,
    data::{capture, direction},
    kind,
};

use crate::{
    capture::{Captured, copy},
    emit::{count, header, send},
    filter::Caller,
    kernel::{head_max, offset, sock::Sock},
    maps::{CONNS, SCRATCH},
    runtime::current_task,
};

/// Receive flags (include/linux/socket.h): urgent data and the error queue are no part of the stream, a peek
/// consumes nothing.
const OUTSIDE_THE_STREAM: i32 = MSG_OOB | MSG_PEEK | MSG_ERRQUEUE;
const MSG_OOB: i32 = 0x1;
const MSG_PEEK: i32 = 0x2;
const MSG_ERRQUEUE: i32 = 0x2000;
/// The bytes are taken from the stream without being copied anywhere.
const MSG_TRUNC: i32 = 0x20;
/// Do not wait; the socket layer adds it for a descriptor in non-blocking mode (`sock_read_iter`, `__sys_recvfrom`).
const MSG_DONTWAIT: i32 = 0x40;

/// Slots of [`SCRATCH`], one for each of the programs that may be attached together.
const RECEIVE_SLOT: u32 = 0;
const SEND_SLOT: u32 = 1;
const PAGE_SLOT: u32 = 2;

/// Loads a word of a program's context, at a byte offset that stands in the instruction.
macro_rules! context_word {
    ($ctx:ident, $offset:literal) => {{
        let word: u64;
        // SAFETY: reads only; the verifier checks that the context holds the word.
        unsafe {
            core::arch::asm!(
                concat!("{word} = *(u64 *)({ctx} + ", $offset, ")"),
                ctx = in(reg) $ctx.as_ptr(), word = out(reg) word,
                options(readonly, nostack)
            )
        }
        word
    }};
}

#[btf_tracepoint(function = "sock_recv_length")]
fn tap_recv_tp(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's first argument is a `struct sock *`.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    operation(sk, ctx.arg(1), ctx.arg(2), direction::RECEIVE, RECEIVE_SLOT)
}

#[btf_tracepoint(function = "sock_send_length")]
fn tap_send_tp(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's first argument is a `struct sock *`.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    operation(sk, ctx.arg(1), 0, direction::SEND, SEND_SLOT)
}

#[fexit(function = "tcp_recvmsg")]
fn tap_recv_fexit(ctx: FExitContext) -> i32 {
    // SAFETY: the function's first argument is a `struct sock *`.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    // The context may be read at constant offsets only, so each of the three signatures has a branch of its own, and the
    // loads are written as instructions because the compiler would join the branches. The verifier knows which one is
    // taken and does not look at the other.
    let (flags, ret) = match offset!(recvmsg_ret_arg) {
        // Until 5.18 `nonblock` holds MSG_DONTWAIT, and `flags` does not (`inet_recvmsg`).
        6 => (context_word!(ctx, "24") | context_word!(ctx, "32"), context_word!(ctx, "48")),
        5 => (context_word!(ctx, "24"), context_word!(ctx, "40")),
        _ => (context_word!(ctx, "24"), context_word!(ctx, "32")),
    };
    operation(sk, ret as i32, flags as i32, direction::RECEIVE, RECEIVE_SLOT)
}

#[fexit(function = "tcp_sendmsg")]
fn tap_send_fexit(ctx: FExitContext) -> i32 {
    // SAFETY: the function's first argument is a `struct sock *`.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    // The return value follows the three arguments.
    operation(sk, ctx.arg(3), 0, direction::SEND, SEND_SLOT)
}

/// sendfile and splice before 6.5, which came past `tcp_sendmsg`:
/// `tcp_sendpage(struct sock *sk, struct page *page, int offset, size_t size, int flags)`.
#[fexit(function = "tcp_sendpage")]
fn tap_page_fexit(ctx: FExitContext) -> i32 {
    // SAFETY: the function's first argument is a `struct sock *`.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    // The return value follows the five arguments.
    operation(sk, ctx.arg(5), 0, direction::SEND, PAGE_SLOT)
}

/// One send or receive that returned `ret`. Always returns 0.
#[inline(always)]
fn operation(sk: Sock, ret: i32, flags: i32, direction: u8, slot: u32) -> i32 {
    if ret < 0 || !sk.is_tcp() {
        return 0;
    }
    let Some(caller) = Caller::traced() else {
        return 0;
    };
    if flags & OUTSIDE_THE_STREAM != 0 || (ret == 0 && direction == direction::SEND) {
        return 0;
    }
    report(sk, caller, ret as u32, flags, direction, slot);
    0
}

#[inline(always)]
fn report(sk: Sock, caller: Caller, total: u32, flags: i32, direction: u8, slot: u32) {
    let cookie = sk.cookie();
    let Some(state) = connection(cookie) else {
        count(KernelDrop::ConnStateFull);
        return;
    };
    // SAFETY: a map value stays valid while the program runs; a racing writer can only change how much is captured.
    let state = unsafe { &mut *state };
    if state.ignored != 0 {
        return;
    }
    let Some(tcp) = sk.tcp() else {
        count(KernelDrop::NotTcpSock);
        return;
    };
    let Some(scratch) = SCRATCH.get_ptr_mut(slot) else {
        return;
    };
    state.seen = 1;
    let (read_seq, write_seq) = (tcp.read_seq(), tcp.write_seq());
    let mut arrival_ns = 0;
    let (seq, other_seq) = if direction == direction::RECEIVE {
        let seq = read_seq.wrapping_sub(total);
        if state.arrival_seq == seq {
            arrival_ns = state.arrival_ns;
        }
        state.arrival_ns = 0;
        (seq, write_seq)
    } else {
        (write_seq.wrapping_sub(total), read_seq)
    };
    if state.direction != direction {
        state.direction = direction;
        state.head_left = head_max();
    }
    // SAFETY: the slot belongs to this program on this CPU until it returns.
    let payload = unsafe { (&raw mut (*scratch).payload).cast::<u8>() };
    let captured = if total == 0 {
        Captured::nothing(capture::READ)
    } else if flags & MSG_TRUNC != 0 {
        Captured::nothing(capture::NO_BUFFER)
    } else {
        // SAFETY: the payload of a scratch slot has the size asked for.
        unsafe { copy(payload, total, state.head_left, head_max()) }
    };
    if captured.how == capture::FAULT {
        count(KernelDrop::PayloadFault);
    }
    if captured.starts_message {
        state.head_left = head_max();
    }
    state.head_left = state.head_left.saturating_sub(captured.head);
    let task = current_task(caller.tgid);

    // SAFETY: as above.
    unsafe {
        (&raw mut (*scratch).event).write(DataEvent {
            header: header(kind::DATA, caller),
            conn: sk.conn_key(cookie),
            arrival_ns,
            task,
            seq,
            other_seq,
            total_bytes: total,
            head_bytes: captured.head as u16,
            tail_bytes: captured.tail as u16,
            direction,
            capture: captured.how,
            blocking: u8::from(direction == direction::RECEIVE && flags & MSG_DONTWAIT == 0),
            _pad: [0; 5],
        });
    }
    let mut len = captured.head + captured.tail;
    if len > (PAYLOAD_MAX + TAIL_MAX) as u32 {
        // Cannot be; it tells the verifier so.
        len = (PAYLOAD_MAX + TAIL_MAX) as u32;
    }
    // SAFETY: `len` is at most what the payload holds.
    unsafe {
        send(
            scratch.cast_const().cast(),
            size_of::<DataEvent>() as u64 + u64::from(len),
            KernelDrop::DataRingFull,
        )
    }
}

/// The state of a connection, made at its first operation.
#[inline(always)]
fn connection(cookie: u64) -> Option<*mut ConnState> {
    if let Some(state) = CONNS.get_ptr_mut(cookie) {
        return Some(state);
    }
    // A failure shows as a missing entry right below.
    let _: Result<(), _> = CONNS.insert(cookie, ConnState::FRESH, 0);
    CONNS.get_ptr_mut(cookie)
}

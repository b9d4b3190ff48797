//! TCP state changes: who begins to listen, which connects fail, when connections end.
//!
//! `tp_btf/inet_sock_set_state`, raised by `inet_sk_set_state` and `inet_sk_state_store` (net/ipv4/af_inet.c) with
//! `(const struct sock *sk, const int oldstate, const int newstate)`, and `tp_btf/tcp_destroy_sock`, raised by
//! `tcp_v4_destroy_sock` (net/ipv4/tcp_ipv4.c) with `(struct sock *sk)`, both since 4.16. Emit `ProcessEvent` (listen)
//! and `SocketEvent`.

use aya_ebpf::{helpers::bpf_get_current_pid_tgid, macros::btf_tracepoint, programs::BtfTracePointContext};
use otel_ebpf_events::{KernelDrop, ProcessEvent, SocketEvent, config::target, kind, process, socket};

use crate::{
    emit::{count, header, now_ns, send_event, send_process_event},
    filter::{Caller, is_target, is_target_by},
    kernel::{agent_tgid, sock::Sock},
    maps::{CONNECTS, CONNS, PendingConnect, RULE_PORTS, SERVED_PORTS, TARGETS},
};

// include/net/tcp_states.h
const TCP_ESTABLISHED: i32 = 1;
const TCP_SYN_SENT: i32 = 2;
const TCP_FIN_WAIT1: i32 = 4;
const TCP_CLOSE: i32 = 7;
const TCP_LAST_ACK: i32 = 9;
const TCP_LISTEN: i32 = 10;

/// The end of a socket. Its connection may have ended before, with bytes still to be read.
#[btf_tracepoint(function = "tcp_destroy_sock")]
fn socket_destroy(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's first argument is a `struct sock *`.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    if sk.is_tcp() {
        gone(sk);
    }
    0
}

#[btf_tracepoint(function = "inet_sock_set_state")]
fn socket_state(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's first argument is a `struct sock *`.
    let sk = unsafe { Sock::new(ctx.arg(0)) };
    let (old, new): (i32, i32) = (ctx.arg(1), ctx.arg(2));
    if !sk.is_tcp() {
        return 0;
    }
    match (old, new) {
        (_, TCP_LISTEN) => listening(sk),
        (TCP_CLOSE, TCP_SYN_SENT) => connecting(sk),
        (TCP_SYN_SENT, TCP_ESTABLISHED) => connected(sk),
        (TCP_SYN_SENT, TCP_CLOSE) => connect_failed(sk),
        (_, TCP_FIN_WAIT1 | TCP_LAST_ACK) => sends_no_more(sk),
        (_, TCP_CLOSE) => ended(sk),
        _ => {}
    }
    0
}

/// Runs in the process that called `listen`, before the first connection can come.
#[inline(always)]
fn listening(sk: Sock) {
    let caller = Caller::current();
    if caller.tgid == agent_tgid() {
        return;
    }
    let port = sk.local_port();
    let mut traced = is_target(caller.tgid);
    if !is_target_by(caller.tgid, target::CONFIRMED) && RULE_PORTS.get_ptr(port).is_some() {
        if TARGETS.insert(caller.tgid, target::BY_PORT, 0).is_err() {
            count(KernelDrop::TargetsFull);
        } else {
            traced = true;
        }
    }
    if traced && SERVED_PORTS.insert(port, 1, 0).is_err() {
        count(KernelDrop::TargetsFull);
    }
    let event = ProcessEvent {
        header: header(kind::PROCESS, caller),
        parent_tgid: 0,
        port,
        what: process::what::LISTEN,
        traced: u8::from(traced),
    };
    send_process_event(&event);
}

/// Runs in the process that called `connect`.
#[inline(always)]
fn connecting(sk: Sock) {
    if Caller::traced().is_none() {
        return;
    }
    let pending = PendingConnect { start_ns: now_ns(), pid_tgid: bpf_get_current_pid_tgid() };
    if CONNECTS.insert(sk.cookie(), pending, 0).is_err() {
        count(KernelDrop::ConnectsFull);
    }
}

/// Runs in softirq. The entry is absent for processes that are not traced.
#[inline(always)]
fn connected(sk: Sock) {
    let _: Result<(), _> = CONNECTS.remove(sk.cookie());
}

/// Runs in softirq, or in the process when it gives up.
#[inline(always)]
fn connect_failed(sk: Sock) {
    let cookie = sk.cookie();
    let Some(pending) = CONNECTS.get_ptr(cookie) else {
        return;
    };
    // SAFETY: a map value stays valid while the program runs.
    let pending = unsafe { *pending };
    let event = SocketEvent {
        header: header(kind::SOCKET, Caller::from_pid_tgid(pending.pid_tgid)),
        conn: sk.conn_key(cookie),
        since_ns: pending.start_ns,
        error: sk.error(),
        what: socket::what::CONNECT_FAILED,
        _pad: [0; 3],
    };
    send_event(&event, KernelDrop::SocketRingFull);
    let _: Result<(), _> = CONNECTS.remove(cookie);
}

/// Runs in softirq or in the process that closes.
#[inline(always)]
fn sends_no_more(sk: Sock) {
    let cookie = sk.cookie();
    let Some(state) = CONNS.get_ptr(cookie) else {
        return;
    };
    // SAFETY: a map value stays valid while the program runs.
    let (seen, ignored) = unsafe { ((*state).seen, (*state).ignored) };
    if seen != 0 && ignored == 0 {
        tell(sk, cookie, socket::what::SEND_CLOSED, 0, sk.error());
    }
}

/// Runs in softirq or in any process. The process may still read what had come before, so the connection is only
/// remembered to have ended, and why: reading takes the error off the socket.
#[inline(always)]
fn ended(sk: Sock) {
    if let Some(state) = CONNS.get_ptr_mut(sk.cookie()) {
        // SAFETY: a map value stays valid while the program runs; nobody else writes these fields.
        unsafe {
            (*state).ended_ns = now_ns();
            (*state).error = sk.error();
        }
    }
}

/// Runs in softirq or in any process, once nothing refers to the socket any more.
#[inline(always)]
fn gone(sk: Sock) {
    let cookie = sk.cookie();
    let Some(state) = CONNS.get_ptr(cookie) else {
        return;
    };
    // SAFETY: a map value stays valid while the program runs.
    let (seen, ended_ns, error) = unsafe { ((*state).seen, (*state).ended_ns, (*state).error) };
    if seen != 0 {
        tell(sk, cookie, socket::what::CLOSED, ended_ns, if error == 0 { sk.error() } else { error });
    }
    let _: Result<(), _> = CONNS.remove(cookie);
}

#[inline(always)]
fn tell(sk: Sock, cookie: u64, what: u8, since_ns: u64, error: u32) {
    let event = SocketEvent {
        header: header(kind::SOCKET, Caller::current()),
        conn: sk.conn_key(cookie),
        since_ns,
        error,
        what,
        _pad: [0; 3],
    };
    send_event(&event, KernelDrop::SocketRingFull);
}

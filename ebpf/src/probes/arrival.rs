//! When bytes reach a socket, before the process reads them.
//!
//! Writes `ConnState::arrival_ns` of connections to a port on which a target listens; emits nothing. Both hooks run in
//! softirq, so the current process means nothing here.
//!
//! Since 6.3: `tp_btf/sk_data_ready`, raised by `sock_def_readable` (net/core/sock.c) with `(const struct sock *sk)`.
//! Before: `tp_btf/tcp_probe`, raised by `tcp_rcv_established` (net/ipv4/tcp_input.c) with
//! `(struct sock *sk, struct sk_buff *skb)` for each segment, empty ones included.

use aya_ebpf::{macros::btf_tracepoint, programs::BtfTracePointContext};
use otel_ebpf_events::ConnState;

use crate::{
    emit::now_ns,
    kernel::{load, offset, sock::Sock},
    maps::{CONNS, SERVED_PORTS},
};

/// Longest TCP header. A segment at this hook starts with its header, so one that is longer has data in it; a shorter
/// one may have, and is left alone.
const TCP_HEADER_MAX: u32 = 60;

#[btf_tracepoint(function = "sk_data_ready")]
fn arrival_ready(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's first argument is a `struct sock *`.
    arrived(unsafe { Sock::new(ctx.arg(0)) })
}

#[btf_tracepoint(function = "tcp_probe")]
fn arrival_probe(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's second argument is a `struct sk_buff *`.
    if unsafe { load::<u32>(ctx.arg(1), offset!(skb_len)) } <= TCP_HEADER_MAX {
        return 0;
    }
    // SAFETY: the hook's first argument is a `struct sock *`.
    arrived(unsafe { Sock::new(ctx.arg(0)) })
}

/// Takes the time if nothing unread had arrived before. Always returns 0.
#[inline(always)]
fn arrived(sk: Sock) -> i32 {
    if !sk.is_tcp() || SERVED_PORTS.get_ptr(sk.local_port()).is_none() {
        return 0;
    }
    let Some(tcp) = sk.tcp() else {
        return 0;
    };
    let first_unread = tcp.read_seq();
    let cookie = sk.cookie();
    if let Some(state) = CONNS.get_ptr_mut(cookie) {
        // SAFETY: a map value stays valid while the program runs; the tap may reset the field at the same time, which
        // at worst loses this arrival time.
        unsafe {
            if (*state).arrival_ns == 0 || (*state).arrival_seq != first_unread {
                (*state).arrival_ns = now_ns();
                (*state).arrival_seq = first_unread;
            }
        }
        return 0;
    }
    let fresh = ConnState { arrival_ns: now_ns(), arrival_seq: first_unread, ..ConnState::FRESH };
    // Without an entry the request's start is the time it was read.
    let _: Result<(), _> = CONNS.insert(cookie, fresh, 0);
    0
}

//! `struct sock` and `struct tcp_sock` (include/net/sock.h, include/linux/tcp.h).

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_skc_to_tcp_sock};
use otel_ebpf_events::{
    ConnKey,
    conn::{AF_INET, AF_INET6},
};

use super::{load, offset};

/// `IPPROTO_TCP`.
const IPPROTO_TCP: u16 = 6;

/// A socket that a hook was given.
#[derive(Clone, Copy)]
pub struct Sock(*const u8);

impl Sock {
    /// Wraps a hook's `struct sock *` argument.
    ///
    /// # Safety
    ///
    /// `sk` must be a BTF pointer to a `struct sock`.
    #[inline(always)]
    pub unsafe fn new(sk: *const u8) -> Self {
        Self(sk)
    }

    /// Whether it is TCP over IPv4 or IPv6.
    #[inline(always)]
    pub fn is_tcp(self) -> bool {
        let family = self.family();
        // SAFETY: `self.0` is a `struct sock`.
        (family == AF_INET || family == AF_INET6)
            && unsafe { load::<u16>(self.0, offset!(sk_protocol)) } == IPPROTO_TCP
    }

    /// `skc_family`.
    #[inline(always)]
    pub fn family(self) -> u16 {
        // SAFETY: `self.0` is a `struct sock`.
        unsafe { load(self.0, offset!(skc_family)) }
    }

    /// `skc_num`: the local port, in host byte order.
    #[inline(always)]
    pub fn local_port(self) -> u16 {
        // SAFETY: `self.0` is a `struct sock`.
        unsafe { load(self.0, offset!(skc_num)) }
    }

    /// `sk_err`: a positive errno, or 0.
    #[inline(always)]
    pub fn error(self) -> u32 {
        // SAFETY: `self.0` is a `struct sock`.
        unsafe { load(self.0, offset!(sk_err)) }
    }

    /// Whether the other end has closed its direction: its FIN has arrived in order (`SOCK_DONE`, set by `tcp_fin`).
    #[inline(always)]
    fn has_fin(self) -> bool {
        // `enum sock_flags` (include/net/sock.h) numbers the bits of `skc_flags`.
        const SOCK_DONE: u32 = 1;
        // SAFETY: `self.0` is a `struct sock`; on a little-endian machine the low half of a word comes first.
        let flags: u32 = unsafe { load(self.0, offset!(skc_flags)) };
        flags & (1 << SOCK_DONE) != 0
    }

    /// The socket's cookie; the kernel makes one up at the first call.
    #[inline(always)]
    pub fn cookie(self) -> u64 {
        // SAFETY: the helper takes a BTF pointer to a `struct sock` in tracing programs.
        unsafe { bpf_get_socket_cookie(self.0.cast_mut().cast()) }
    }

    /// The connection's identity.
    #[inline(always)]
    pub fn conn_key(self, cookie: u64) -> ConnKey {
        let family = self.family();
        let mut key = ConnKey {
            cookie,
            local_addr: [0; 16],
            remote_addr: [0; 16],
            local_port: self.local_port(),
            // SAFETY: `self.0` is a `struct sock`.
            remote_port: u16::from_be(unsafe { load(self.0, offset!(skc_dport)) }),
            family,
            _pad: 0,
        };
        // SAFETY: `self.0` is a `struct sock`; the addresses of both families are in every one.
        unsafe {
            if family == AF_INET6 {
                key.local_addr = address6(self.0, offset!(skc_v6_rcv_saddr));
                key.remote_addr = address6(self.0, offset!(skc_v6_daddr));
            } else {
                key.local_addr = address4(self.0, offset!(skc_rcv_saddr));
                key.remote_addr = address4(self.0, offset!(skc_daddr));
            }
        }
        key
    }

    /// The same socket as a `tcp_sock`, if it is one.
    #[inline(always)]
    pub fn tcp(self) -> Option<TcpSock> {
        // SAFETY: the helper takes a BTF pointer to a `struct sock`.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut().cast()) };
        if tcp.is_null() { None } else { Some(TcpSock { sock: self, tcp: tcp.cast_const().cast() }) }
    }
}

/// A TCP socket.
#[derive(Clone, Copy)]
pub struct TcpSock {
    sock: Sock,
    tcp: *const u8,
}

impl TcpSock {
    /// `write_seq`: the sequence number behind the last byte put into the send queue.
    #[inline(always)]
    pub fn write_seq(self) -> u32 {
        // SAFETY: `self.tcp` is a `struct tcp_sock`.
        unsafe { load(self.tcp, offset!(write_seq)) }
    }

    /// The sequence number behind the last byte read.
    ///
    /// That is `copied_seq`, unless the call that read the last byte went past the FIN too, which has a number of its
    /// own (`tcp_recvmsg_locked`, net/ipv4/tcp.c): then everything that arrived (`rcv_nxt`) counts as read.
    #[inline(always)]
    pub fn read_seq(self) -> u32 {
        // SAFETY: `self.tcp` is a `struct tcp_sock`.
        let (copied, next): (u32, u32) =
            unsafe { (load(self.tcp, offset!(copied_seq)), load(self.tcp, offset!(rcv_nxt))) };
        if copied == next && self.sock.has_fin() { copied.wrapping_sub(1) } else { copied }
    }
}

/// # Safety
///
/// As [`load`].
#[inline(always)]
unsafe fn address4(sk: *const u8, offset: usize) -> [u8; 16] {
    // SAFETY: promised by the caller.
    let word: u32 = unsafe { load(sk, offset) };
    words([word, 0, 0, 0])
}

/// # Safety
///
/// As [`load`].
#[inline(always)]
unsafe fn address6(sk: *const u8, offset: usize) -> [u8; 16] {
    // SAFETY: promised by the caller; `in6_addr` is four aligned words.
    unsafe { words([load(sk, offset), load(sk, offset + 4), load(sk, offset + 8), load(sk, offset + 12)]) }
}

#[inline(always)]
fn words(words: [u32; 4]) -> [u8; 16] {
    // SAFETY: both are 16 bytes of plain data.
    unsafe { core::mem::transmute(words) }
}

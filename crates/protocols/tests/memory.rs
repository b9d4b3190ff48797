//! Heap held by one connection. The allocator counts for the whole process, so this binary has a single test.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};

use otel_ebpf_protocols::http1::{Connection, Direction, Limits, Op, Outcome};

struct Counting;

static HELD: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Peer {
    connection: Connection<u32>,
    seq: [u32; 2],
    out: Vec<Outcome<u32>>,
}

impl Peer {
    fn new(limits: Limits) -> Self {
        Peer { connection: Connection::new(limits), seq: [0; 2], out: Vec::with_capacity(1000) }
    }

    fn feed(&mut self, direction: Direction, bytes: &[u8]) {
        let seq = self.seq[direction as usize];
        self.seq[direction as usize] = seq.wrapping_add(bytes.len() as u32);
        self.connection.feed(
            Op { direction, at_ns: 0, seq, total_bytes: bytes.len() as u32, head: bytes, tail: &[], meta: 0 },
            &mut self.out,
        );
    }

    fn exchange(&mut self, pipelined: usize, piece: usize) {
        let request = b"GET /hello?a=b HTTP/1.1\r\nHost: localhost:5001\r\nUser-Agent: curl/8.0\r\n\r\n";
        let response = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for bytes in request.repeat(pipelined).chunks(piece) {
            self.feed(Direction::Receive, bytes);
        }
        for bytes in response.repeat(pipelined).chunks(piece) {
            self.feed(Direction::Send, bytes);
        }
        let ended = self.out.iter().filter(|outcome| matches!(outcome, Outcome::Exchange(_))).count();
        assert_eq!(ended, pipelined);
        self.out.clear();
    }
}

fn held() -> isize {
    HELD.load(Ordering::Relaxed)
}

#[test]
fn connections_hold_little() {
    let mut peer = Peer::new(Limits::default());
    let before = held();
    for (pipelined, piece) in [(1, 10_000), (1, 7), (100, 10_000), (3, 24)] {
        peer.exchange(pipelined, piece);
        let idle = held() - before;
        assert!(idle < 300, "{idle} bytes after {pipelined} exchanges in pieces of {piece}");
    }
    let inline = size_of::<Connection<u32>>();
    assert!(inline < 512, "{inline} bytes inline");

    // A head that never ends, in either direction, and requests that are never answered.
    let limits = Limits::default();
    let mut peer = Peer::new(limits);
    let before = held();
    for _ in 0..2000 {
        peer.feed(Direction::Receive, b"GET / HTTP/1.1\r\nX: 1234567890\r\n\r\n");
    }
    peer.feed(Direction::Send, b"HTTP/1.1 200 OK\r\n");
    for _ in 0..10_000 {
        peer.feed(Direction::Send, b"X: 12345678901234567890\r\n");
    }
    let most = 4 * limits.max_open_head_bytes as isize;
    assert!(held() - before < most, "{} bytes", held() - before);

    let mut peer = Peer::new(limits);
    let before = held();
    peer.feed(Direction::Receive, b"GET / HTTP/1.1\r\n");
    let mut peak = 0;
    for _ in 0..10_000 {
        peer.feed(Direction::Receive, b"X: 12345678901234567890\r\n");
        peak = peak.max(held() - before);
    }
    assert!(peak < 3 * limits.max_head_bytes as isize, "{peak} bytes");
    assert!(held() - before < 300);
}

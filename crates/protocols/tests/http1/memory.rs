//! Work per byte.

use std::time::{Duration, Instant};

use crate::tape::{Tape, ok};

/// With a search that starts over at each byte, 60,000 operations would compare 1.8 * 10^9 bytes, which takes an
/// unoptimised build far longer than this.
#[test]
fn a_long_head_byte_by_byte_takes_linear_time() {
    let started = Instant::now();
    for (line, fields) in [(50_000, 0), (10, 50_000)] {
        let head = format!("GET /{} HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(line), "b".repeat(fields));
        let mut tape = Tape::new();
        for byte in head.as_bytes() {
            tape.receive([*byte]);
        }
        assert_eq!(tape.send(ok(1)).exchanges().len(), 1);
    }
    assert!(started.elapsed() < Duration::from_secs(4));
}

//! Any operations: no panic, and nothing stays open after the close.

#![no_main]

use libfuzzer_sys::fuzz_target;
use otel_ebpf_protocols::http1::{CloseKind, Connection, Direction, Limits, Op};

fuzz_target!(|input: &[u8]| replay(input));

/// Plays an input as operations: five bytes of numbers each (flags, lengths of what was captured and what was not,
/// sequence jump), then the captured bytes.
fn replay(mut input: &[u8]) {
    let limits = Limits { max_head_bytes: 512, max_pipelined: 4, ..Limits::default() };
    let mut connection = Connection::new(limits);
    let mut out = Vec::new();
    let mut next_seq = [0_u32; 2];
    let mut at_ns = 0;
    while let [flags, head, missing, tail, jump, rest @ ..] = input {
        let (head, rest) = rest.split_at(rest.len().min(usize::from(*head)));
        let (tail, rest) = rest.split_at(rest.len().min(usize::from(*tail) % 20));
        input = rest;
        let direction = if flags & 1 == 0 { Direction::Receive } else { Direction::Send };
        let total_bytes = (head.len() + usize::from(*missing) + tail.len()) as u32;
        let jump = if flags & 2 == 0 { 0 } else { (*jump as i8 as u32) << (flags >> 4) };
        let seq = next_seq[direction as usize].wrapping_add(jump);
        next_seq[direction as usize] = seq.wrapping_add(total_bytes);
        at_ns += 1;
        match flags >> 2 & 3 {
            1 => connection.expire(at_ns, &mut out),
            2 => connection.advance_to(direction, seq, &mut out),
            _ => {}
        }
        connection.feed(Op { direction, at_ns, seq, total_bytes, head, tail, meta: () }, &mut out);
    }
    connection.close(at_ns, CloseKind::Fin, &mut out);
    assert!(!connection.has_open_exchange());
}

//! What is not HTTP/1.

use otel_ebpf_protocols::http1::{CloseKind, Connection, Limits, State};

use crate::tape::{Tape, get, ok};

#[test]
fn openings_of_other_protocols_are_foreign_at_once() {
    let cases: [(&str, &[u8]); 3] = [
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("TLS, joined midway", b"\x17\x03\x03\x00\x20abcdef"),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ];
    for (name, bytes) in cases {
        let mut tape = Tape::new();
        tape.receive(bytes);
        assert_eq!(tape.connection.state(), State::Foreign, "{name}");
        tape.send(get("/a")).receive(ok(1)).receive(get("/b")).send(ok(1));
        tape.close(CloseKind::Fin);
        assert!(tape.take().is_empty(), "{name}");
    }
}

const TALKS: [(&str, &[u8], &[u8]); 9] = [
    ("Redis", b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"),
    ("Redis inline", b"SET a b\r\n", b"+OK\r\n"),
    ("SMTP", b"EHLO example.com\r\n", b"250 ok\r\n"),
    ("Postgres", b"Q\x00\x00\x00\x0dSELECT 1\x00", b"T\x00\x00\x00\x10"),
    ("random", b"\xf3\x12\x00\x99\xab", b"\x81\x7f\x00"),
    ("random capitals", b"AB\x00\x99\xab", b"Z"),
    ("memcached", b"get key\r\n", b"END\r\n"),
    ("RTSP", b"OPTIONS rtsp://x RTSP/1.0\r\nCSeq: 1\r\n\r\n", b"RTSP/1.0 200 OK\r\n\r\n"),
    ("HTTP of another version", b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n"),
];

#[test]
fn other_protocols_become_foreign_after_a_few_turns() {
    for (name, question, answer) in TALKS {
        let mut tape = Tape::new();
        for _ in 0..4 {
            tape.send(question).receive(answer);
        }
        assert_eq!(tape.connection.state(), State::Foreign, "{name}");
        assert!(tape.close(CloseKind::Fin).take().is_empty(), "{name}");
    }
}

#[test]
fn other_protocols_seen_from_their_first_byte_are_foreign_at_once() {
    for (name, question, _) in TALKS {
        for piece in [1, 100] {
            let mut tape = Tape::with(Connection::from_first_byte(Limits::default()));
            for bytes in question.chunks(piece) {
                tape.send(bytes);
            }
            assert_eq!(tape.connection.state(), State::Foreign, "{name} by {piece}");
        }
    }
}

#[test]
fn first_request_is_found_in_any_pieces() {
    for piece in [1, 3, 24] {
        let mut tape = Tape::with(Connection::from_first_byte(Limits::default()));
        for bytes in get("/a").as_bytes().chunks(piece) {
            tape.receive(bytes);
        }
        assert_eq!(tape.send(ok(1)).summary(), ["/a 200"]);
    }
}

#[test]
fn uncaptured_operations_say_nothing() {
    let mut tape = Tape::new();
    for _ in 0..20 {
        tape.op(otel_ebpf_protocols::http1::Direction::Send, b"", 100, b"");
        tape.op(otel_ebpf_protocols::http1::Direction::Receive, b"", 100, b"");
    }
    assert_eq!(tape.connection.state(), State::Fresh);
    assert_eq!(tape.send(get("/a")).receive(ok(1)).summary(), ["/a 200"]);
}

#[test]
fn requests_in_a_body_are_no_requests() {
    let mut tape = Tape::new();
    tape.receive("body that was joined midway").receive(get("/fake")).send(ok(1));
    assert!(tape.take().is_empty());
    assert_eq!(tape.connection.state(), State::Fresh);
}

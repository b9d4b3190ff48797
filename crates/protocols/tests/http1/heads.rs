//! What is kept of heads, and heads that are refused.

use otel_ebpf_protocols::http1::{Connection, DropCause, Limits, State};

use crate::tape::{Tape, get, ok};

#[test]
fn keeps_what_spans_need_and_no_secrets() {
    let mut tape = Tape::new();
    tape.receive(concat!(
        "POST http://u:p@h/a?b=c HTTP/1.1\r\nhOsT: h:80 \r\nUser-Agent: curl/8\r\nHost: second\r\n",
        "traceparent: 00-a-b-01\r\ntracestate: a=1\r\nTracestate: b=2\r\n",
        "Forwarded: for=1.2.3.4\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n",
        "X-Forwarded-Proto: https\r\nX-Forwarded-Host: x\r\nContent-Type: text/plain\r\n",
        "Authorization: Bearer secret\r\nCookie: session=secret\r\nX-Api-Key: secret\r\nContent-Length: 1\r\n\r\nz",
    ));
    tape.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=secret\r\nContent-Length: 0\r\n\r\n",
    );
    let exchange = tape.exchange();
    let request = &exchange.request;
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "http://u:p@h/a?b=c"));
    assert_eq!(request.host.as_deref(), Some("h:80"));
    assert_eq!(request.user_agent.as_deref(), Some("curl/8"));
    assert_eq!(request.traceparent.as_deref(), Some("00-a-b-01"));
    assert_eq!(request.tracestate.as_deref(), Some("a=1,b=2"));
    assert_eq!(request.forwarded.as_deref(), Some("for=1.2.3.4"));
    assert_eq!(request.x_forwarded_for.as_deref(), Some("1.2.3.4,5.6.7.8"));
    assert_eq!(request.x_forwarded_proto.as_deref(), Some("https"));
    assert_eq!(request.x_forwarded_host.as_deref(), Some("x"));
    assert_eq!(request.content_type.as_deref(), Some("text/plain"));
    assert_eq!(request.content_length, Some(1));
    let response = exchange.response.as_ref().unwrap();
    assert_eq!(response.content_type.as_deref(), Some("text/html"));
    assert!(!format!("{exchange:?}").contains("secret"));
}

#[test]
fn two_traceparents_are_none() {
    let mut tape = Tape::new();
    tape.receive("GET / HTTP/1.1\r\ntraceparent: 00-a-b-01\r\ntraceparent: 00-c-d-01\r\n\r\n");
    assert_eq!(tape.send(ok(0)).exchange().request.traceparent, None);
}

#[test]
fn malformed_requests_are_dropped_once() {
    let cases = [
        ("conflicting lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"),
        ("conflicting list", "POST / HTTP/1.1\r\nContent-Length: 1, 2\r\n\r\na"),
        ("signed length", "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na"),
        ("empty length", "POST / HTTP/1.1\r\nContent-Length: \r\n\r\na"),
        ("length above 64 bits", "POST / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\na"),
        ("coding without chunked", "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\na"),
        ("chunked not last", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\na"),
        ("folded field", "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n"),
        ("blank before colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
        ("no field name", "GET / HTTP/1.1\r\n: a\r\n\r\n"),
    ];
    for (name, request) in cases {
        for piece in [1, 10_000] {
            for known in [false, true] {
                let mut tape = Tape::new();
                if known {
                    assert_eq!(tape.receive(get("/a")).send(ok(1)).summary(), ["/a 200"]);
                }
                for bytes in request.as_bytes().chunks(piece) {
                    tape.receive(bytes);
                }
                tape.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
                assert_eq!(tape.drops(), [DropCause::RequestMalformed], "{name}");
                assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"], "{name}");
            }
        }
    }
}

#[test]
fn malformed_responses_drop_their_request() {
    let cases = [
        ("conflicting lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na"),
        ("not a response", "ICY 200 OK\r\n\r\n"),
        ("other version", "HTTP/3.0 200 OK\r\n\r\n"),
        ("status below 100", "HTTP/1.1 099 OK\r\n\r\n"),
        ("two digits", "HTTP/1.1 20 OK\r\n\r\n"),
        ("no field name", "HTTP/1.1 200 OK\r\n: a\r\n\r\n"),
    ];
    for (name, response) in cases {
        for piece in [1, 10_000] {
            let mut tape = Tape::new();
            tape.receive(get("/a"));
            for bytes in response.as_bytes().chunks(piece) {
                tape.send(bytes);
            }
            assert_eq!(tape.drops(), [DropCause::ResponseMalformed], "{name}");
            assert_eq!(tape.connection.state(), State::Lost, "{name}");
            assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"], "{name}");
        }
    }
}

#[test]
fn heads_above_the_limit_are_dropped() {
    let limits = Limits { max_head_bytes: 200, ..Limits::default() };
    let long = format!("GET /long HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200));
    for piece in [1, 50, 10_000] {
        let mut tape = Tape::with(Connection::new(limits));
        for bytes in long.as_bytes().chunks(piece) {
            tape.receive(bytes);
        }
        tape.send(ok(1));
        assert_eq!(tape.drops(), [DropCause::RequestTooLarge], "pieces of {piece}");
        assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"]);
        tape.receive(get("/c"));
        let response = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(200));
        for bytes in response.as_bytes().chunks(piece) {
            tape.send(bytes);
        }
        assert_eq!(tape.drops(), [DropCause::ResponseTooLarge], "pieces of {piece}");
    }
}

#[test]
fn too_many_fields_are_too_large() {
    let mut tape = Tape::new();
    tape.receive(format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(300)));
    assert_eq!(tape.drops(), [DropCause::RequestTooLarge]);
}

#[test]
fn head_at_the_limit_is_taken() {
    let head = get("/a");
    let limits = Limits { max_head_bytes: head.len(), ..Limits::default() };
    for piece in [1, 10_000] {
        let mut tape = Tape::with(Connection::new(limits));
        for bytes in head.as_bytes().chunks(piece) {
            tape.receive(bytes);
        }
        assert_eq!(tape.send("HTTP/1.1 204 X\r\n\r\n").summary(), ["/a 204"]);
    }
}

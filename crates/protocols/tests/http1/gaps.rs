//! Bytes that were not captured, and operations that never arrived.

use otel_ebpf_protocols::http1::Direction::{Receive, Send};
use otel_ebpf_protocols::http1::{CloseKind, DropCause, ExchangeEnd, Outcome, State};

use crate::tape::{Tape, get, ok};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

fn head_of(length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn gap_in_a_counted_body_counts_down() {
    let mut tape = Tape::new();
    tape.op(Receive, b"POST /a HTTP/1.1\r\nContent-Length: 1000\r\n\r\n", 1000, b"");
    tape.op(Send, head_of(5000).as_bytes(), 1000, b"").op(Send, b"", 3984, b"0123456789abcdef");
    let exchange = tape.exchange();
    assert_eq!(exchange.request_body_bytes, Some(1000));
    assert_eq!(exchange.response_body_bytes, Some(5000));
    assert_eq!((exchange.request_end_ns, exchange.response_end_ns), (10, Some(30)));
    assert!(!exchange.end_estimated);
}

#[test]
fn lost_operation_in_a_counted_body() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(head_of(100)).lose(Send, 50);
    tape.op(Send, b"", 50, b"");
    let exchange = tape.exchange();
    assert_eq!(exchange.response_end_ns, Some(30));
    assert!(!exchange.end_estimated);
}

#[test]
fn lost_operation_that_ended_a_counted_body() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(head_of(100)).lose(Send, 100);
    tape.receive(get("/b")).send(ok(1));
    let exchanges = tape.exchanges();
    assert!(exchanges[0].end_estimated);
    assert_eq!(exchanges[0].response_end_ns, Some(20));
    assert_eq!(exchanges[0].response_body_bytes, Some(100));
    assert_eq!((exchanges[1].request.target.as_str(), exchanges[1].end_estimated), ("/b", false));
}

#[test]
fn place_told_from_outside() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(head_of(100)).lose(Send, 100);
    let seq = tape.next_seq(Send);
    tape.connection.advance_to(Send, seq, &mut tape.out);
    assert!(tape.exchange().end_estimated);
    tape.connection.advance_to(Send, seq, &mut tape.out);
    assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn place_told_before_the_first_response() {
    // The response to /a and the request /b were lost: what is seen answers /b.
    let mut tape = Tape::new();
    let seq = tape.next_seq(Send);
    tape.connection.advance_to(Send, seq, &mut tape.out);
    tape.receive(get("/a")).lose(Send, 60).lose(Receive, 40).send(ok(1));
    assert_eq!(tape.drops(), [DropCause::ResponseNotCaptured]);
}

#[test]
fn gap_inside_one_chunk_counts_down() {
    let mut tape = Tape::new();
    tape.receive(get("/a"));
    tape.op(Send, format!("{CHUNKED}3e8\r\nabc").as_bytes(), 990, b"1234567\r\n");
    tape.send("2\r\nxy\r\n").send("0\r\n\r\n");
    let exchange = tape.exchange();
    assert_eq!(exchange.response_body_bytes, Some(1002));
    assert!(!exchange.end_estimated);
}

#[test]
fn gap_over_the_end_of_chunk_data_counts_down() {
    for covered in 0..=2 {
        let mut tape = Tape::new();
        tape.receive(get("/a"));
        tape.op(Send, format!("{CHUNKED}a\r\n").as_bytes(), 10 + covered, b"");
        tape.send(&b"\r\n0\r\n\r\n"[covered as usize..]);
        assert_eq!(tape.exchange().response_body_bytes, Some(10), "{covered} bytes of the line end");
    }
}

#[test]
fn blind_body_ends_where_an_operation_ends_with_the_last_chunk() {
    for (name, head, missing, tail) in [
        ("in the tail", &b""[..], 500, &b"xyz\r\n0\r\n\r\n"[..]),
        ("exactly the tail", b"", 500, LAST_CHUNK),
        ("in the head", b"abc\r\n0\r\n\r\n", 0, b""),
        ("alone", b"0\r\n\r\n", 0, b""),
        ("over head and tail", b"abc\r\n0", 0, b"\r\n\r\n"),
    ] {
        let mut tape = Tape::new();
        tape.receive(get("/a"));
        tape.op(Send, format!("{CHUNKED}5\r\n").as_bytes(), 500, b"");
        tape.op(Send, b"", 500, b"0123456789abcdef");
        assert!(tape.take().is_empty(), "{name}");
        tape.op(Send, head, missing, tail);
        let exchange = tape.exchange();
        assert_eq!((exchange.response_end_ns, exchange.response_body_bytes), (Some(40), None), "{name}");
        assert!(!exchange.end_estimated, "{name}");
        assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"], "{name}");
    }
}

#[test]
fn blind_body_within_one_operation() {
    let mut tape = Tape::new();
    tape.receive(get("/a"));
    tape.op(Send, format!("{CHUNKED}5\r\nab").as_bytes(), 500, b"yz\r\n0\r\n\r\n");
    assert!(!tape.exchange().end_estimated);
}

#[test]
fn blind_body_does_not_end_within_an_operation() {
    let mut tape = Tape::new();
    tape.receive(get("/a"));
    tape.op(Send, format!("{CHUNKED}5\r\nab").as_bytes(), 500, b"");
    tape.send("ab\r\n0\r\n\r\ncd").op(Send, b"0\r\n\r\n", 1, b"").send("x0\r\n\r\n");
    assert!(tape.take().is_empty());
}

#[test]
fn next_request_ends_a_blind_response() {
    let mut tape = Tape::new();
    tape.receive(get("/a"));
    tape.op(Send, format!("{CHUNKED}5\r\n").as_bytes(), 500, b"").op(Send, b"", 70, b"");
    tape.receive(get("/b"));
    let exchange = tape.exchange();
    assert!(exchange.end_estimated);
    assert_eq!((exchange.response_end_ns, exchange.outcome), (Some(30), ExchangeEnd::Complete));
    assert_eq!(tape.send(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn next_response_ends_a_blind_response_but_may_not_be_the_next() {
    let mut tape = Tape::new();
    tape.receive([get("/a"), get("/b")].concat());
    tape.op(Send, format!("{CHUNKED}5\r\n").as_bytes(), 500, b"").op(Send, b"", 70, b"");
    tape.send(ok(1));
    let position = tape.out.iter().position(|outcome| matches!(outcome, Outcome::Exchange(_)));
    let Some(Outcome::Exchange(first)) = position.map(|position| tape.out.remove(position)) else {
        panic!("no exchange: {:?}", tape.out);
    };
    assert!(first.end_estimated);
    assert_eq!((first.response_end_ns, first.request.target.as_str()), (Some(30), "/a"));
    assert_eq!(tape.drops(), [DropCause::ResponseNotCaptured]);
}

#[test]
fn end_of_a_blind_response_is_doubted_after_a_lost_operation() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(CHUNKED).lose(Send, 300).op(Send, b"", 70, LAST_CHUNK);
    assert!(tape.exchange().end_estimated);
}

#[test]
fn response_to_a_lost_request_after_a_blind_response() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(CHUNKED).lose(Send, 300).lose(Receive, 40).send(ok(1));
    let exchange = tape.exchange();
    assert!(exchange.end_estimated);
    assert_eq!(exchange.response_end_ns, Some(20));
    tape.receive(get("/c")).send(ok(1));
    tape.receive(get("/d")).send(ok(1));
    assert_eq!(tape.summary(), ["desynchronised", "/d 200"]);
}

#[test]
fn close_and_idleness_end_a_blind_response() {
    for closes in [true, false] {
        let mut tape = Tape::new();
        tape.receive(get("/a"));
        tape.op(Send, format!("{CHUNKED}5\r\n").as_bytes(), 500, b"");
        if closes {
            tape.close(CloseKind::Fin);
        } else {
            tape.connection.expire(u64::MAX, &mut tape.out);
        }
        let exchange = tape.exchange();
        assert!(exchange.end_estimated);
        assert_eq!((exchange.response_end_ns, exchange.outcome), (Some(20), ExchangeEnd::Complete));
    }
}

#[test]
fn what_waits_behind_a_blind_response_may_have_been_answered_when_the_connection_ends() {
    for how in [CloseKind::Fin, CloseKind::Reset] {
        let mut tape = Tape::new();
        tape.receive([get("/a"), get("/b")].concat());
        tape.op(Send, format!("{CHUNKED}5\r\n").as_bytes(), 500, b"").close(how);
        assert_eq!(tape.summary(), ["/a 200", "response_not_captured"], "{how:?}");
    }
}

#[test]
fn blind_request_ends_with_its_response() {
    let mut tape = Tape::new();
    tape.op(Receive, b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", 500, b"");
    tape.op(Receive, b"", 20, b"").send(ok(1));
    let exchange = tape.exchange();
    assert_eq!((exchange.request_end_ns, exchange.request_body_bytes), (20, None));
    assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn blind_request_ends_with_its_last_chunk() {
    let mut tape = Tape::new();
    tape.op(Receive, b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", 500, LAST_CHUNK);
    tape.op(Receive, b"", 50, b"").send(ok(1));
    assert_eq!(tape.exchange().request_end_ns, 10);
    assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn gap_in_a_request_head_drops_it_alone() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(ok(1)).take();
    tape.op(Receive, b"GET /b HTTP/1.1\r\nCookie: long", 5000, b"\r\n\r\n");
    assert_eq!(tape.drops(), [DropCause::RequestNotCaptured]);
    assert_eq!(tape.connection.state(), State::Lost);
    tape.send(ok(1)).receive(get("/c")).send(ok(2));
    assert_eq!(tape.summary(), ["/c 200"]);
    assert_eq!(tape.connection.state(), State::Http);
}

#[test]
fn gap_in_the_first_request_head() {
    let mut tape = Tape::new();
    tape.op(Receive, b"GET /b HTTP/1.1\r\nCookie: long", 5000, b"\r\n\r\n");
    assert_eq!(tape.drops(), [DropCause::RequestNotCaptured]);
    assert_eq!(tape.send(ok(1)).receive(get("/c")).send(ok(2)).summary(), ["/c 200"]);
}

#[test]
fn gap_in_a_response_head_drops_its_request() {
    let mut tape = Tape::new();
    tape.receive(get("/a"));
    tape.op(Send, b"HTTP/1.1 200 OK\r\nSet-Cookie: long", 5000, b"");
    assert_eq!(tape.drops(), [DropCause::ResponseNotCaptured]);
    assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn lost_request_leaves_its_response_unpaired() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(ok(1)).lose(Receive, 50).send(ok(2)).take();
    // What was lost may have been the beginning of what this is the body of.
    tape.receive(get("/c")).send(ok(3));
    assert_eq!(tape.drops(), [DropCause::Desynchronised]);
    assert_eq!(tape.receive(get("/d")).send(ok(3)).summary(), ["/d 200"]);
}

#[test]
fn lost_request_noticed_in_time() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(ok(1)).lose(Receive, 50).take();
    let seq = tape.next_seq(Receive);
    tape.connection.advance_to(Receive, seq, &mut tape.out);
    tape.send(ok(2)).receive(get("/c")).send(ok(3));
    assert_eq!(tape.summary(), ["/c 200"]);
}

#[test]
fn lost_response_drops_the_requests_it_may_belong_to() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(ok(1)).take();
    tape.receive(get("/b")).lose(Send, 80).receive(get("/c")).send(ok(1));
    assert_eq!(tape.drops(), [DropCause::ResponseNotCaptured; 2]);
    assert_eq!(tape.receive(get("/d")).send(ok(1)).summary(), ["/d 200"]);
}

#[test]
fn lost_response_on_a_pipelined_connection_is_not_guessed_at() {
    let mut tape = Tape::new();
    tape.receive([get("/a"), get("/b"), get("/c")].concat()).send(ok(1)).take();
    tape.lose(Send, 10).send(ok(1));
    assert_eq!(tape.drops(), [DropCause::ResponseNotCaptured; 2]);
    tape.receive(get("/d")).send(ok(1)).receive(get("/e")).send(ok(1));
    assert_eq!(tape.drops(), [DropCause::Desynchronised; 2]);
}

#[test]
fn lost_requests_leave_the_open_ones_their_responses() {
    let mut tape = Tape::new();
    tape.receive([get("/a"), get("/b")].concat()).lose(Receive, 99).receive(get("/d"));
    tape.send([ok(1), ok(2), ok(3), ok(4)].concat());
    assert_eq!(tape.summary(), ["desynchronised", "/a 200", "/b 200"]);
}

#[test]
fn lost_end_of_a_request_body() {
    let mut tape = Tape::new();
    tape.receive("POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n").lose(Receive, 9).send(ok(1));
    assert!(tape.take().is_empty());
    tape.receive(get("/b"));
    assert_eq!(tape.summary(), ["/a 200"]);
    assert_eq!(tape.send(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn repeated_operations_are_ignored() {
    let mut tape = Tape::new();
    let seq = tape.next_seq(Receive);
    let request = get("/a");
    tape.receive(&request);
    tape.op_at(Receive, seq, request.len() as u32, request.as_bytes(), b"");
    tape.send(ok(1)).receive(get("/b")).send(ok(1));
    assert_eq!(tape.summary(), ["/a 200", "/b 200"]);
}

#[test]
fn overlapping_operation_gives_its_new_bytes() {
    let request = get("/a");
    for seen in 1..request.len() {
        let mut tape = Tape::new();
        let seq = tape.next_seq(Receive);
        tape.receive(&request[..seen]);
        tape.op_at(Receive, seq, request.len() as u32, request.as_bytes(), b"");
        assert_eq!(tape.send(ok(1)).summary(), ["/a 200"], "{seen} bytes seen before");
    }
}

#[test]
fn operation_far_behind_loses_the_place() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(ok(1)).receive(get("/b")).take();
    let elsewhere = tape.next_seq(Send).wrapping_sub(1 << 30);
    tape.op_at(Send, elsewhere, 50, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"");
    assert_eq!(tape.drops(), [DropCause::ResponseNotCaptured]);
}

#[test]
fn captures_longer_than_the_operation_are_cut() {
    let mut tape = Tape::new();
    let seq = tape.next_seq(Receive);
    let request = get("/a");
    let long = format!("{request}garbage");
    tape.op_at(Receive, seq, request.len() as u32, long.as_bytes(), b"more");
    assert_eq!(tape.send(ok(1)).summary(), ["/a 200"]);
}

#[test]
fn operation_captured_by_its_tail_alone() {
    let mut tape = Tape::new();
    tape.op(Receive, b"", 0, get("/a").as_bytes()).op(Send, b"", 0, ok(1).as_bytes());
    assert_eq!(tape.summary(), ["/a 200"]);
}

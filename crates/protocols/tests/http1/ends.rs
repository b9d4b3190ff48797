//! How exchanges end when the connection does, or when nothing more can be seen.

use otel_ebpf_protocols::http1::{CloseKind, DropCause, ExchangeEnd, State};

use crate::tape::{Tape, get, ok};

const UNTIL_CLOSE: &str = "HTTP/1.0 200 OK\r\n\r\nabc";

#[test]
fn response_until_close() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(UNTIL_CLOSE).send("def");
    assert!(tape.take().is_empty());
    tape.close(CloseKind::Fin);
    let exchange = tape.exchange();
    assert_eq!(exchange.outcome, ExchangeEnd::Complete);
    assert_eq!(exchange.response_body_bytes, Some(6));
    assert_eq!((exchange.response_end_ns, exchange.closed_ns), (Some(30), Some(40)));
    assert!(!exchange.end_estimated);
}

#[test]
fn ends_by_closing() {
    use CloseKind::{Fin, Forgotten, Reset};
    use ExchangeEnd as End;
    let partial = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let cases = [
        ("nothing", "", Fin, Ok(End::NoResponse)),
        ("nothing", "", Reset, Ok(End::Reset)),
        ("nothing", "", Forgotten, Err(DropCause::Unfinished)),
        ("interim only", "HTTP/1.1 100 C\r\n\r\n", Fin, Ok(End::NoResponse)),
        ("head begun", "HTTP/1.1 200 OK\r\nCon", Fin, Ok(End::ResponseCutShort)),
        ("head begun", "HTTP/1.1 200 OK\r\nCon", Reset, Ok(End::Reset)),
        ("body begun", partial, Fin, Ok(End::ResponseCutShort)),
        ("body begun", partial, Reset, Ok(End::Reset)),
        ("body begun", partial, Forgotten, Err(DropCause::Unfinished)),
        ("chunks begun", chunks, Fin, Ok(End::ResponseCutShort)),
        ("chunks begun", chunks, Forgotten, Err(DropCause::Unfinished)),
        ("until close", UNTIL_CLOSE, Reset, Ok(End::Reset)),
        ("until close", UNTIL_CLOSE, Forgotten, Ok(End::Complete)),
    ];
    for (name, response, how, want) in cases {
        let mut tape = Tape::new();
        tape.receive(get("/a"));
        if !response.is_empty() {
            tape.send(response);
        }
        tape.close(how);
        match want {
            Ok(end) => {
                let exchange = tape.exchange();
                assert_eq!(exchange.outcome, end, "{name}, {how:?}");
                let begun = !response.is_empty() && name != "interim only";
                assert_eq!(exchange.response_start_ns.is_some(), begun, "{name}, {how:?}");
                let estimated = how == Forgotten;
                assert_eq!(exchange.end_estimated, estimated, "{name}, {how:?}");
            }
            Err(cause) => assert_eq!(tape.drops(), [cause], "{name}, {how:?}"),
        }
    }
}

#[test]
fn request_cut_in_its_body() {
    let mut tape = Tape::new();
    tape.receive("POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nab").receive("cd").close(CloseKind::Reset);
    let exchange = tape.exchange();
    assert_eq!(exchange.outcome, ExchangeEnd::Reset);
    assert_eq!((exchange.request_end_ns, exchange.request_body_bytes), (20, None));
}

#[test]
fn request_cut_in_its_head() {
    for (first, rest, how, want) in [
        ("/a", "GET /b HT", CloseKind::Fin, "request_cut_short"),
        ("/a", "GET /b HT", CloseKind::Forgotten, "unfinished"),
        ("", "GET /b HTTP/1.1\r\nHo", CloseKind::Reset, "request_cut_short"),
    ] {
        let mut tape = Tape::new();
        if !first.is_empty() {
            tape.receive(get(first)).send(ok(0)).take();
        }
        tape.receive(rest);
        assert!(tape.connection.has_open_exchange());
        assert_eq!(tape.close(how).summary(), [want]);
    }
}

#[test]
fn what_may_not_be_a_request_has_no_outcome() {
    let mut tape = Tape::new();
    assert!(tape.receive("GET /b HT").close(CloseKind::Fin).take().is_empty());
    tape.receive(get("/a")).send(ok(0)).receive("\r\n").close(CloseKind::Fin);
    assert_eq!(tape.summary(), ["/a 200"]);
}

#[test]
fn pipelined_requests_without_response() {
    let mut tape = Tape::new();
    tape.receive(["/a", "/b"].map(get).concat()).send(UNTIL_CLOSE).close(CloseKind::Fin);
    let ends: Vec<_> = tape.exchanges().iter().map(|exchange| exchange.outcome).collect();
    assert_eq!(ends, [ExchangeEnd::Complete, ExchangeEnd::NoResponse]);
}

#[test]
fn connection_can_be_used_again_after_its_close() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).close(CloseKind::Fin).take();
    assert_eq!(tape.connection.state(), State::Fresh);
    assert_eq!(tape.send(get("/b")).receive(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn idle_responses_without_visible_end_expire() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(UNTIL_CLOSE);
    tape.connection.expire(20, &mut tape.out);
    assert!(tape.take().is_empty(), "not idle since before its last operation");
    tape.connection.expire(21, &mut tape.out);
    let exchange = tape.exchange();
    assert!(exchange.end_estimated);
    assert_eq!(exchange.outcome, ExchangeEnd::Complete);
    assert_eq!((exchange.response_end_ns, exchange.response_body_bytes), (Some(20), None));
    tape.send("late").receive(get("/b")).send(ok(1));
    assert_eq!(tape.summary(), ["/b 200"]);
}

#[test]
fn idle_exchanges_with_a_known_end_do_not_expire() {
    for response in ["", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"] {
        let mut tape = Tape::new();
        tape.receive(get("/a"));
        if !response.is_empty() {
            tape.send(response);
        }
        tape.connection.expire(u64::MAX, &mut tape.out);
        assert!(tape.take().is_empty());
        assert!(tape.connection.has_open_exchange());
    }
}

#[test]
fn idle_early_response_expires() {
    let mut tape = Tape::new();
    tape.receive("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello").send(ok(2));
    tape.connection.expire(u64::MAX, &mut tape.out);
    let exchange = tape.exchange();
    assert_eq!(exchange.outcome, ExchangeEnd::Complete);
    assert!(!exchange.end_estimated);
    tape.receive("world").receive(get("/b")).send(ok(1));
    assert_eq!(tape.summary(), ["/b 200"]);
}

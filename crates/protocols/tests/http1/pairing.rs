//! Which response belongs to which request.

use otel_ebpf_protocols::http1::{CloseKind, Connection, DropCause, ExchangeEnd, Limits, State};

use crate::tape::{Tape, get, ok};

fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: 1\r\n\r\nx")
}

#[test]
fn pipelined_requests_get_their_responses_in_order() {
    let requests = ["/a", "/b", "/c"].map(get).concat();
    let responses = [201, 202, 203].map(status).concat();
    for request_piece in [1, 30, 10_000] {
        for response_piece in [1, 30, 10_000] {
            let mut tape = Tape::new();
            for bytes in requests.as_bytes().chunks(request_piece) {
                tape.receive(bytes);
            }
            for bytes in responses.as_bytes().chunks(response_piece) {
                tape.send(bytes);
            }
            assert_eq!(tape.summary(), ["/a 201", "/b 202", "/c 203"]);
        }
    }
}

#[test]
fn pipelined_requests_between_responses() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).receive(get("/b")).send(status(201));
    assert_eq!(tape.summary(), ["/a 201"]);
    tape.receive(get("/c")).send(status(202)).send(status(203));
    assert_eq!(tape.summary(), ["/b 202", "/c 203"]);
}

#[test]
fn pipelined_head_request_keeps_its_rule() {
    let mut tape = Tape::new();
    tape.receive("HEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
    tape.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nHTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(tape.summary(), ["/a 200", "/b 404"]);
}

#[test]
fn early_response_waits_for_the_end_of_its_request() {
    let mut tape = Tape::new();
    tape.receive("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello").send(ok(2));
    assert!(tape.take().is_empty());
    assert!(tape.connection.has_open_exchange());
    tape.receive("world");
    let exchange = tape.exchange();
    assert_eq!((exchange.request_end_ns, exchange.response_end_ns), (30, Some(20)));
    assert_eq!(exchange.request_body_bytes, Some(10));
    assert_eq!(tape.receive(get("/b")).send(ok(1)).summary(), ["/b 200"]);
}

#[test]
fn server_that_answers_early_and_closes() {
    for how in [CloseKind::Fin, CloseKind::Reset] {
        let mut tape = Tape::new();
        tape.receive("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nhello").send(status(413)).close(how);
        let exchange = tape.exchange();
        assert_eq!(exchange.outcome, ExchangeEnd::RequestCutShort);
        assert_eq!(exchange.response.unwrap().status, 413);
        assert_eq!(exchange.request_body_bytes, None);
    }
}

#[test]
fn response_to_an_unseen_request_is_passed_over() {
    let mut tape = Tape::new();
    tape.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").send("world");
    tape.receive(get("/b")).send(status(201));
    assert_eq!(tape.summary(), ["/b 201"]);
}

#[test]
fn connection_joined_amid_a_request_body() {
    let mut tape = Tape::new();
    tape.receive("tail of a body").receive("more of it").send(status(200));
    tape.receive(get("/b")).send(status(201)).close(CloseKind::Fin);
    assert_eq!(tape.summary(), ["/b 201"]);
}

#[test]
fn connection_joined_amid_a_response_body_as_client() {
    let mut tape = Tape::new();
    tape.receive("tail of a body").receive("HTTP/1.1 200 OK\r\n\r\nnot a response either");
    tape.send(get("/b")).receive(status(201));
    assert_eq!(tape.summary(), ["/b 201"]);
}

#[test]
fn unsolicited_response_between_exchanges_is_passed_over() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).send(status(200)).send(status(408));
    assert_eq!(tape.summary(), ["/a 200"]);
    tape.receive(get("/b")).send(status(201));
    assert_eq!(tape.summary(), ["/b 201"]);
}

#[test]
fn more_waiting_requests_than_allowed() {
    let limits = Limits { max_pipelined: 2, ..Limits::default() };
    let mut tape = Tape::with(Connection::new(limits));
    tape.receive(["/a", "/b", "/c"].map(get).concat());
    assert_eq!(tape.drops(), [DropCause::PipelineTooDeep]);
    tape.send([201, 202, 203].map(status).concat());
    assert_eq!(tape.summary(), ["/a 201", "/b 202"]);
    // Whose response comes next is no longer known.
    tape.receive(get("/d")).send(status(204)).close(CloseKind::Fin);
    assert_eq!(tape.drops(), [DropCause::Desynchronised]);
}

#[test]
fn more_waiting_head_bytes_than_allowed() {
    let limits = Limits { max_open_head_bytes: 2 * get("/a").len(), ..Limits::default() };
    let mut tape = Tape::with(Connection::new(limits));
    tape.receive(["/a", "/b", "/c"].map(get).concat());
    assert_eq!(tape.summary(), ["pipeline_too_deep"]);
    tape.send([201, 202].map(status).concat());
    assert_eq!(tape.summary(), ["/a 201", "/b 202"]);
}

#[test]
fn requests_sent_ahead_of_an_upgrade() {
    let mut tape = Tape::new();
    tape.receive([get("/a"), get("/b")].concat()).receive("GET /c HT");
    tape.send("HTTP/1.1 101 Switching\r\n\r\n");
    assert_eq!(tape.summary(), ["/a 101", "after_upgrade", "after_upgrade"]);
    assert_eq!(tape.connection.state(), State::Upgraded);
}

#[test]
fn garbage_after_a_request_leaves_its_response() {
    let mut tape = Tape::new();
    tape.receive(get("/a")).receive("\x00\x01\x02").send(status(201));
    assert_eq!(tape.summary(), ["request_malformed", "/a 201"]);
}

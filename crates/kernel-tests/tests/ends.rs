//! Exchanges that end in another way than by a whole response on a kept connection.

use nix::{
    libc::linger,
    sys::socket::{setsockopt, sockopt},
};
use otel_ebpf_kernel_tests::{
    agent::{Agent, Counts},
    client::Raw,
    needs_tracing,
    net::{free_port, loopback},
    services::{Service, nginx, python_script},
    sink::{Received, Sink},
};
use serde_json::json;

struct Traced {
    service: Service,
    agent: Agent,
    sink: Sink,
}

impl Traced {
    fn start(make: impl FnOnce(u16) -> Service) -> Self {
        let port = free_port();
        let service = make(port).ready();
        let sink = Sink::start();
        let agent = Agent::on_port(&sink, port);
        Self { service, agent, sink }
    }

    fn said() -> Self {
        Self::start(|port| python_script("said.py", port, &[]))
    }

    fn raw(&self) -> Raw {
        Raw::connect(loopback(self.service.port))
    }

    fn finish(self, count: usize) -> (Vec<Received>, Counts) {
        let found = self.sink.wait_for_servers(count);
        let counts = self.agent.stop().assert_clean();
        assert_eq!(self.sink.servers().len(), count, "{found:?}");
        (found, counts)
    }
}

#[test]
fn a_body_that_ends_with_the_connection_is_told_with_its_size() {
    needs_tracing!();
    let traced = Traced::said();
    let mut raw = traced.raw();
    raw.get("/until-close");
    assert_eq!(raw.response().body.len(), 110);
    let (spans, _) = traced.finish(1);
    assert_eq!(spans[0].attribute("http.response.body.size"), 110);
    assert_eq!(spans[0].attribute("error.type"), json!(null));
    assert_eq!(spans[0].attribute("ebpf.end.estimated"), json!(null));
}

#[test]
fn an_upgraded_connection_is_told_once_and_left_alone() {
    needs_tracing!();
    let traced = Traced::said();
    let mut raw = traced.raw();
    raw.send("GET /upgrade HTTP/1.1\r\nHost: test\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n");
    assert_eq!(raw.head().status(), 101);
    for number in 0..20 {
        // What looks like a request is none here.
        let message = format!("GET /not-a-request/{number} HTTP/1.1\r\n\r\n");
        raw.send(&message);
        assert_eq!(raw.head().head, message);
    }
    drop(raw);
    let (spans, counts) = traced.finish(1);
    assert_eq!(spans[0].status(), 101);
    assert_eq!(spans[0].attribute("error.type"), json!(null));
    assert_eq!(counts.get("requests_seen"), 1);
}

#[test]
fn interim_responses_are_no_answers() {
    needs_tracing!();
    let traced = Traced::said();
    let mut raw = traced.raw();
    for _ in 0..3 {
        raw.get("/early-hints");
        assert_eq!(raw.head().status(), 103);
        assert_eq!(raw.response().status(), 200);
    }
    let (spans, _) = traced.finish(3);
    assert!(spans.iter().all(|span| span.status() == 200));
}

#[test]
fn a_request_without_a_whole_answer_says_why() {
    needs_tracing!();
    let traced = Traced::said();
    for path in ["/cut", "/silent", "/reset"] {
        let mut raw = traced.raw();
        raw.get(path);
        let mut rest = Vec::new();
        // A reset shows as an error here.
        let _: std::io::Result<usize> = std::io::Read::read_to_end(&mut raw.stream(), &mut rest);
    }
    let (spans, _) = traced.finish(3);
    let told = |path: &str| spans.iter().find(|span| span.path() == path).expect("a span for each path");
    assert_eq!(told("/cut").attribute("error.type"), "response_cut_short");
    assert_eq!(told("/cut").status(), 200);
    assert_eq!(told("/silent").attribute("error.type"), "no_response");
    // The sender of a reset finds the error on its own socket too (`tcp_disconnect`, net/ipv4/tcp.c).
    assert_eq!(told("/reset").attribute("error.type"), "connection_reset");
    assert!(spans.iter().all(|span| span.span.status.clone().unwrap_or_default().code == 2));
}

#[test]
fn a_client_that_resets_while_it_waits_is_told() {
    needs_tracing!();
    let traced = Traced::said();
    let mut raw = traced.raw();
    // The answer to the first request shows that the service reads; the second is read with it.
    raw.send("GET /hello HTTP/1.1\r\nHost: test\r\n\r\nGET /slow/300 HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(raw.response().status(), 200);
    reset(raw);
    let (mut spans, _) = traced.finish(2);
    spans.sort_by_key(Received::path);
    assert_eq!(spans[1].path(), "/slow/300");
    assert_eq!(spans[1].attribute("error.type"), "connection_reset");
}

#[test]
fn a_request_that_is_read_after_its_connection_was_reset_is_told() {
    needs_tracing!();
    let traced = Traced::start(|port| python_script("late_reader.py", port, &["silent"]));
    let mut raw = traced.raw();
    raw.get("/late");
    reset(raw);
    // A connection of its own tells the service to read what came before.
    drop(traced.raw());
    let (spans, _) = traced.finish(1);
    assert_eq!(spans[0].path(), "/late");
    assert_eq!(spans[0].attribute("error.type"), "connection_reset");
}

#[test]
fn a_request_read_together_with_the_end_of_its_connection_keeps_its_size() {
    needs_tracing!();
    let traced = Traced::start(|port| python_script("late_reader.py", port, &["answer"]));
    let mut raw = traced.raw();
    let body = "b".repeat(20_000);
    raw.send(format!("POST /last HTTP/1.1\r\nHost: test\r\nContent-Length: 20000\r\n\r\n{body}"));
    // The end takes a sequence number of its own, and the service reads it in the call that reads the last bytes.
    raw.stream().shutdown(std::net::Shutdown::Write).expect("shut down");
    drop(traced.raw());
    assert_eq!(raw.response().status(), 200);
    let (spans, counts) = traced.finish(1);
    assert_eq!(spans[0].attribute("http.request.body.size"), 20_000);
    assert_eq!(spans[0].attribute("error.type"), json!(null));
    assert_eq!(counts.get("requests_seen"), 1);
}

#[test]
fn a_request_cut_by_a_reset_gives_no_span_but_a_count() {
    needs_tracing!();
    let traced = Traced::start(|port| nginx(port, "location = /ok { return 200 ok; }"));
    let mut raw = traced.raw();
    raw.send("GET /ok HTTP/1.1\r\nHost: te");
    // The second connection is answered after nginx has read the first one's bytes.
    let mut other = traced.raw();
    other.get("/ok");
    assert_eq!(other.response().status(), 200);
    traced.sink.wait_for_servers(1);
    reset(raw);
    other.get("/ok");
    assert_eq!(other.response().status(), 200);
    let (_, counts) = traced.finish(2);
    assert_eq!((counts.get("requests_seen"), counts.get("requests_dropped")), (3, 1), "{counts:?}");
}

#[test]
fn a_slow_answer_takes_as_long_as_it_took() {
    needs_tracing!();
    let traced = Traced::said();
    let mut raw = traced.raw();
    for wait_ms in [50, 200] {
        let started = std::time::Instant::now();
        raw.get(&format!("/slow/{wait_ms}"));
        assert_eq!(raw.response().status(), 200);
        let seen = started.elapsed();
        let number = if wait_ms == 50 { 1 } else { 2 };
        let span = traced.sink.wait_for_servers(number).remove(number - 1);
        assert!(span.duration().as_millis() >= wait_ms, "{:?}", span.duration());
        assert!(span.duration() <= seen, "{:?} is longer than the client waited: {seen:?}", span.duration());
    }
    traced.finish(2);
}

/// Closes a connection by a reset in place of an orderly end.
fn reset(raw: Raw) {
    let linger = linger { l_onoff: 1, l_linger: 0 };
    setsockopt(raw.stream(), sockopt::Linger, &linger).expect("set SO_LINGER");
}

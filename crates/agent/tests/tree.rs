//! The tree: what hangs where, by which evidence, and what must stay alone.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod tree_support;

use opentelemetry::{SpanId, trace::SpanKind};
use otel_ebpf_agent::{
    config::HttpSettings,
    export::instrumentation_scope,
    pipeline::{Clock, Pipeline, Sampled},
};
use tree_support::{
    MS, Side, Sim, Thread, UNTRACED, US, What, polling,
    run::{Run, name, run, run_with, time},
    waiting,
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

fn traceparent(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{CALLER}-{flags}\r\n")
}

fn checked(sim: &Sim) -> Run {
    let run = run(&sim.events);
    run.check();
    run
}

/// A request without a caller that is traced, open from `from_ns` to `until_ns`.
fn serve(sim: &mut Sim, path: &str, server: Thread, from_ns: u64, until_ns: u64) {
    let conn = sim.connect();
    sim.ask(conn, UNTRACED, from_ns, path);
    sim.take(conn, server, from_ns);
    sim.answer(conn, server, until_ns);
}

/// A call to somewhere that is not traced.
fn call_out(sim: &mut Sim, path: &str, client: Thread, from_ns: u64, until_ns: u64) {
    sim.call(path, client, UNTRACED, from_ns, until_ns);
}

#[test]
fn both_ends_of_a_request_are_joined() {
    let mut sim = Sim::default();
    sim.call("/a", polling(1, 1), polling(2, 2), MS, 5 * MS);
    let run = checked(&sim);
    run.assert_root("client /a");
    run.assert_link("server /a", "client /a", "tcp_seq");
    assert_eq!(run.finished("server /a").sampled, Sampled::By(1));
}

#[test]
fn the_ends_may_be_told_in_any_order() {
    for late in [1, 2] {
        let mut sim = Sim::default();
        sim.call("/a", polling(1, 1), polling(2, 2), MS, 5 * MS);
        for event in &mut sim.events {
            if matches!(&event.what, What::Data(data, _) if data.header.tgid == late) {
                event.deliver_ns += 15 * MS;
            }
        }
        checked(&sim).assert_link("server /a", "client /a", "tcp_seq");
    }
}

#[test]
fn a_send_that_is_told_late_inverts_nothing() {
    let mut sim = Sim::default();
    let conn = sim.connect();
    // The sending thread was taken off its processor for longer than the server took to read, wait and answer.
    sim.ask(conn, polling(1, 1), 9 * MS, "/a");
    sim.receive(conn, Side::Server, polling(2, 2), 6 * MS, 2 * MS);
    sim.answer(conn, polling(2, 2), 11 * MS);
    sim.done(conn, polling(1, 3), 10 * MS);
    let run = checked(&sim);
    run.assert_link("server /a", "client /a", "tcp_seq");
    let (client, server) = (run.span("client /a"), run.span("server /a"));
    assert_eq!((time(client.start_time), time(client.end_time)), (2 * MS, 10 * MS));
    assert_eq!((time(server.start_time), time(server.end_time)), (2 * MS, 10 * MS));
    let waited = run.span("in queue");
    assert_eq!((time(waited.start_time), time(waited.end_time)), (2 * MS, 6 * MS));
    assert_eq!(time(run.span("processing").end_time), 10 * MS);
}

#[test]
fn a_server_that_goes_on_after_its_client_gave_up_keeps_its_time() {
    let mut sim = Sim::default();
    let conn = sim.connect();
    sim.ask(conn, polling(1, 1), 3 * MS, "/a");
    sim.receive(conn, Side::Server, polling(2, 2), 2 * MS, MS);
    sim.close(conn, Side::Client, polling(1, 1), 50 * MS, 110);
    call_out(&mut sim, "/else", polling(3, 3), 200 * MS, 201 * MS);
    sim.answer(conn, polling(2, 2), 300 * MS);
    let run = checked(&sim);
    run.assert_link("server /a", "client /a", "tcp_seq");
    assert_eq!(time(run.span("server /a").end_time), 300 * MS);
}

#[test]
fn sequential_calls_make_one_trace() {
    let mut sim = Sim::default();
    let (front, back) = (polling(2, 20), polling(3, 30));
    let conn = sim.connect();
    sim.ask(conn, polling(1, 1), MS, "/order");
    sim.take(conn, front, 2 * MS);
    sim.call("/one", polling(2, 21), back, 3 * MS, 5 * MS);
    sim.call("/two", polling(2, 22), back, 6 * MS, 8 * MS);
    sim.answer(conn, front, 9 * MS);
    sim.done(conn, polling(1, 1), 10 * MS);
    let run = checked(&sim);
    run.assert_root("client /order");
    run.assert_link("server /order", "client /order", "tcp_seq");
    for path in ["/one", "/two"] {
        run.assert_link(&format!("client {path}"), "server /order", "sole");
        run.assert_link(&format!("server {path}"), &format!("client {path}"), "tcp_seq");
    }
    let root = run.span("client /order").span_context.trace_id();
    assert!(run.finished.iter().all(|it| it.span.span_context.trace_id() == root));
    assert_eq!(run.counters.links.roots, 1);
}

/// Requests quick one after another, so that many begin within the grace of each call.
#[test]
fn speed_alone_makes_nothing_ambiguous() {
    let mut sim = Sim::default();
    for number in 0..500 {
        let at = MS + number * 200 * US;
        serve(&mut sim, &format!("/{number}"), polling(1, 1), at, at + 150 * US);
        call_out(&mut sim, &format!("/{number}/call"), polling(1, 1), at + 20 * US, at + 100 * US);
    }
    let run = checked(&sim);
    for number in 0..500 {
        run.assert_link(&format!("client /{number}/call"), &format!("server /{number}"), "sole");
    }
}

#[test]
fn two_requests_at_once_leave_a_call_alone() {
    let mut sim = Sim::default();
    serve(&mut sim, "/a", polling(1, 1), MS, 10 * MS);
    serve(&mut sim, "/b", polling(1, 1), 2 * MS, 11 * MS);
    call_out(&mut sim, "/call", polling(1, 1), 3 * MS, 5 * MS);
    let run = checked(&sim);
    run.assert_root("client /call");
    assert_eq!((run.counters.links.roots, run.counters.links.ambiguous), (3, 1));
}

#[test]
fn a_thread_that_serves_one_request_at_a_time_makes_its_calls() {
    let mut sim = Sim::default();
    for (number, path) in ["/a", "/b"].into_iter().enumerate() {
        let thread = waiting(1, 10 + number as u32);
        serve(&mut sim, path, thread, MS, 10 * MS);
        call_out(&mut sim, &format!("{path}/call"), thread, 3 * MS, 5 * MS);
    }
    let run = checked(&sim);
    run.assert_link("client /a/call", "server /a", "thread");
    run.assert_link("client /b/call", "server /b", "thread");
}

#[test]
fn a_call_outside_of_the_request_is_not_of_it() {
    // Before it, beyond its end, wholly behind it.
    for (from_ns, until_ns) in [(MS, 5 * MS), (5 * MS, 15 * MS), (MS, 15 * MS), (11 * MS, 12 * MS)] {
        let mut sim = Sim::default();
        serve(&mut sim, "/a", polling(1, 1), 2 * MS, 10 * MS);
        call_out(&mut sim, "/call", polling(1, 1), from_ns, until_ns);
        checked(&sim).assert_root("client /call");
    }
}

#[test]
fn another_request_at_any_time_of_a_call_leaves_it_alone() {
    // It ends during the call, begins during it, or both.
    for (from_ns, until_ns) in [(MS, 5 * MS), (5 * MS, 20 * MS), (5 * MS, 6 * MS)] {
        let mut sim = Sim::default();
        serve(&mut sim, "/a", polling(1, 1), MS, 10 * MS);
        serve(&mut sim, "/b", polling(1, 1), from_ns, until_ns);
        call_out(&mut sim, "/call", polling(1, 1), 4 * MS, 8 * MS);
        checked(&sim).assert_root("client /call");
    }
}

#[test]
fn a_finished_request_is_no_parent() {
    for thread in [polling(1, 1), waiting(1, 1)] {
        let mut sim = Sim::default();
        serve(&mut sim, "/a", thread, MS, 2 * MS);
        call_out(&mut sim, "/soon", thread, 2 * MS + 1, 3 * MS);
        call_out(&mut sim, "/late", thread, 500 * MS, 501 * MS);
        let run = checked(&sim);
        run.assert_root("client /soon");
        run.assert_root("client /late");
    }
}

/// The thread that waited makes a call after another thread has answered, and the answer is told last.
#[test]
fn a_finished_request_is_no_parent_even_if_its_end_is_told_late() {
    let mut sim = Sim::default();
    let conn = sim.connect();
    sim.ask(conn, UNTRACED, MS, "/a");
    sim.take(conn, waiting(1, 1), MS);
    sim.delay_ns = 10 * MS;
    sim.answer(conn, waiting(1, 2), 2 * MS);
    call_out(&mut sim, "/call", waiting(1, 1), 3 * MS, 4 * MS);
    checked(&sim).assert_root("client /call");
}

#[test]
fn a_process_may_call_itself() {
    for told_ns in [MS, 2 * MS + 500 * US] {
        let mut sim = Sim::default();
        let conn = sim.connect();
        // The later time is after the server's read.
        sim.ask(conn, polling(1, 1), told_ns, "/order");
        sim.receive(conn, Side::Server, polling(1, 2), 2 * MS, MS);
        sim.call("/one", polling(1, 3), polling(2, 1), 3 * MS, 4 * MS);
        sim.call("/two", polling(1, 3), polling(2, 1), 5 * MS, 6 * MS);
        sim.answer(conn, polling(1, 2), 7 * MS);
        sim.done(conn, polling(1, 1), 8 * MS);
        let run = checked(&sim);
        run.assert_root("client /order");
        run.assert_link("server /order", "client /order", "tcp_seq");
        run.assert_link("client /one", "server /order", "sole");
        run.assert_link("client /two", "server /order", "sole");
    }
}

#[test]
fn every_request_of_a_connection_finds_its_own_end() {
    let mut sim = Sim::default();
    let conn = sim.connect_at(u32::MAX - 70, u32::MAX - 50);
    let (client, server) = (polling(1, 1), polling(2, 2));
    for number in 0..3 {
        let at = MS + number * MS;
        sim.ask(conn, client, at, &format!("/{number}"));
        sim.take(conn, server, at + 100 * US);
        sim.answer(conn, server, at + 200 * US);
        sim.done(conn, client, at + 300 * US);
    }
    // Two at once, the second while the first is served, and both answers in one piece.
    let two = tree_support::request("/3", "") + &tree_support::request("/4", "");
    sim.send(conn, Side::Client, client, 10 * MS, two.as_bytes());
    sim.take(conn, server, 11 * MS);
    sim.ask(conn, client, 12 * MS, "/5");
    sim.answer(conn, server, 13 * MS);
    sim.take(conn, server, 14 * MS);
    sim.answer(conn, server, 15 * MS);
    sim.answer(conn, server, 16 * MS);
    sim.done(conn, client, 17 * MS);
    let run = checked(&sim);
    for number in 0..6 {
        run.assert_link(&format!("server /{number}"), &format!("client /{number}"), "tcp_seq");
    }
}

#[test]
fn a_traceparent_names_the_parent() {
    let mut sim = Sim::default();
    let conn = sim.connect();
    let headers = traceparent("01") + "tracestate: vendor=1\r\n";
    sim.ask_with(conn, UNTRACED, MS, "/a", &headers);
    sim.take(conn, polling(1, 1), MS);
    call_out(&mut sim, "/call", polling(1, 1), 2 * MS, 3 * MS);
    sim.answer(conn, polling(1, 1), 4 * MS);
    let run = checked(&sim);
    assert_eq!(run.link("server /a"), (Some(CALLER.to_owned()), "header"));
    run.assert_link("client /call", "server /a", "sole");
    for named in ["server /a", "client /call"] {
        let span = run.span(named);
        assert_eq!(span.span_context.trace_id().to_string(), TRACE);
        assert_eq!(span.span_context.trace_state().get("vendor"), Some("1"));
        assert_eq!(span.parent_span_is_remote, named == "server /a");
        assert_eq!(run.finished(named).sampled, Sampled::Header(true));
    }
}

#[test]
fn a_traceparent_that_says_not_sampled_is_heeded() {
    let mut sim = Sim::default();
    let conn = sim.connect();
    sim.ask_with(conn, UNTRACED, MS, "/a", &traceparent("00"));
    sim.take(conn, polling(1, 1), MS);
    sim.answer(conn, polling(1, 1), 4 * MS);
    assert_eq!(checked(&sim).finished("server /a").sampled, Sampled::Header(false));
}

#[test]
fn an_invalid_traceparent_names_nobody() {
    let mut sim = Sim::default();
    let conn = sim.connect();
    sim.ask_with(conn, UNTRACED, MS, "/a", &traceparent("zz"));
    sim.take(conn, polling(1, 1), MS);
    sim.answer(conn, polling(1, 1), 4 * MS);
    checked(&sim).assert_root("server /a");
}

/// The client has an SDK, whose span the header names.
#[test]
fn a_header_hangs_at_the_end_that_made_it() {
    let mut sim = Sim::default();
    serve(&mut sim, "/in", polling(1, 1), MS, 9 * MS);
    let conn = sim.connect();
    sim.ask_with(conn, polling(1, 1), 2 * MS, "/a", &traceparent("01"));
    sim.take(conn, polling(2, 2), 3 * MS);
    sim.answer(conn, polling(2, 2), 4 * MS);
    sim.done(conn, polling(1, 1), 5 * MS);
    let run = checked(&sim);
    assert_eq!(run.link("client /a"), (Some(CALLER.to_owned()), "header"));
    run.assert_link("server /a", "client /a", "tcp_seq");
    assert_eq!(run.span("server /a").span_context.trace_id().to_string(), TRACE);
}

#[test]
fn a_header_that_is_passed_on_leaves_no_level_out() {
    let mut sim = Sim::default();
    let (inner, outer) = (sim.connect(), sim.connect());
    sim.ask_with(outer, UNTRACED, MS, "/outer", &traceparent("01"));
    sim.take(outer, polling(1, 1), MS);
    sim.ask_with(inner, polling(1, 1), 2 * MS, "/inner", &traceparent("01"));
    sim.take(inner, polling(2, 2), 3 * MS);
    sim.answer(inner, polling(2, 2), 4 * MS);
    sim.done(inner, polling(1, 1), 5 * MS);
    sim.answer(outer, polling(1, 1), 6 * MS);
    let run = checked(&sim);
    assert_eq!(run.link("server /outer"), (Some(CALLER.to_owned()), "header"));
    run.assert_link("client /inner", "server /outer", "header");
    run.assert_link("server /inner", "client /inner", "tcp_seq");
}

/// A request that cannot be told, one whose answer cannot, and one whose connection breaks: each may still be served.
#[test]
fn a_proxy_passes_on_the_header_of_the_request_that_it_calls_for() {
    let mut sim = Sim::default();
    let proxy = polling(1, 1);
    let carried = [TRACE, "1bf7651916cd43dd8448eb211c80319d"]
        .map(|trace| format!("traceparent: 00-{trace}-{CALLER}-01\r\n"));
    let conns = [sim.connect(), sim.connect()];
    for (conn, (path, header)) in conns.into_iter().zip(["/a", "/b"].into_iter().zip(&carried)) {
        sim.ask_with(conn, UNTRACED, MS, path, header);
        sim.take(conn, proxy, MS);
    }
    for (path, header, at) in [("/a/on", &carried[0], 2 * MS), ("/b/on", &carried[1], 3 * MS)] {
        let conn = sim.connect();
        sim.ask_with(conn, proxy, at, path, header);
        sim.take(conn, polling(2, 2), at);
        sim.answer(conn, polling(2, 2), at + 4 * MS);
        sim.done(conn, proxy, at + 4 * MS);
    }
    conns.into_iter().for_each(|conn| sim.answer(conn, proxy, 9 * MS));
    let run = checked(&sim);
    for path in ["/a", "/b"] {
        run.assert_link(&format!("client {path}/on"), &format!("server {path}"), "header");
        run.assert_link(&format!("server {path}/on"), &format!("client {path}/on"), "tcp_seq");
        assert!(!run.span(&format!("client {path}/on")).parent_span_is_remote);
    }
}

#[test]
fn what_cannot_be_seen_may_be_the_cause() {
    for case in 0..4 {
        let mut sim = Sim::default();
        let conn = sim.connect();
        let server = polling(1, 1);
        let request =
            if case == 0 { "GET /b HTTP/1.1\r\nbad header\r\n\r\n" } else { "GET /b HTTP/1.1\r\n\r\n" };
        sim.send(conn, Side::Client, UNTRACED, MS, request.as_bytes());
        sim.take(conn, server, MS);
        match case {
            1 => sim.send(conn, Side::Server, server, 2 * MS, b"no answer at all\r\n\r\n"),
            2 => sim.close(conn, Side::Server, server, 2 * MS, 104),
            _ => {}
        }
        if case == 3 {
            sim.answer(conn, server, 2 * MS);
        }
        serve(&mut sim, "/a", server, 5 * MS, 100 * MS);
        call_out(&mut sim, "/call", server, 60 * MS, 70 * MS);
        let run = run(&sim.events);
        run.check();
        if case == 3 {
            run.assert_link("client /call", "server /a", "sole");
        } else {
            assert_eq!(run.link("client /call"), (None, ""), "case {case}");
            assert_eq!(run.counters.links.ambiguous, 1);
        }
    }
}

#[test]
fn nothing_hangs_at_what_is_not_told() {
    let mut settings = HttpSettings::default();
    settings.routes.ignored_patterns = vec!["/health".to_owned()];
    for path in ["/health", "/bad"] {
        let mut sim = Sim::default();
        let conn = sim.connect();
        let thread = waiting(1, 1);
        sim.ask(conn, UNTRACED, MS, path);
        sim.take(conn, thread, MS);
        sim.call("/call", thread, polling(2, 2), 2 * MS, 3 * MS);
        // Long after the call could have been told.
        let answer =
            if path == "/health" { tree_support::RESPONSE } else { b"bad answer\r\n\r\n".as_slice() };
        call_out(&mut sim, "/else", polling(3, 3), 500 * MS, 501 * MS);
        sim.send(conn, Side::Server, thread, 900 * MS, answer);
        let run = run_with(&settings, &sim.events);
        run.check();
        run.assert_root("client /call");
        run.assert_link("server /call", "client /call", "tcp_seq");
        assert!(!run.finished.iter().any(|it| name(&it.span) == format!("server {path}")));
    }
}

#[test]
fn a_connection_that_fails_is_a_call_too() {
    for took_ns in [50 * US, 500 * MS] {
        let mut sim = Sim::default();
        serve(&mut sim, "/before", polling(1, 1), MS, 2 * MS);
        serve(&mut sim, "/a", polling(1, 1), 3 * MS, 900 * MS);
        sim.fail_to_connect(polling(1, 1), 4 * MS, 4 * MS + took_ns);
        let run = checked(&sim);
        run.assert_link("CONNECT", "server /a", "sole");
        assert_eq!(run.span("CONNECT").span_kind, SpanKind::Client);
    }
}

#[test]
fn a_connection_that_fails_is_a_call_of_its_thread() {
    let mut sim = Sim::default();
    serve(&mut sim, "/a", waiting(1, 1), MS, 900 * MS);
    serve(&mut sim, "/b", waiting(1, 2), MS, 900 * MS);
    sim.fail_to_connect(waiting(1, 2), 4 * MS, 500 * MS);
    checked(&sim).assert_link("CONNECT", "server /b", "thread");
}

/// An answer without an end in sight holds up what was called for it only so long.
#[test]
fn a_request_that_goes_on_and_on_still_has_its_calls() {
    let mut sim = Sim::default();
    let conn = sim.connect();
    sim.ask(conn, UNTRACED, MS, "/stream");
    sim.take(conn, polling(1, 1), MS);
    sim.call("/call", polling(1, 1), polling(2, 2), 2 * MS, 3 * MS);
    for second in 1..60 {
        call_out(&mut sim, &format!("/{second}"), polling(3, 3), second * 1000 * MS, second * 1000 * MS + MS);
    }
    sim.answer(conn, polling(1, 1), 60_000 * MS);
    let run = checked(&sim);
    run.assert_link("client /call", "server /stream", "sole");
    run.assert_link("server /call", "client /call", "tcp_seq");
    let place = |named: &str| run.finished.iter().position(|it| name(&it.span) == named).unwrap();
    assert!(place("client /call") < place("client /4") && place("client /2") < place("client /call"));
    assert!(place("server /call") < place("client /call"));
}

#[test]
fn a_hundred_thousand_exchanges_leave_nothing() {
    let mut pipeline = Pipeline::new(&HttpSettings::default(), instrumentation_scope(), Clock::new(0, 0));
    let mut told = 0;
    let mut now_ns = 0;
    for number in 0..50_000u64 {
        let at = MS + number * MS;
        let mut sim = Sim::default();
        let conn = sim.connect_at(number as u32 * 1000, number as u32 * 77);
        sim.ask(conn, polling(1, 1), at, "/a");
        sim.take(conn, waiting(2, 2), at + 100 * US);
        sim.answer(conn, waiting(2, 2), at + 200 * US);
        sim.done(conn, polling(1, 1), at + 300 * US);
        sim.close(conn, Side::Server, waiting(2, 2), at + 400 * US, 0);
        sim.close(conn, Side::Client, polling(1, 1), at + 500 * US, 0);
        for event in &sim.events {
            now_ns = event.deliver_ns;
            match &event.what {
                What::Data(event, payload) => pipeline.data(event, payload, &[]),
                What::Socket(event) => pipeline.socket(event),
                What::Task(event) => pipeline.task(event),
            }
        }
        pipeline.tick(now_ns);
        told +=
            pipeline.take_finished().filter(|it| it.span.span_context.span_id() != SpanId::INVALID).count();
        assert!(pipeline.open_exchanges() < 100, "{} in the tree", pipeline.open_exchanges());
    }
    pipeline.tick(now_ns + 100 * MS);
    told += pipeline.take_finished().count();
    assert_eq!((told, pipeline.open_exchanges(), pipeline.open_connections()), (100_000, 0, 0));
}

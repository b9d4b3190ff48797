//! Calls of a tokio service that serves many requests at a time: each hangs at the request that caused it, or at none.
//!
//! The number of a request is in its path and in those of the calls it makes, so every link can be checked.

use std::{fs, path::Path, process::Command};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use otel_ebpf_kernel_tests::{
    agent::{Agent, patterns},
    forest::{Forest, source},
    needs_tracing,
    net::{attempt, free_port},
    services::Service,
    sink::Sink,
    wait::wait_until,
};

const REQUESTS: usize = 400;
const CONCURRENCY: usize = 16;
/// Calls out of a hundred that must be linked: those of a caller that finds its answer before it is woken are not.
const LINKED_PERCENT: usize = 98;

/// What came of a pattern.
struct Outcome {
    calls: usize,
    by_task: usize,
    linked: usize,
}

/// Runs a pattern with this program as its front, with both services traced; checks that nothing is lost and that no link
/// is wrong.
fn run(program: &Path, pattern: &str, calls_each: usize, expected: &str) -> Outcome {
    let (front, back) = (free_port(), free_port());
    let sink = Sink::start();
    let agent = Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &format!("{front},{back}"))]);
    let service = |port: u16, role: &str, backend: Option<String>| {
        Service::start(port, |_| {
            let mut command = Command::new(program);
            command.args([role, &port.to_string()]).args(backend);
            command
        })
        .ready()
    };
    let back_service = service(back, "back", None);
    let front_service = service(front, "front", Some(format!("http://127.0.0.1:{back}")));
    agent.wait_until_traces(back_service.pid());
    agent.wait_until_traces(front_service.pid());
    let known = format!("runtime pid={} ", front_service.pid());
    wait_until("the agent says how it links", || agent.log().contains(&known));
    let log = agent.log();
    let said = log.lines().find(|line| line.contains(&known)).expect("just seen");
    assert!(said.contains(expected), "{said}");

    let (requests, concurrency) = (REQUESTS.to_string(), CONCURRENCY.to_string());
    attempt(Command::new(patterns()).args([
        "load",
        &front_service.url(""),
        pattern,
        &requests,
        &concurrency,
    ]))
    .expect("load");
    sink.wait_for_clients(REQUESTS * calls_each);
    sink.wait_for_servers(REQUESTS * (1 + calls_each));
    agent.stop().assert_clean();
    let forest = Forest::of(&sink);
    forest.assert_right();
    let calls = forest.clients();
    assert_eq!(calls.len(), REQUESTS * calls_each, "each call is told once");
    let by = |evidence: &str| calls.iter().filter(|call| source(call).as_deref() == Some(evidence)).count();
    let outcome = Outcome {
        calls: calls.len(),
        by_task: by("task"),
        linked: calls.iter().filter(|call| source(call).is_some()).count(),
    };
    eprintln!("{pattern}: {} calls, {} linked, {} by task", outcome.calls, outcome.linked, outcome.by_task);
    for server in forest.servers(back_service.pid()) {
        assert_eq!(source(server).as_deref(), Some("tcp_seq"));
        assert_eq!(server.span.kind(), SpanKind::Server);
    }
    outcome
}

fn assert_linked(pattern: &str, calls_each: usize) {
    let Outcome { calls, linked, .. } = run(patterns(), pattern, calls_each, "task, else sole");
    assert!(linked * 100 >= calls * LINKED_PERCENT, "{pattern}: {linked} of {calls} calls are linked");
}

#[test]
fn a_call_through_a_pooled_connection() {
    needs_tracing!();
    assert_linked("pooled", 1);
}

#[test]
fn a_call_on_a_new_connection() {
    needs_tracing!();
    assert_linked("fresh", 1);
}

#[test]
fn a_call_from_a_new_task() {
    needs_tracing!();
    assert_linked("spawn", 1);
}

#[test]
fn two_calls_at_once() {
    needs_tracing!();
    assert_linked("join", 2);
}

#[test]
fn a_call_between_pauses() {
    needs_tracing!();
    assert_linked("yield", 2);
}

#[test]
fn a_call_after_work_on_a_blocking_thread() {
    needs_tracing!();
    assert_linked("blocking", 1);
}

#[test]
fn a_queue_to_one_worker_makes_no_wrong_link() {
    needs_tracing!();
    // Whether a call is linked is left open; `run` checks that none is linked wrongly.
    run(patterns(), "queue", 1, "task, else sole");
}

#[test]
fn a_stripped_program_is_followed_by_its_shape() {
    needs_tracing!();
    let dir = tempfile::tempdir().expect("temporary directory");
    let stripped = dir.path().join("patterns");
    fs::copy(patterns(), &stripped).expect("copy");
    attempt(Command::new("strip").arg(&stripped)).expect("strip");
    let Outcome { calls, linked, .. } = run(&stripped, "pooled", 1, "by shape");
    assert!(linked * 100 >= calls * LINKED_PERCENT, "{linked} of {calls} calls are linked");
}

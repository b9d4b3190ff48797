//! Full speed: every request is a span or a counted loss.

use std::{
    process::Command,
    sync::{Mutex, PoisonError},
};

use nix::sys::signal::Signal;
use otel_ebpf_kernel_tests::{
    agent::{self, Agent},
    client::curl,
    needs_tracing,
    net::free_port,
    services::{Service, nginx},
    sink::Sink,
    wait::wait_until,
};

/// Requests that the test wants to see at least.
const ENOUGH: u64 = 20_000;

/// Held by each test: load beside load is no measurement.
static ALONE: Mutex<()> = Mutex::new(());

/// How many requests nginx has answered, by its own count, this question left out.
fn answered(service: &Service) -> u64 {
    let page = curl(&[&service.url("/status")]).body;
    let page = String::from_utf8(page).expect("text");
    let line = page.lines().nth(2).expect("the line of counts");
    let requests: u64 = line.split_whitespace().nth(2).and_then(|count| count.parse().ok()).expect("a count");
    requests - 1
}

/// Times that loss at full speed is measured. A machine that does other work too may keep the agent's reader waiting
/// for longer than its buffer lasts; what is lost then is counted, and another time shows that it need not be.
const ATTEMPTS: usize = 3;

#[test]
fn every_request_at_full_speed_becomes_a_span_or_is_counted() {
    needs_tracing!();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !agent::is_optimised() {
        full_speed();
        eprintln!("SKIPPED: no loss at full speed: needs a release build in OTEL_EBPF_AGENT_BIN");
        return;
    }
    let losses: Vec<u64> =
        std::iter::repeat_with(full_speed).take(ATTEMPTS).take_while(|lost| *lost > 0).collect();
    assert!(losses.len() < ATTEMPTS, "events lost each time: {losses:?}");
}

/// Asks as fast as wrk can, and checks that everything is accounted for; returns the events that were lost.
fn full_speed() -> u64 {
    let port = free_port();
    let directives = "location / { return 200 ok; } location = /status { stub_status; }";
    let service = nginx(port, directives).ready();
    let sink = Sink::start();
    let agent = Agent::start(
        &sink,
        &[
            ("OTEL_EBPF_OPEN_PORT", &port.to_string()),
            // A debug build on a busy machine exports more slowly than wrk asks; the tap is what is measured here.
            ("OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "1000000"),
            ("OTEL_EBPF_SHUTDOWN_TIMEOUT", "60s"),
        ],
    );
    let mut asked = 0;
    let mut requests = 0;
    while requests < ENOUGH {
        let url = service.url("/load");
        let wrk = Command::new("wrk").args(["-t1", "-c16", "-d2s", &url]).output().expect("run wrk");
        let output = String::from_utf8_lossy(&wrk.stdout);
        assert!(
            wrk.status.success() && !output.contains("errors") && !output.contains("Non-2xx"),
            "{output}"
        );
        // Each question for the count is itself answered.
        requests = answered(&service) - asked;
        asked += 1;
    }
    let ended = agent.stop();
    let counts = ended.counts();
    counts.assert_balanced();
    assert!(ended.status.success());
    // wrk leaves when its time is over: what is under way then is answered to nobody, and nginx counts it.
    let requests = requests + asked;
    let lost = ended.kernel_losses();
    // Each lost event may have hidden a request, or a response, or both ends of two.
    assert!(counts.get("requests_seen") <= requests, "{}", ended.log);
    assert!(counts.get("requests_seen") + lost >= requests, "{}", ended.log);
    assert_eq!(counts.get("export_dropped"), 0, "{}", ended.log);
    assert_eq!(sink.servers().len() as u64, counts.get("exchanges"));
    if lost == 0 {
        assert_eq!(counts.get("requests_dropped"), 0, "{}", ended.log);
    }
    lost
}

#[test]
fn what_a_stalled_reader_loses_is_counted_by_cause() {
    needs_tracing!();
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let port = free_port();
    let service = nginx(port, "location / { return 200 ok; }").ready();
    let sink = Sink::start();
    let agent = Agent::start(
        &sink,
        &[
            ("OTEL_EBPF_OPEN_PORT", &port.to_string()),
            ("OTEL_EBPF_RING_BUFFER_SIZE", "1"),
            ("OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "1000000"),
        ],
    );
    agent.signal(Signal::SIGSTOP);
    let wrk = Command::new("wrk").args(["-t1", "-c16", "-d1s", &service.url("/")]).output().expect("run wrk");
    assert!(wrk.status.success());
    agent.signal(Signal::SIGCONT);
    // The reader may still be clearing what has come meanwhile: then this one is lost too, and counted.
    wait_until("tracing goes on after a loss", || {
        assert_eq!(curl(&[&service.url("/afterwards")]).status, 200);
        sink.servers().iter().any(|span| span.path() == "/afterwards")
    });
    let ended = agent.stop();
    let counts = ended.counts();
    counts.assert_balanced();
    assert!(ended.log.contains("cause=\"data_ring_full\""), "{}", ended.log);
    assert!(ended.kernel_losses() > 0, "{}", ended.log);
    for span in sink.servers() {
        // What is told in spite of the losses is true.
        assert!(matches!(span.path().as_str(), "/" | "/afterwards"), "{span:?}");
        assert_eq!(span.span.name, "GET");
        assert!(matches!(span.status(), 200 | 0), "{span:?}");
    }
}

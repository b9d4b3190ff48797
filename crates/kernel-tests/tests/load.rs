//! Full speed: every request is a span or a counted loss.

use std::process::Command;

use otel_ebpf_kernel_tests::{
    agent::Agent,
    needs_tracing,
    net::free_port,
    services::{Service, nginx},
    sink::Sink,
};

/// Requests that the test wants to see at least.
const ENOUGH: u64 = 20_000;

/// How many requests nginx has answered, by its own count, this question left out.
fn answered(service: &Service) -> u64 {
    let page = otel_ebpf_kernel_tests::client::curl(&[&service.url("/status")]).body;
    let page = String::from_utf8(page).expect("text");
    let line = page.lines().nth(2).expect("the line of counts");
    let requests: u64 = line.split_whitespace().nth(2).and_then(|count| count.parse().ok()).expect("a count");
    requests - 1
}

#[test]
fn every_request_at_full_speed_becomes_a_span_or_is_counted() {
    needs_tracing!();
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
    assert_eq!(counts.get("requests_seen"), requests + asked, "{}", ended.log);
    assert_eq!(counts.get("requests_dropped"), 0, "{}", ended.log);
    assert_eq!(counts.get("export_dropped"), 0, "{}", ended.log);
    assert!(!ended.log.contains("kernel side lost"), "{}", ended.log);
    assert_eq!(sink.servers().len() as u64, counts.get("exchanges"));
}

#[test]
fn what_a_small_buffer_loses_is_counted_by_cause() {
    needs_tracing!();
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
    let wrk = Command::new("wrk").args(["-t1", "-c16", "-d1s", &service.url("/")]).output().expect("run wrk");
    assert!(wrk.status.success());
    let ended = agent.stop();
    let counts = ended.counts();
    counts.assert_balanced();
    assert!(ended.log.contains("kernel side lost cause=\"data_ring_full\""), "{}", ended.log);
    for span in sink.servers() {
        // What is told in spite of the losses is true.
        assert_eq!((span.path().as_str(), span.span.name.as_str()), ("/", "GET"));
        assert!(matches!(span.status(), 200 | 0), "{span:?}");
    }
}

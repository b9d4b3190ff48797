//! A collector that is away while requests come.

use std::time::Duration;

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::curl,
    needs_tracing,
    net::{free_port, loopback},
    services::nginx,
    sink::Sink,
    wait::wait_until,
};

const REQUESTS: usize = 50;

#[test]
fn nothing_is_lost_while_the_collector_is_away() {
    needs_tracing!();
    let port = free_port();
    let service = nginx(port, "location / { return 200 ok; }").ready();
    let collector = loopback(free_port());
    let agent = Agent::start_towards(collector, &[("OTEL_EBPF_OPEN_PORT", &port.to_string())]);
    for number in 0..REQUESTS {
        assert_eq!(curl(&[&service.url(&format!("/away/{number}"))]).status, 200);
    }
    wait_until("the agent to notice", || agent.log().contains(" WARN "));
    let sink = Sink::start_at(collector);
    sink.wait_for_servers(REQUESTS);
    drop(sink);
    // Away again, with an agent that was connected.
    for number in 0..REQUESTS {
        assert_eq!(curl(&[&service.url(&format!("/again/{number}"))]).status, 200);
    }
    let sink = Sink::start_at(collector);
    // Spans that were not answered before the first receiver went come again.
    wait_until("the spans of both times", || {
        let spans = sink.servers();
        spans.iter().filter(|span| span.path().starts_with("/again/")).count() == REQUESTS
    });
    let counts = agent.stop().counts();
    counts.assert_balanced();
    assert_eq!((counts.get("exchanges"), counts.get("export_dropped")), (2 * REQUESTS as u64, 0));
}

#[test]
fn a_span_is_exported_once_though_the_agent_stops_before_the_answer() {
    needs_tracing!();
    let port = free_port();
    let service = nginx(port, "location / { return 200 ok; }").ready();
    let sink = Sink::slow(Duration::from_millis(500));
    let agent = Agent::on_port(&sink, port);
    assert_eq!(curl(&[&service.url("/once")]).status, 200);
    // Received, and not yet answered.
    sink.wait_for_servers(1);
    agent.stop().assert_clean();
    assert_eq!((sink.servers().len(), sink.repeated()), (1, 0));
}

//! What the agent tells of itself, and that it is no service to trace.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value},
    metrics::v1::{ResourceMetrics, metric::Data, number_data_point},
};
use otel_ebpf_kernel_tests::{
    agent::Agent, client::curl, needs_tracing, net::free_port, services::nginx, sink::Sink, wait::wait_until,
};

const REQUESTS: usize = 20;

/// Values of attributes, by key.
fn texts(pairs: &[KeyValue]) -> BTreeMap<&str, &str> {
    pairs
        .iter()
        .filter_map(|pair| match pair.value.as_ref()?.value.as_ref()? {
            any_value::Value::StringValue(text) => Some((pair.key.as_str(), text.as_str())),
            _ => None,
        })
        .collect()
}

/// The latest value of each series, as `name` or `name{value,…}`.
fn latest(all: &[ResourceMetrics]) -> BTreeMap<String, f64> {
    let metrics = all.iter().flat_map(|of| &of.scope_metrics).flat_map(|of| &of.metrics);
    let mut values = BTreeMap::new();
    for metric in metrics {
        let Some(Data::Sum(sum)) = &metric.data else { panic!("{} is a sum", metric.name) };
        assert_eq!(sum.aggregation_temporality, 2, "cumulative");
        for point in &sum.data_points {
            let value = match point.value.expect("a value") {
                number_data_point::Value::AsInt(count) => count as f64,
                number_data_point::Value::AsDouble(real) => real,
            };
            let attributes = texts(&point.attributes).into_values().collect::<Vec<_>>().join(",");
            let name = if attributes.is_empty() {
                metric.name.clone()
            } else {
                format!("{}{{{attributes}}}", metric.name)
            };
            values.insert(name, value);
        }
    }
    values
}

#[test]
fn the_agent_tells_what_it_did_and_traces_nobody_for_it() {
    needs_tracing!();
    let port = free_port();
    let service = nginx(port, "location / { return 200 ok; }").ready();
    let sink = Sink::start();
    // Its own exports go to the receiver's port, which is traced too: they are no calls of a service.
    let ports = format!("{port},{}", sink.address().port());
    let agent = Agent::start(
        &sink,
        &[("OTEL_EBPF_OPEN_PORT", ports.as_str()), ("OTEL_METRIC_EXPORT_INTERVAL", "100")],
    );
    for _ in 0..REQUESTS {
        assert_eq!(curl(&[&service.url("/")]).status, 200);
    }
    sink.wait_for_servers(REQUESTS);
    wait_until("metrics of all requests", || {
        latest(&sink.metrics())
            .get("ebpf.agent.spans.exported")
            .is_some_and(|count| *count >= REQUESTS as f64)
    });
    let log = agent.log();
    let pid = agent.pid();
    let counts = agent.stop().counts();
    counts.assert_balanced();
    assert!(!log.contains("exports traces by itself"), "{log}");
    assert!(sink.spans().iter().all(|span| span.pid() != pid), "the agent traces itself");

    let metrics = sink.metrics();
    let resource = metrics[0].resource.as_ref().expect("a resource");
    let resource = texts(&resource.attributes);
    assert_eq!(resource["service.name"], "otel-ebpf-agent");
    assert!(["tracepoint", "fexit"].contains(&resource["ebpf.agent.tap"]), "{resource:?}");
    assert!(resource.contains_key("service.version") && resource.contains_key("host.name"), "{resource:?}");
    assert!(
        metrics
            .iter()
            .flat_map(|of| &of.scope_metrics)
            .all(|of| { of.scope.as_ref().is_some_and(|scope| scope.name == "otel-ebpf-agent") })
    );
    let values = latest(&metrics);
    // The last export comes after everything else.
    let dropped: f64 =
        values.iter().filter(|(name, _)| name.starts_with("ebpf.agent.spans.dropped")).map(|(_, n)| n).sum();
    assert_eq!(values["ebpf.agent.spans.seen"], counts.get("spans") as f64);
    assert_eq!(values["ebpf.agent.spans.seen"], values["ebpf.agent.spans.exported"] + dropped, "{values:?}");
    assert!(values["ebpf.agent.events{data}"] >= 2.0 * REQUESTS as f64, "{values:?}");
    assert!(values["ebpf.agent.memory.rss"] > 1e6, "{values:?}");
    assert!(values["ebpf.agent.cpu.time{user}"] + values["ebpf.agent.cpu.time{system}"] > 0.0, "{values:?}");
}

#[test]
fn metrics_can_be_switched_off() {
    needs_tracing!();
    let port = free_port();
    let service = nginx(port, "location / { return 200 ok; }").ready();
    let sink = Sink::start();
    let port = port.to_string();
    let agent = Agent::start(
        &sink,
        &[
            ("OTEL_EBPF_OPEN_PORT", port.as_str()),
            ("OTEL_METRICS_EXPORTER", "none"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
        ],
    );
    assert_eq!(curl(&[&service.url("/")]).status, 200);
    sink.wait_for_servers(1);
    agent.stop().assert_clean();
    assert!(sink.metrics().is_empty());
}

//! What the program exports, as a collector sees it.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, Uri, header},
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::{AggregationTemporality, Metric, metric::Data, number_data_point},
};
use support::{
    RunningBackend,
    process::{Running, eventually, frontend},
    serve,
    sink::Sink,
    unused_address,
};

fn start(collector: SocketAddr, backend: &RunningBackend) -> Running {
    Running::start(
        frontend()
            .env("PORT", "0")
            .env("BACKEND_URL", backend.url().as_str())
            .env("TRAFFIC_INTERVAL_MIN", "0.01")
            .env("TRAFFIC_INTERVAL_MAX", "0.02")
            .env("TRAFFIC_START_DELAY", "0")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
            .env("OTEL_METRIC_EXPORT_INTERVAL", "200")
            .env("OTEL_BLRP_SCHEDULE_DELAY", "100"),
    )
}

/// Describes an instrument as the wire shows it.
fn kind(metric: &Metric) -> &'static str {
    match metric.data.as_ref().expect("data") {
        Data::Sum(sum) if sum.is_monotonic => "counter",
        Data::Sum(_) => "up-down counter",
        Data::Gauge(_) => "gauge",
        Data::Histogram(_) => "histogram",
        Data::ExponentialHistogram(_) => "exponential histogram",
        Data::Summary(_) => "summary",
    }
}

const INSTRUMENTS: [(&str, &str, &str); 14] = [
    ("demo.histogram.explicit", "histogram", "1"),
    ("demo.histogram.exponential", "exponential histogram", "1"),
    ("demo.random.counter", "counter", "1"),
    ("demo.random.gauge", "gauge", "1"),
    ("demo.random.observable_updown", "up-down counter", "1"),
    ("demo.random.updown", "up-down counter", "1"),
    ("frontend.errors.total", "counter", "{error}"),
    ("frontend.memory.usage", "gauge", "By"),
    ("frontend.order.value", "histogram", "{dollar}"),
    ("frontend.orders.total", "counter", "{order}"),
    ("frontend.queue.size", "gauge", "{order}"),
    ("frontend.requests.active", "up-down counter", "{request}"),
    ("frontend.requests.total", "counter", "{request}"),
    ("frontend.response.duration", "histogram", "ms"),
];

#[tokio::test(flavor = "multi_thread")]
async fn all_instruments_and_no_trace_reach_the_collector() {
    let backend = RunningBackend::start(1.0, 1.0).await;
    let (sink, collector) = Sink::start(([127, 0, 0, 1], 0).into()).await;
    let mut running = start(collector, &backend);

    let wanted: BTreeSet<_> = INSTRUMENTS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    eventually("all instruments", || {
        let seen: BTreeSet<_> = sink.received().metrics.iter().map(|metric| metric.name.clone()).collect();
        wanted.is_subset(&seen).then_some(())
    });
    eventually("log records of an order", || {
        let received = sink.received();
        let found = received.logs.iter().any(|log| text(log.body.as_ref()) == "Order completed successfully");
        found.then_some(())
    });
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));

    let received = sink.received();
    let shapes: BTreeSet<_> = received
        .metrics
        .iter()
        .map(|metric| (metric.name.as_str(), kind(metric), metric.unit.as_str()))
        .collect();
    assert_eq!(shapes, BTreeSet::from(INSTRUMENTS), "nothing else, and each of one kind");
    assert!(received.metrics.iter().all(|metric| !metric.description.is_empty()));
    check_values(&received.metrics);

    for resource in &received.resources {
        assert_eq!(attribute(&resource.attributes, "service.name"), Some("ebpf-frontend"));
    }
    for log in &received.logs {
        assert!(log.trace_id.is_empty() && log.span_id.is_empty(), "{log:?}");
        assert!(log.severity_number >= 9 && !text(log.body.as_ref()).is_empty(), "{log:?}");
    }
    let calls = received.logs.iter().filter(|log| text(log.body.as_ref()) == "Auto-traffic: calling");
    assert!(calls.clone().count() > 0);
    assert!(calls.map(|log| attribute(&log.attributes, "endpoint")).all(|path| path.is_some()));
    assert_eq!(received.trace_exports, 0);
    let headers = backend.headers.lock().expect("no panic");
    assert!(!headers.is_empty() && headers.iter().all(|headers| !headers.contains_key("traceparent")));
}

/// Checks the values of the last export of each instrument.
fn check_values(metrics: &[Metric]) {
    let last: BTreeMap<_, _> =
        metrics.iter().map(|metric| (metric.name.as_str(), metric.data.as_ref().expect("data"))).collect();
    let gauge = |name: &str| match last[name] {
        Data::Gauge(gauge) => number(gauge.data_points[0].value.expect("value")),
        other => panic!("{name}: {other:?}"),
    };
    assert!((1e6..1e9).contains(&gauge("frontend.memory.usage")), "{}", gauge("frontend.memory.usage"));
    assert!((0.0..=100.0).contains(&gauge("demo.random.gauge")));
    assert!((0.0..=1.0).contains(&gauge("frontend.queue.size")), "one call at a time");
    match last["demo.histogram.explicit"] {
        Data::Histogram(histogram) => {
            assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
            let point = &histogram.data_points[0];
            assert_eq!(point.explicit_bounds, [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0]);
            assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
            assert_eq!(attribute(&point.attributes, "label"), Some("demo-dist"));
        }
        other => panic!("{other:?}"),
    }
    match last["demo.histogram.exponential"] {
        Data::ExponentialHistogram(histogram) => {
            let point = &histogram.data_points[0];
            let buckets = point.positive.as_ref().expect("positive values");
            assert_eq!(buckets.bucket_counts.iter().sum::<u64>() + point.zero_count, point.count);
            assert_eq!(attribute(&point.attributes, "label"), Some("demo-expo"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_does_no_harm_and_is_mentioned_once() {
    let backend = RunningBackend::start(1.0, 1.0).await;
    let collector = unused_address().await;
    let mut running = start(collector, &backend);
    let health = format!("http://{}/health", running.address());

    for signal in ["metrics", "logs"] {
        let warning = running.line_with(&format!("signal=\"{signal}\""));
        assert!(warning.contains("WARN") && warning.contains("Telemetry export fails"), "{warning}");
    }
    // Many more exports fail while forty calls are made.
    eventually("forty answers", || {
        let answered = running.lines().iter().filter(|line| line.contains("Auto-traffic: answered")).count();
        (answered >= 40).then_some(())
    });
    assert_eq!(reqwest::get(&health).await.expect("an answer").status(), 200);
    let mentions = running.lines().iter().filter(|line| line.contains("Telemetry export")).count();
    assert_eq!(mentions, 2, "{:#?}", running.lines());

    // Once it is there, telemetry arrives without a restart.
    let (sink, _) = Sink::start(collector).await;
    running.line_with("Telemetry export works again");
    eventually("metrics", || (!sink.received().metrics.is_empty()).then_some(()));
    running.signal("INT");
    assert_eq!(running.exit_code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_records_are_flushed_at_the_end() {
    let backend = RunningBackend::start(1.0, 1.0).await;
    let (sink, collector) = Sink::start(([127, 0, 0, 1], 0).into()).await;
    let mut running = Running::start(
        frontend()
            .env("PORT", "0")
            .env("BACKEND_URL", backend.url().as_str())
            .env("AUTO_TRAFFIC", "false")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
            .env("OTEL_SERVICE_NAME", "renamed")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "3600000")
            .env("OTEL_BLRP_SCHEDULE_DELAY", "3600000"),
    );
    let order = format!("http://{}/process-order", running.address());
    assert_eq!(reqwest::get(order).await.expect("an answer").status(), 200);
    assert!(sink.received().metrics.is_empty(), "nothing is due for an hour");
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));

    let received = sink.received();
    let bodies: BTreeSet<_> = received.logs.iter().map(|log| text(log.body.as_ref())).collect();
    for body in ["Starting demo frontend application", "Order completed successfully", "Stopped"] {
        assert!(bodies.contains(body), "{body} in {bodies:?}");
    }
    assert!(received.metrics.iter().any(|metric| metric.name == "frontend.order.value"));
    let names = received.resources.iter().map(|resource| attribute(&resource.attributes, "service.name"));
    assert!(names.clone().all(|name| name == Some("renamed")), "{:?}", names.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_metrics_and_logs_have_their_own_paths() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let record = Arc::clone(&seen);
    let handler = move |uri: Uri, headers: HeaderMap, body: Bytes| async move {
        let kind = headers[header::CONTENT_TYPE].to_str().expect("text").to_owned();
        record.lock().expect("no panic").insert((uri.path().to_owned(), kind, body.is_empty()));
    };
    let collector = serve(Router::new().fallback(handler)).await;
    let mut running = Running::start(
        frontend()
            .env("PORT", "0")
            .env("AUTO_TRAFFIC", "false")
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}")),
    );
    let home = format!("http://{}/", running.address());
    assert_eq!(reqwest::get(home).await.expect("an answer").status(), 200);
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    let expected =
        ["/v1/logs", "/v1/metrics"].map(|path| (path.to_owned(), "application/x-protobuf".to_owned(), false));
    assert_eq!(*seen.lock().expect("no panic"), BTreeSet::from(expected));
}

fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    let pair = attributes.iter().find(|pair| pair.key == key)?;
    Some(text(pair.value.as_ref()))
}

fn text(value: Option<&AnyValue>) -> &str {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        _ => "",
    }
}

fn number(value: number_data_point::Value) -> f64 {
    match value {
        number_data_point::Value::AsDouble(value) => value,
        number_data_point::Value::AsInt(value) => i32::try_from(value).expect("small").into(),
    }
}

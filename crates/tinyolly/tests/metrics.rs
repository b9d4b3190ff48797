//! All five kinds of metrics in, and out complete.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use serde_json::{Value, json};
use support::Running;

const T0: u64 = 1_763_829_600_000_000_000;

fn request(service: &str, metrics: Value) -> Value {
    json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}, "schemaUrl": "urn:r",
        "scopeMetrics": [{"scope": {"name": "meter", "version": "1"}, "schemaUrl": "urn:s", "metrics": metrics}],
    }]})
}

fn path(name: &str) -> String {
    format!("/api/metrics/{name}?start={T0}&end={}", T0 + 1_000_000_000)
}

fn exemplar() -> Value {
    json!({"timeUnixNano": (T0 + 3).to_string(), "asDouble": 2.5, "traceId": "01".repeat(16), "spanId": "02".repeat(8),
           "filteredAttributes": [{"key": "user", "value": {"stringValue": "u"}}]})
}

/// Sends one metric with one point, and gives back the metric, its series and its point.
async fn round_trip(server: &Running, name: &str, kind: &str, data: Value) -> (Value, Value, Value) {
    let metric = json!({"name": name, "unit": "s", "description": "what it is", kind: data});
    server.accept("metrics", request("shop", json!([metric]))).await;
    let metric = server.json(&path(name)).await;
    let series = metric["series"][0].clone();
    let mut point = series["datapoints"][0].clone();
    assert_eq!(metric["series"].as_array().unwrap().len(), 1);
    assert_eq!(series["datapoints"].as_array().unwrap().len(), 1);
    assert_eq!(point["timestamp"].take(), (T0 + 10).to_string());
    assert_eq!(point["start_timestamp"].take(), T0.to_string());
    point.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    (metric, series, point)
}

fn with_frame(own: Value) -> Value {
    let mut point = json!({
        "attributes": [{"key": "b", "value": {"stringValue": "2"}}, {"key": "a", "value": {"intValue": "1"}}],
        "startTimeUnixNano": T0.to_string(), "timeUnixNano": (T0 + 10).to_string(),
    });
    point.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    point
}

#[tokio::test]
async fn gauges_and_sums_keep_their_number_type() {
    let server = Running::start().await;
    let point = with_frame(json!({"asInt": "-9007199254740993", "exemplars": [exemplar()]}));
    let (metric, series, point) = round_trip(&server, "g", "gauge", json!({"dataPoints": [point]})).await;
    assert_eq!(point, json!({"flags": 0, "value": {"asInt": "-9007199254740993"}}));
    assert_eq!((&metric["type"], &metric["unit"]), (&json!("gauge"), &json!("s")));
    assert_eq!(metric["description"], "what it is");
    assert_eq!((&metric["temporality"], &metric["is_monotonic"]), (&Value::Null, &Value::Null));
    assert_eq!(series["service_name"], "shop");
    assert_eq!(series["attributes"][0], json!({"key": "a", "value": {"intValue": "1"}}), "sorted by key");
    assert_eq!(series["resource"], json!([{"key": "service.name", "value": {"stringValue": "shop"}}]));
    assert_eq!(series["resource_schema_url"], "urn:r");
    assert_eq!(series["scope"]["name"], "meter");
    assert_eq!(series["scope"]["schemaUrl"], "urn:s");
    let expected = json!([{"timestamp": (T0 + 3).to_string(), "value": {"asDouble": 2.5}, "trace_id": "01".repeat(16),
        "span_id": "02".repeat(8), "attributes": [{"key": "user", "value": {"stringValue": "u"}}]}]);
    assert_eq!(series["exemplars"], expected);

    let sum = json!({"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [with_frame(json!({"asDouble": 2}))]});
    let (metric, _, point) = round_trip(&server, "dir/sum total", "sum", sum).await;
    assert_eq!(point, json!({"flags": 0, "value": {"asDouble": 2.0}}));
    assert_eq!((&metric["temporality"], &metric["is_monotonic"]), (&json!(1), &json!(true)));
    assert_eq!(server.get("/api/metrics/dir%2Fsum%20total").await.0, 200);
}

#[tokio::test]
async fn numbers_json_cannot_write_and_points_without_a_value() {
    let server = Running::start().await;
    let nan = json!({"dataPoints": [with_frame(json!({"asDouble": "NaN"}))]});
    assert_eq!(round_trip(&server, "nan", "gauge", nan).await.2["value"], json!({"asDouble": "NaN"}));
    let infinite = json!({"dataPoints": [with_frame(json!({"asDouble": "-Infinity"}))]});
    assert_eq!(
        round_trip(&server, "inf", "gauge", infinite).await.2["value"],
        json!({"asDouble": "-Infinity"})
    );
    let zero = json!({"dataPoints": [with_frame(json!({"asDouble": 0}))]});
    assert_eq!(round_trip(&server, "zero", "gauge", zero).await.2["value"], json!({"asDouble": 0.0}));
    let none = json!({"dataPoints": [with_frame(json!({"flags": 1}))]});
    assert_eq!(round_trip(&server, "none", "gauge", none).await.2, json!({"flags": 1}));
}

#[tokio::test]
async fn histograms_of_both_kinds_and_summaries() {
    let server = Running::start().await;
    let own = json!({"count": "3", "sum": 1.5, "min": 0.1, "max": 1.0, "bucketCounts": ["1", 2],
        "explicitBounds": [0.5], "exemplars": [exemplar(), exemplar()]});
    let data = json!({"aggregationTemporality": 2, "dataPoints": [with_frame(own)]});
    let (metric, series, point) = round_trip(&server, "h", "histogram", data).await;
    let expected = json!({"count": "3", "sum": 1.5, "min": 0.1, "max": 1.0, "bucketCounts": ["1", "2"],
        "explicitBounds": [0.5]});
    assert_eq!(point, json!({"flags": 0, "histogram": expected}));
    assert_eq!(metric["temporality"], 2);
    assert_eq!(series["exemplars"].as_array().unwrap().len(), 2);

    let own = json!({"count": 4, "sum": -1.5, "scale": -3, "zeroCount": "1", "zeroThreshold": 0.25,
        "positive": {"offset": -2, "bucketCounts": ["1", "0", "2"]}, "negative": {"offset": 5, "bucketCounts": []}});
    let data = json!({"aggregationTemporality": 1, "dataPoints": [with_frame(own)]});
    let (_, _, point) = round_trip(&server, "e", "exponentialHistogram", data).await;
    let expected = json!({"count": "4", "sum": -1.5, "min": null, "max": null, "scale": -3, "zeroCount": "1",
        "zeroThreshold": 0.25, "positive": {"offset": -2, "bucketCounts": ["1", "0", "2"]},
        "negative": {"offset": 5, "bucketCounts": []}});
    assert_eq!(point["exponential_histogram"], expected);

    let own = json!({"count": "5", "sum": 6.5, "quantileValues": [{"quantile": 0.5, "value": 1}, {"quantile": 1, "value": "NaN"}]});
    let (metric, _, point) =
        round_trip(&server, "s", "summary", json!({"dataPoints": [with_frame(own)]})).await;
    let expected = json!({"count": "5", "sum": 6.5,
        "quantileValues": [{"quantile": 0.5, "value": 1.0}, {"quantile": 1.0, "value": "NaN"}]});
    assert_eq!(point["summary"], expected);
    assert_eq!(metric["type"], "summary");
}

#[tokio::test]
async fn the_list_counts_series_points_and_services() {
    let server = Running::start().await;
    let point = |n: u64, route: &str| {
        json!({"timeUnixNano": (T0 + n).to_string(), "asInt": n,
               "attributes": [{"key": "route", "value": {"stringValue": route}}]})
    };
    for (service, points) in [
        ("b", json!([point(1, "/x"), point(1, "/y")])),
        ("a", json!([point(2, "/x")])),
        ("b", json!([point(9, "/x")])),
    ] {
        let gauge = json!([{"name": "m", "unit": "1", "gauge": {"dataPoints": points}}, {"name": "empty", "gauge": {}}]);
        server.accept("metrics", request(service, gauge)).await;
    }
    let list = server.json("/api/metrics").await;
    let expected = json!([{"name": "m", "type": "gauge", "unit": "1", "description": "", "metadata": [], "series_count": 3,
        "point_count": 4, "resource_count": 2, "services": ["a", "b"], "last_time": (T0 + 9).to_string()}]);
    assert_eq!(list, expected);
    let stats = server.json("/api/stats").await;
    assert_eq!((&stats["metrics"], &stats["metric_points"]), (&json!(1), &json!(4)));
    let narrow = server.json(&format!("/api/metrics/m?start={}&end={}", T0 + 2, T0 + 2)).await;
    let points: usize =
        narrow["series"].as_array().unwrap().iter().map(|s| s["datapoints"].as_array().unwrap().len()).sum();
    assert_eq!(points, 1);
}

#[tokio::test]
async fn a_name_sent_with_two_types_keeps_both() {
    let server = Running::start().await;
    let gauge = json!({"dataPoints": [with_frame(json!({"asInt": 1}))]});
    let sum = json!({"isMonotonic": true, "aggregationTemporality": 2,
        "dataPoints": [{"timeUnixNano": (T0 + 20).to_string(), "asInt": 2}]});
    let metrics = json!([{"name": "m", "gauge": gauge}, {"name": "m", "unit": "By", "sum": sum}]);
    server.accept("metrics", request("s", metrics)).await;
    assert_eq!(server.json("/api/metrics").await.as_array().unwrap().len(), 2);
    assert_eq!(server.json(&path("m")).await["type"], "sum", "the newest point decides");
    assert_eq!(
        server.json(&format!("{}&type=gauge", path("m"))).await["series"][0]["datapoints"][0]["value"]["asInt"],
        "1"
    );
    assert_eq!(server.json(&format!("{}&unit=By", path("m"))).await["type"], "sum");
    assert_eq!(server.get(&format!("{}&type=summary", path("m"))).await.0, 404);
    assert_eq!(server.get(&format!("{}&type=nonsense", path("m"))).await.0, 400);
}

#[tokio::test]
async fn metadata_is_kept_and_the_newest_shown() {
    let server = Running::start().await;
    let metric = |metadata: Value| {
        let data = json!({"dataPoints": [with_frame(json!({"asInt": 1}))]});
        request("s", json!([{"name": "m", "gauge": data, "metadata": metadata}]))
    };
    let said = |text: &str| json!([{"key": "prometheus.type", "value": {"stringValue": text}}]);
    for (sent, shown) in [("unknown", "unknown"), ("gauge", "gauge"), ("", "gauge")] {
        let sent = if sent.is_empty() { json!([]) } else { said(sent) };
        server.accept("metrics", metric(sent)).await;
        assert_eq!(server.json(&path("m")).await["metadata"], said(shown));
        assert_eq!(server.json("/api/metrics").await[0]["metadata"], said(shown));
    }
    let directory = server.stop().await;
    let server = Running::start_with(directory, |_| {}).await;
    server.accept("metrics", metric(said("stateset"))).await;
    assert_eq!(server.json(&path("m")).await["metadata"], said("stateset"));
}

#[tokio::test]
async fn names_above_the_limit_are_refused_and_counted() {
    let few = |config: &mut tinyolly::config::Config| config.store.max_metric_names = 3;
    let server = Running::start_with(tempfile::tempdir().unwrap(), few).await;
    let named = |names: &[&str]| {
        let data = json!({"dataPoints": [with_frame(json!({"asInt": 1})), with_frame(json!({"asInt": 2}))]});
        let metrics: Vec<Value> = names.iter().map(|name| json!({"name": name, "gauge": data})).collect();
        request("s", json!(metrics))
    };
    assert_eq!(server.accept("metrics", named(&["a", "b"])).await, json!({}));
    let answer = server.accept("metrics", named(&["a", "c", "d", "e"])).await;
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "4");
    let message = answer["partialSuccess"]["errorMessage"].as_str().unwrap();
    assert!(message.contains("\"d\"") && message.contains("--max-metric-names"), "{message}");
    server.accept("metrics", named(&["d"])).await;
    let stats = server.json("/api/stats").await;
    assert_eq!(stats["rejected"]["metric_names_refused"], 2, "names, not points");
    assert_eq!((&stats["rejected"]["items"], &stats["metrics"]), (&json!(6), &json!(3)));
    assert_eq!(stats["limits"]["metric_names"], 3);
    // Known names are known after a restart too, also those above a limit that was lowered.
    let directory = server.stop().await;
    let server = Running::start_with(directory, |config| config.store.max_metric_names = 1).await;
    assert_eq!(server.accept("metrics", named(&["a", "b", "c"])).await, json!({}));
    assert_eq!(server.accept("metrics", named(&["d"])).await["partialSuccess"]["rejectedDataPoints"], "2");
}

#[tokio::test]
async fn a_nameless_metric_is_left_out() {
    let server = Running::start().await;
    let data = json!({"dataPoints": [with_frame(json!({"asInt": 1})), with_frame(json!({"asInt": 2}))]});
    let answer =
        server.accept("metrics", request("s", json!([{"gauge": data}, {"name": "ok", "gauge": data}]))).await;
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "2");
    assert_eq!(server.json("/api/metrics").await.as_array().unwrap().len(), 1);
    assert_eq!(server.get("/api/metrics/nope").await.0, 404);
}

//! Rates, sums and quantiles over time, and what series are made of, by the REST API.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use serde_json::{Value, json};
use support::Running;

const SECOND: u64 = 1_000_000_000;
const T0: u64 = 1_763_829_600 * SECOND;

fn at(seconds: u64) -> String {
    (T0 + seconds * SECOND).to_string()
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

async fn send(server: &Running, service: &str, instance: &str, metrics: Value) -> Value {
    let resource =
        json!({"attributes": [attribute("service.name", service), attribute("host.name", instance)]});
    let request =
        json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [{"metrics": metrics}]}]});
    server.accept("metrics", request).await
}

fn counter(route: &str, points: &[(u64, u64)]) -> Value {
    let points: Vec<Value> = points
        .iter()
        .map(|(seconds, value)| {
            json!({"timeUnixNano": at(*seconds), "startTimeUnixNano": at(0), "asInt": value.to_string(),
                   "attributes": [attribute("route", route), {"key": "code", "value": {"intValue": "200"}}]})
        })
        .collect();
    json!([{"name": "requests", "unit": "1",
            "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": points}}])
}

fn path(rest: &str) -> String {
    format!("/api/metrics/query?start={}&end={}&step={}&{rest}", T0, T0 + 40 * SECOND, 10 * SECOND)
}

fn values(line: &Value) -> Vec<Option<f64>> {
    line["points"].as_array().unwrap().iter().map(|point| point[1].as_f64()).collect()
}

#[tokio::test]
async fn counters_have_rates_by_group() {
    let server = Running::start().await;
    send(&server, "shop", "a", counter("/x", &[(10, 100), (20, 200), (30, 300)])).await;
    send(&server, "shop", "b", counter("/x", &[(10, 50), (20, 100), (30, 20)])).await;
    send(&server, "cart", "a", counter("/y", &[(30, 30), (10, 10), (20, 20)])).await;
    let answer = server.json(&path("name=requests")).await;
    assert_eq!(
        (&answer["type"], &answer["unit"], &answer["function"]),
        (&json!("sum"), &json!("1"), &json!("rate"))
    );
    assert_eq!((&answer["start"], &answer["step"]), (&json!(at(0)), &json!((10 * SECOND).to_string())));
    assert_eq!((&answer["complete"], answer["series"].as_array().unwrap().len()), (&json!(true), 1));
    // The third interval of b counts anew.
    assert_eq!(values(&answer["series"][0]), [Some(16.0), Some(16.0), Some(13.0), None]);
    let answer = server.json(&path("name=requests&function=increase&group_by=service&group_by=route")).await;
    assert_eq!(answer["series"][0]["labels"], json!({"service": "cart", "route": "/y"}));
    assert_eq!(values(&answer["series"][1]), [Some(150.0), Some(150.0), Some(120.0), None]);
    for (filter, first) in [
        ("resource.service.name=cart", 1.0),
        ("attribute.route=/x", 15.0),
        ("attribute.route=/x&resource.host.name=b", 5.0),
        ("attribute.code=200", 16.0),
    ] {
        let answer = server.json(&path(&format!("name=requests&{filter}"))).await;
        assert_eq!(values(&answer["series"][0])[0], Some(first), "{filter}");
    }
    let none = server.json(&path("name=requests&attribute.route=nope")).await;
    assert_eq!(none["series"], json!([]));
    let raw = server.json(&path("name=requests&function=raw")).await;
    let expected = json!({"service": "shop", "route": "/x", "code": "200", "resource.host.name": "b"});
    assert_eq!(raw["series"][1]["labels"], expected);
    assert_eq!(raw["series"][1]["points"], json!([[at(10), 50.0], [at(20), 100.0], [at(30), 20.0]]));
}

#[tokio::test]
async fn histograms_have_quantiles_heat_maps_and_exemplars() {
    let server = Running::start().await;
    let exemplar = |trace: &str| json!({"timeUnixNano": at(5), "asDouble": 0.7, "traceId": trace, "spanId": if trace.is_empty() { "".into() } else { "02".repeat(8) }});
    let point = json!({"timeUnixNano": at(10), "startTimeUnixNano": at(0), "count": "10", "sum": 9.0, "max": 4.0,
        "explicitBounds": [1, 2], "bucketCounts": ["8", "1", "1"], "exemplars": [exemplar(&"01".repeat(16)), exemplar("")]});
    let explicit = json!([{"name": "h", "unit": "s", "histogram": {"aggregationTemporality": 1, "dataPoints": [point]}}]);
    send(&server, "s", "a", explicit).await;
    let answer = server.json(&path("name=h")).await;
    let lines = answer["series"].as_array().unwrap();
    assert_eq!(lines.iter().map(|l| l["quantile"].as_f64().unwrap()).collect::<Vec<_>>(), [0.5, 0.95, 0.99]);
    assert_eq!(values(&lines[0]), [Some(0.625), None, None, None]);
    assert_eq!(values(&lines[2])[0], Some(4.0), "beyond the bounds, the greatest that was sent");
    assert_eq!((lines[0].get("quantile_beyond"), &lines[2]["quantile_beyond"]), (None, &json!(true)));
    let expected =
        json!([{"timestamp": at(5), "value": 0.7, "trace_id": "01".repeat(16), "span_id": "02".repeat(8)}]);
    assert_eq!(answer["exemplars"], expected);
    let map = server.json(&path("name=h&function=heatmap")).await;
    assert_eq!(map["heatmap"]["bounds"], json!([1.0, 2.0, null]));
    assert_eq!(map["heatmap"]["columns"], json!([{"time": at(0), "counts": [8.0, 1.0, 1.0]}]));
    assert_eq!(values(&server.json(&path("name=h&function=avg")).await["series"][0])[0], Some(0.9));

    let point = |seconds: u64, scale: i32, counts: Value| {
        let count: u64 = counts.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum();
        json!({"timeUnixNano": at(seconds), "startTimeUnixNano": at(0), "count": count, "sum": 1.0, "scale": scale,
               "positive": {"offset": 0, "bucketCounts": counts}})
    };
    let points = json!([point(10, 1, json!([2, 2])), point(20, 0, json!([4, 10]))]);
    let exponential =
        json!([{"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": points}}]);
    send(&server, "s", "a", exponential).await;
    let answer = server.json(&path("name=e&function=quantile&quantile=0.5")).await;
    let found = values(&answer["series"][0]);
    assert!((found[0].unwrap() - 2f64.sqrt()).abs() < 1e-9, "{found:?}");
    assert!((found[1].unwrap() - 8f64.sqrt()).abs() < 1e-9, "a change of scale is no reset: {found:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_said() {
    let server = Running::start().await;
    send(&server, "s", "a", counter("/x", &[(10, 1)])).await;
    for (query, said) in [
        ("name=requests&function=quantile", "rate, increase, raw"),
        ("name=requests&function=median", "one of raw"),
        ("name=requests&quantile=2", "0 to 1"),
        ("name=requests&quantile=0.5", "for function=quantile"),
        ("name=requests&function=raw&group_by=route", "group_by"),
        ("name=requests&nonsense=1", "unknown parameter"),
        ("function=rate", "name is missing"),
    ] {
        let (status, body) = server.get(&path(query)).await;
        assert_eq!(status, 400, "{query}");
        assert!(body["detail"].as_str().unwrap().contains(said), "{query}: {body}");
    }
    assert_eq!(server.get("/api/metrics/query?name=requests&start=5&end=5").await.0, 400);
    assert_eq!(
        server.get("/api/metrics/query?name=requests&start=0&end=18446744073709551615&step=1").await.0,
        400
    );
    assert_eq!(server.get("/api/metrics/query?name=requests&start=0&end=18446744073709551615").await.0, 200);
    assert_eq!(server.get(&path("name=nope")).await.0, 404);
}

#[tokio::test]
async fn cardinality_lists_labels_and_values() {
    let server = Running::start().await;
    for user in 0..25 {
        send(&server, "shop", "a", counter(&format!("/{user:02}"), &[(10, 1)])).await;
    }
    send(&server, "cart", "a", counter("/00", &[(10, 1)])).await;
    let found = server.json("/api/metrics/requests/cardinality").await;
    assert_eq!(found["series_count"], 26);
    let labels = found["labels"].as_array().unwrap();
    let keys: Vec<_> =
        labels.iter().map(|l| (l["key"].as_str().unwrap(), l["distinct"].as_u64().unwrap())).collect();
    assert_eq!(keys, [("route", 25), ("service.name", 2), ("code", 1), ("host.name", 1)]);
    assert_eq!((&labels[0]["scope"], &labels[1]["scope"]), (&json!("attribute"), &json!("resource")));
    assert_eq!(labels[0]["values"][0], json!({"value": "/00", "series": 2}));
    assert_eq!(labels[0]["values"].as_array().unwrap().len(), 20);
    assert_eq!(server.get("/api/metrics/nope/cardinality").await.0, 404);
}

#[tokio::test]
async fn names_with_slashes_and_of_the_paths_themselves_are_found() {
    let server = Running::start().await;
    for name in ["a/b", "query", "a/cardinality"] {
        let gauge =
            json!([{"name": name, "gauge": {"dataPoints": [{"timeUnixNano": at(1), "asDouble": 1.5}]}}]);
        send(&server, "s", "a", gauge).await;
    }
    let range = format!("?start={T0}&end={}", T0 + 10 * SECOND);
    for (path, name) in [("a/b", "a/b"), ("%71uery", "query"), ("a%2Fcardinality", "a/cardinality")] {
        assert_eq!(server.json(&format!("/api/metrics/{path}{range}")).await["name"], name);
    }
    for path in ["a/b", "a%2Fb", "a/cardinality"] {
        let found = server.json(&format!("/api/metrics/{path}/cardinality")).await;
        assert_eq!(found["series_count"], 1, "{path}");
    }
}

//! What goes out as OTLP/JSON comes in again as it was.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use serde_json::{Value, json};
use support::Running;
use tinyolly::client::{Client, Sum, export_path};

const T0: u64 = 1_763_829_600_000_000_000;

fn resource(service: &str) -> Value {
    json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}, {"key": "n", "value": {"intValue": "9007199254740993"}}],
           "droppedAttributesCount": 2, "entityRefs": [{"schemaUrl": "urn:e", "type": "service", "idKeys": ["service.name"], "descriptionKeys": []}]})
}

fn scope() -> Value {
    json!({"name": "lib", "version": "2", "attributes": [{"key": "b", "value": {"bytesValue": "AQI="}}], "droppedAttributesCount": 1})
}

fn spans(service: &str, trace: u8, count: u64) -> Value {
    let spans: Vec<Value> = (1..=count).map(|n| {
        json!({"traceId": format!("{trace:02x}").repeat(16), "spanId": format!("{n:016x}"),
            "parentSpanId": if n == 1 { String::new() } else { format!("{:016x}", 1) }, "traceState": "a=b", "flags": 257,
            "name": format!("GET /{n}"), "kind": 2, "startTimeUnixNano": (T0 + n).to_string(), "endTimeUnixNano": (T0 + n + 5).to_string(),
            "attributes": [{"key": "d", "value": {"doubleValue": "NaN"}}, {"key": "l", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}}],
            "droppedAttributesCount": 3, "events": [{"timeUnixNano": T0.to_string(), "name": "e", "attributes": [], "droppedAttributesCount": 4}],
            "droppedEventsCount": 5, "links": [{"traceId": "aa".repeat(16), "spanId": "bb".repeat(8), "traceState": "", "attributes": [],
            "droppedAttributesCount": 0, "flags": 1}], "droppedLinksCount": 6, "status": {"code": 2, "message": "no \"luck\"\n\u{1F600}"}})
    }).collect();
    json!({"resourceSpans": [{"resource": resource(service), "schemaUrl": "urn:r",
        "scopeSpans": [{"scope": scope(), "schemaUrl": "urn:s", "spans": spans}]}]})
}

fn logs() -> Value {
    let log = |n: u64, body: Value| {
        json!({"timeUnixNano": (T0 + n).to_string(), "observedTimeUnixNano": (T0 + n + 1).to_string(), "severityNumber": 9 + n,
            "severityText": "hm", "eventName": "ev", "body": body, "attributes": [{"key": "k", "value": {"stringValue": ""}}],
            "droppedAttributesCount": 1, "flags": 1, "traceId": "01".repeat(16), "spanId": "02".repeat(8)})
    };
    let records = json!([
        log(0, json!({"stringValue": "one"})),
        log(8, json!({"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "1"}}]}}))
    ]);
    json!({"resourceLogs": [{"resource": resource("shop"), "schemaUrl": "urn:r",
        "scopeLogs": [{"scope": scope(), "schemaUrl": "urn:s", "logRecords": records}]}]})
}

fn metrics() -> Value {
    let frame = |own: Value| {
        let mut point = json!({"attributes": [{"key": "k", "value": {"stringValue": "v"}}], "startTimeUnixNano": (T0 + 1).to_string(),
            "timeUnixNano": (T0 + 9).to_string(), "flags": 0, "exemplars": [{"timeUnixNano": (T0 + 3).to_string(), "asInt": "7",
            "traceId": "01".repeat(16), "spanId": "02".repeat(8), "filteredAttributes": []}]});
        point.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        point
    };
    let side = json!({"offset": -2, "bucketCounts": ["1", "0", "2"]});
    let mut summary =
        frame(json!({"count": "5", "sum": 6.5, "quantileValues": [{"quantile": 0.5, "value": "Infinity"}]}));
    summary.as_object_mut().unwrap().remove("exemplars");
    let list = json!([
        {"name": "g", "unit": "s", "description": "d", "metadata": [{"key": "m", "value": {"boolValue": true}}], "gauge": {"dataPoints": [frame(json!({"asDouble": "NaN"}))]}},
        {"name": "s", "unit": "1", "sum": {"isMonotonic": true, "aggregationTemporality": 2, "dataPoints": [frame(json!({"asInt": "-3"}))]}},
        {"name": "h", "histogram": {"aggregationTemporality": 1, "dataPoints": [frame(json!({"count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [0.5]}))]}},
        {"name": "e", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [frame(json!({"count": "4", "sum": 1, "min": 0, "max": 2, "scale": 3,
            "zeroCount": "1", "zeroThreshold": 0.25, "positive": side}))]}},
        {"name": "q", "summary": {"dataPoints": [summary]}},
    ]);
    json!({"resourceMetrics": [{"resource": resource("shop"), "schemaUrl": "urn:r",
        "scopeMetrics": [{"scope": scope(), "schemaUrl": "urn:s", "metrics": list}]}]})
}

async fn import(server: &Running, body: String) -> (u16, Value) {
    let request = server.client.post(format!("http://{}/api/import", server.at.ui));
    let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// All that the API shows, without what says when it came.
async fn all(server: &Running) -> Value {
    let range = format!("start=0&end={}", T0 + 1_000_000);
    let mut shown = vec![];
    for id in ["01", "02", "03"] {
        shown.push(server.get(&format!("/api/traces/{}", id.repeat(16))).await.1);
    }
    let mut logs = server.json("/api/logs").await;
    logs.as_array_mut().unwrap().iter_mut().for_each(|log| log["log_id"] = Value::Null);
    shown.push(logs);
    shown.push(server.json("/api/metrics").await);
    for name in ["g", "s", "h", "e", "q"] {
        shown.push(server.json(&format!("/api/metrics/{name}?{range}")).await);
    }
    json!(shown)
}

#[tokio::test]
async fn everything_survives_export_and_import() {
    let from = Running::start().await;
    from.accept("traces", spans("shop", 1, 3)).await;
    from.accept("traces", spans("cart", 2, 2)).await;
    from.accept("logs", logs()).await;
    from.accept("metrics", metrics()).await;
    let to = Running::start().await;
    let mut sums = vec![];
    for signal in ["traces", "logs", "metrics"] {
        let exported = from.json(&format!("/api/export?signal={signal}")).await;
        let (status, sum) = import(&to, exported.to_string()).await;
        assert_eq!(status, 200, "{sum}");
        sums.push(sum);
    }
    assert_eq!(sums[0], json!({"spans": 5, "logs": 0, "metric_points": 0, "rejected": 0}));
    assert_eq!((&sums[1]["logs"], &sums[2]["metric_points"]), (&json!(2), &json!(5)));
    assert_eq!(all(&to).await, all(&from).await);
}

#[tokio::test]
async fn one_trace_is_a_file_and_filters_choose() {
    let server = Running::start().await;
    for trace in 1..=120 {
        server.accept("traces", spans(if trace % 2 == 0 { "even" } else { "odd" }, trace, 2)).await;
    }
    let url = format!("http://{}/api/traces/{}/otlp", server.at.ui, "07".repeat(16));
    let response = server.client.get(url).send().await.unwrap();
    let disposition = response.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert_eq!(disposition, format!("attachment; filename=\"trace-{}.json\"", "07".repeat(16)));
    let trace: Value = response.json().await.unwrap();
    assert_eq!(trace, spans("odd", 7, 2));
    let exported = server.json("/api/export?signal=traces&service=even").await;
    assert_eq!(exported["resourceSpans"].as_array().unwrap().len(), 60);
    let none = server.json("/api/export?signal=logs&q=nothing").await;
    assert_eq!(none, json!({"resourceLogs": []}));
    for bad in ["", "signal=profiles", "signal=traces&limit=1", "signal=metrics&q=x", "signal=traces&kind=x"]
    {
        assert_eq!(server.get(&format!("/api/export?{bad}")).await.0, 400, "{bad}");
    }
    assert_eq!(server.get(&format!("/api/traces/{}/otlp", "ff".repeat(16))).await.0, 404);
    assert_eq!(server.get("/api/traces/xyz/otlp").await.0, 400);
}

#[tokio::test]
async fn documents_in_a_row_and_of_several_signals_are_taken() {
    let server = Running::start().await;
    let mut both = spans("s", 1, 1);
    both["resourceLogs"] = logs()["resourceLogs"].clone();
    let (status, sum) = import(&server, format!("{both}\n{}\n\n{}", spans("s", 2, 2), metrics())).await;
    assert_eq!((status, &sum), (200, &json!({"spans": 3, "logs": 2, "metric_points": 5, "rejected": 0})));
    let bad = spans("s", 0, 2);
    assert_eq!(import(&server, bad.to_string()).await.1["rejected"], 2, "ids of zero");
    for (body, expected) in
        [("", 400), ("{", 400), ("[]", 400), ("{} x", 400), ("{}", 200), ("{\"resourceSpans\": 1}", 400)]
    {
        assert_eq!(import(&server, body.to_owned()).await.0, expected, "{body}");
    }
    let request = server.client.post(format!("http://{}/api/import", server.at.ui)).body("{}");
    assert_eq!(request.send().await.unwrap().status(), 415);
    let foreign = server.client.post(format!("http://{}/api/import", server.at.ui)).body("{}");
    let foreign = foreign.header("content-type", "application/json").header("origin", "http://evil.example");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    assert_eq!(import(&server, " ".repeat(5 << 20)).await.0, 413);
    assert_eq!(server.json("/api/stats").await["spans"], 3);
}

#[tokio::test]
async fn the_commands_move_files_between_servers() {
    let from = Running::start().await;
    for trace in 1..=40 {
        from.accept("traces", spans("shop", trace, 30)).await;
    }
    let mut file = Vec::new();
    let path = export_path("traces", &[("attr".into(), "l".into()), ("q".into(), "GET /1".into())]);
    Client::new(from.at.ui).get(&path, &mut file).await.unwrap();
    // A server with the smallest limit takes it in parts.
    let small = |config: &mut tinyolly::config::Config| config.max_request_bytes = 1 << 20;
    let to = Running::start_with(tempfile::tempdir().unwrap(), small).await;
    let text = String::from_utf8(file).unwrap();
    let sum = Client::new(to.at.ui).import(&text).await.unwrap();
    assert_eq!(sum, Sum { spans: 1200, ..Sum::default() });
    let refused = Client::new(from.at.ui).get("/api/export?signal=x", &mut Vec::new()).await.unwrap_err();
    assert!(format!("{refused:#}").contains("one of traces, logs, metrics"), "{refused:#}");
}

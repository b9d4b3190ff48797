//! Log records in, and out complete.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use serde_json::{Value, json};
use support::Running;

const T0: u64 = 1_763_829_600_000_000_000;

fn request(records: Value) -> Value {
    json!({"resourceLogs": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "schemaUrl": "urn:r",
        "scopeLogs": [{"scope": {"name": "lib"}, "schemaUrl": "urn:s", "logRecords": records}],
    }]})
}

#[tokio::test]
async fn a_record_comes_back_complete() {
    let server = Running::start().await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let body = json!({"kvlistValue": {"values": [
        {"key": "event", "value": {"stringValue": "paid"}}, {"key": "amount", "value": {"intValue": "12"}},
        {"key": "ratio", "value": {"doubleValue": 0.5}},
        {"key": "tags", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}},
        {"key": "raw", "value": {"bytesValue": "AP8="}},
    ]}});
    let record = json!({
        "timeUnixNano": T0.to_string(), "observedTimeUnixNano": (T0 + 1).to_string(), "severityNumber": 14,
        "severityText": "warning", "body": body, "attributes": [{"key": "k", "value": {"stringValue": "v"}}],
        "droppedAttributesCount": 2, "flags": 1, "traceId": trace, "spanId": "b7ad6b7169203331",
        "eventName": "order.paid",
    });
    server.accept("logs", request(json!([record]))).await;
    let logs = server.json("/api/logs").await;
    let mut log = logs[0].clone();
    let message: Value = serde_json::from_str(log["message"].take().as_str().unwrap()).unwrap();
    assert_eq!(
        message,
        json!({"event": "paid", "amount": 12, "ratio": 0.5, "tags": [true, null], "raw": "00ff"})
    );
    let expected = json!({
        "log_id": log["log_id"], "timestamp": T0.to_string(), "observed_timestamp": (T0 + 1).to_string(),
        "severity": "warning", "severity_number": 14, "event_name": "order.paid", "body": body, "message": null,
        "trace_id": trace, "span_id": "b7ad6b7169203331", "flags": 1, "service_name": "shop",
        "attributes": [{"key": "k", "value": {"stringValue": "v"}}], "droppedAttributesCount": 2,
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}],
            "droppedAttributesCount": 0, "schemaUrl": "urn:r"},
        "scope": {"name": "lib", "version": "", "attributes": [], "droppedAttributesCount": 0, "schemaUrl": "urn:s"},
    });
    assert_eq!(log, expected);
    assert!(log["log_id"].is_string());
}

#[tokio::test]
async fn what_a_record_leaves_out_is_filled_in_as_documented() {
    let server = Running::start().await;
    let records = json!([
        {"severityNumber": 17, "body": {"stringValue": "no time"}},
        {"observedTimeUnixNano": T0.to_string(), "body": {"stringValue": "observed"},
         "traceId": "00000000000000000000000000000000", "spanId": ""},
        {"timeUnixNano": (T0 + 5).to_string()},
    ]);
    server.accept("logs", request(records)).await;
    let logs = server.json("/api/logs").await;
    assert_eq!(logs[0]["message"], "no time");
    assert_eq!(logs[0]["severity"], "ERROR");
    assert_eq!(logs[0]["timestamp"], logs[0]["observed_timestamp"]);
    assert_ne!(logs[0]["timestamp"], "0");
    assert_eq!((&logs[1]["message"], &logs[1]["body"]), (&json!(""), &json!({})));
    assert_eq!(logs[1]["timestamp"], (T0 + 5).to_string());
    assert_eq!(logs[1]["severity"], "");
    assert_eq!(logs[2]["timestamp"], T0.to_string());
    assert_eq!(logs[2]["trace_id"], "");
}

#[tokio::test]
async fn filters_narrow_the_list() {
    let server = Running::start().await;
    let record = |n: u64, severity: u32, trace: &str, span: &str| {
        json!({"timeUnixNano": (T0 + n).to_string(), "severityNumber": severity, "traceId": trace, "spanId": span,
               "body": {"stringValue": n.to_string()}})
    };
    let (t1, t2, s1, s2) = ("01".repeat(16), "02".repeat(16), "01".repeat(8), "02".repeat(8));
    let records = json!([
        record(1, 9, &t1, &s1),
        record(2, 13, &t1, &s2),
        record(3, 17, &t2, &s1),
        record(4, 0, "", "")
    ]);
    server.accept("logs", request(records)).await;
    let messages = async |query: &str| {
        let logs = server.json(&format!("/api/logs{query}")).await;
        logs.as_array().unwrap().iter().map(|l| l["message"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(messages("").await, ["4", "3", "2", "1"]);
    assert_eq!(messages("?limit=2").await, ["4", "3"]);
    assert_eq!(messages("?severity_min=13").await, ["3", "2"]);
    assert_eq!(messages("?severity_min=warn").await, ["3", "2"]);
    assert_eq!(messages(&format!("?trace_id={t1}")).await, ["2", "1"]);
    assert_eq!(messages(&format!("?span_id={s1}")).await, ["3", "1"]);
    assert_eq!(messages(&format!("?trace_id={t1}&span_id={s1}")).await, ["1"]);
    assert_eq!(messages("?service=shop&severity_min=17").await, ["3"]);
    assert!(messages("?service=nobody").await.is_empty());
}

#[tokio::test]
async fn a_record_with_an_id_of_the_wrong_length_is_left_out() {
    let server = Running::start().await;
    let records =
        json!([{"traceId": "0102", "body": {"stringValue": "bad"}}, {"body": {"stringValue": "good"}}]);
    let answer = server.accept("logs", request(records)).await;
    assert_eq!(answer["partialSuccess"]["rejectedLogRecords"], "1");
    assert!(answer["partialSuccess"]["errorMessage"].as_str().unwrap().contains("2 bytes"));
    assert_eq!(server.json("/api/logs").await[0]["message"], "good");
}

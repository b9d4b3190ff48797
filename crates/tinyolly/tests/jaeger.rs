//! Jaeger's query API, as Grafana asks it.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use opentelemetry_proto::tonic::common::v1::ArrayValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message;
use serde_json::{Value, json};
use support::{PROTOBUF, Running, attribute, span, text, trace_request};

const T0: u64 = 1_763_829_600_000_000_000;

async fn send(server: &Running, service: &str, spans: Vec<Span>) {
    let body = trace_request(service, spans).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
}

async fn started() -> Running {
    let server = Running::start().await;
    let mut root = span(1, 1, T0 + 1_999);
    root.name = "GET /".into();
    root.status = Some(Status { code: 2, message: "no".into() });
    root.trace_state = "a=b".into();
    root.attributes = vec![
        attribute("s", text("x")),
        attribute("b", Any::BoolValue(true)),
        attribute("i", Any::IntValue(500)),
        attribute("big", Any::IntValue(i64::MAX)),
        attribute("d", Any::DoubleValue(0.5)),
        attribute("bytes", Any::BytesValue(vec![1, 2])),
        attribute("list", Any::ArrayValue(ArrayValue::default())),
    ];
    let attributes = vec![attribute("exception.type", text("E"))];
    root.events = vec![Event {
        time_unix_nano: T0 + 5_000,
        name: "exception".into(),
        attributes,
        ..Default::default()
    }];
    root.links = vec![Link { trace_id: vec![7; 16], span_id: vec![8; 8], ..Default::default() }];
    let mut call = span(1, 2, T0 + 3_000);
    (call.kind, call.parent_span_id) = (3, vec![1; 8]);
    send(&server, "front", vec![root, call]).await;
    let mut answer = span(1, 3, T0 + 4_000);
    answer.parent_span_id = vec![2; 8];
    send(&server, "back", vec![answer]).await;
    let mut quick = span(2, 4, T0 + 1_000_000_000);
    quick.end_time_unix_nano = quick.start_time_unix_nano + 10;
    send(&server, "front", vec![quick]).await;
    server
}

#[tokio::test]
async fn a_trace_has_jaegers_shape() {
    let server = started().await;
    let found = server.json(&format!("/jaeger/api/traces/{}?start=1&end=2", "01".repeat(16))).await;
    assert_eq!((&found["errors"], &found["total"]), (&Value::Null, &1.into()));
    let trace = &found["data"][0];
    let root = &trace["spans"][0];
    let id = "01".repeat(16);
    assert_eq!((&trace["traceID"], &root["traceID"]), (&json!(id), &json!(id)));
    assert_eq!((&root["spanID"], &root["operationName"]), (&json!("01".repeat(8)), &json!("GET /")));
    assert_eq!((&root["startTime"], &root["duration"]), (&json!(T0 / 1000 + 1), &json!(1000)));
    let tag = |key: &str| {
        let tag = root["tags"].as_array().unwrap().iter().find(|tag| tag["key"] == key).unwrap();
        (tag["type"].as_str().unwrap().to_owned(), tag["value"].clone())
    };
    for (key, r#type, value) in [
        ("s", "string", json!("x")),
        ("b", "bool", json!(true)),
        ("i", "int64", json!(500)),
        ("big", "int64", json!(i64::MAX.to_string())),
        ("d", "float64", json!(0.5)),
        ("bytes", "binary", json!("AQI=")),
        ("list", "string", json!("[]")),
        ("error", "bool", json!(true)),
        ("span.kind", "string", json!("server")),
        ("otel.status_code", "string", json!("ERROR")),
        ("otel.status_description", "string", json!("no")),
        ("otel.scope.name", "string", json!("test")),
        ("w3c.tracestate", "string", json!("a=b")),
    ] {
        assert_eq!(tag(key), (r#type.to_owned(), value), "{key}");
    }
    let fields = json!([{ "key": "event", "type": "string", "value": "exception" },
        { "key": "exception.type", "type": "string", "value": "E" }]);
    assert_eq!(root["logs"], json!([{ "timestamp": T0 / 1000 + 5, "fields": fields }]));
    let follows = json!({ "refType": "FOLLOWS_FROM", "traceID": "07".repeat(16), "spanID": "08".repeat(8) });
    assert_eq!(root["references"], json!([follows]));
    let child = json!({ "refType": "CHILD_OF", "traceID": id, "spanID": "02".repeat(8) });
    assert_eq!(trace["spans"][2]["references"], json!([child]));
    let process = trace["spans"][2]["processID"].as_str().unwrap();
    assert_eq!(trace["processes"][process], json!({ "serviceName": "back", "tags": [] }));
    assert_eq!(trace["processes"].as_object().unwrap().len(), 2);
    server.stop().await;
}

#[tokio::test]
async fn names_searches_and_dependencies_are_answered() {
    let server = started().await;
    assert_eq!(server.json("/jaeger/api/services").await["data"], json!(["back", "front"]));
    let names = server.json("/jaeger/api/services/front/operations").await;
    assert_eq!(names["data"], json!(["GET /", "span 2", "span 4"]));
    let clients = server.json("/jaeger/api/operations?service=front&spanKind=client").await;
    assert_eq!(clients["data"], json!([{ "name": "span 2", "spanKind": "client" }]));
    let range = format!("start={}&end={}", T0 / 1000, T0 / 1000 + 10_000_000);
    for (query, traces) in [
        ("", &["02", "01"][..]),
        ("&limit=1", &["02"]),
        ("&operation=GET%20/", &["01"]),
        ("&operation=all&lookback=custom", &["02", "01"]),
        ("&operation=nothing", &[]),
        ("&tags=%7B%22i%22%3A%22500%22%2C%22error%22%3A%22true%22%7D", &["01"]),
        ("&tags=%7B%22i%22%3A%22501%22%7D", &[]),
        ("&tag=s:x&tag=span.kind:server", &["01"]),
        ("&minDuration=500us", &["01"]),
        ("&maxDuration=0.5ms", &["02"]),
        ("&limit=0", &[]),
    ] {
        let found = server.json(&format!("/jaeger/api/traces?service=front&{range}{query}")).await;
        let ids: Vec<_> = found["data"].as_array().unwrap().iter().map(|t| t["traceID"].clone()).collect();
        let expected: Vec<Value> = traces.iter().map(|id| json!(id.repeat(16))).collect();
        assert_eq!(ids, expected, "{query}");
    }
    let dependencies = format!("/jaeger/api/dependencies?endTs={}&lookback=60000", T0 / 1_000_000 + 2000);
    let link = json!({ "parent": "front", "child": "back", "callCount": 1 });
    assert_eq!(server.json(&dependencies).await["data"], json!([link]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_as_jaeger_says_it() {
    let server = started().await;
    for (path, expected) in [
        ("/traces", 400),
        ("/traces?service=front&tags=nonsense", 400),
        ("/traces?service=front&tags=%5B1%5D", 400),
        ("/traces?service=front&tag=x", 400),
        ("/traces?service=front&start=soon", 400),
        ("/traces?service=front&minDuration=-5s", 400),
        ("/traces?service=front&maxDuration=NaNs", 400),
        ("/traces?traceID=xyz", 400),
        ("/traces/%3Cscript%3E", 400),
        ("/traces/5", 404),
        ("/operations", 400),
    ] {
        let (status, body) = server.get(&format!("/jaeger/api{path}")).await;
        assert_eq!((status, &body["errors"][0]["code"]), (expected, &expected.into()), "{path}");
    }
    let unknown = server.json("/jaeger/api/traces?service=nobody&start=0&end=18446744073709551615").await;
    assert_eq!(unknown["data"], json!([]));
    assert_eq!(server.get("/jaeger/api/nothing").await.0, 404);
    server.stop().await;
}

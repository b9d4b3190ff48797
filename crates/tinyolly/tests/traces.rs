//! Traces in over every transport, and out complete.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::io::Write;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValueList};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message;
use serde_json::json;
use support::{JSON, PROTOBUF, Running, attribute, resource, span, text, trace_request};
use tonic::codec::CompressionEncoding;

const T0: u64 = 1_763_829_600_000_000_000;

/// A request that uses every field a span has.
fn complete() -> ExportTraceServiceRequest {
    let nested = KeyValueList {
        values: vec![attribute("inner", Value::ArrayValue(ArrayValue { values: vec![AnyValue::default()] }))],
    };
    let attributes = vec![
        attribute("text", text("žluťoučký 🐎 \0 <b>")),
        attribute("int", Value::IntValue(i64::MIN)),
        attribute("double", Value::DoubleValue(0.1)),
        attribute("nan", Value::DoubleValue(f64::NAN)),
        attribute("yes", Value::BoolValue(true)),
        attribute("bytes", Value::BytesValue(vec![0, 255, 16])),
        attribute("list", Value::KvlistValue(nested)),
        attribute("huge", text(&"x".repeat(200_000))),
    ];
    let full = Span {
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        parent_span_id: vec![9; 8],
        trace_state: "a=1,b=2".into(),
        flags: 0x301,
        name: "GET /orders/{id}".into(),
        kind: 3,
        start_time_unix_nano: T0,
        end_time_unix_nano: T0 + 12_345_678,
        attributes,
        dropped_attributes_count: 3,
        events: vec![Event {
            time_unix_nano: T0 + 5,
            name: "exception".into(),
            attributes: vec![attribute("exception.type", text("E"))],
            dropped_attributes_count: 4,
        }],
        dropped_events_count: 5,
        links: vec![Link {
            trace_id: vec![7; 16],
            span_id: vec![8; 8],
            trace_state: "c=3".into(),
            attributes: vec![attribute("why", text("because"))],
            dropped_attributes_count: 6,
            flags: 0x100,
        }],
        dropped_links_count: 7,
        status: Some(Status { message: "broken".into(), code: 2 }),
    };
    let scope = InstrumentationScope {
        name: "lib".into(),
        version: "1.2".into(),
        attributes: vec![attribute("scope.a", Value::IntValue(1))],
        dropped_attributes_count: 8,
    };
    let mut resource = resource("shop");
    resource.dropped_attributes_count = 9;
    let scope_spans =
        vec![ScopeSpans { scope: Some(scope), spans: vec![full], schema_url: "urn:scope".into() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource), scope_spans, schema_url: "urn:resource".into() }];
    ExportTraceServiceRequest { resource_spans }
}

async fn assert_complete(server: &Running) {
    let trace = server.json("/api/traces/0102030405060708090A0B0C0D0E0F10").await;
    let expected = json!({
        "trace_id": "0102030405060708090a0b0c0d0e0f10",
        "joined_trace_ids": [],
        "span_count": 1,
        "spans": [{
            "traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708",
            "parentSpanId": "0909090909090909", "traceState": "a=1,b=2", "flags": 0x301,
            "name": "GET /orders/{id}", "kind": 3,
            "startTimeUnixNano": T0.to_string(), "endTimeUnixNano": (T0 + 12_345_678).to_string(),
            "attributes": [
                {"key": "text", "value": {"stringValue": "žluťoučký 🐎 \0 <b>"}},
                {"key": "int", "value": {"intValue": "-9223372036854775808"}},
                {"key": "double", "value": {"doubleValue": 0.1}},
                {"key": "nan", "value": {"doubleValue": "NaN"}},
                {"key": "yes", "value": {"boolValue": true}},
                {"key": "bytes", "value": {"bytesValue": "AP8Q"}},
                {"key": "list", "value": {"kvlistValue": {"values": [
                    {"key": "inner", "value": {"arrayValue": {"values": [{}]}}}]}}},
                {"key": "huge", "value": {"stringValue": "x".repeat(200_000)}},
            ],
            "droppedAttributesCount": 3,
            "events": [{"timeUnixNano": (T0 + 5).to_string(), "name": "exception",
                "attributes": [{"key": "exception.type", "value": {"stringValue": "E"}}],
                "droppedAttributesCount": 4}],
            "droppedEventsCount": 5,
            "links": [{"traceId": "07".repeat(16), "spanId": "08".repeat(8), "traceState": "c=3",
                "attributes": [{"key": "why", "value": {"stringValue": "because"}}],
                "droppedAttributesCount": 6, "flags": 0x100}],
            "droppedLinksCount": 7,
            "status": {"code": 2, "message": "broken"},
            "serviceName": "shop",
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}],
                "droppedAttributesCount": 9, "schemaUrl": "urn:resource"},
            "scope": {"name": "lib", "version": "1.2",
                "attributes": [{"key": "scope.a", "value": {"intValue": "1"}}],
                "droppedAttributesCount": 8, "schemaUrl": "urn:scope"},
        }],
    });
    assert_eq!(trace, expected);
}

#[tokio::test]
async fn grpc_plain_gzip_and_zstd() {
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let server = Running::start().await;
        let mut client = TraceServiceClient::connect(server.grpc()).await.unwrap();
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding).accept_compressed(encoding);
        }
        let answer = client.export(complete()).await.unwrap().into_inner();
        assert_eq!(answer.partial_success, None);
        assert_complete(&server).await;
    }
}

#[tokio::test]
async fn http_protobuf_plain_gzip_and_zstd() {
    for encoding in ["identity", "gzip", "zstd"] {
        let server = Running::start().await;
        let plain = complete().encode_to_vec();
        let body = match encoding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&plain).unwrap();
                encoder.finish().unwrap()
            }
            "zstd" => zstd::encode_all(plain.as_slice(), 1).unwrap(),
            _ => plain,
        };
        let headers = [PROTOBUF, ("content-encoding", encoding)];
        let (status, content_type, answer) = server.post("traces", &headers, body).await;
        assert_eq!((status, content_type.as_str()), (200, PROTOBUF.1));
        let answer = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap();
        assert_eq!(answer, ExportTraceServiceResponse::default());
        assert_complete(&server).await;
    }
}

#[tokio::test]
async fn the_list_shows_the_root_and_the_services() {
    let server = Running::start().await;
    let mut root = span(1, 1, T0 + 10);
    root.attributes = vec![
        attribute("http.request.method", text("GET")),
        attribute("url.path", text("/process-order")),
        attribute("http.response.status_code", Value::IntValue(200)),
    ];
    let mut child = span(1, 2, T0);
    child.parent_span_id = vec![1; 8];
    child.status = Some(Status { code: 2, message: "no".into() });
    // The child comes first, from another service, and starts first by a clock that runs behind.
    for (service, spans) in
        [("backend", vec![child]), ("frontend", vec![root]), ("other", vec![span(2, 9, T0 + 50)])]
    {
        let body = trace_request(service, spans).encode_to_vec();
        assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    }
    let traces = server.json("/api/traces").await;
    assert_eq!(traces.as_array().unwrap().len(), 2);
    assert_eq!(traces[0]["root_span_name"], "span 9", "newest first");
    let expected = json!({
        "trace_id": "01".repeat(16), "span_count": 2, "error_count": 1, "start_time": T0.to_string(),
        "duration_ns": "1000010", "duration_ms": 1.00001, "service_name": "frontend",
        "root_span_id": "01".repeat(8), "root_span_name": "span 1", "root_span_kind": 2,
        "root_span_method": "GET", "root_span_route": null, "root_span_url": "/process-order",
        "root_span_status_code": 200, "root_span_status": {"code": 0, "message": ""},
        "services": [{"name": "backend", "span_count": 1, "error_count": 1},
                     {"name": "frontend", "span_count": 1, "error_count": 0}],
        "joined_trace_ids": [],
    });
    assert_eq!(traces[1], expected);
    let of = async |path: &str| server.json(path).await.as_array().unwrap().len();
    assert_eq!(of("/api/traces?service=backend").await, 1);
    assert_eq!(of("/api/traces?service=nobody").await, 0);
    assert_eq!(of("/api/traces?limit=1").await, 1);
    assert_eq!(of("/api/spans").await, 3);
    assert_eq!(of("/api/spans?service=frontend").await, 1);
    assert_eq!(of(&format!("/api/spans?trace_id={}", "01".repeat(16))).await, 2);
    assert_eq!(of(&format!("/api/spans?service=backend&trace_id={}", "01".repeat(16))).await, 1);
    let spans = server.json("/api/spans").await;
    assert_eq!(spans[0]["name"], "span 9");
    assert_eq!(spans[2]["parent_span_id"], "01".repeat(8));
    assert_eq!(spans[2]["status"], json!({"code": 2, "message": "no"}));
}

#[tokio::test]
async fn spans_with_bad_ids_are_left_out_and_the_rest_is_kept() {
    let server = Running::start().await;
    let mut bad = vec![span(0, 1, T0), span(1, 0, T0), span(1, 3, T0), span(1, 4, T0), span(1, 5, T0)];
    bad[2].trace_id = vec![1; 15];
    bad[3].span_id = Vec::new();
    bad[4].parent_span_id = vec![1; 3];
    bad.push(span(1, 6, T0));
    let mut zero_parent = span(1, 7, T0);
    zero_parent.parent_span_id = vec![0; 8];
    bad.push(zero_parent);
    let mut client = TraceServiceClient::connect(server.grpc()).await.unwrap();
    let answer = client.export(trace_request("s", bad)).await.unwrap().into_inner();
    let partial = answer.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 5);
    assert!(partial.error_message.contains("trace id"), "{}", partial.error_message);
    let spans = server.json("/api/spans").await;
    assert_eq!(spans.as_array().unwrap().len(), 2);
    assert_eq!(spans[1]["parent_span_id"], "");
    assert_eq!(server.json("/api/stats").await["rejected"]["items"], 5);
}

#[tokio::test]
async fn a_span_sent_twice_counts_once() {
    let server = Running::start().await;
    let body = trace_request("s", vec![span(1, 1, T0), span(1, 2, T0)]).encode_to_vec();
    for _ in 0..3 {
        assert_eq!(server.post("traces", &[PROTOBUF], body.clone()).await.0, 200);
    }
    let stats = server.json("/api/stats").await;
    assert_eq!((&stats["spans"], &stats["traces"]), (&json!(2), &json!(1)));
    assert_eq!(stats["received"]["duplicate_spans"], 4);
    assert_eq!(server.json("/api/traces").await[0]["span_count"], 2);
}

#[tokio::test]
async fn json_in_every_spelling_the_specification_allows() {
    let server = Running::start().await;
    let answer = server
        .accept(
            "traces",
            json!({"unknown": [{"deep": null}], "resourceSpans": [{
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "js"}}], "entityRefs": null},
                "scopeSpans": [{"scope": null, "schemaUrl": null, "spans": [{
                    "traceId": "5B8EFFF798038103D269B633813FC60C", "spanId": "eee19b7ec3c1b174",
                    "parentSpanId": null, "kind": "2", "flags": 1.0,
                    "startTimeUnixNano": T0, "endTimeUnixNano": (T0 + 1).to_string(),
                    "futureField": {"a": [1, 2, {"b": "c"}]},
                    "attributes": [
                        {"key": "i", "value": {"intValue": "-7"}}, {"key": "j", "value": {"intValue": -7}},
                        {"key": "d", "value": {"doubleValue": 1}}, {"key": "n", "value": {"doubleValue": "-Infinity"}},
                        {"key": "b", "value": {"bytesValue": "-_8"}}, {"key": "e"}, {"key": "u", "value": {"later": 1}},
                        {"value": {"boolValue": false}},
                    ],
                    "status": {},
                }]}],
            }]}),
        )
        .await;
    assert_eq!(answer, json!({}));
    let span = server.json("/api/traces/5b8efff798038103d269b633813fc60c").await["spans"][0].clone();
    assert_eq!(span["kind"], 2);
    assert_eq!(span["flags"], 1);
    assert_eq!(span["startTimeUnixNano"], T0.to_string());
    assert_eq!(
        span["attributes"],
        json!([
            {"key": "i", "value": {"intValue": "-7"}}, {"key": "j", "value": {"intValue": "-7"}},
            {"key": "d", "value": {"doubleValue": 1.0}}, {"key": "n", "value": {"doubleValue": "-Infinity"}},
            {"key": "b", "value": {"bytesValue": "+/8="}}, {"key": "e", "value": {}}, {"key": "u", "value": {}},
            {"key": "", "value": {"boolValue": false}},
        ])
    );
    let headers = [("content-type", "application/json; charset=utf-8"), ("content-encoding", "zstd")];
    let body = zstd::encode_all(b"{}".as_slice(), 1).unwrap();
    assert_eq!(server.post("traces", &headers, body).await.0, 200);
    assert_eq!(server.post("traces", &[JSON], b"{}".to_vec()).await.1, JSON.1);
}

#[tokio::test]
async fn times_beyond_the_signed_range_come_back_as_sent() {
    let server = Running::start().await;
    let mut odd = span(1, 1, 0);
    odd.start_time_unix_nano = u64::MAX - 5;
    odd.end_time_unix_nano = 3;
    let body = trace_request("s", vec![odd, span(2, 2, 0)]).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    let span = server.json(&format!("/api/traces/{}", "01".repeat(16))).await["spans"][0].clone();
    assert_eq!(span["startTimeUnixNano"], (u64::MAX - 5).to_string());
    assert_eq!(span["endTimeUnixNano"], "3");
    assert_eq!(server.json("/api/spans").await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn entities_of_a_resource_come_back() {
    let server = Running::start().await;
    let entities = json!([{"schemaUrl": "u", "type": "host", "idKeys": ["host.id"], "descriptionKeys": []}]);
    let span = json!({"traceId": "01".repeat(16), "spanId": "01".repeat(8), "name": "n"});
    let sent =
        json!({"resourceSpans": [{"resource": {"entityRefs": entities}, "scopeSpans": [{"spans": [span]}]}]});
    server.accept("traces", sent).await;
    let trace = server.json(&format!("/api/traces/{}", "01".repeat(16))).await;
    assert_eq!(trace["spans"][0]["resource"]["entityRefs"], entities);
}

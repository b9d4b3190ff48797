//! Who calls whom.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message;
use serde_json::Value;
use support::{PROTOBUF, Running, attribute, span, text, trace_request};

const SECOND: u64 = 1_000_000_000;
const T0: u64 = 1_763_829_600 * SECOND;

/// A span of trace 1.
fn part(id: u8, parent: u8, kind: i32, attributes: &[(&str, &str)]) -> Span {
    let mut span = span(1, id, T0 + u64::from(id));
    span.kind = kind;
    span.parent_span_id = if parent == 0 { Vec::new() } else { vec![parent; 8] };
    span.attributes = attributes.iter().map(|(key, value)| attribute(key, text(value))).collect();
    span
}

async fn send(server: &Running, service: &str, spans: Vec<Span>) {
    let body = trace_request(service, spans).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
}

fn edges(map: &Value) -> Vec<(String, u64)> {
    let edge = |edge: &Value| {
        let ends = ["source", "target"].map(|end| edge[end].as_str().unwrap());
        (ends.join(" > "), edge["request_count"].as_u64().unwrap())
    };
    let mut edges: Vec<_> = map["edges"].as_array().unwrap().iter().map(edge).collect();
    edges.sort();
    edges
}

fn node<'a>(map: &'a Value, id: &str) -> &'a Value {
    let nodes = map["nodes"].as_array().unwrap();
    nodes.iter().find(|node| node["id"] == id).unwrap_or_else(|| panic!("no {id} in {map}"))
}

#[tokio::test]
async fn all_kinds_of_places_and_calls_are_on_it() {
    let server = Running::start().await;
    // The children arrive first.
    let mut failed = part(20, 11, 2, &[]);
    failed.status = Some(Status { code: 2, message: String::new() });
    let back = vec![
        failed,
        part(21, 20, 3, &[("db.system", "postgresql"), ("db.name", "orders")]),
        // The driver's own span below that of the mapper: one call.
        part(22, 20, 3, &[("db.system.name", "postgresql"), ("db.namespace", "orders")]),
        part(23, 22, 3, &[("db.system.name", "postgresql"), ("db.namespace", "orders")]),
        part(24, 20, 4, &[("messaging.system", "kafka"), ("messaging.destination.name", "mail")]),
    ];
    send(&server, "back", back).await;
    send(
        &server,
        "mailer",
        vec![part(30, 24, 5, &[("messaging.system", "kafka"), ("messaging.destination", "mail")])],
    )
    .await;
    let front = vec![
        part(10, 0, 2, &[]),
        part(11, 10, 3, &[("server.address", "back")]),
        part(12, 10, 3, &[("server.address", "pay.example")]),
        // Within the service, whatever the kind: no edge.
        part(13, 10, 1, &[]),
    ];
    send(&server, "front", front).await;

    let window = format!("/api/service-map?start={T0}&end={}", T0 + SECOND);
    let trace = format!("/api/service-map?trace_id={}", "01".repeat(16));
    for path in [&window, &trace] {
        let map = server.json(path).await;
        assert_eq!((&map["complete"], &map["searched_traces"]), (&true.into(), &1.into()));
        let expected = [
            ("caller:unknown > service:front", 1),
            ("queue:kafka:mail > service:mailer", 1),
            ("service:back > database:postgresql:orders", 2),
            ("service:back > queue:kafka:mail", 1),
            ("service:front > external:pay.example", 1),
            ("service:front > service:back", 1),
        ];
        assert_eq!(edges(&map), expected.map(|(edge, count)| (edge.to_owned(), count)), "{path}");
        assert_eq!(node(&map, "service:back")["metrics"]["error_rate"], 1.0);
        assert_eq!(node(&map, "service:front")["metrics"]["error_count"], 0);
        assert_eq!(node(&map, "database:postgresql:orders")["label"], "orders");
        assert_eq!(node(&map, "queue:kafka:mail")["type"], "queue");
        assert_eq!(node(&map, "caller:unknown")["metrics"], Value::Null);
        let failing = map["edges"].as_array().unwrap().iter().filter(|edge| edge["error_count"] == 1);
        assert_eq!(failing.count(), 1);
    }
    let rate = server.json(&window).await["edges"][0]["rate"].as_f64().unwrap();
    assert!((rate - 0.2).abs() < 1e-6, "over a slot at least: {rate}");
    server.stop().await;
}

#[tokio::test]
async fn joined_traces_are_one() {
    let server = Running::start().await;
    let link = [("ebpf.link.id", "00000000000000ff"), ("server.address", "back")];
    send(&server, "front", vec![part(1, 0, 2, &[]), part(2, 1, 3, &link)]).await;
    let mut other = part(3, 0, 2, &link);
    other.trace_id = vec![2; 16];
    send(&server, "back", vec![other]).await;
    for path in [
        format!("/api/service-map?start={T0}&end={}", T0 + SECOND),
        format!("/api/service-map?trace_id={}", "02".repeat(16)),
    ] {
        let map = server.json(&path).await;
        let expected = ["caller:unknown > service:front", "service:front > service:back"];
        assert_eq!(edges(&map), expected.map(|edge| (edge.to_owned(), 1)), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn odd_traces_do_no_harm() {
    let server = Running::start().await;
    // Parents of each other, of themselves, of nobody; services named as others name them; a time beyond signed numbers.
    let mut late = part(9, 0, 3, &[("db.system", ""), ("url.full", "://")]);
    late.start_time_unix_nano = u64::MAX;
    let spans = vec![
        part(1, 2, 2, &[]),
        part(2, 1, 3, &[]),
        part(3, 3, 2, &[]),
        part(4, 77, 5, &[("messaging.destination.name", "<img src=x>")]),
        part(5, 4, 3, &[("peer.service", "odd")]),
        late,
    ];
    send(&server, "odd", spans).await;
    let map = server.json(&format!("/api/service-map?trace_id={}", "01".repeat(16))).await;
    assert_eq!(node(&map, "queue::<img src=x>")["label"], "<img src=x>");
    assert!(map["edges"].as_array().unwrap().iter().all(|edge| edge["source"] != edge["target"]));
    let empty = server.json("/api/service-map").await;
    assert_eq!((&empty["nodes"], &empty["complete"]), (&serde_json::json!([]), &true.into()));
    assert_eq!(server.get(&format!("/api/service-map?trace_id={}", "05".repeat(16))).await.0, 404);
    for bad in ["trace_id=5", "start=2&end=1", "service=x", &format!("trace_id={}&start=1", "01".repeat(16))]
    {
        assert_eq!(server.get(&format!("/api/service-map?{bad}")).await.0, 400, "{bad}");
    }
    server.stop().await;
}

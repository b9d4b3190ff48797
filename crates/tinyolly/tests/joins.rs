//! Two hosts' halves of a request are one tree, on evidence alone.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use support::{PROTOBUF, Running, attribute, span, text, trace_request};

const T0: u64 = 1_763_829_600_000_000_000;
const SECOND: u64 = 1_000_000_000;
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

fn id<const N: usize>(number: u8) -> String {
    format!("{number:02x}").repeat(N)
}

/// A span of a host's own trace, with the name that both ends' agents give to the request.
fn end(trace: u8, number: u8, parent: u8, kind: i32, start_ns: u64, link: &str) -> Span {
    let parent_span_id = if parent == 0 { Vec::new() } else { vec![parent; 8] };
    let attributes = if link.is_empty() { Vec::new() } else { vec![attribute("ebpf.link.id", text(link))] };
    Span { kind, parent_span_id, attributes, ..span(trace, number, start_ns) }
}

const LINK: &str = "00c0ffee80000001";
const NEXT_LINK: &str = "ffffffff00000002";

/// Host A: serves a request and makes a call of it.
fn front() -> (&'static str, Vec<Span>) {
    ("front", vec![end(1, 0x11, 0, SERVER, T0, ""), end(1, 0x12, 0x11, CLIENT, T0 + 1000, LINK)])
}

/// Host B: serves that call and makes the next.
fn middle() -> (&'static str, Vec<Span>) {
    let spans =
        vec![end(2, 0x21, 0, SERVER, T0 + 2000, LINK), end(2, 0x22, 0x21, CLIENT, T0 + 3000, NEXT_LINK)];
    ("middle", spans)
}

/// Host C: serves that one.
fn back() -> (&'static str, Vec<Span>) {
    ("back", vec![end(3, 0x31, 0, SERVER, T0 + 4000, NEXT_LINK)])
}

async fn send(server: &Running, (service, spans): (&str, Vec<Span>)) {
    let body = trace_request(service, spans).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
}

/// Each listed trace: its id, the others in it, its spans, and its services by name.
async fn listed(server: &Running, query: &str) -> Vec<(String, Vec<String>, u64, Vec<String>)> {
    let texts =
        |value: &Value| value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect();
    let list = server.json(&format!("/api/traces{query}")).await;
    let line = |line: &Value| {
        let services = line["services"].as_array().unwrap();
        let services = services.iter().map(|service| service["name"].as_str().unwrap().to_owned());
        let mut services: Vec<_> = services.collect();
        services.sort();
        (
            line["trace_id"].as_str().unwrap().to_owned(),
            texts(&line["joined_trace_ids"]),
            line["span_count"].as_u64().unwrap(),
            services,
        )
    };
    list.as_array().unwrap().iter().map(line).collect()
}

/// Span ids of the tree that a trace belongs to, with the joined parent where there is one.
async fn shown(server: &Running, trace: u8) -> Vec<(String, Value)> {
    let whole = server.json(&format!("/api/traces/{}", id::<16>(trace))).await;
    assert_eq!(whole["trace_id"], id::<16>(trace));
    let spans = whole["spans"].as_array().unwrap();
    assert_eq!(whole["span_count"], spans.len());
    spans.iter().map(|s| (s["spanId"].as_str().unwrap().to_owned(), s["joinedParent"].clone())).collect()
}

fn joined_to(trace: u8, span: u8) -> Value {
    json!({"traceId": id::<16>(trace), "spanId": id::<8>(span), "linkSource": "link_id"})
}

/// Checks that no trace is a part of another.
async fn assert_apart(server: &Running, traces: &[u8]) {
    let mut lines: Vec<_> = listed(server, "").await.into_iter().map(|line| (line.0, line.1)).collect();
    lines.sort();
    let expected: Vec<_> = traces.iter().map(|trace| (id::<16>(*trace), Vec::new())).collect();
    assert_eq!(lines, expected);
    for trace in traces {
        assert!(shown(server, *trace).await.iter().all(|(_, joined)| joined.is_null()), "{trace}");
    }
}

#[tokio::test]
async fn the_halves_are_one_tree_in_either_order_of_arrival() {
    for order in [[front(), middle()], [middle(), front()]] {
        let server = Running::start().await;
        let [first, second] = order;
        let first_trace = first.1[0].trace_id[0];
        send(&server, first).await;
        assert_apart(&server, &[first_trace]).await;
        send(&server, second).await;

        let services = vec!["front".to_owned(), "middle".to_owned()];
        let line = (id::<16>(1), vec![id::<16>(2)], 4, services);
        for query in ["", "?service=front", "?service=middle", "?limit=1"] {
            assert_eq!(listed(&server, query).await, std::slice::from_ref(&line), "{query}");
        }
        assert_eq!(listed(&server, "?service=back").await, []);
        let tree = [
            (id::<8>(0x11), Value::Null),
            (id::<8>(0x12), Value::Null),
            (id::<8>(0x21), joined_to(1, 0x12)),
            (id::<8>(0x22), Value::Null),
        ];
        assert_eq!(shown(&server, 1).await, tree);
        assert_eq!(shown(&server, 2).await, tree);
        let whole = server.json(&format!("/api/traces/{}", id::<16>(2))).await;
        assert_eq!(whole["joined_trace_ids"], json!([id::<16>(1)]));
        // What was received stays as it was.
        let root = &whole["spans"][2];
        assert_eq!((&root["traceId"], &root["parentSpanId"]), (&json!(id::<16>(2)), &json!("")));
        assert_eq!(root["startTimeUnixNano"], (T0 + 2000).to_string());
        let stats = server.json("/api/stats").await;
        assert_eq!((&stats["traces"], &stats["spans"]), (&json!(2), &json!(4)));
        let spans = server.json(&format!("/api/spans?trace_id={}", id::<16>(2))).await;
        assert_eq!(spans.as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_chain_over_three_hosts_is_one_tree() {
    let server = Running::start().await;
    for part in [back(), front(), middle()] {
        send(&server, part).await;
    }
    // Something of its own, which stays so.
    send(&server, ("other", vec![end(9, 0x91, 0, SERVER, T0 + SECOND, "")])).await;
    let services = ["back", "front", "middle"].map(str::to_owned).to_vec();
    let chain = (id::<16>(1), vec![id::<16>(2), id::<16>(3)], 5, services);
    let lines = listed(&server, "").await;
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0].0, &lines[1]), (&id::<16>(9), &chain));
    assert_eq!(listed(&server, "?service=back").await, [chain]);
    for trace in [1, 2, 3] {
        let spans = shown(&server, trace).await;
        assert_eq!(spans.len(), 5);
        assert_eq!(spans[2], (id::<8>(0x21), joined_to(1, 0x12)));
        assert_eq!(spans[4], (id::<8>(0x31), joined_to(2, 0x22)));
    }
    let whole = server.json(&format!("/api/traces/{}", id::<16>(3))).await;
    assert_eq!(whole["joined_trace_ids"], json!([id::<16>(1), id::<16>(2)]));
    assert_eq!(listed(&server, "?limit=1").await[0].0, id::<16>(9));
}

#[tokio::test]
async fn what_two_claim_belongs_to_neither() {
    let server = Running::start().await;
    send(&server, front()).await;
    send(&server, middle()).await;
    assert_eq!(listed(&server, "").await.len(), 1);
    // Another call of the same name at the same time: the join that was shown has become doubtful.
    send(&server, ("twin", vec![end(5, 0x51, 0, CLIENT, T0 + 1500, LINK)])).await;
    assert_apart(&server, &[1, 2, 5]).await;

    let server = Running::start().await;
    send(&server, front()).await;
    send(&server, middle()).await;
    send(&server, ("twin", vec![end(5, 0x51, 0, SERVER, T0 + 1500, LINK)])).await;
    assert_apart(&server, &[1, 2, 5]).await;
}

#[tokio::test]
async fn times_beyond_the_slack_do_not_fit_and_clocks_within_it_do() {
    let middle_at = |start_ns| ("middle", vec![end(2, 0x21, 0, SERVER, start_ns, LINK)]);
    for far in [T0 - 5 * SECOND, T0 + 1000 + 5 * SECOND + 1_000_001] {
        let server = Running::start().await;
        send(&server, front()).await;
        send(&server, middle_at(far)).await;
        assert_apart(&server, &[1, 2]).await;
    }
    // Clocks that differ by seconds: joined, told as sent, and the length is that of the caller's clock.
    for near in [T0 + 1000 - 4 * SECOND, T0 + 4 * SECOND] {
        let server = Running::start().await;
        send(&server, front()).await;
        send(&server, middle_at(near)).await;
        let list = server.json("/api/traces").await;
        assert_eq!(list.as_array().unwrap().len(), 1);
        assert_eq!(
            (&list[0]["start_time"], &list[0]["duration_ns"], &list[0]["span_count"]),
            (&json!(T0.to_string()), &json!("1001000"), &json!(3))
        );
        let whole = server.json(&format!("/api/traces/{}", id::<16>(1))).await;
        let spans = whole["spans"].as_array().unwrap();
        let served = spans.iter().find(|span| span["spanId"] == id::<8>(0x21)).unwrap();
        assert_eq!(served["startTimeUnixNano"], near.to_string());
        assert_eq!(served["joinedParent"], joined_to(1, 0x12));
    }
}

#[tokio::test]
async fn an_id_that_comes_back_joins_those_of_its_time() {
    let server = Running::start().await;
    let later = T0 + 300 * SECOND;
    send(&server, front()).await;
    send(&server, ("middle", vec![end(6, 0x61, 0, SERVER, later + 10, LINK)])).await;
    send(&server, middle()).await;
    send(&server, ("front", vec![end(5, 0x51, 0, CLIENT, later, LINK)])).await;
    let lines: Vec<_> = listed(&server, "").await.into_iter().map(|line| (line.0, line.1)).collect();
    assert_eq!(lines, [(id::<16>(5), vec![id::<16>(6)]), (id::<16>(1), vec![id::<16>(2)])]);
}

#[tokio::test]
async fn only_a_root_of_another_process_is_joined() {
    // A span that says who its parent is, two of one kind, and both ends in one process.
    for (service, half) in [
        ("middle", end(2, 0x21, 0x77, SERVER, T0 + 2000, LINK)),
        ("middle", end(2, 0x21, 0, CLIENT, T0 + 2000, LINK)),
        ("middle", end(2, 0x21, 0, SERVER, T0 + 2000, "00C0FFEE80000001")),
        ("front", end(2, 0x21, 0, SERVER, T0 + 2000, LINK)),
    ] {
        let server = Running::start().await;
        send(&server, front()).await;
        send(&server, (service, vec![half])).await;
        assert_apart(&server, &[1, 2]).await;
    }
}

#[tokio::test]
async fn traces_that_claim_to_be_above_each_other_stay_apart() {
    let server = Running::start().await;
    let ring = |trace: u8, serves: &str, calls: &str| {
        vec![
            end(trace, trace << 4 | 1, 0, SERVER, T0, serves),
            end(trace, trace << 4 | 2, trace << 4 | 1, CLIENT, T0, calls),
        ]
    };
    send(&server, ("a", ring(1, LINK, NEXT_LINK))).await;
    send(&server, ("b", ring(2, NEXT_LINK, LINK))).await;
    assert_apart(&server, &[1, 2]).await;
    // A trace that calls itself.
    send(&server, ("c", vec![end(3, 0x31, 0, SERVER, T0, "0000000000000007")])).await;
    send(&server, ("d", vec![end(3, 0x32, 0x31, CLIENT, T0, "0000000000000007")])).await;
    assert_apart(&server, &[1, 2, 3]).await;
    // What hangs below one of the ring is still its part.
    send(&server, ("a", vec![end(1, 0x1f, 0x11, CLIENT, T0, "0000000000000008")])).await;
    send(&server, ("e", vec![end(4, 0x41, 0, SERVER, T0, "0000000000000008")])).await;
    assert_eq!(shown(&server, 4).await.len(), 4);
    let lines = listed(&server, "").await;
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().any(|line| line.0 == id::<16>(1) && line.1 == [id::<16>(4)]), "{lines:?}");
}

#[tokio::test]
async fn when_retention_takes_one_half_the_other_is_whole() {
    const LIMIT: u64 = 2 << 20;
    // What arrives goes by intervals, of which so many records fill one; the halves are of different ones.
    let filling = json!({"resourceLogs": [{"scopeLogs": [{"logRecords":
        vec![json!({"timeUnixNano": T0.to_string(), "body": {"stringValue": "filling"}}); 4200]}]}]});
    for order in [[front(), middle()], [middle(), front()]] {
        let directory = tempfile::tempdir().unwrap();
        let server = Running::start_with(directory, |config| config.store.max_bytes = LIMIT).await;
        let [first, second] = order;
        let (gone, left) = (first.1[0].trace_id[0], second.1[0].trace_id[0]);
        let exists = async |trace: u8| server.get(&format!("/api/traces/{}", id::<16>(trace))).await.0 == 200;
        send(&server, first).await;
        for _ in 0..6 {
            server.accept("logs", filling.clone()).await;
        }
        send(&server, second).await;
        assert_eq!(shown(&server, gone).await.len(), 4, "so late it still meets the first");
        let mut filled = 0;
        while exists(gone).await {
            filled += 1;
            assert!(filled < 100, "the oldest trace stays");
            server.accept("logs", filling.clone()).await;
        }
        assert!(exists(left).await, "the other half went too");
        let spans = shown(&server, left).await;
        assert!(spans.len() == 2 && spans.iter().all(|(_, joined)| joined.is_null()), "{spans:?}");
        let lines: Vec<_> = listed(&server, "").await.into_iter().map(|line| (line.0, line.1)).collect();
        assert_eq!(lines, [(id::<16>(left), Vec::new())]);
    }
}

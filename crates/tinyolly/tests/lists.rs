//! Lists equal a plain filter over what was sent, page by page, in every order, while more arrives.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use prost::Message;
use serde_json::Value as Json;
use support::{PROTOBUF, Running, attribute, resource, text, trace_request};

const T0: u64 = 1_763_829_600_000_000_000;
const SERVICES: [&str; 3] = ["shop", "Cart", "pay"];
const NAMES: [&str; 3] = ["GET /orders", "charge", "Žlutý"];

#[derive(Clone, Debug)]
struct Sent {
    service: usize,
    span: Span,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Sent {
    fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    fn duration(&self) -> u64 {
        self.span.end_time_unix_nano.saturating_sub(self.span.start_time_unix_nano)
    }

    fn status(&self) -> i32 {
        self.span.status.as_ref().map_or(0, |status| status.code)
    }

    fn http(&self) -> Option<i64> {
        let value = self.span.attributes.iter().find(|a| a.key == "http.response.status_code")?;
        match value.value.as_ref()?.value.as_ref()? {
            Value::IntValue(code) => Some(*code),
            _ => None,
        }
    }

    fn holds(&self, needle: &str) -> bool {
        let mut all = vec![self.span.name.clone(), SERVICES[self.service].to_owned()];
        all.extend([self.id(), hex(&self.span.trace_id)]);
        all.extend(self.span.status.iter().map(|status| status.message.clone()));
        let events = self.span.events.iter();
        all.extend(events.clone().map(|event| event.name.clone()));
        for a in self.span.attributes.iter().chain(events.flat_map(|event| &event.attributes)) {
            all.push(a.key.clone());
            all.push(match a.value.as_ref().unwrap().value.as_ref().unwrap() {
                Value::StringValue(text) => text.clone(),
                Value::IntValue(number) => number.to_string(),
                other => panic!("{other:?}"),
            });
        }
        all.iter().any(|text| text.to_lowercase().contains(&needle.to_lowercase()))
    }
}

/// What one filter parameter asks, and the plain way to say the same.
type Plain = (&'static str, fn(&Sent) -> bool);

const FILTERS: [Plain; 16] = [
    ("service=shop", |s| s.service == 0),
    ("service=shop&service=pay&service=none", |s| s.service != 1),
    ("name=charge&name=%C5%BDlut%C3%BD", |s| s.span.name != NAMES[0]),
    ("kind=server&kind=3", |s| [2, 3].contains(&s.span.kind)),
    ("status=error", |s| s.status() == 2),
    ("status=unset&status=ok", |s| s.status() != 2),
    ("errors=1", |s| s.status() == 2),
    ("root=1", |s| s.span.parent_span_id.is_empty()),
    ("status_class=5xx&status_class=4xx", |s| s.http().is_some_and(|code| code >= 400)),
    ("attr=http.response.status_code%3E%3D404", |s| s.http().is_some_and(|code| code >= 404)),
    ("attr=user!%3Dann", |s| !s.span.attributes.contains(&attribute("user", text("ann")))),
    ("attr=user&attr=resource.service.name%3Dpay", |s| {
        s.service == 2 && s.span.attributes.iter().any(|a| a.key == "user")
    }),
    ("q=CAR", |s| s.holds("car")),
    ("q=%C5%BElut", |s| s.holds("žlut")),
    ("q=50", |s| s.holds("50")),
    ("q=timeout", |s| s.holds("timeout")),
];

/// As [`Plain`], of a number of nanoseconds.
type PlainTime = (&'static str, fn(u64) -> bool);

const DURATIONS: [PlainTime; 3] = [
    ("", |_| true),
    ("min_duration=2us", |ns| ns >= 2000),
    ("min_duration=1us&max_duration=0.003ms", |ns| (1000..=3000).contains(&ns)),
];

const RANGES: [PlainTime; 2] = [
    ("", |_| true),
    ("start=1763829600000000002&end=1763829600000000007", |ns| (T0 + 2..T0 + 7).contains(&ns)),
];

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let one = (0..6_u8, 0..3_usize, 0..3_usize, 0..5_i32, 0..3_i32, 0..10_u64, 0..5_u64, 0..64_u8);
    prop::collection::vec(one, 1..40).prop_map(|all| {
        type One = (u8, usize, usize, i32, i32, u64, u64, u8);
        let span = |(at, (trace, service, name, kind, status, start, length, more)): (usize, One)| {
            let mut attributes = Vec::new();
            if more & 1 > 0 {
                let code = [200, 404, 500][usize::from(more >> 4) % 3];
                attributes.push(attribute("http.response.status_code", Value::IntValue(code)));
            }
            if more & 2 > 0 {
                attributes.push(attribute("user", text(["ann", "Oscar"][usize::from(more >> 5)])));
            }
            let attributes_of_event = vec![attribute("why", text("Timeout"))];
            let event = Event { name: "x".into(), attributes: attributes_of_event, ..Default::default() };
            let start = T0 + start;
            let span = Span {
                trace_id: vec![trace + 1; 16],
                span_id: (at as u64 + 0x1000).to_be_bytes().to_vec(),
                parent_span_id: if more & 4 > 0 { vec![9; 8] } else { Vec::new() },
                name: NAMES[name].into(),
                kind,
                start_time_unix_nano: start,
                // One in five ends before it starts.
                end_time_unix_nano: (start + length * 1000).wrapping_sub(500),
                attributes,
                events: if more & 8 > 0 { vec![event] } else { Vec::new() },
                status: Some(Status { code: status, message: String::new() }),
                ..Default::default()
            };
            Sent { service, span }
        };
        all.into_iter().enumerate().map(span).collect()
    })
}

async fn send(server: &Running, all: &[Sent]) {
    for sent in all {
        let body = trace_request(SERVICES[sent.service], vec![sent.span.clone()]).encode_to_vec();
        assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    }
}

/// One page, and the cursor to the next.
async fn page(server: &Running, path: &str) -> (Vec<Json>, Option<String>) {
    let response = server.client.get(format!("http://{}{path}", server.at.ui)).send().await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let next = response.headers().get("x-next-cursor").map(|v| v.to_str().unwrap().to_owned());
    let items: Json = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    (items.as_array().unwrap().clone(), next)
}

/// The list over all of its pages.
async fn follow(server: &Running, path: &str) -> Vec<Json> {
    let (mut all, mut next) = page(server, path).await;
    while let Some(cursor) = next {
        let (more, after) = page(server, &format!("{path}&cursor={cursor}")).await;
        all.extend(more);
        next = after;
    }
    all
}

fn field(items: &[Json], name: &str) -> Vec<String> {
    items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}

fn assert_once(found: &[String]) -> BTreeSet<String> {
    let set: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(set.len(), found.len(), "twice: {found:?}");
    set
}

#[test]
fn a_list_is_what_a_plain_filter_gives() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(
        all in sent(),
        first in prop::sample::select(&FILTERS[..]),
        second in prop::sample::select(&FILTERS[..]),
        duration in prop::sample::select(&DURATIONS[..]),
        range in prop::sample::select(&RANGES[..]),
        limit in 1..9_usize,
    )| {
        // Twice the same parameter would be a repetition, which means something else.
        let second = if second.0.split('=').next() == first.0.split('=').next() { FILTERS[7] } else { second };
        runtime.block_on(async {
            let server = Running::start().await;
            send(&server, &all).await;
            let query = [first.0, second.0, duration.0, range.0].join("&");
            let passes = |s: &Sent| (first.1)(s) && ((second.1)(s) || second.0 == first.0);

            let fits = |s: &&Sent| passes(s) && (duration.1)(s.duration()) && (range.1)(s.span.start_time_unix_nano);
            let expected: BTreeSet<_> = all.iter().filter(fits).map(Sent::id).collect();
            for order in ["", "&order=asc", "&sort=duration", "&sort=name&order=asc"] {
                let found = follow(&server, &format!("/api/spans?{query}&limit={limit}{order}")).await;
                assert_eq!(assert_once(&field(&found, "span_id")), expected, "{query}{order}");
                let keys: Vec<(u64, String)> = match order {
                    "&sort=duration" => field(&found, "duration_ns"),
                    "&sort=name&order=asc" => field(&found, "name"),
                    _ => field(&found, "start_time"),
                }.into_iter().map(|key| (key.parse().unwrap_or(0), key)).collect();
                assert!(if order.contains("asc") { keys.is_sorted() } else { keys.iter().rev().is_sorted() }, "{order} {keys:?}");
            }

            let mut expected = BTreeSet::new();
            for trace in 1..=6_u8 {
                let spans: Vec<_> = all.iter().filter(|s| s.span.trace_id[0] == trace).collect();
                let Some(start) = spans.iter().map(|s| s.span.start_time_unix_nano).min() else { continue };
                let end = spans.iter().map(|s| s.span.end_time_unix_nano).max().unwrap();
                let root = spans.iter().min_by_key(|s| {
                    (!s.span.parent_span_id.is_empty(), s.span.start_time_unix_nano, &s.span.span_id)
                });
                let only_root = query.contains("root=1");
                let any = if only_root { passes(root.unwrap()) } else { spans.iter().any(|s| passes(s)) };
                if any && (duration.1)(end.saturating_sub(start)) && (range.1)(start) {
                    expected.insert(hex(&[trace; 16]));
                }
            }
            for order in ["", "&order=asc", "&sort=duration", "&sort=spans", "&sort=errors", "&sort=name&order=asc"] {
                let found = follow(&server, &format!("/api/traces?{query}&limit={limit}{order}")).await;
                assert_eq!(assert_once(&field(&found, "trace_id")), expected, "{query}{order}");
                if order == "&sort=spans" {
                    let counts: Vec<_> = found.iter().map(|line| line["span_count"].as_u64().unwrap()).collect();
                    assert!(counts.iter().rev().is_sorted(), "{counts:?}");
                }
            }
            server.stop().await;
        });
    });
}

#[tokio::test]
async fn paging_visits_each_once_while_data_arrives() {
    let server = Running::start().await;
    let make = |at: u64| {
        let span = Span {
            trace_id: u128::from(at + 1).to_be_bytes().to_vec(),
            span_id: (at + 1).to_be_bytes().to_vec(),
            name: "n".into(),
            // Many start together.
            start_time_unix_nano: T0 + at / 4,
            end_time_unix_nano: T0 + at / 4 + at % 7 * 100,
            ..Default::default()
        };
        Sent { service: 0, span }
    };
    let there: Vec<_> = (0..120).map(|at| make(at * 2)).collect();
    let request = there.iter().map(|sent| sent.span.clone()).collect();
    let body = trace_request("shop", request).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    let expected: BTreeSet<_> = there.iter().map(Sent::id).collect();
    let mut new = 1;
    for path in ["/api/spans?limit=7", "/api/spans?limit=7&order=asc", "/api/spans?limit=7&sort=duration"] {
        let (mut found, mut next) = page(&server, path).await;
        while let Some(cursor) = next {
            send(&server, &[make(new), make(new + 2)]).await;
            new += 4;
            let (more, after) = page(&server, &format!("{path}&cursor={cursor}")).await;
            found.extend(more);
            next = after;
        }
        let found = assert_once(&field(&found, "span_id"));
        assert!(found.is_superset(&expected), "{path}: {:?} missed", expected.difference(&found));
    }
    // Cursors are of one list in one order, and none is made up.
    let cursor = page(&server, "/api/spans?limit=7").await.1.unwrap();
    for bad in [
        format!("/api/spans?limit=7&order=asc&cursor={cursor}"),
        format!("/api/traces?cursor={cursor}"),
        "/api/spans?cursor=x".into(),
        "/api/spans?cursor=std.1.2.3.4.5.6.7.8".into(),
        "/api/spans?sort=spans".into(),
        "/api/logs?sort=name".into(),
        "/api/traces?order=up".into(),
    ] {
        assert_eq!(server.get(&bad).await.0, 400, "{bad}");
    }
    // A made-up place is a place.
    let far = "std.7fffffffffffffff.0.0.0.0.0.0.0.0";
    assert_eq!(
        follow(&server, &format!("/api/spans?limit=5000&cursor={far}")).await.len(),
        120 + (new as usize - 1) / 2
    );
}

fn record(at: u64) -> LogRecord {
    let body = Value::StringValue(format!("line {at} of the Day"));
    LogRecord {
        time_unix_nano: T0 + at / 3,
        severity_number: [0, 1, 9, 13, 17, 24][at as usize % 6],
        body: Some(AnyValue { value: Some(body) }),
        attributes: vec![attribute("n", Value::IntValue(at as i64))],
        event_name: if at.is_multiple_of(5) { "tick".into() } else { String::new() },
        trace_id: if at.is_multiple_of(2) { vec![1; 16] } else { Vec::new() },
        span_id: if at.is_multiple_of(4) { vec![2; 8] } else { Vec::new() },
        ..Default::default()
    }
}

async fn send_logs(server: &Running, service: &str, log_records: Vec<LogRecord>) {
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    let resource_logs =
        vec![ResourceLogs { resource: Some(resource(service)), scope_logs, ..Default::default() }];
    let body = ExportLogsServiceRequest { resource_logs }.encode_to_vec();
    assert_eq!(server.post("logs", &[PROTOBUF], body).await.0, 200);
}

#[tokio::test]
async fn logs_are_narrowed_paged_and_shown_around_one() {
    let server = Running::start().await;
    send_logs(&server, "even", (0..40).map(|n| record(n * 2)).collect()).await;
    send_logs(&server, "odd", (0..40).map(|n| record(n * 2 + 1)).collect()).await;
    let number = |line: &Json| -> u64 {
        line["attributes"][0]["value"]["intValue"].as_str().unwrap().parse().unwrap()
    };
    type Expected = fn(u64) -> bool;
    let cases: [(&str, Expected); 12] = [
        ("", |_| true),
        ("service=even", |n| n % 2 == 0),
        ("severity=TRACE&severity=fatal", |n| [1, 5].contains(&(n % 6))),
        ("severity_min=WARN", |n| n % 6 >= 3),
        ("q=LINE+1", |n| n.to_string().starts_with('1')),
        ("q=tick", |n| n % 5 == 0),
        ("attr=n%3E%3D70", |n| n >= 70),
        ("event_name=tick&attr=resource.service.name%3Dodd", |n| n % 10 == 5),
        ("trace_id=01010101010101010101010101010101", |n| n % 2 == 0),
        ("span_id=0202020202020202&trace_id=01010101010101010101010101010101", |n| n % 4 == 0),
        ("start=1763829600000000005&end=1763829600000000007", |n| n / 3 == 5 || n / 3 == 6),
        ("service=nobody", |_| false),
    ];
    for (query, passes) in cases {
        for order in ["", "&order=asc"] {
            for limit in [1, 7, 100] {
                let found = follow(&server, &format!("/api/logs?{query}&limit={limit}{order}")).await;
                let times = field(&found, "timestamp");
                assert!(if order.is_empty() { times.iter().rev().is_sorted() } else { times.is_sorted() });
                let mut found: Vec<_> = found.iter().map(number).collect();
                found.sort_unstable();
                assert_eq!(
                    found,
                    (0..80).filter(|n| passes(*n)).collect::<Vec<_>>(),
                    "{query}{order} {limit}"
                );
            }
        }
    }
    let all = follow(&server, "/api/logs?limit=100").await;
    let at = 40;
    let id = all[at]["log_id"].as_str().unwrap();
    let near = server.json(&format!("/api/logs?around={id}&before=3&after=2")).await;
    assert_eq!(near.as_array().unwrap()[..], all[at - 2..=at + 3]);
    let one = server.json(&format!("/api/logs/{id}")).await;
    assert_eq!(one, all[at]);
    let near = server.json(&format!("/api/logs?around={id}&before=0&after=0&service=nobody")).await;
    assert_eq!(near.as_array().unwrap()[..], all[at..=at]);
    for (path, status) in [
        ("/api/logs?around=999999", 404),
        ("/api/logs?around=x", 400),
        ("/api/logs?around=1&before=1001", 400),
        ("/api/logs?around=1&limit=5", 400),
        ("/api/logs?before=1", 400),
        ("/api/logs/999999", 404),
        ("/api/logs/x", 400),
    ] {
        assert_eq!(server.get(path).await.0, status, "{path}");
    }
}

#[tokio::test]
async fn one_span_is_found_by_its_id() {
    let server = Running::start().await;
    let body =
        trace_request("shop", vec![support::span(1, 2, T0), support::span(3, 2, T0 + 1)]).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    let (of_one, newest) = (
        "/api/spans/0202020202020202?trace_id=01010101010101010101010101010101",
        "/api/spans/0202020202020202",
    );
    let whole = server.json("/api/traces/01010101010101010101010101010101").await;
    assert_eq!(server.json(of_one).await, whole["spans"][0]);
    assert_eq!(server.json(newest).await["traceId"], "03030303030303030303030303030303");
    for (path, status) in [
        ("/api/spans/0303030303030303", 404),
        ("/api/spans/0202020202020202?trace_id=09090909090909090909090909090909", 404),
        ("/api/spans/02", 400),
        ("/api/spans/0202020202020202?x=1", 400),
    ] {
        assert_eq!(server.get(path).await.0, status, "{path}");
    }
}

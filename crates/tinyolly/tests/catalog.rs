//! The service catalog says what a count over the stored spans would say.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use proptest::prelude::*;
use prost::Message;
use serde_json::Value;
use support::{PROTOBUF, Running, attribute, span, trace_request};

const SECOND: u64 = 1_000_000_000;
const SLOT: u64 = 10 * SECOND;
const T0: u64 = 1_763_829_600 * SECOND;

async fn send(server: &Running, service: &str, spans: Vec<Span>) {
    let body = trace_request(service, spans).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
}

async fn catalog(server: &Running, start: u64, end: u64) -> Vec<Value> {
    let found = server.json(&format!("/api/service-catalog?start={start}&end={end}")).await;
    found.as_array().unwrap().clone()
}

fn failed(mut span: Span) -> Span {
    span.status = Some(Status { code: 2, message: "no".into() });
    span
}

#[tokio::test]
async fn requests_are_what_servers_answered_and_failures_are_said_or_5xx() {
    let server = Running::start().await;
    let mut spans =
        vec![span(1, 1, T0), failed(span(1, 2, T0 + 1)), span(2, 3, T0 + SLOT), span(2, 4, T0 + SLOT)];
    spans[2].attributes.push(attribute("http.status_code", Any::IntValue(503)));
    spans[3].kind = 3;
    spans[3].end_time_unix_nano += 60 * SECOND;
    send(&server, "shop", spans).await;
    let mut job = failed(span(3, 5, T0));
    job.kind = 1;
    let mut step = span(3, 6, T0);
    (step.kind, step.parent_span_id) = (1, vec![5; 8]);
    send(&server, "job", vec![job, step]).await;

    let found = catalog(&server, T0, T0 + 100 * SECOND).await;
    assert_eq!(found.len(), 2);
    let (job, shop) = (&found[0], &found[1]);
    assert_eq!(shop["basis"], "server");
    for (field, number) in [("span_count", 4), ("trace_count", 2), ("request_count", 3), ("error_count", 2)] {
        assert_eq!(shop[field], number, "{field}");
    }
    assert!((shop["error_rate"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9);
    assert!((shop["rate"].as_f64().unwrap() - 0.03).abs() < 1e-9, "{}", shop["rate"]);
    let p99 = shop["duration_p99_ms"].as_f64().unwrap();
    assert!((p99 - 1.0).abs() < 1.0 / 64.0, "the call of another does not count: {p99}");
    assert_eq!(shop["first_seen"], T0.to_string());
    assert_eq!(shop["last_seen"], (T0 + SLOT).to_string());
    assert_eq!(shop["instrumentation"], serde_json::json!(["sdk"]));
    let series = shop["series"].as_array().unwrap();
    assert_eq!(series.len(), 10);
    assert_eq!((&series[0]["request_count"], &series[1]["error_count"]), (&2.into(), &1.into()));
    assert_eq!(series[2]["duration_p95_ms"], Value::Null);
    assert_eq!(
        (&job["basis"], &job["request_count"], &job["error_count"]),
        (&"root".into(), &1.into(), &1.into())
    );

    assert_eq!(catalog(&server, T0 + SLOT, T0 + 2 * SLOT).await.len(), 1, "only the shop in this window");
    assert!(catalog(&server, T0 + 2 * SLOT, T0 + 3 * SLOT).await.is_empty());
    assert!(server.json("/api/service-catalog").await.as_array().unwrap().is_empty(), "the last hour");
    server.stop().await;
}

#[tokio::test]
async fn a_service_tells_its_operations() {
    let server = Running::start().await;
    let mut spans: Vec<Span> = (1..=5).map(|n| span(n, n, T0 + u64::from(n))).collect();
    for (at, span) in spans.iter_mut().enumerate() {
        span.name = if at < 3 { "GET /".into() } else { "query".into() };
        span.kind = if at < 3 { 2 } else { 3 };
        // The parent makes no other operation of it.
        span.parent_span_id = if at == 1 { vec![9; 8] } else { Vec::new() };
    }
    send(&server, "a/b c", spans).await;
    let window = format!("start={T0}&end={}", T0 + SECOND);
    let found = server.json(&format!("/api/service-catalog/a%2Fb%20c?{window}")).await;
    assert_eq!((&found["complete"], &found["service"]["name"]), (&true.into(), &"a/b c".into()));
    let operations = found["operations"].as_array().unwrap();
    let line = |at: usize| {
        let operation = &operations[at];
        (operation["name"].as_str().unwrap(), &operation["kind"], &operation["request_count"])
    };
    assert_eq!(operations.len(), 2);
    assert_eq!(line(0), ("GET /", &2.into(), &3.into()));
    assert_eq!(line(1), ("query", &3.into(), &2.into()));
    assert_eq!(server.get(&format!("/api/service-catalog/nobody?{window}")).await.0, 404);
    for bad in ["start=5&end=5", "start=6&end=5", "start=x", "limit=5"] {
        assert_eq!(server.get(&format!("/api/service-catalog?{bad}")).await.0, 400, "{bad}");
    }
    server.stop().await;
}

#[tokio::test]
async fn any_times_and_ids_are_counted() {
    let server = Running::start().await;
    let mut spans = vec![span(1, 1, 0), span(2, 2, 1), span(3, 3, u64::MAX / 2), span(4, 4, T0)];
    (spans[1].start_time_unix_nano, spans[1].end_time_unix_nano) = (u64::MAX, 5);
    spans[3].end_time_unix_nano = T0 - 1;
    spans[3].kind = i32::MIN;
    spans[3].name = "\u{0}<b>é".into();
    send(&server, "<script>", spans).await;
    let found = catalog(&server, 0, u64::MAX).await;
    assert_eq!((found.len(), &found[0]["span_count"]), (1, &4.into()));
    assert_eq!(found[0]["request_count"], 3);
    assert_eq!(found[0]["first_seen"], "0");
    assert_eq!(found[0]["last_seen"], u64::MAX.to_string());
    let operations = server.json("/api/service-catalog/%3Cscript%3E?start=0&end=18446744073709551615").await;
    assert_eq!(operations["operations"].as_array().unwrap().len(), 4);
    server.stop().await;
}

#[tokio::test]
async fn a_broken_start_leaves_the_rates_alone() {
    let server = Running::start().await;
    send(&server, "shop", vec![span(1, 1, T0), span(2, 2, T0 + SECOND)]).await;
    let query = (T0 - 1000 * SECOND, T0 + 20 * SECOND);
    let rate = catalog(&server, query.0, query.1).await[0]["rate"].as_f64().unwrap();
    assert!((rate - 0.1).abs() < 1e-9, "{rate}");
    send(&server, "broken", vec![span(3, 3, 1 << 63)]).await;
    assert_eq!(catalog(&server, query.0, query.1).await[0]["rate"], rate);
    server.stop().await;
}

#[tokio::test]
async fn first_and_last_are_each_services_own_within_shared_slots() {
    let server = Running::start().await;
    for n in 0..6_u8 {
        let at = T0 + u64::from(n) * 7;
        let last = T0 + SLOT * u64::from(n / 2) + u64::from(n) * 7;
        send(&server, &format!("s{n}"), vec![span(n + 1, 2 * n + 1, at), span(n + 1, 2 * n + 2, last)]).await;
    }
    let found = catalog(&server, T0, T0 + 10 * SLOT).await;
    assert_eq!(found.len(), 6);
    for (n, service) in (0..6_u64).zip(&found) {
        assert_eq!(service["first_seen"], (T0 + n * 7).to_string(), "{n}");
        assert_eq!(service["last_seen"], (T0 + SLOT * (n / 2) + n * 7).to_string(), "{n}");
    }
    server.stop().await;
}

/// A span of the property test.
#[derive(Clone, Debug)]
struct Fact {
    trace: u8,
    service: u8,
    name: u8,
    kind: i32,
    is_root: bool,
    is_error: bool,
    start_ns: u64,
    duration_ns: u64,
}

fn fact() -> impl Strategy<Value = Fact> {
    // Minutes, hours and days apart, so that all lengths of slots matter.
    let start = prop_oneof![0..200 * SECOND, 0..20_000 * SECOND, 0..600_000 * SECOND];
    let who = (1..6_u8, 0..3_u8, 0..4_u8, 1..6_i32);
    (who, any::<bool>(), any::<bool>(), start, 0..5_000_000_000_u64).prop_map(
        |((trace, service, name, kind), is_root, is_error, start, duration_ns)| Fact {
            trace,
            service,
            name,
            kind,
            is_root,
            is_error,
            start_ns: T0 + start,
            duration_ns,
        },
    )
}

impl Fact {
    fn span(&self, number: usize) -> Span {
        let mut span = span(self.trace, 1, self.start_ns);
        span.span_id = (number as u64 + 1).to_be_bytes().to_vec();
        span.name = format!("operation {}", self.name);
        span.kind = self.kind;
        span.end_time_unix_nano = self.start_ns + self.duration_ns;
        if !self.is_root {
            span.parent_span_id = vec![99; 8];
        }
        if self.is_error { failed(span) } else { span }
    }

    fn is_served(&self) -> bool {
        matches!(self.kind, 2 | 5)
    }
}

/// What the durations' quantile is by nearest rank.
fn nearest_rank(facts: &[&Fact], q: f64) -> f64 {
    let mut durations: Vec<u64> = facts.iter().map(|fact| fact.duration_ns).collect();
    durations.sort_unstable();
    let rank = ((q * durations.len() as f64).ceil() as usize).clamp(1, durations.len());
    durations[rank - 1] as f64 / 1e6
}

#[test]
fn it_equals_a_count_over_all_spans() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let windows = prop::collection::vec((0..600_000 * SECOND, 1..300_000 * SECOND), 4);
    proptest!(config, |(facts in prop::collection::vec(fact(), 1..60), windows in windows)| {
        runtime.block_on(async {
            let server = Running::start().await;
            for (at, chunk) in facts.chunks(7).enumerate() {
                for service in 0..3 {
                    let of_service = chunk.iter().enumerate().filter(|(_, fact)| fact.service == service);
                    let spans = of_service.map(|(n, fact)| fact.span(at * 7 + n)).collect();
                    send(&server, &format!("s{service}"), spans).await;
                }
            }
            let whole = (0, 601_000 * SECOND);
            for (start, length) in windows.into_iter().chain([whole]) {
                check(&server, &facts, T0 + start, T0 + start + length, (start, length) == whole).await;
            }
            server.stop().await;
        });
    });
}

async fn check(server: &Running, facts: &[Fact], start: u64, end: u64, all: bool) {
    let (from, to) = (start / SLOT * SLOT, end.div_ceil(SLOT) * SLOT);
    let mut expected: BTreeMap<String, Vec<&Fact>> = BTreeMap::new();
    for fact in facts.iter().filter(|fact| (from..to).contains(&fact.start_ns)) {
        expected.entry(format!("s{}", fact.service)).or_default().push(fact);
    }
    let found = catalog(server, start, end).await;
    assert_eq!(found.len(), expected.len());
    for (line, (name, of_service)) in found.iter().zip(&expected) {
        let served: Vec<_> = of_service.iter().filter(|fact| fact.is_served()).copied().collect();
        let roots = of_service.iter().filter(|fact| fact.is_root).copied().collect();
        let requests = if served.is_empty() { roots } else { served };
        assert_eq!(line["name"], name.as_str());
        assert_eq!(line["span_count"], of_service.len());
        assert_eq!(line["request_count"], requests.len());
        assert_eq!(line["error_count"], requests.iter().filter(|fact| fact.is_error).count());
        let times = || of_service.iter().map(|fact| fact.start_ns);
        assert_eq!(line["first_seen"], times().min().unwrap().to_string());
        assert_eq!(line["last_seen"], times().max().unwrap().to_string());
        for (q, field) in [(0.5, "duration_p50_ms"), (0.95, "duration_p95_ms"), (0.99, "duration_p99_ms")] {
            match line[field].as_f64() {
                None => assert!(requests.is_empty()),
                Some(found) => {
                    let exact = nearest_rank(&requests, q);
                    assert!((found - exact).abs() <= exact / 64.0 + 0.001, "{field}: {found} for {exact}");
                }
            }
        }
        let sum = |field: &str| {
            line["series"].as_array().unwrap().iter().map(|slot| slot[field].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(sum("request_count"), requests.len() as u64);
        if all {
            let traces: BTreeSet<_> = of_service.iter().map(|fact| fact.trace).collect();
            assert_eq!(line["trace_count"], traces.len());
        }
        let detail = server.json(&format!("/api/service-catalog/{name}?start={start}&end={end}")).await;
        assert_eq!(detail["service"]["request_count"], requests.len());
        let mut operations: BTreeMap<_, usize> = BTreeMap::new();
        for fact in of_service {
            *operations.entry((format!("operation {}", fact.name), fact.kind)).or_default() += 1;
        }
        let told = detail["operations"].as_array().unwrap();
        assert_eq!(told.len(), operations.len());
        for operation in told {
            let key =
                (operation["name"].as_str().unwrap().into(), operation["kind"].as_i64().unwrap() as i32);
            assert_eq!(operation["request_count"], operations[&key], "{key:?}");
        }
    }
}

#[tokio::test]
async fn what_is_deleted_is_not_counted_any_more() {
    let server = Running::start_with(tempfile::tempdir().unwrap(), |config| {
        config.store.max_bytes = 4 << 20;
    })
    .await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    for batch in 0..60_u64 {
        let spans = (0..512_u64).map(|n| {
            let mut span = span(1, 1, now - 40_000 * SECOND + batch * 600 * SECOND + n * SECOND);
            span.trace_id = (u128::from(batch * 1000 + n / 2) + 1).to_be_bytes().to_vec();
            span.span_id = (n + 1).to_be_bytes().to_vec();
            span.attributes.push(attribute("http.response.status_code", Any::IntValue(500)));
            span.attributes.push(attribute(
                "noise",
                support::text(&format!("{:x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).repeat(6)),
            ));
            span
        });
        send(&server, &format!("s{}", batch % 3), spans.collect()).await;
    }
    // Deletion goes on between batches; the counts agree whenever they are asked for in one state of the store.
    let path = format!("/api/service-catalog?start=0&end={}", now + 3600 * SECOND);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let before = server.json("/api/stats").await;
        let services = server.json(&path).await;
        let after = server.json("/api/stats").await;
        let sum = |field: &str| {
            services.as_array().unwrap().iter().map(|s| s[field].as_u64().unwrap()).sum::<u64>()
        };
        let settled = before["spans"] == after["spans"];
        if settled && before["spans"].as_u64().unwrap() < 60 * 512 {
            assert_eq!(sum("span_count"), before["spans"].as_u64().unwrap());
            assert_eq!(sum("trace_count"), before["traces"].as_u64().unwrap());
            assert_eq!(sum("error_count"), sum("request_count"));
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{before}");
    }
    server.stop().await;
}

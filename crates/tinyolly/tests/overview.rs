//! Histograms, facets and attribute keys count what the lists list.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use prost::Message;
use serde_json::{Value as Json, json};
use support::{PROTOBUF, Running, attribute, text, trace_request};
use tinyolly::store::query::{Budget, SpanFilter, Subject, histogram};

const SECOND: u64 = 1_000_000_000;
/// The start of a slot of ten seconds, and of an hour.
const T0: u64 = 1_763_830_800 * SECOND;

fn span(at: u64) -> Span {
    let code = [200, 404, 503][at as usize % 3];
    Span {
        trace_id: u128::from(at / 3 + 1).to_be_bytes().to_vec(),
        span_id: (at + 1).to_be_bytes().to_vec(),
        parent_span_id: if at.is_multiple_of(3) { Vec::new() } else { vec![9; 8] },
        name: format!("name {}", at % 4),
        kind: (at % 6) as i32,
        start_time_unix_nano: T0 + at * 3 * SECOND,
        end_time_unix_nano: T0 + at * 3 * SECOND + at,
        attributes: vec![
            attribute("http.response.status_code", Value::IntValue(code)),
            attribute("user.id", text(["ann", "bo"][at as usize % 2])),
        ],
        status: Some(Status { code: if code == 503 { 2 } else { 0 }, message: String::new() }),
        ..Default::default()
    }
}

const SPANS: u64 = 90;

async fn filled() -> Running {
    let server = Running::start().await;
    for (n, service) in ["shop", "pay"].into_iter().enumerate() {
        let spans = (0..SPANS).filter(|at| at % 2 == n as u64).map(span).collect();
        let body = trace_request(service, spans).encode_to_vec();
        assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    }
    let record = |at: u64| {
        let severity = [9, 17, 21, 0][at as usize % 4];
        let event = if at.is_multiple_of(10) { "tick" } else { "" };
        json!({"timeUnixNano": (T0 + at * SECOND).to_string(), "severityNumber": severity, "eventName": event,
            "attributes": [{"key": "n", "value": {"intValue": at.to_string()}}]})
    };
    let records: Vec<_> = (0..100_u64).map(record).collect();
    server.accept("logs", json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]})).await;
    server
}

fn counted(histogram: &Json) -> BTreeMap<u64, (u64, u64)> {
    let width: u64 = histogram["bucket_ns"].as_str().unwrap().parse().unwrap();
    let buckets = histogram["buckets"].as_array().unwrap();
    let bucket = |bucket: &Json| {
        let start: u64 = bucket["start"].as_str().unwrap().parse().unwrap();
        assert_eq!(start % width, 0);
        (start, (bucket["count"].as_u64().unwrap(), bucket["errors"].as_u64().unwrap()))
    };
    let all: BTreeMap<_, _> = buckets.iter().map(bucket).collect();
    assert_eq!(histogram["total"], all.values().map(|(count, _)| count).sum::<u64>());
    assert_eq!(histogram["errors"], all.values().map(|(_, errors)| errors).sum::<u64>());
    assert_eq!(histogram["complete"], true);
    all.into_iter().filter(|(_, (count, _))| *count > 0).collect()
}

#[tokio::test]
async fn a_histogram_counts_what_the_list_shows() {
    let server = filled().await;
    // Wide and narrow buckets, edges within a slot of the tally, and filters that it cannot answer.
    for range in [
        String::new(),
        format!("&start={}&end={}", T0 + 7 * SECOND, T0 + 213 * SECOND),
        format!("&start={}&end={}", T0 + SECOND, T0 + 9 * SECOND),
        format!("&start={T0}&end={T0}"),
        format!("&start={}&end={}", T0 - 3600 * SECOND, T0 + 36_000 * SECOND),
    ] {
        for filter in [
            "",
            "&service=shop",
            "&service=shop&errors=1",
            "&kind=server",
            "&attr=user.id%3Dann",
            "&root=1",
            "&min_duration=30",
        ] {
            for (signal, time) in [("spans", "start_time"), ("traces", "start_time")] {
                let list = server.json(&format!("/api/{signal}?limit=5000{range}{filter}")).await;
                for buckets in [1, 7, 60, 400] {
                    let path = format!("/api/histogram?signal={signal}&buckets={buckets}{range}{filter}");
                    let histogram = server.json(&path).await;
                    let width: u64 = histogram["bucket_ns"].as_str().unwrap().parse().unwrap();
                    assert!(histogram["buckets"].as_array().unwrap().len() <= buckets);
                    let mut expected: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
                    for item in list.as_array().unwrap() {
                        let start: u64 = item[time].as_str().unwrap().parse().unwrap();
                        let count = expected.entry(start / width * width).or_default();
                        count.0 += 1;
                        count.1 +=
                            u64::from(item["status"]["code"] == 2 || item["error_count"].as_u64() > Some(0));
                    }
                    assert_eq!(counted(&histogram), expected, "{path}");
                }
            }
        }
    }
    let logs = server.json("/api/histogram?signal=logs&buckets=10").await;
    assert_eq!(
        (&logs["total"], &logs["errors"], &logs["bucket_ns"]),
        (&json!(100), &json!(50), &json!("10000000000"))
    );
    assert_eq!(counted(&logs)[&(T0 + 20 * SECOND)], (10, 5));
    let logs = server.json("/api/histogram?signal=logs&severity=ERROR&attr=n%3C10").await;
    assert_eq!((&logs["total"], &logs["errors"]), (&json!(3), &json!(3)));
    for bad in [
        "",
        "?signal=metrics",
        "?signal=spans&buckets=0",
        "?signal=spans&buckets=401",
        "?signal=logs&kind=1",
        "?signal=spans&limit=1",
    ] {
        assert_eq!(server.get(&format!("/api/histogram{bad}")).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn without_time_to_count_a_histogram_is_whole_in_wider_buckets() {
    let server = Running::start().await;
    let crowded = |at: u64| Span { start_time_unix_nano: T0 + at * 20_000_000, ..span(at) };
    let body = trace_request("shop", (0..1200).map(crowded).collect()).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    let directory = server.stop().await;
    let db = rusqlite::Connection::open(directory.path().join("t.db")).unwrap();
    let count = |subject: Subject| histogram(&db, &subject, 60, Budget::of(Duration::ZERO)).unwrap();
    let whole = count(Subject::Spans(SpanFilter::default()));
    let counts: Vec<_> = whole.buckets.iter().map(|bucket| bucket.count).collect();
    assert_eq!((whole.searched_to, counts), (None, vec![500, 500, 200]));
    // With a filter that takes a look at each it is not.
    let part = count(Subject::Spans(SpanFilter { kinds: vec![0, 1, 2, 3, 4, 5], ..SpanFilter::default() }));
    let total: u64 = part.buckets.iter().map(|bucket| bucket.count).sum();
    assert!(part.searched_to.is_some() && total > 0 && total < 1200, "{total}");
}

#[tokio::test]
async fn an_empty_store_has_an_empty_histogram() {
    let server = Running::start().await;
    for signal in ["spans", "traces", "logs"] {
        let histogram = server.json(&format!("/api/histogram?signal={signal}")).await;
        assert_eq!((&histogram["total"], &histogram["buckets"]), (&json!(0), &json!([])));
        let facets = server.json(&format!("/api/facets?signal={signal}")).await;
        assert_eq!(facets, json!({"complete": true, "fields": {"service": []}}));
    }
    let far = server.json("/api/histogram?signal=spans&start=0&end=18446744073709551615&buckets=400").await;
    assert_eq!(far["total"], 0);
    assert_eq!(server.json("/api/attributes").await, json!({"keys": []}));
}

#[tokio::test]
async fn retention_takes_from_the_counts_what_it_deletes() {
    let directory = tempfile::tempdir().unwrap();
    let server = Running::start_with(directory, |config| config.store.max_bytes = 1 << 20).await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut sent = 0_u64;
    loop {
        let spans = (sent..sent + 1000).map(span).collect();
        let body = trace_request("shop", spans).encode_to_vec();
        assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
        sent += 1000;
        let stored = server.json("/api/stats").await["spans"].as_u64().unwrap();
        let total = server.json("/api/histogram?signal=spans&buckets=5").await["total"].as_u64().unwrap();
        assert!(total <= sent);
        if stored < sent {
            // Deleting goes on between requests, so the two numbers may be of different moments.
            if total == stored {
                break;
            }
        }
        assert!(std::time::Instant::now() < deadline, "{total} counted of {stored}");
    }
}

#[tokio::test]
async fn facets_count_the_values_of_what_passes() {
    let server = filled().await;
    let path = "/api/facets?signal=spans&fields=service,name,kind,status,status_class,attr:user.id,attr:resource.service.name";
    let facets = server.json(path).await;
    assert_eq!(facets["complete"], true);
    let fields = &facets["fields"];
    assert_eq!(fields["service"], json!([{"value": "pay", "count": 45}, {"value": "shop", "count": 45}]));
    assert_eq!(fields["attr:resource.service.name"], fields["service"]);
    assert_eq!(fields["status"], json!([{"value": "unset", "count": 60}, {"value": "error", "count": 30}]));
    assert_eq!(fields["status_class"][1], json!({"value": "4xx", "count": 30}));
    assert!(fields["kind"].as_array().unwrap().contains(&json!({"value": "client", "count": 15})));
    assert_eq!(fields["name"].as_array().unwrap().len(), 4);
    assert_eq!(fields["attr:user.id"][0], json!({"value": "ann", "count": 45}));
    let narrowed = server.json(&format!("{path}&service=shop&status_class=5xx")).await;
    assert_eq!(narrowed["fields"]["attr:user.id"], json!([{"value": "ann", "count": 15}]));

    let traces = server.json("/api/facets?signal=traces&fields=service,status_class&q=name+3").await;
    assert_eq!(
        traces["fields"]["service"],
        json!([{"value": "pay", "count": 22}, {"value": "shop", "count": 22}])
    );
    assert_eq!(traces["fields"]["status_class"], json!([{"value": "2xx", "count": 22}]));

    let logs = server.json("/api/facets?signal=logs&fields=severity,event_name,service,attr:n").await;
    let severities = json!([{"value": "ERROR", "count": 25}, {"value": "FATAL", "count": 25},
        {"value": "INFO", "count": 25}, {"value": "UNSPECIFIED", "count": 25}]);
    assert_eq!(
        logs["fields"]["severity"].as_array().unwrap().iter().collect::<std::collections::HashSet<_>>(),
        severities.as_array().unwrap().iter().collect()
    );
    assert_eq!(logs["fields"]["event_name"], json!([{"value": "tick", "count": 10}]));
    assert_eq!(logs["fields"]["attr:n"].as_array().unwrap().len(), 50);
    for bad in ["fields=severity", "fields=attr:", "fields=attr:a=b", "fields=,", "fields=nope"] {
        assert_eq!(server.get(&format!("/api/facets?signal=spans&{bad}")).await.0, 400, "{bad}");
    }

    let keys = server.json("/api/attributes?signal=spans").await;
    assert_eq!(keys["keys"][0], json!({"key": "http.response.status_code", "count": 90}));
    let keys = server.json("/api/attributes?signal=spans&prefix=RESOURCE.").await;
    assert_eq!(keys, json!({"keys": [{"key": "resource.service.name", "count": 90}]}));
    let keys = server.json("/api/attributes?signal=logs").await;
    assert_eq!(keys, json!({"keys": [{"key": "n", "count": 100}]}));
}

#[tokio::test]
async fn a_value_that_is_too_long_does_not_end_the_count() {
    let server = Running::start().await;
    let long = |at| Span { name: "x".repeat(1001), ..span(at) };
    // The newest is met first.
    let spans = (0..30).map(|at| if at == 29 { long(at) } else { span(at) }).collect();
    let body = trace_request("shop", spans).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    let facets = server.json("/api/facets?signal=spans&fields=name,service").await;
    assert_eq!(facets["complete"], false, "the long name is left out");
    assert_eq!(facets["fields"]["service"], json!([{"value": "shop", "count": 30}]));
    assert_eq!(facets["fields"]["name"].as_array().unwrap().len(), 4);
    server.stop().await;
}

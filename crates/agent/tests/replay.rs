//! Recorded events in, spans out: what the pipeline makes of real traffic, without root.
//!
//! `crates/agent/examples/record.rs` makes the recordings. Ids are told by their order, times from the first event on.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use opentelemetry::{SpanId, TraceId, trace::Status};
use opentelemetry_sdk::trace::SpanData;
use otel_ebpf_agent::{
    config::HttpSettings,
    export::instrumentation_scope,
    pipeline::{Clock, Counters, Finished, Pipeline},
};
use otel_ebpf_events::user::{Event, decode};
use serde_json::{Value, json};

/// Reads a recording; see `examples/record.rs` for the format.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("recording");
    let mut rest = bytes.strip_prefix(b"EBPFREC1").expect("magic");
    let mut records = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let (record, after) = after.split_at(u32::from_le_bytes(*len) as usize);
        records.push(record.to_vec());
        rest = after;
    }
    assert!(rest.is_empty(), "{} bytes behind the last record", rest.len());
    records
}

/// Time of an event, `CLOCK_MONOTONIC` ns.
fn time_of(event: &Event<'_>) -> u64 {
    match event {
        Event::Data { event, .. } => {
            event.header.ktime_ns.min(if event.arrival_ns == 0 { u64::MAX } else { event.arrival_ns })
        }
        Event::Socket(event) => {
            event.header.ktime_ns.min(if event.since_ns == 0 { u64::MAX } else { event.since_ns })
        }
        Event::Process(event) => event.header.ktime_ns,
        Event::Task(event) => event.header.ktime_ns,
    }
}

/// Runs a recording through a pipeline.
fn replay(records: &[Vec<u8>]) -> (Vec<Finished>, Counters) {
    let events: Vec<Event<'_>> = records.iter().map(|record| decode(record).expect("event")).collect();
    let mut pipeline = Pipeline::new(&HttpSettings::default(), instrumentation_scope(), Clock::new(0, 0));
    let mut last_ns = 0;
    for event in &events {
        match event {
            Event::Data { event, head, tail } => {
                last_ns = event.header.ktime_ns;
                pipeline.data(event, head, tail);
            }
            Event::Socket(event) => {
                last_ns = event.header.ktime_ns;
                pipeline.socket(event);
            }
            Event::Task(event) => pipeline.task(event),
            Event::Process(_) => {}
        }
        pipeline.tick(last_ns);
    }
    pipeline.finish(last_ns);
    (pipeline.take_finished().collect(), pipeline.counters().clone())
}

/// Spans as JSON that is the same on every run. Parents are told by name and place in the list.
fn tell(finished: &[Finished], begin_ns: u64) -> Value {
    let mut traces: HashMap<TraceId, usize> = HashMap::new();
    for finished in finished {
        let next = traces.len();
        traces.entry(finished.span.span_context.trace_id()).or_insert(next);
    }
    let name_of: HashMap<SpanId, String> = finished
        .iter()
        .enumerate()
        .map(|(at, finished)| {
            (finished.span.span_context.span_id(), format!("{} at {at}", finished.span.name))
        })
        .collect();
    let spans = finished.iter().map(|finished| span(&finished.span, &traces, &name_of, begin_ns)).collect();
    Value::Array(spans)
}

fn span(
    span: &SpanData,
    traces: &HashMap<TraceId, usize>,
    names: &HashMap<SpanId, String>,
    begin_ns: u64,
) -> Value {
    let since = |time: std::time::SystemTime| {
        time.duration_since(std::time::UNIX_EPOCH).expect("after the epoch").as_nanos() as u64 - begin_ns
    };
    let attributes: BTreeMap<String, String> =
        span.attributes.iter().map(|pair| (pair.key.to_string(), pair.value.to_string())).collect();
    json!({
        "trace": traces[&span.span_context.trace_id()],
        "name": span.name,
        "kind": format!("{:?}", span.span_kind),
        "parent": names.get(&span.parent_span_id),
        "start_ns": since(span.start_time),
        "end_ns": since(span.end_time),
        "status": match &span.status { Status::Error { .. } => "error", Status::Ok => "ok", Status::Unset => "unset" },
        "attributes": attributes,
    })
}

fn check(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(format!("{name}.events"));
    let records = records(&path);
    let begin = records.iter().map(|record| time_of(&decode(record).expect("event"))).min().expect("events");
    let (finished, counters) = replay(&records);
    assert_eq!(counters.seen, counters.exchanges + counters.dropped_total(), "{counters:?}");
    for finished in &finished {
        assert!(finished.span.start_time <= finished.span.end_time, "{:?}", finished.span);
    }
    let dropped = &counters.dropped;
    insta::assert_json_snapshot!(
        name,
        json!({ "requests": counters.seen, "dropped": dropped, "spans": tell(&finished, begin) })
    );
}

macro_rules! recordings {
    ($($name:ident),* $(,)?) => {
        $(#[test] fn $name() { check(stringify!($name)); })*
    };
}

recordings!(python_http_server, nginx_keep_alive, node_chunked, demo_order, reset_and_refused);

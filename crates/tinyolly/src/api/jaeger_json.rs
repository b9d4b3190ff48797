//! Traces in Jaeger's JSON: times in microseconds, typed tags, processes apart from spans.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use serde::Serialize;
use serde_json::{Value, json};

use super::otlp_json::{Double, hex};
use crate::store::query::{SpanRecord, TraceTree, span_kind_name, value};
use crate::store::rows::TraceId;

/// Beyond these, JavaScript rounds; Jaeger writes such numbers as strings.
const EXACT: std::ops::RangeInclusive<i64> = -9_007_199_254_740_991..=9_007_199_254_740_991;

#[derive(Serialize)]
struct Tag {
    key: String,
    r#type: &'static str,
    value: Value,
}

impl Tag {
    fn text(key: &str, value: impl Into<String>) -> Self {
        Self { key: key.to_owned(), r#type: "string", value: Value::String(value.into()) }
    }

    fn of(attribute: &KeyValue) -> Self {
        let (r#type, value) = typed(attribute.value.as_ref());
        Self { key: attribute.key.clone(), r#type, value }
    }
}

fn typed(any: Option<&AnyValue>) -> (&'static str, Value) {
    match any.and_then(|any| any.value.as_ref()) {
        Some(Any::StringValue(text)) => ("string", json!(text)),
        Some(Any::BoolValue(value)) => ("bool", json!(value)),
        Some(Any::IntValue(number)) if EXACT.contains(number) => ("int64", json!(number)),
        Some(Any::IntValue(number)) => ("int64", json!(number.to_string())),
        Some(Any::DoubleValue(number)) => ("float64", json!(Double(*number))),
        Some(Any::BytesValue(bytes)) => {
            ("binary", json!(base64::engine::general_purpose::STANDARD.encode(bytes)))
        }
        Some(Any::ArrayValue(_) | Any::KvlistValue(_)) => ("string", json!(value::plain(any).to_string())),
        None | Some(_) => ("string", json!("")),
    }
}

#[derive(Serialize)]
struct Log {
    timestamp: u64,
    fields: Vec<Tag>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    ref_type: &'static str,
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson {
    #[serde(rename = "traceID")]
    trace_id: String,
    #[serde(rename = "spanID")]
    span_id: String,
    flags: u32,
    operation_name: String,
    references: Vec<Reference>,
    start_time: u64,
    duration: u64,
    tags: Vec<Tag>,
    logs: Vec<Log>,
    #[serde(rename = "processID")]
    process_id: String,
    warnings: Option<Vec<String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    service_name: String,
    tags: Vec<Tag>,
}

/// A trace.
#[derive(Serialize)]
pub(super) struct TraceJson {
    #[serde(rename = "traceID")]
    trace_id: String,
    spans: Vec<SpanJson>,
    processes: BTreeMap<String, Process>,
    warnings: Option<Vec<String>>,
}

/// A trace with those joined to it. All spans have the id that was asked for: Jaeger's clients build a tree within one
/// id only.
pub(super) fn trace(id: TraceId, tree: &TraceTree) -> TraceJson {
    let mut processes = BTreeMap::new();
    let mut known: HashMap<*const ResourceSpans, String> = HashMap::new();
    let spans = tree.spans.iter().map(|span| {
        let process = known.entry(Arc::as_ptr(&span.resource)).or_insert_with(|| {
            let name = format!("p{}", processes.len() + 1);
            processes.insert(name.clone(), process(span));
            name
        });
        span_json(&id, span, process.clone())
    });
    let spans = spans.collect();
    TraceJson { trace_id: hex(&id), spans, processes, warnings: None }
}

fn process(span: &SpanRecord) -> Process {
    let attributes = span.resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
    let tags = attributes.iter().filter(|attribute| attribute.key != "service.name").map(Tag::of);
    Process { service_name: span.service.to_string(), tags: tags.collect() }
}

fn span_json(trace_id: &TraceId, span: &SpanRecord, process_id: String) -> SpanJson {
    let detail = &span.detail;
    let mut tags: Vec<Tag> = detail.attributes.iter().map(Tag::of).collect();
    let scope = span.scope.scope.as_ref();
    for (key, value) in [
        ("otel.scope.name", scope.map_or("", |scope| &scope.name)),
        ("otel.scope.version", scope.map_or("", |scope| &scope.version)),
        ("span.kind", span_kind_name(span.kind)),
        ("w3c.tracestate", &detail.trace_state),
        ("otel.status_code", ["", "OK", "ERROR"].get(span.status.max(0) as usize).copied().unwrap_or("")),
        ("otel.status_description", detail.status.as_ref().map_or("", |status| &status.message)),
    ] {
        if !value.is_empty() {
            tags.push(Tag::text(key, value));
        }
    }
    if span.status == 2 && !tags.iter().any(|tag| tag.key == "error") {
        tags.push(Tag { key: "error".into(), r#type: "bool", value: Value::Bool(true) });
    }
    let parent = span.parent_id.or(span.joined.map(|parent| parent.span_id));
    let mut references: Vec<Reference> = parent
        .map(|parent| Reference { ref_type: "CHILD_OF", trace_id: hex(trace_id), span_id: hex(&parent) })
        .into_iter()
        .collect();
    references.extend(detail.links.iter().map(|link| Reference {
        ref_type: "FOLLOWS_FROM",
        trace_id: hex(&link.trace_id),
        span_id: hex(&link.span_id),
    }));
    let logs = detail.events.iter().map(|event| {
        let mut fields = Vec::with_capacity(event.attributes.len() + 1);
        if !event.name.is_empty() {
            fields.push(Tag::text("event", event.name.as_str()));
        }
        fields.extend(event.attributes.iter().map(Tag::of));
        Log { timestamp: event.time_unix_nano / 1000, fields }
    });
    SpanJson {
        trace_id: hex(trace_id),
        span_id: hex(&span.span_id),
        flags: detail.flags & 0xff,
        operation_name: span.name.to_string(),
        references,
        start_time: span.start_ns / 1000,
        duration: span.end_ns.saturating_sub(span.start_ns) / 1000,
        tags,
        logs: logs.collect(),
        process_id,
        warnings: None,
    }
}

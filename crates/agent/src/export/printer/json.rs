//! A span as JSON: ids in hex, times as nanosecond strings, attributes with their types.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{Array, KeyValue, Value as OtelValue};
use serde_json::{Map, Value, json};

use crate::export::SpanBatchItem;

/// All fields of the span, its scope and its resource.
pub(super) fn value(item: &SpanBatchItem) -> Value {
    let span = &item.span;
    let context = &span.span_context;
    let parent = (span.parent_span_id != SpanId::INVALID).then(|| span.parent_span_id.to_string());
    let (status, message) = match &span.status {
        Status::Unset => ("unset", None),
        Status::Ok => ("ok", None),
        Status::Error { description } => {
            ("error", Some(description.as_ref()).filter(|text| !text.is_empty()))
        }
    };
    let duration = span.end_time.duration_since(span.start_time).unwrap_or_default();
    let events: Vec<_> = span
        .events
        .iter()
        .map(|event| {
            json!({
                "name": event.name,
                "time_unix_nano": unix_nanos(event.timestamp),
                "attributes": attributes(&event.attributes),
            })
        })
        .collect();
    let links: Vec<_> = span
        .links
        .iter()
        .map(|link| {
            json!({
                "trace_id": link.span_context.trace_id().to_string(),
                "span_id": link.span_context.span_id().to_string(),
                "attributes": attributes(&link.attributes),
            })
        })
        .collect();
    let resource: Map<_, _> =
        item.service.resource.iter().map(|(key, value)| (key.to_string(), attribute(value))).collect();
    json!({
        "service": item.service.name,
        "name": span.name,
        "kind": kind(&span.span_kind),
        "trace_id": context.trace_id().to_string(),
        "span_id": context.span_id().to_string(),
        "parent_span_id": parent,
        "parent_span_is_remote": span.parent_span_is_remote,
        "trace_flags": context.trace_flags().to_u8(),
        "trace_state": context.trace_state().header(),
        "start_time_unix_nano": unix_nanos(span.start_time),
        "end_time_unix_nano": unix_nanos(span.end_time),
        "duration_nano": duration.as_nanos().to_string(),
        "status": { "code": status, "message": message },
        "attributes": attributes(&span.attributes),
        "events": events,
        "links": links,
        "scope": {
            "name": span.instrumentation_scope.name(),
            "version": span.instrumentation_scope.version(),
            "schema_url": span.instrumentation_scope.schema_url(),
        },
        "resource": { "attributes": resource, "schema_url": item.service.resource.schema_url() },
    })
}

fn kind(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
    }
}

fn unix_nanos(time: SystemTime) -> String {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn attributes(list: &[KeyValue]) -> Map<String, Value> {
    list.iter().map(|pair| (pair.key.to_string(), attribute(&pair.value))).collect()
}

fn attribute(value: &OtelValue) -> Value {
    match value {
        OtelValue::Bool(value) => json!(value),
        OtelValue::I64(value) => json!(value),
        OtelValue::F64(value) => json!(value),
        OtelValue::String(value) => json!(value.as_str()),
        OtelValue::Array(Array::Bool(values)) => json!(values),
        OtelValue::Array(Array::I64(values)) => json!(values),
        OtelValue::Array(Array::F64(values)) => json!(values),
        OtelValue::Array(Array::String(values)) => {
            values.iter().map(|value| json!(value.as_str())).collect::<Vec<_>>().into()
        }
        other => json!(other.to_string()),
    }
}

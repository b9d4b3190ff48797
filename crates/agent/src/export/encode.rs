//! Spans and resources as OTLP has them (opentelemetry-proto, `trace/v1/trace.proto`, `common/v1/common.proto`,
//! `resource/v1/resource.proto`).

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

use super::proto::Write;

/// `SpanFlags`: bit 8 says that bit 9 is known, bit 9 that the parent is in another process.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
/// `Status.StatusCode`.
const STATUS_OK: u64 = 1;
const STATUS_ERROR: u64 = 2;

/// Appends a span as field `field` of the message in `buffer`. Events and links, of which the agent makes none, are
/// counted as dropped.
pub(super) fn span(buffer: &mut Vec<u8>, field: u32, span: &SpanData) {
    buffer.message(field, |buffer| {
        let context = &span.span_context;
        buffer.bytes(1, &context.trace_id().to_bytes());
        buffer.bytes(2, &context.span_id().to_bytes());
        let state = context.trace_state().header();
        if !state.is_empty() {
            buffer.bytes(3, state.as_bytes());
        }
        if span.parent_span_id != SpanId::INVALID {
            buffer.bytes(4, &span.parent_span_id.to_bytes());
        }
        buffer.bytes(5, span.name.as_bytes());
        buffer.uint(6, kind(&span.span_kind));
        buffer.fixed64(7, unix_nanos(span.start_time));
        buffer.fixed64(8, unix_nanos(span.end_time));
        for attribute in &span.attributes {
            key_value(buffer, 9, attribute.key.as_str(), &attribute.value);
        }
        for (field, count) in [
            (10, span.dropped_attributes_count as usize),
            (12, span.events.len() + span.events.dropped_count as usize),
            (14, span.links.len() + span.links.dropped_count as usize),
        ] {
            if count > 0 {
                buffer.uint(field, count as u64);
            }
        }
        match &span.status {
            Status::Unset => {}
            Status::Ok => buffer.message(15, |buffer| buffer.uint(3, STATUS_OK)),
            Status::Error { description } => buffer.message(15, |buffer| {
                if !description.is_empty() {
                    buffer.bytes(2, description.as_bytes());
                }
                buffer.uint(3, STATUS_ERROR);
            }),
        }
        let remote = if span.parent_span_is_remote { IS_REMOTE } else { 0 };
        buffer.fixed32(16, u32::from(context.trace_flags().to_u8()) | HAS_IS_REMOTE | remote);
    });
}

/// `Span.SpanKind`.
fn kind(kind: &SpanKind) -> u64 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    }
}

/// Nanoseconds since 1970; 0 before.
pub(super) fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Appends a resource as field `field`.
pub(super) fn resource(buffer: &mut Vec<u8>, field: u32, resource: &Resource) {
    buffer.message(field, |buffer| {
        for (key, value) in resource.iter() {
            key_value(buffer, 1, key.as_str(), value);
        }
    });
}

/// Appends an instrumentation scope as field `field`.
pub(super) fn scope(buffer: &mut Vec<u8>, field: u32, scope: &InstrumentationScope) {
    buffer.message(field, |buffer| {
        buffer.bytes(1, scope.name().as_bytes());
        if let Some(version) = scope.version() {
            buffer.bytes(2, version.as_bytes());
        }
        attributes(buffer, 3, scope.attributes());
    });
}

/// Appends attributes as fields `field`.
pub(super) fn attributes<'a>(
    buffer: &mut Vec<u8>,
    field: u32,
    attributes: impl IntoIterator<Item = &'a KeyValue>,
) {
    for attribute in attributes {
        key_value(buffer, field, attribute.key.as_str(), &attribute.value);
    }
}

fn key_value(buffer: &mut Vec<u8>, field: u32, key: &str, value: &Value) {
    buffer.message(field, |buffer| {
        buffer.bytes(1, key.as_bytes());
        buffer.message(2, |buffer| any_value(buffer, value));
    });
}

/// The content of an `AnyValue`.
fn any_value(buffer: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => buffer.bytes(1, text.as_str().as_bytes()),
        Value::Bool(truth) => buffer.uint(2, u64::from(*truth)),
        Value::I64(number) => buffer.uint(3, *number as u64),
        Value::F64(number) => buffer.fixed64(4, number.to_bits()),
        Value::Array(array) => buffer.message(5, |buffer| array_value(buffer, array)),
        // The type may grow; what it is then is not known here.
        other => buffer.bytes(1, other.as_str().as_bytes()),
    }
}

fn array_value(buffer: &mut Vec<u8>, array: &Array) {
    fn each<T: Clone>(buffer: &mut Vec<u8>, values: &[T], value: impl Fn(T) -> Value) {
        for item in values {
            buffer.message(1, |buffer| any_value(buffer, &value(item.clone())));
        }
    }
    match array {
        Array::String(texts) => each(buffer, texts, Value::String),
        Array::Bool(truths) => each(buffer, truths, Value::Bool),
        Array::I64(numbers) => each(buffer, numbers, Value::I64),
        Array::F64(numbers) => each(buffer, numbers, Value::F64),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{SpanContext, TraceFlags, TraceId, TraceState};
    use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use prost::Message as _;

    use super::super::{SCHEMA_URL, instrumentation_scope};
    use super::*;

    fn example(kind: SpanKind, status: Status, is_child: bool) -> SpanData {
        let state = TraceState::from_key_value([("vendor", "1")]).expect("valid");
        SpanData {
            span_context: SpanContext::new(
                TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
                SpanId::from(0xb7ad_6b71_6920_3331),
                TraceFlags::SAMPLED,
                false,
                if is_child { state } else { TraceState::default() },
            ),
            parent_span_id: if is_child { SpanId::from(7) } else { SpanId::INVALID },
            parent_span_is_remote: is_child,
            span_kind: kind,
            name: "GET /größe/{id}".into(),
            start_time: UNIX_EPOCH + Duration::new(1_779_458_633, 522_235_300),
            end_time: UNIX_EPOCH + Duration::new(1_779_458_634, 1),
            attributes: vec![
                KeyValue::new("text", "x".repeat(200)),
                KeyValue::new("empty", ""),
                KeyValue::new("count", -1),
                KeyValue::new("truth", true),
                KeyValue::new("ratio", 0.25),
                KeyValue::new("list", Value::Array(Array::I64(vec![1, 0, -2]))),
                KeyValue::new("texts", Value::Array(Array::String(vec!["a".into(), "".into()]))),
            ],
            dropped_attributes_count: 3,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: instrumentation_scope(),
        }
    }

    /// What the SDK's own exporter makes of a span is the reference.
    #[test]
    fn spans_are_encoded_as_the_sdk_encodes_them() {
        let all = [
            example(SpanKind::Server, Status::Unset, false),
            example(SpanKind::Client, Status::error(""), true),
            example(SpanKind::Internal, Status::error("why"), true),
            example(SpanKind::Producer, Status::Ok, false),
            example(SpanKind::Consumer, Status::Unset, true),
        ];
        let mut buffer = Vec::new();
        scope(&mut buffer, 1, &instrumentation_scope());
        all.iter().for_each(|one| span(&mut buffer, 2, one));
        let decoded = ScopeSpans::decode(&buffer[..]).expect("valid protobuf");
        let scope = decoded.scope.expect("a scope");
        assert_eq!(
            (scope.name.as_str(), scope.version.as_str()),
            ("otel-ebpf-agent", env!("CARGO_PKG_VERSION"))
        );
        assert!(!SCHEMA_URL.is_empty());
        let expected: Vec<Span> = all.into_iter().map(Span::from).collect();
        let with_status = |mut span: Span| {
            span.status.get_or_insert_default();
            span
        };
        assert_eq!(decoded.spans.into_iter().map(with_status).collect::<Vec<_>>(), expected);
    }
}

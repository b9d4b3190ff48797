//! Spans.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::{Prepared, Rejected, optional_id, required_id, resource_bytes, scope_bytes, service_name};
use crate::store::rollup::{is_error, is_from_agent};
use crate::store::rows::{Group, Rows, SpanRow};
use crate::store::{blob, mark};

/// Attribute by which the eBPF agent names a request whose other end it did not see: 16 hex digits, the TCP sequence
/// numbers of the first bytes of request and response.
const LINK_ID: &str = "ebpf.link.id";

/// Prepares a trace request.
pub fn traces(request: ExportTraceServiceRequest) -> Prepared {
    let mut rejected = Rejected::default();
    let mut groups = Vec::new();
    for per_resource in request.resource_spans {
        let service = service_name(per_resource.resource.as_ref());
        let resource = resource_bytes(per_resource.resource, per_resource.schema_url);
        for per_scope in per_resource.scope_spans {
            let from_agent = per_scope.scope.as_ref().is_some_and(|scope| is_from_agent(&scope.name));
            let mut rows = Vec::with_capacity(per_scope.spans.len());
            for span in per_scope.spans {
                match row(span, from_agent) {
                    Ok(row) => rows.push(row),
                    Err(reason) => rejected.add(1, || reason),
                }
            }
            let scope = scope_bytes(per_scope.scope, per_scope.schema_url);
            groups.push(Group {
                service: Arc::clone(&service),
                resource: Arc::clone(&resource),
                scope,
                rows,
            });
        }
    }
    Prepared { rows: Rows::Spans(groups), rejected }
}

fn row(mut span: Span, from_agent: bool) -> Result<SpanRow, String> {
    let trace_id = required_id("span without a valid trace id: it", &span.trace_id)?;
    let span_id = required_id("span without a valid span id: it", &span.span_id)?;
    let parent_id = optional_id("span with a bad parent span id: it", &span.parent_span_id)?;
    let status = span.status.take().unwrap_or_default();
    let (start_ns, end_ns, kind) = (span.start_time_unix_nano, span.end_time_unix_nano, span.kind);
    let name = std::mem::take(&mut span.name);
    // What the columns hold is cleared; protobuf does not encode defaults.
    span.trace_id = Vec::new();
    span.span_id = Vec::new();
    span.parent_span_id = Vec::new();
    (span.start_time_unix_nano, span.end_time_unix_nano, span.kind) = (0, 0, 0);
    if !status.message.is_empty() {
        span.status = Some(Status { message: status.message, code: 0 });
    }
    let link = link(kind, &span);
    let mark = mark::of(parent_id.is_none(), &span.attributes);
    let is_error = is_error(kind, status.code, mark);
    let detail = blob::pack(&span);
    Ok(SpanRow {
        trace_id,
        span_id,
        parent_id,
        start_ns,
        end_ns,
        name,
        kind,
        status: status.code,
        mark,
        link,
        is_error,
        from_agent,
        detail,
    })
}

/// The link id of a client's or server's span, bit for bit; one of another form names nothing.
fn link(kind: i32, span: &Span) -> Option<i64> {
    if kind != SpanKind::Client as i32 && kind != SpanKind::Server as i32 {
        return None;
    }
    let attribute = span.attributes.iter().find(|attribute| attribute.key == LINK_ID)?;
    let Value::StringValue(text) = attribute.value.as_ref()?.value.as_ref()? else { return None };
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != 16 || !text.bytes().all(is_hex) {
        return None;
    }
    u64::from_str_radix(text, 16).ok().map(u64::cast_signed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};

    #[test]
    fn a_link_id_is_sixteen_lower_case_hex_digits_at_one_end_of_a_call() {
        let of = |kind: SpanKind, value: Value| {
            let value = Some(AnyValue { value: Some(value) });
            let attributes = vec![KeyValue { key: LINK_ID.into(), value, ..Default::default() }];
            link(kind as i32, &Span { attributes, ..Default::default() })
        };
        let text = |kind, text: &str| of(kind, Value::StringValue(text.into()));
        for kind in [SpanKind::Client, SpanKind::Server] {
            assert_eq!(text(kind, "00000000000000ff"), Some(255));
            assert_eq!(text(kind, "ffffffffffffffff"), Some(-1));
        }
        for kind in [SpanKind::Unspecified, SpanKind::Internal, SpanKind::Producer, SpanKind::Consumer] {
            assert_eq!(text(kind, "00000000000000ff"), None);
        }
        for bad in ["", "ff", "00000000000000fF", "+0000000000000ff", "00000000000000ff0", "000000000000000é"]
        {
            assert_eq!(text(SpanKind::Client, bad), None, "{bad}");
        }
        assert_eq!(of(SpanKind::Client, Value::IntValue(255)), None);
        assert_eq!(link(SpanKind::Client as i32, &Span::default()), None);
    }
}

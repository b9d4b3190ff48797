//! Spans.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};

use super::{Prepared, Rejected, optional_id, required_id, resource_bytes, scope_bytes, service_name};
use crate::store::blob;
use crate::store::rows::{Group, Rows, SpanRow};

/// Prepares a trace request.
pub fn traces(request: ExportTraceServiceRequest) -> Prepared {
    let mut rejected = Rejected::default();
    let mut groups = Vec::new();
    for per_resource in request.resource_spans {
        let service = service_name(per_resource.resource.as_ref());
        let resource = resource_bytes(per_resource.resource, per_resource.schema_url);
        for per_scope in per_resource.scope_spans {
            let mut rows = Vec::with_capacity(per_scope.spans.len());
            for span in per_scope.spans {
                match row(span) {
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

fn row(mut span: Span) -> Result<SpanRow, String> {
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
    let detail = blob::pack(&span);
    Ok(SpanRow { trace_id, span_id, parent_id, start_ns, end_ns, name, kind, status: status.code, detail })
}

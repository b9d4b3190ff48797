//! Traces and spans.

use utoipa::IntoParams;

use super::params::{Page, SpanFilters};
use super::schemas::{Problem, Span, SpanLine, Trace, TraceLine};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct TraceSort {
    /// time, duration, spans, errors or name.
    #[param(default = "time")]
    sort: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct SpanList {
    /// Only of this trace.
    trace_id: Option<String>,
    /// time, duration or name.
    #[param(default = "time")]
    sort: Option<String>,
}

/// Traces, newest first.
///
/// A trace is listed when one of its spans fulfils all conditions; durations are those of the whole. The headers
/// X-Next-Cursor, X-Searched-To and X-Complete tell how to go on.
#[utoipa::path(get, path = "/api/traces", tag = "traces", params(SpanFilters, Page, TraceSort),
    responses((status = 200, body = Vec<TraceLine>), (status = 400, body = Problem)))]
fn list_traces() {}

/// One trace with all its spans.
#[utoipa::path(get, path = "/api/traces/{trace_id}", tag = "traces",
    params(("trace_id" = String, Path, description = "32 hex digits")),
    responses((status = 200, body = Trace), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn get_trace() {}

/// One trace as an OTLP/JSON file.
#[utoipa::path(get, path = "/api/traces/{trace_id}/otlp", tag = "files",
    params(("trace_id" = String, Path, description = "32 hex digits")),
    responses((status = 200, body = serde_json::Value), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn export_trace() {}

/// Spans in short, newest first.
#[utoipa::path(get, path = "/api/spans", tag = "traces", params(SpanFilters, Page, SpanList),
    responses((status = 200, body = Vec<SpanLine>), (status = 400, body = Problem)))]
fn list_spans() {}

/// One span.
#[utoipa::path(get, path = "/api/spans/{span_id}", tag = "traces",
    params(("span_id" = String, Path, description = "16 hex digits"),
        ("trace_id" = Option<String>, Query, description = "Its trace, where several spans have the id")),
    responses((status = 200, body = Span), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn get_span() {}

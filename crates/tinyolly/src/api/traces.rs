//! Traces and spans.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use serde::Serialize;

use super::Context;
use super::origin::Origin;
use super::otlp_json::{Attributes, Resource, Scope, Text, hex};
use super::params::{Params, from_hex};
use super::problem::Problem;
use super::{filters, page};
use crate::store::mark;
use crate::store::query::{self, Budget, SCAN, SpanFilter, SpanRecord, TraceSummary};

/// How long a span is searched for that is asked for by its id alone.
const LOOKUP: Duration = Duration::from_secs(1);

/// What the lists show of an HTTP span, from stable or older semantic conventions.
#[derive(Debug, Default)]
struct Http<'a> {
    method: Option<&'a str>,
    route: Option<&'a str>,
    url: Option<&'a str>,
    status_code: Option<i64>,
}

impl<'a> Http<'a> {
    fn of(span: &'a Span) -> Self {
        let text = |keys: &[&str]| keys.iter().find_map(|key| text_of(&span.attributes, key));
        Self {
            method: text(&["http.request.method", "http.method"]),
            route: text(&["http.route"]),
            url: text(&["url.full", "http.url", "url.path", "http.target"]),
            status_code: mark::http_status(&span.attributes),
        }
    }
}

fn value_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()
}

fn text_of<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a str> {
    match value_of(attributes, key)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Nanoseconds as the milliseconds a reader expects; exact to the nanosecond for spans of up to three months.
fn milliseconds(duration_ns: u64) -> f64 {
    duration_ns as f64 / 1e6
}

#[derive(Serialize)]
struct StatusJson<'a> {
    code: i32,
    message: &'a str,
}

fn status(span: &SpanRecord) -> StatusJson<'_> {
    StatusJson { code: span.status, message: span.detail.status.as_ref().map_or("", |s| &s.message) }
}

#[derive(Serialize)]
struct TraceLine<'a> {
    trace_id: String,
    span_count: u64,
    error_count: u64,
    start_time: Text<u64>,
    duration_ns: Text<u64>,
    duration_ms: f64,
    service_name: &'a str,
    root_span_id: String,
    root_span_name: &'a str,
    root_span_kind: i32,
    root_span_method: Option<&'a str>,
    root_span_route: Option<&'a str>,
    root_span_url: Option<&'a str>,
    root_span_status_code: Option<i64>,
    root_span_status: StatusJson<'a>,
    services: Vec<ServiceJson<'a>>,
    joined_trace_ids: Vec<String>,
}

#[derive(Serialize)]
struct ServiceJson<'a> {
    name: &'a str,
    span_count: u64,
    error_count: u64,
}

impl<'a> TraceLine<'a> {
    fn of(trace: &'a TraceSummary) -> Self {
        let http = Http::of(&trace.root.detail);
        let duration_ns = trace.end_ns.saturating_sub(trace.start_ns);
        let service = |s: &'a query::ServiceShare| ServiceJson {
            name: &s.name,
            span_count: s.span_count,
            error_count: s.error_count,
        };
        Self {
            trace_id: hex(&trace.root.trace_id),
            span_count: trace.span_count,
            error_count: trace.error_count,
            start_time: Text(trace.start_ns),
            duration_ns: Text(duration_ns),
            duration_ms: milliseconds(duration_ns),
            service_name: &trace.root.service,
            root_span_id: hex(&trace.root.span_id),
            root_span_name: &trace.root.name,
            root_span_kind: trace.root.kind,
            root_span_method: http.method,
            root_span_route: http.route,
            root_span_url: http.url,
            root_span_status_code: http.status_code,
            root_span_status: status(&trace.root),
            services: trace.services.iter().map(service).collect(),
            joined_trace_ids: trace.joined.iter().map(|id| hex(id)).collect(),
        }
    }
}

#[derive(Serialize)]
struct SpanLine<'a> {
    span_id: String,
    trace_id: String,
    parent_span_id: String,
    name: &'a str,
    kind: i32,
    start_time: Text<u64>,
    duration_ns: Text<u64>,
    duration_ms: f64,
    method: Option<&'a str>,
    route: Option<&'a str>,
    url: Option<&'a str>,
    status_code: Option<i64>,
    status: StatusJson<'a>,
    service_name: &'a str,
    origin: Option<Origin>,
}

impl<'a> SpanLine<'a> {
    fn of(span: &'a SpanRecord) -> Self {
        let http = Http::of(&span.detail);
        let duration_ns = span.end_ns.saturating_sub(span.start_ns);
        Self {
            span_id: hex(&span.span_id),
            trace_id: hex(&span.trace_id),
            parent_span_id: span.parent_id.map_or_else(String::new, |id| hex(&id)),
            name: &span.name,
            kind: span.kind,
            start_time: Text(span.start_ns),
            duration_ns: Text(duration_ns),
            duration_ms: milliseconds(duration_ns),
            method: http.method,
            route: http.route,
            url: http.url,
            status_code: http.status_code,
            status: status(span),
            service_name: &span.service,
            origin: Origin::of(&span.resource),
        }
    }
}

/// A span in OTLP/JSON with its resource and scope inlined.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WholeSpan<'a> {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    joined_parent: Option<JoinedParent>,
    trace_state: &'a str,
    flags: u32,
    name: &'a str,
    kind: i32,
    start_time_unix_nano: Text<u64>,
    end_time_unix_nano: Text<u64>,
    attributes: Attributes<'a>,
    dropped_attributes_count: u32,
    events: Vec<EventJson<'a>>,
    dropped_events_count: u32,
    links: Vec<LinkJson<'a>>,
    dropped_links_count: u32,
    status: StatusJson<'a>,
    service_name: &'a str,
    resource: Resource<'a>,
    scope: Scope<'a>,
}

/// The parent that TinyOlly found for a span which was received without one.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JoinedParent {
    trace_id: String,
    span_id: String,
    /// The evidence, as `ebpf.link.source` would name it.
    link_source: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventJson<'a> {
    time_unix_nano: Text<u64>,
    name: &'a str,
    attributes: Attributes<'a>,
    dropped_attributes_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkJson<'a> {
    trace_id: String,
    span_id: String,
    trace_state: &'a str,
    attributes: Attributes<'a>,
    dropped_attributes_count: u32,
    flags: u32,
}

impl<'a> WholeSpan<'a> {
    fn of(span: &'a SpanRecord) -> Self {
        let detail = &span.detail;
        let event = |e: &'a Event| EventJson {
            time_unix_nano: Text(e.time_unix_nano),
            name: &e.name,
            attributes: Attributes(&e.attributes),
            dropped_attributes_count: e.dropped_attributes_count,
        };
        let link = |l: &'a Link| LinkJson {
            trace_id: hex(&l.trace_id),
            span_id: hex(&l.span_id),
            trace_state: &l.trace_state,
            attributes: Attributes(&l.attributes),
            dropped_attributes_count: l.dropped_attributes_count,
            flags: l.flags,
        };
        Self {
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_span_id: span.parent_id.map_or_else(String::new, |id| hex(&id)),
            joined_parent: span.joined.map(|parent| JoinedParent {
                trace_id: hex(&parent.trace_id),
                span_id: hex(&parent.span_id),
                link_source: "link_id",
            }),
            trace_state: &detail.trace_state,
            flags: detail.flags,
            name: &span.name,
            kind: span.kind,
            start_time_unix_nano: Text(span.start_ns),
            end_time_unix_nano: Text(span.end_ns),
            attributes: Attributes(&detail.attributes),
            dropped_attributes_count: detail.dropped_attributes_count,
            events: detail.events.iter().map(event).collect(),
            dropped_events_count: detail.dropped_events_count,
            links: detail.links.iter().map(link).collect(),
            dropped_links_count: detail.dropped_links_count,
            status: status(span),
            service_name: &span.service,
            resource: Resource::of(&span.resource),
            scope: Scope::of(&span.scope),
        }
    }
}

#[derive(Serialize)]
struct WholeTrace<'a> {
    trace_id: String,
    joined_trace_ids: Vec<String>,
    span_count: usize,
    spans: Vec<WholeSpan<'a>>,
}

/// `GET /api/traces`
pub(super) async fn list(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let filter = filters::spans(&mut params)?;
    let paging = page::paging(&mut params, page::TRACE_SORTS)?;
    params.finish()?;
    let found = context.store.read(move |db| query::traces(db, &filter, &paging, Budget::of(SCAN))).await?;
    Ok(page::answer(&found, TraceLine::of))
}

/// `GET /api/traces/{trace_id}`
pub(super) async fn one(
    State(context): State<Context>,
    Path(trace_id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let Some(id) = from_hex(&trace_id) else {
        return Err(Problem::bad_request(format!("{trace_id:?} is not a trace id of 32 hex digits")));
    };
    let Some(tree) = context.store.read(move |db| query::trace(db, id)).await? else {
        return Err(Problem::not_found(format!("no trace {}", hex(&id))));
    };
    // A trace has no bound in spans, so it becomes JSON off the async threads.
    let body = tokio::task::spawn_blocking(move || {
        serde_json::to_vec(&WholeTrace {
            trace_id: hex(&id),
            joined_trace_ids: tree.joined.iter().map(|id| hex(id)).collect(),
            span_count: tree.spans.len(),
            spans: tree.spans.iter().map(WholeSpan::of).collect(),
        })
    });
    let body = body.await.map_err(|error| error.to_string()).and_then(|body| body.map_err(|e| e.to_string()));
    let body = body.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// `GET /api/spans`
pub(super) async fn spans(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let filter = SpanFilter { trace_id: params.trace_id("trace_id")?, ..filters::spans(&mut params)? };
    let paging = page::paging(&mut params, page::SPAN_SORTS)?;
    params.finish()?;
    let found = context.store.read(move |db| query::spans(db, &filter, &paging, Budget::of(SCAN))).await?;
    Ok(page::answer(&found, SpanLine::of))
}

/// `GET /api/spans/{span_id}`
pub(super) async fn span(
    State(context): State<Context>,
    Path(span_id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let trace_id = params.trace_id("trace_id")?;
    params.finish()?;
    let Some(id) = from_hex(&span_id) else {
        return Err(Problem::bad_request(format!("{span_id:?} is not a span id of 16 hex digits")));
    };
    let search = move |db: &_| query::span(db, id, trace_id, Budget::of(LOOKUP));
    match context.store.read(search).await? {
        (Some(span), _) => Ok(Json(WholeSpan::of(&span)).into_response()),
        (None, true) => Err(Problem::not_found(format!("no span {}", hex(&id)))),
        (None, false) => Err(Problem::not_found(format!(
            "no span {} among the newest: trace_id says where to look for an older one",
            hex(&id)
        ))),
    }
}

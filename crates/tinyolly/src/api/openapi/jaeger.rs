//! What a Jaeger query service answers, for Grafana's Jaeger data source.

use utoipa::IntoParams;

use super::schemas::Jaeger;

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Search {
    /// The service; needed unless traceID is given.
    service: Option<String>,
    /// Name of the span.
    operation: Option<String>,
    /// A JSON object of tags.
    tags: Option<String>,
    /// A tag as key:value.
    tag: Option<Vec<String>>,
    /// First time, in microseconds since the epoch.
    start: Option<String>,
    /// Last time, in microseconds since the epoch.
    end: Option<String>,
    /// A window before the end, such as 1h.
    lookback: Option<String>,
    /// Shortest duration, such as 100ms.
    #[param(rename = "minDuration")]
    min_duration: Option<String>,
    /// Longest duration.
    #[param(rename = "maxDuration")]
    max_duration: Option<String>,
    /// At most so many; 100 when absent.
    limit: Option<u32>,
    /// These traces, in place of a search.
    #[param(rename = "traceID")]
    trace_id: Option<Vec<String>>,
}

/// Names of services.
#[utoipa::path(get, path = "/jaeger/api/services", tag = "jaeger", responses((status = 200, body = Jaeger)))]
fn services() {}

/// Names of a service's operations.
#[utoipa::path(get, path = "/jaeger/api/services/{service}/operations", tag = "jaeger",
    params(("service" = String, Path, description = "The service's name")),
    responses((status = 200, body = Jaeger)))]
fn operation_names() {}

/// Operations of a service, with their kinds.
#[utoipa::path(get, path = "/jaeger/api/operations", tag = "jaeger",
    params(("service" = String, Query, description = "The service's name"),
        ("spanKind" = Option<String>, Query, description = "Only this kind")),
    responses((status = 200, body = Jaeger), (status = 400, body = Jaeger)))]
fn operations() {}

/// Traces that a search finds.
#[utoipa::path(get, path = "/jaeger/api/traces", tag = "jaeger", params(Search),
    responses((status = 200, body = Jaeger), (status = 400, body = Jaeger)))]
fn traces() {}

/// One trace.
#[utoipa::path(get, path = "/jaeger/api/traces/{trace_id}", tag = "jaeger",
    params(("trace_id" = String, Path, description = "Up to 32 hex digits")),
    responses((status = 200, body = Jaeger), (status = 400, body = Jaeger), (status = 404, body = Jaeger)))]
fn trace() {}

/// Calls between services.
#[utoipa::path(get, path = "/jaeger/api/dependencies", tag = "jaeger",
    params(("endTs" = Option<String>, Query, description = "Last time, in milliseconds since the epoch"),
        ("lookback" = Option<String>, Query, description = "A window before it, in milliseconds")),
    responses((status = 200, body = Jaeger), (status = 400, body = Jaeger)))]
fn dependencies() {}

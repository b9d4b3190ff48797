//! `GET /openapi.json`: the API in OpenAPI 3.1, made by utoipa from the types and functions of these modules.
//!
//! Parameters are structures whose fields carry the words; answers are structures of the same shape as the JSON. That
//! each route of the router is here, that nothing else is, and that answers fit their schemas, is tested in
//! `tests/openapi.rs`.
#![allow(
    dead_code,
    reason = "the structures and functions are read by utoipa's macros and never made or called"
)]

mod jaeger;
mod logs;
mod metrics;
mod overview;
mod params;
mod schemas;
mod services;
mod system;
mod traces;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

/// All documented operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "TinyOlly",
        description = "Telemetry that was received over OTLP: traces, logs and metrics, what is computed of them, and files in \
            and out. Ids are lower-case hex, times nanoseconds since the Unix epoch as decimal strings. An unknown parameter \
            is a 400; an empty value counts as absent."
    ),
    paths(
        traces::list_traces,
        traces::get_trace,
        traces::export_trace,
        traces::list_spans,
        traces::get_span,
        logs::list_logs,
        logs::get_log,
        metrics::list_metrics,
        metrics::query_metric,
        metrics::get_metric,
        metrics::metric_cardinality,
        jaeger::services,
        jaeger::operation_names,
        jaeger::operations,
        jaeger::traces,
        jaeger::trace,
        jaeger::dependencies,
        logs::stream_logs,
        overview::histogram,
        overview::facets,
        overview::attributes,
        services::list_services,
        services::get_service,
        services::service_map,
        system::export,
        system::import,
        system::stats,
        system::admin,
        system::live,
        system::health,
        system::openapi,
        system::docs,
    ),
    components(schemas(schemas::Problem))
)]
struct Document;

/// `GET /openapi.json`
pub(super) async fn document() -> Response {
    match Document::openapi().to_json() {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => super::problem::Problem::new(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            format!("the document as JSON: {error}"),
        )
        .into_response(),
    }
}

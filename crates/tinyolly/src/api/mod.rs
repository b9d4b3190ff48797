//! The REST API that `docs/api.md` describes.

mod admin;
mod catalog;
mod docs;
mod export;
mod filters;
pub mod host;
mod import;
mod jaeger;
mod jaeger_json;
mod live;
mod log_stream;
mod logs;
mod metric_query;
mod metrics;
mod openapi;
mod origin;
mod otlp_json;
mod otlp_out;
mod overview;
mod page;
mod params;
mod problem;
mod service_map;
mod stats;
mod traces;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::counters::Counters;
use crate::receive::Receiver;
use crate::store::Store;
use problem::Problem;

/// Streams that are open at a time, at most.
pub const MOST_STREAMS: usize = 64;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Context {
    /// Answers queries.
    pub store: Store,
    /// Takes what is imported.
    pub receiver: Receiver,
    /// What was received.
    pub counters: Arc<Counters>,
    /// Turns true when the server shuts down, which ends streams.
    pub stopping: watch::Receiver<bool>,
    /// A permit for each stream that may be open.
    pub streams: Arc<Semaphore>,
}

impl Context {
    /// Leave to stream, until it is dropped; an error when too many do.
    fn stream_slot(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{MOST_STREAMS} streams are open, which is as many as may be"),
            )
        })
    }
}

/// The API as a router.
pub fn router(context: Context) -> Router {
    Router::new()
        .route("/api/traces", get(traces::list))
        .route("/api/traces/{trace_id}", get(traces::one))
        .route("/api/traces/{trace_id}/otlp", get(export::one_trace))
        .route("/api/export", get(export::export))
        .route("/api/import", post(import::import).layer(DefaultBodyLimit::disable()))
        .route("/api/spans", get(traces::spans))
        .route("/api/spans/{span_id}", get(traces::span))
        .route("/api/logs", get(logs::list))
        .route("/api/logs/stream", get(log_stream::stream))
        .route("/api/logs/{log_id}", get(logs::one))
        .route("/api/histogram", get(overview::histogram))
        .route("/api/facets", get(overview::facets))
        .route("/api/attributes", get(overview::attributes))
        .route("/api/metrics", get(metrics::list))
        .route("/api/metrics/query", get(metric_query::query))
        .route("/api/metrics/{*name}", get(metric_query::one_or_cardinality))
        .route("/api/service-catalog", get(catalog::list))
        .route("/api/service-catalog/{service}", get(catalog::one))
        .route("/api/service-map", get(service_map::map))
        .route("/api/stats", get(stats::stats))
        .route("/api/live", get(live::stream))
        .route("/jaeger/api/services", get(jaeger::services))
        .route("/jaeger/api/services/{service}/operations", get(jaeger::operation_names))
        .route("/jaeger/api/operations", get(jaeger::operations))
        .route("/jaeger/api/traces", get(jaeger::traces))
        .route("/jaeger/api/traces/{trace_id}", get(jaeger::trace))
        .route("/jaeger/api/dependencies", get(jaeger::dependencies))
        .route("/jaeger/{*path}", get(problem::no_such_path))
        .route("/admin/stats", get(admin::stats))
        .route("/admin/{*path}", get(problem::no_such_path))
        .route("/health", get(stats::health))
        .route("/openapi.json", get(openapi::document))
        .merge(docs::router())
        .route("/api/{*path}", get(problem::no_such_path))
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(from_fn(headers))
        .with_state(context)
}

/// Answers are data of the moment, and never pages.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Only the page of the documentation has one of its own.
    let nothing = HeaderValue::from_static("default-src 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
    response
}

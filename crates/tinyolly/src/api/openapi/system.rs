//! Files, statistics and the server itself.

use super::params::SpanFilters;
use super::schemas::{Admin, Health, Imported, Problem, Stats};

/// Telemetry that passes a filter, as one OTLP/JSON document.
///
/// Traces take the filters of /api/traces, and whole traces are given; logs take those of /api/logs; metrics take name,
/// service, start and end. The document is streamed, and broken off when it cannot be ended.
#[utoipa::path(get, path = "/api/export", tag = "files",
    params(("signal" = String, Query, description = "traces, logs or metrics"), SpanFilters),
    responses((status = 200, body = serde_json::Value), (status = 400, body = Problem)))]
fn export() {}

/// Stores OTLP/JSON of any signal, or of several.
#[utoipa::path(post, path = "/api/import", tag = "files", request_body = serde_json::Value,
    responses((status = 200, body = Imported), (status = 400, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 429, body = Problem)))]
fn import() {}

/// What is stored, and what came since the start.
#[utoipa::path(get, path = "/api/stats", tag = "server", responses((status = 200, body = Stats)))]
fn stats() {}

/// What an operator asks: the file, what is in it, and memory.
#[utoipa::path(get, path = "/admin/stats", tag = "server", responses((status = 200, body = Admin)))]
fn admin() {}

/// Server-sent events with the statistics, after each stored batch.
#[utoipa::path(get, path = "/api/live", tag = "server",
    responses((status = 200, content_type = "text/event-stream", body = String)))]
fn live() {}

/// Whether the server works.
#[utoipa::path(get, path = "/health", tag = "server",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
fn health() {}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "server", responses((status = 200, body = serde_json::Value)))]
fn openapi() {}

/// This document as a page.
#[utoipa::path(get, path = "/docs", tag = "server",
    responses((status = 200, content_type = "text/html", body = String)))]
fn docs() {}

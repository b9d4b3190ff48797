//! Statistics and health.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use super::problem::Problem;
use crate::store::{StoreError, query};

/// What `/api/stats` and `/api/live` answer.
#[derive(Debug, Serialize)]
pub(super) struct Stats {
    traces: u64,
    spans: u64,
    logs: u64,
    metrics: u64,
    metric_points: u64,
    db_bytes: u64,
    uptime_s: f64,
    received: Received,
    rejected: Rejected,
    limits: Limits,
}

#[derive(Debug, Serialize)]
struct Received {
    spans: u64,
    logs: u64,
    metric_points: u64,
    duplicate_spans: u64,
}

#[derive(Debug, Serialize)]
struct Rejected {
    malformed_requests: u64,
    overloaded_requests: u64,
    items: u64,
    metric_names_refused: u64,
}

#[derive(Debug, Serialize)]
struct Limits {
    metric_names: usize,
}

impl Stats {
    pub(super) async fn read(context: &Context) -> Result<Self, StoreError> {
        let totals = context.store.read(query::totals).await?;
        let counters = &context.counters;
        Ok(Self {
            traces: totals.traces,
            spans: totals.spans,
            logs: totals.logs,
            metrics: totals.metrics,
            metric_points: totals.metric_points,
            db_bytes: totals.db_bytes,
            uptime_s: (counters.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0,
            received: Received {
                spans: counters.spans.get(),
                logs: counters.logs.get(),
                metric_points: counters.metric_points.get(),
                duplicate_spans: counters.duplicate_spans.get(),
            },
            rejected: Rejected {
                malformed_requests: counters.malformed_requests.get(),
                overloaded_requests: counters.overloaded_requests.get(),
                items: counters.rejected_items.get(),
                metric_names_refused: counters.metric_names_refused.get(),
            },
            limits: Limits { metric_names: context.store.max_metric_names() },
        })
    }
}

/// `GET /api/stats`
pub(super) async fn stats(State(context): State<Context>) -> Result<Json<Stats>, Problem> {
    Ok(Json(Stats::read(&context).await?))
}

/// `GET /health`
pub(super) async fn health(State(context): State<Context>) -> (StatusCode, Json<Value>) {
    let version = env!("CARGO_PKG_VERSION");
    let answers = context.store.read(query::alive).await;
    match answers.and_then(|()| context.store.writing()) {
        Ok(()) => (StatusCode::OK, Json(json!({ "status": "ok", "version": version }))),
        Err(error) => {
            let body = json!({ "status": "unavailable", "version": version, "detail": error.to_string() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}

//! The service map.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;

use super::Context;
use super::catalog::{Asked, quantile_ms};
use super::otlp_json::{Text, hex};
use super::params::Params;
use super::problem::Problem;
use crate::store::query::{self, NodeType, ServiceMap};
use crate::store::rollup::Tally;

#[derive(Serialize)]
struct Metrics {
    request_count: u64,
    rate: f64,
    error_count: u64,
    error_rate: f64,
    duration_p50_ms: Option<f64>,
    duration_p95_ms: Option<f64>,
}

impl Metrics {
    fn of(load: &Tally, seconds: f64) -> Self {
        Self {
            request_count: load.count,
            rate: load.count as f64 / seconds,
            error_count: load.errors,
            error_rate: load.errors as f64 / load.count.max(1) as f64,
            duration_p50_ms: quantile_ms(load, 0.5),
            duration_p95_ms: quantile_ms(load, 0.95),
        }
    }
}

#[derive(Serialize)]
struct Node {
    id: String,
    label: String,
    r#type: &'static str,
    metrics: Option<Metrics>,
}

#[derive(Serialize)]
struct Edge {
    source: String,
    target: String,
    #[serde(flatten)]
    metrics: Metrics,
}

#[derive(Serialize)]
pub(super) struct MapJson {
    complete: bool,
    searched_traces: u64,
    start: Text<u64>,
    end: Text<u64>,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

impl MapJson {
    fn of(map: &ServiceMap, start: u64, end: u64, seconds: f64) -> Self {
        let node = |node: &query::MapNode| Node {
            id: node.id.clone(),
            label: node.label.to_string(),
            r#type: match node.kind {
                NodeType::Service => "service",
                NodeType::Database => "database",
                NodeType::Queue => "queue",
                NodeType::External => "external",
                NodeType::Caller => "caller",
            },
            metrics: node.load.as_ref().map(|load| Metrics::of(load, seconds)),
        };
        let edge = |edge: &query::MapEdge| Edge {
            source: map.nodes[edge.source].id.clone(),
            target: map.nodes[edge.target].id.clone(),
            metrics: Metrics::of(&edge.load, seconds),
        };
        Self {
            complete: map.complete,
            searched_traces: map.searched_traces,
            start: Text(start),
            end: Text(end),
            nodes: map.nodes.iter().map(node).collect(),
            edges: map.edges.iter().map(edge).collect(),
        }
    }
}

/// `GET /api/service-map`
pub(super) async fn map(State(context): State<Context>, uri: Uri) -> Result<Json<MapJson>, Problem> {
    let mut params = Params::of(&uri)?;
    if let Some(id) = params.trace_id("trace_id")? {
        // A trace has its own times.
        params.finish()?;
        let Some(map) = context.store.read(move |db| query::trace_map(db, id)).await? else {
            return Err(Problem::not_found(format!("no trace {}", hex(&id))));
        };
        let (start, end) = map.times.unwrap_or_default();
        let seconds = (end.saturating_sub(start) as f64 / 1e9).max(1.0);
        return Ok(Json(MapJson::of(&map, start, end, seconds)));
    }
    let asked = Asked::take(&mut params)?;
    params.finish()?;
    let found = context.store.read(move |db| {
        let earliest = query::earliest_span(db)?;
        Ok((query::service_map(db, asked.start_ns, asked.end_ns)?, earliest))
    });
    let (map, earliest) = found.await?;
    // What was not walked counts in no rate.
    let start = match map.times {
        Some((first, _)) if !map.complete => asked.start_ns.max(first),
        _ => asked.start_ns,
    };
    let seconds = asked.seconds_from(start.max(earliest.unwrap_or(0)));
    Ok(Json(MapJson::of(&map, start, asked.end_ns, seconds)))
}

//! Jaeger's query API under `/jaeger`, as Grafana's Jaeger data source asks it.
//!
//! Parameters that are not known are ignored here, as Jaeger does: clients send some that mean nothing to it.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

use super::Context;
use super::catalog::now_ns;
use super::jaeger_json::{self, TraceJson};
use super::otlp_json::hex;
use crate::store::StoreError;
use crate::store::query::{self, TraceSearch};
use crate::store::rows::TraceId;

/// Traces of an answer that does not say, and at most.
const DEFAULT_LIMIT: usize = 100;
const MOST_TRACES: usize = 1500;
/// How far back is searched without a start.
const DEFAULT_LOOKBACK: Duration = Duration::from_secs(3600);

type Pairs = Query<Vec<(String, String)>>;

/// Jaeger's envelope of an answer.
#[derive(Serialize)]
struct Structured<T> {
    data: T,
    total: usize,
    limit: usize,
    offset: usize,
    errors: Option<Value>,
}

fn structured<T: Serialize>(data: Vec<T>) -> Response {
    let total = data.len();
    Json(Structured { data, total, limit: 0, offset: 0, errors: None }).into_response()
}

/// An error in Jaeger's form.
pub(super) struct Failure(StatusCode, String);

impl Failure {
    fn bad(message: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, message.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "query failed");
        Self(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let errors = Some(json!([{ "code": self.0.as_u16(), "msg": self.1 }]));
        let body = Structured { data: Value::Null, total: 0, limit: 0, offset: 0, errors };
        (self.0, Json(body)).into_response()
    }
}

fn one<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

fn number(pairs: &[(String, String)], name: &str) -> Result<Option<u64>, Failure> {
    let parse =
        |text: &str| text.parse().map_err(|_| Failure::bad(format!("{name}={text:?} is not a number")));
    one(pairs, name).map(parse).transpose()
}

/// A duration as Go writes it, such as `1.2s`, `100ms` or `2h`; `d` for days as well.
fn duration_ns(pairs: &[(String, String)], name: &str) -> Result<Option<u64>, Failure> {
    let Some(text) = one(pairs, name) else { return Ok(None) };
    let units = [
        ("ns", 1.0),
        ("us", 1e3),
        ("µs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
        ("d", 86_400e9),
    ];
    let parsed = units.into_iter().find_map(|(unit, ns)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some((number * ns).round() as u64)
    });
    parsed
        .map(Some)
        .ok_or_else(|| Failure::bad(format!("{name}={text:?} is not a duration such as 1.2s or 100ms")))
}

/// An id of up to 32 hex digits; leading zeros may be missing.
fn trace_id(text: &str) -> Result<TraceId, Failure> {
    let is_hex = !text.is_empty() && text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = is_hex.then(|| u128::from_str_radix(text, 16).ok()).flatten();
    id.map(u128::to_be_bytes).ok_or_else(|| Failure::bad(format!("{text:?} is not a trace id")))
}

/// `GET /jaeger/api/services`
pub(super) async fn services(State(context): State<Context>) -> Result<Response, Failure> {
    Ok(structured(context.store.read(query::service_names).await?))
}

/// `GET /jaeger/api/services/{service}/operations`
pub(super) async fn operation_names(
    State(context): State<Context>,
    Path(service): Path<String>,
) -> Result<Response, Failure> {
    let found = context.store.read(move |db| query::operation_names(db, &service)).await?;
    let mut names: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
    names.dedup();
    Ok(structured(names))
}

/// `GET /jaeger/api/operations`
pub(super) async fn operations(
    State(context): State<Context>,
    Query(pairs): Pairs,
) -> Result<Response, Failure> {
    let service =
        one(&pairs, "service").ok_or_else(|| Failure::bad("parameter 'service' is required"))?.to_owned();
    let kind = one(&pairs, "spanKind").map(str::to_owned);
    let found = context.store.read(move |db| query::operation_names(db, &service)).await?;
    let operations = found.into_iter().map(|(name, number)| (name, query::span_kind_name(number)));
    let wanted = operations.filter(|(_, name)| kind.as_ref().is_none_or(|kind| kind == name));
    Ok(structured(wanted.map(|(name, kind)| json!({ "name": name, "spanKind": kind })).collect()))
}

fn search(pairs: &[(String, String)], service: &str) -> Result<TraceSearch, Failure> {
    let mut tags = Vec::new();
    if let Some(text) = one(pairs, "tags") {
        let bad = || Failure::bad(format!("tags={text:?} is not a JSON object of strings"));
        let Ok(Value::Object(map)) = serde_json::from_str(text) else { return Err(bad()) };
        for (key, value) in map {
            match value {
                Value::String(value) => tags.push((key, value)),
                Value::Bool(_) | Value::Number(_) => tags.push((key, value.to_string())),
                _ => return Err(bad()),
            }
        }
    }
    for (_, text) in pairs.iter().filter(|(key, value)| key == "tag" && !value.is_empty()) {
        let Some((key, value)) = text.split_once(':') else {
            return Err(Failure::bad(format!("tag={text:?} is not key:value")));
        };
        tags.push((key.to_owned(), value.to_owned()));
    }
    let end_ns = number(pairs, "end")?.map_or_else(now_ns, |us| us.saturating_mul(1000).saturating_add(999));
    let lookback = match one(pairs, "lookback") {
        None | Some("custom") => None,
        Some(_) => duration_ns(pairs, "lookback")?,
    };
    let lookback = lookback.unwrap_or(DEFAULT_LOOKBACK.as_nanos() as u64);
    let start_ns =
        number(pairs, "start")?.map_or(end_ns.saturating_sub(lookback), |us| us.saturating_mul(1000));
    let limit =
        number(pairs, "limit")?.map_or(DEFAULT_LIMIT, |limit| usize::try_from(limit).unwrap_or(MOST_TRACES));
    // Jaeger's clients write "all" where every operation is meant.
    let operation = one(pairs, "operation").filter(|name| *name != "all").map(str::to_owned);
    Ok(TraceSearch {
        service: service.to_owned(),
        operation,
        tags,
        start_ns,
        end_ns,
        min_duration_ns: duration_ns(pairs, "minDuration")?.unwrap_or(0),
        max_duration_ns: duration_ns(pairs, "maxDuration")?.unwrap_or(u64::MAX),
        limit: limit.min(MOST_TRACES),
    })
}

/// `GET /jaeger/api/traces`
pub(super) async fn traces(State(context): State<Context>, Query(pairs): Pairs) -> Result<Response, Failure> {
    let ids = pairs.iter().filter(|(key, value)| key == "traceID" && !value.is_empty());
    let ids = ids.take(MOST_TRACES).map(|(_, id)| trace_id(id)).collect::<Result<Vec<_>, _>>()?;
    let search = match one(&pairs, "service") {
        Some(service) if ids.is_empty() => Some(search(&pairs, service)?),
        None if ids.is_empty() => return Err(Failure::bad("parameter 'service' is required")),
        _ => None,
    };
    let answer = context.store.read(move |db| {
        let ids = match &search {
            Some(search) => query::search_traces(db, search)?,
            None => ids,
        };
        let (mut found, mut shown) = (Vec::new(), std::collections::HashSet::new());
        for id in ids {
            // A trace that another brought along is there already.
            if shown.contains(&id) {
                continue;
            }
            if let Some(tree) = query::trace(db, id)? {
                shown.insert(id);
                shown.extend(tree.joined.iter().copied());
                found.push(jaeger_json::trace(id, &tree));
            }
        }
        Ok(found)
    });
    Ok(structured(answer.await?))
}

/// `GET /jaeger/api/traces/{trace_id}`
pub(super) async fn trace(
    State(context): State<Context>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let id = trace_id(&id)?;
    let read = move |db: &_| Ok(query::trace(db, id)?.map(|tree| jaeger_json::trace(id, &tree)));
    let found: Option<TraceJson> = context.store.read(read).await?;
    match found {
        Some(trace) => Ok(structured(vec![trace])),
        None => Err(Failure(StatusCode::NOT_FOUND, format!("trace not found: {}", hex(&id)))),
    }
}

/// `GET /jaeger/api/dependencies`
pub(super) async fn dependencies(
    State(context): State<Context>,
    Query(pairs): Pairs,
) -> Result<Response, Failure> {
    const NS_PER_MS: u64 = 1_000_000;
    let end = number(&pairs, "endTs")?.map_or_else(now_ns, |ms| ms.saturating_mul(NS_PER_MS));
    let lookback =
        number(&pairs, "lookback")?.map_or(86_400_000 * NS_PER_MS, |ms| ms.saturating_mul(NS_PER_MS));
    let map = context.store.read(move |db| query::service_map(db, end.saturating_sub(lookback), end)).await?;
    let is_service = |at: usize| map.nodes[at].kind == query::NodeType::Service;
    let edges = map.edges.iter().filter(|edge| is_service(edge.source) && is_service(edge.target));
    let link = |edge: &query::MapEdge| {
        let [parent, child] = [edge.source, edge.target].map(|at| &*map.nodes[at].label);
        json!({ "parent": parent, "child": child, "callCount": edge.load.count })
    };
    Ok(structured(edges.map(link).collect()))
}

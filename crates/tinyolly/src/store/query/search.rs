//! Traces by one of their spans, as Jaeger's search finds them, and the names there are.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use rusqlite::{Connection, params};

use super::sources::Sources;
use crate::store::rollup::{LEVELS, Role};
use crate::store::rows::TraceId;
use crate::store::{StoreError, blob};

/// How long is searched.
const BUDGET: Duration = Duration::from_millis(500);

/// What one span of a trace must fulfil.
#[derive(Clone, Debug, Default)]
pub struct TraceSearch {
    /// Its service.
    pub service: String,
    /// Its name.
    pub operation: Option<String>,
    /// Attributes of the span or its resource, as text.
    pub tags: Vec<(String, String)>,
    /// Nanoseconds since the epoch, inclusive.
    pub start_ns: u64,
    /// Nanoseconds since the epoch, inclusive.
    pub end_ns: u64,
    /// Shortest duration in nanoseconds.
    pub min_duration_ns: u64,
    /// Longest duration in nanoseconds.
    pub max_duration_ns: u64,
    /// Traces at most.
    pub limit: usize,
}

/// Names of the services with spans.
///
/// # Errors
/// When SQLite fails.
pub fn service_names(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT body FROM text WHERE id IN (SELECT service FROM rollup_service WHERE level = ?1) ORDER BY body",
    )?;
    let names = statement.query_map([LEVELS[2].number], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Names and kinds (OTLP's numbers) of a service's spans.
///
/// # Errors
/// When SQLite fails.
pub fn operation_names(db: &Connection, service: &str) -> Result<Vec<(String, i32)>, StoreError> {
    let Some(id) = Sources::new(db).service_id(service)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(
        "SELECT DISTINCT t.body, o.role FROM rollup_operation o JOIN text t ON t.id = o.name
         WHERE o.level = ?1 AND o.service = ?2 LIMIT 20000",
    )?;
    let names = statement.query_map(params![LEVELS[2].number, id], |row| {
        Ok((row.get(0)?, Role::stored(row.get(1)?).kind()))
    })?;
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.sort();
    names.dedup();
    Ok(names)
}

/// Traces with a span that fulfils the search, those with the newest such span first.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn search_traces(db: &Connection, search: &TraceSearch) -> Result<Vec<TraceId>, StoreError> {
    let deadline = Instant::now() + BUDGET;
    let mut sources = Sources::new(db);
    let Some(service) = sources.service_id(&search.service)? else { return Ok(Vec::new()) };
    let name = match &search.operation {
        Some(name) => match sources.service_id(name)? {
            Some(id) => Some(id),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let [start, end] = [search.start_ns, search.end_ns].map(|time| i64::try_from(time).unwrap_or(i64::MAX));
    let mut keys = db.prepare_cached(
        "SELECT trace, start_ns, span_id FROM span INDEXED BY span_by_start
         WHERE start_ns >= ?1 AND start_ns <= ?2 AND service = ?3 ORDER BY start_ns DESC",
    )?;
    let mut span = db.prepare_cached(
        "SELECT name, duration_ns, kind, status, resource, detail FROM span
         WHERE trace = ?1 AND start_ns = ?2 AND span_id = ?3",
    )?;
    let mut id_of = db.prepare_cached("SELECT trace_id FROM trace WHERE id = ?1")?;
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut keys = keys.query(params![start, end, service])?;
    while found.len() < search.limit
        && let Some(key) = keys.next()?
    {
        let trace: i64 = key.get(0)?;
        if seen.contains(&trace) {
            continue;
        }
        let at =
            params![trace, key.get::<_, i64>(1)?, key.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?];
        let mut rows = span.query(at)?;
        let Some(row) = rows.next()? else { continue };
        let duration_ns = row.get::<_, i64>(1)?.max(0) as u64;
        let mut fits = name.is_none_or(|name| row.get(0).is_ok_and(|id: i64| id == name))
            && (search.min_duration_ns..=search.max_duration_ns).contains(&duration_ns);
        if fits && !search.tags.is_empty() {
            let detail: Span =
                blob::unpack(row.get_ref(5)?.as_blob_or_null().map_err(rusqlite::Error::from)?)?;
            let resource = sources.resource(row.get(4)?)?;
            let of_resource = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            let (kind, status) = (row.get(2)?, row.get(3)?);
            fits = search.tags.iter().all(|(key, value)| {
                carries(&detail.attributes, key, value)
                    || carries(of_resource, key, value)
                    || is_said(kind, status, key, value)
            });
        }
        if fits {
            seen.insert(trace);
            found.push(id_of.query_row([trace], |row| row.get(0))?);
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Ok(found)
}

/// Whether an attribute has this value, written as text.
fn carries(attributes: &[KeyValue], key: &str, wanted: &str) -> bool {
    attributes.iter().filter(|attribute| attribute.key == key).any(|attribute| {
        match attribute.value.as_ref().and_then(|any| any.value.as_ref()) {
            Some(Value::StringValue(text)) => text == wanted,
            Some(Value::BoolValue(value)) => value.to_string() == wanted,
            Some(Value::IntValue(number)) => number.to_string() == wanted,
            Some(Value::DoubleValue(number)) => wanted.parse().is_ok_and(|wanted: f64| wanted == *number),
            _ => false,
        }
    })
}

/// Whether it is one of the tags that Jaeger makes of what is no attribute.
fn is_said(kind: i32, status: i32, key: &str, value: &str) -> bool {
    match key {
        "error" => (status == 2).to_string() == value,
        "span.kind" => span_kind_name(kind) == value,
        "otel.status_code" => match status {
            1 => value == "OK",
            2 => value == "ERROR",
            _ => false,
        },
        _ => false,
    }
}

/// A kind as Jaeger names it; empty for none.
pub fn span_kind_name(kind: i32) -> &'static str {
    match kind {
        1 => "internal",
        2 => "server",
        3 => "client",
        4 => "producer",
        5 => "consumer",
        _ => "",
    }
}

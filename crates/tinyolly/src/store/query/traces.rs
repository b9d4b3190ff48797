//! Traces and spans.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sources::Sources;
use crate::store::rows::{SpanId, TraceId};
use crate::store::{StoreError, blob};

/// One stored span.
#[derive(Clone, Debug)]
pub struct SpanRecord {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// `None` for a root.
    pub parent_id: Option<SpanId>,
    /// Nanoseconds since the epoch.
    pub start_ns: u64,
    /// Nanoseconds since the epoch.
    pub end_ns: u64,
    /// The span's name.
    pub name: Arc<str>,
    /// OTLP's number.
    pub kind: i32,
    /// OTLP's status code.
    pub status: i32,
    /// The resource's `service.name`.
    pub service: Arc<str>,
    /// The resource, in an envelope with its schema URL.
    pub resource: Arc<ResourceSpans>,
    /// The scope, in an envelope with its schema URL.
    pub scope: Arc<ScopeSpans>,
    /// Attributes, events, links and what else has no field above; those with one are empty here.
    pub detail: Span,
}

/// One line of the trace list.
#[derive(Clone, Debug)]
pub struct TraceSummary {
    /// Start of the earliest span.
    pub start_ns: u64,
    /// End of the latest span.
    pub end_ns: u64,
    /// Spans stored.
    pub span_count: u64,
    /// Spans with status error.
    pub error_count: u64,
    /// The root, or the earliest span while no root is stored.
    pub root: SpanRecord,
    /// Every service with spans in the trace, most spans first.
    pub services: Vec<ServiceShare>,
}

/// A service's part in a trace.
#[derive(Clone, Debug)]
pub struct ServiceShare {
    /// `service.name`.
    pub name: Arc<str>,
    /// Its spans.
    pub span_count: u64,
    /// Its spans with status error.
    pub error_count: u64,
}

/// What a span list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct SpanFilter {
    /// Only this service.
    pub service: Option<String>,
    /// Only this trace.
    pub trace_id: Option<TraceId>,
    /// At most so many.
    pub limit: u32,
}

macro_rules! span_columns {
    () => {
        "s.span_id, s.parent_id, s.start_ns, s.duration_ns, s.name, s.kind, s.status, s.service, s.resource, s.scope,
         s.detail"
    };
}

fn record(
    sources: &mut Sources<'_>,
    trace_id: TraceId,
    row: &Row<'_>,
    at: usize,
) -> Result<SpanRecord, StoreError> {
    let start_ns = row.get::<_, i64>(at + 2)? as u64;
    Ok(SpanRecord {
        trace_id,
        span_id: row.get(at)?,
        parent_id: row.get(at + 1)?,
        start_ns,
        end_ns: start_ns.wrapping_add(row.get::<_, i64>(at + 3)? as u64),
        name: sources.text(row.get(at + 4)?)?,
        kind: row.get(at + 5)?,
        status: row.get(at + 6)?,
        service: sources.text(row.get(at + 7)?)?,
        resource: sources.resource(row.get(at + 8)?)?,
        scope: sources.scope(row.get(at + 9)?)?,
        detail: blob::unpack(row.get_ref(at + 10)?.as_blob_or_null().map_err(rusqlite::Error::from)?)?,
    })
}

/// Traces, newest start first; with a service, those it has spans in.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn traces(db: &Connection, service: Option<&str>, limit: u32) -> Result<Vec<TraceSummary>, StoreError> {
    let mut sources = Sources::new(db);
    let service = match service {
        Some(name) => match sources.service_id(name)? {
            Some(id) => Some(id),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    const LIST: &str = concat!(
        "SELECT t.id, t.trace_id, t.start_ns, t.end_ns, t.span_count, t.error_count, ",
        span_columns!(),
        " FROM trace t JOIN span s ON s.trace = t.id AND s.start_ns = t.root_start_ns AND s.span_id = t.root_span_id
          WHERE ?1 IS NULL OR EXISTS (SELECT 1 FROM trace_service x WHERE x.trace = t.id AND x.service = ?1)
          ORDER BY t.start_ns DESC LIMIT ?2"
    );
    let mut list = db.prepare_cached(LIST)?;
    let mut shares = db.prepare_cached(
        "SELECT service, span_count, error_count FROM trace_service WHERE trace = ?1 ORDER BY span_count DESC, service",
    )?;
    let mut rows = list.query(params![service, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut services = Vec::new();
        let mut per_service = shares.query([row.get::<_, i64>(0)?])?;
        while let Some(share) = per_service.next()? {
            services.push(ServiceShare {
                name: sources.text(share.get(0)?)?,
                span_count: share.get::<_, i64>(1)? as u64,
                error_count: share.get::<_, i64>(2)? as u64,
            });
        }
        found.push(TraceSummary {
            start_ns: row.get::<_, i64>(2)? as u64,
            end_ns: row.get::<_, i64>(3)? as u64,
            span_count: row.get::<_, i64>(4)? as u64,
            error_count: row.get::<_, i64>(5)? as u64,
            root: record(&mut sources, row.get(1)?, row, 6)?,
            services,
        });
    }
    Ok(found)
}

fn trace_row(db: &Connection, trace_id: &TraceId) -> Result<Option<i64>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id FROM trace WHERE trace_id = ?1")?;
    Ok(statement.query_row([trace_id], |row| row.get(0)).optional()?)
}

/// All spans of a trace by start time; `None` when the trace is unknown.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn trace(db: &Connection, trace_id: TraceId) -> Result<Option<Vec<SpanRecord>>, StoreError> {
    let Some(trace) = trace_row(db, &trace_id)? else { return Ok(None) };
    const SPANS: &str =
        concat!("SELECT ", span_columns!(), " FROM span s WHERE s.trace = ?1 ORDER BY s.start_ns, s.span_id");
    let mut sources = Sources::new(db);
    let mut statement = db.prepare_cached(SPANS)?;
    let mut rows = statement.query([trace])?;
    let mut spans = Vec::new();
    while let Some(row) = rows.next()? {
        spans.push(record(&mut sources, trace_id, row, 0)?);
    }
    Ok(Some(spans))
}

/// Spans, newest start first.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn spans(db: &Connection, filter: &SpanFilter) -> Result<Vec<SpanRecord>, StoreError> {
    let mut sources = Sources::new(db);
    let service = match &filter.service {
        Some(name) => match sources.service_id(name)? {
            Some(id) => Some(id),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let trace = match &filter.trace_id {
        Some(id) => match trace_row(db, id)? {
            Some(row) => Some(row),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    // The inner selection reads the time index alone; only what the limit leaves is looked up.
    const BY_TIME: &str = concat!(
        "SELECT t.trace_id, ",
        span_columns!(),
        " FROM (SELECT trace, start_ns, span_id FROM span INDEXED BY span_by_start WHERE ?1 IS NULL OR service = ?1
                ORDER BY start_ns DESC LIMIT ?2) AS newest
          JOIN span s ON s.trace = newest.trace AND s.start_ns = newest.start_ns AND s.span_id = newest.span_id
          JOIN trace t ON t.id = s.trace ORDER BY s.start_ns DESC"
    );
    const BY_TRACE: &str = concat!(
        "SELECT t.trace_id, ",
        span_columns!(),
        " FROM span s JOIN trace t ON t.id = s.trace WHERE s.trace = ?3 AND (?1 IS NULL OR s.service = ?1)
          ORDER BY s.start_ns DESC LIMIT ?2"
    );
    let mut statement = db.prepare_cached(if trace.is_some() { BY_TRACE } else { BY_TIME })?;
    let mut rows = match trace {
        Some(trace) => statement.query(params![service, filter.limit, trace])?,
        None => statement.query(params![service, filter.limit])?,
    };
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let trace_id = row.get(0)?;
        found.push(record(&mut sources, trace_id, row, 1)?);
    }
    Ok(found)
}

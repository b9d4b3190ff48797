//! Traces and spans.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::joins::Joins;
use super::sources::Sources;
use crate::store::rows::{SpanId, TraceId};
use crate::store::{StoreError, blob};

/// Calls that a list follows into other traces for its counts. One trace may have made more calls than a list has time
/// for; what is beyond is not counted.
const LIST_CALLS: usize = 10_000;
/// Traces that a list leaves out as parts of others, at most: beyond them it ends.
const LIST_PARTS: u32 = 20_000;

/// Where in another trace a span belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The other trace.
    pub trace_id: TraceId,
    /// The call that the span answers.
    pub span_id: SpanId,
}

/// A trace, with those that are parts of the same whole.
#[derive(Clone, Debug)]
pub struct TraceTree {
    /// The other traces; the one with the root of all is first, unless it was the one asked for.
    pub joined: Vec<TraceId>,
    /// The spans of all of them by start time.
    pub spans: Vec<SpanRecord>,
}

/// One stored span.
#[derive(Clone, Debug)]
pub struct SpanRecord {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// `None` for a root.
    pub parent_id: Option<SpanId>,
    /// For the root of a trace that is part of another; set only where whole traces are asked for.
    pub joined: Option<Parent>,
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

/// One line of the trace list: a trace with those that are parts of it.
#[derive(Clone, Debug)]
pub struct TraceSummary {
    /// Start of the earliest span, without those of other hosts: their clocks are others.
    pub start_ns: u64,
    /// End of the latest span, without those of other hosts.
    pub end_ns: u64,
    /// Spans stored.
    pub span_count: u64,
    /// Spans with status error.
    pub error_count: u64,
    /// The root, or the earliest span while no root is stored.
    pub root: SpanRecord,
    /// Every service with spans in the trace, most spans first.
    pub services: Vec<ServiceShare>,
    /// The traces that are parts of this one.
    pub joined: Vec<TraceId>,
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
        joined: None,
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

/// Traces, newest start first; with a service, those it has spans in. Traces that are parts of one are one line.
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
    // Rows are taken one by one, in the order of the index, until there are enough lines.
    let mut list = db.prepare_cached(
        "SELECT t.id FROM trace t INDEXED BY trace_by_start
         WHERE ?1 IS NULL OR EXISTS (SELECT 1 FROM trace_service x WHERE x.trace = t.id AND x.service = ?1)
         ORDER BY t.start_ns DESC LIMIT ?2",
    )?;
    let mut joins = Joins::new(db);
    let mut listed = HashSet::new();
    let mut found = Vec::new();
    let mut calls = LIST_CALLS;
    let mut rows = list.query(params![service, limit.saturating_add(LIST_PARTS)])?;
    while found.len() < limit as usize
        && let Some(row) = rows.next()?
    {
        let trace = row.get(0)?;
        let top = joins.top(trace)?;
        // Without a service the top comes in its own turn.
        if (service.is_some() || top == trace) && listed.insert(top) {
            found.push(summary(db, &mut sources, &mut joins, top, &mut calls)?);
        }
    }
    // A part may have begun before the trace that it is a part of.
    found.sort_by_key(|summary| std::cmp::Reverse(summary.start_ns as i64));
    Ok(found)
}

/// The line of a trace that is no part of another.
fn summary(
    db: &Connection,
    sources: &mut Sources<'_>,
    joins: &mut Joins<'_>,
    top: i64,
    calls: &mut usize,
) -> Result<TraceSummary, StoreError> {
    const TOP: &str = concat!(
        "SELECT t.trace_id, t.start_ns, t.end_ns, t.span_count, t.error_count, ",
        span_columns!(),
        " FROM trace t JOIN span s ON s.trace = t.id AND s.start_ns = t.root_start_ns AND s.span_id = t.root_span_id
          WHERE t.id = ?1"
    );
    let mut statement = db.prepare_cached(TOP)?;
    let mut rows = statement.query([top])?;
    let row = rows.next()?.ok_or_else(|| StoreError::Damaged(format!("trace {top} has no root")))?;
    let mut line = TraceSummary {
        start_ns: row.get::<_, i64>(1)? as u64,
        end_ns: row.get::<_, i64>(2)? as u64,
        span_count: row.get::<_, i64>(3)? as u64,
        error_count: row.get::<_, i64>(4)? as u64,
        root: record(sources, row.get(0)?, row, 5)?,
        services: Vec::new(),
        joined: Vec::new(),
    };
    let mut part = db.prepare_cached("SELECT trace_id, span_count, error_count FROM trace WHERE id = ?1")?;
    let mut shares =
        db.prepare_cached("SELECT service, span_count, error_count FROM trace_service WHERE trace = ?1")?;
    let mut per_service: HashMap<i64, (u64, u64)> = HashMap::new();
    for trace in joins.tree(top, calls)?.traces {
        if trace != top {
            let (id, spans, errors): (_, i64, i64) =
                part.query_row([trace], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            line.joined.push(id);
            line.span_count += spans as u64;
            line.error_count += errors as u64;
        }
        let mut rows = shares.query([trace])?;
        while let Some(share) = rows.next()? {
            let (spans, errors) = per_service.entry(share.get(0)?).or_default();
            *spans += share.get::<_, i64>(1)? as u64;
            *errors += share.get::<_, i64>(2)? as u64;
        }
    }
    let mut per_service: Vec<_> = per_service.into_iter().collect();
    per_service.sort_by_key(|(service, (spans, _))| (std::cmp::Reverse(*spans), *service));
    for (service, (span_count, error_count)) in per_service {
        line.services.push(ServiceShare { name: sources.text(service)?, span_count, error_count });
    }
    Ok(line)
}

fn trace_row(db: &Connection, trace_id: &TraceId) -> Result<Option<i64>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id FROM trace WHERE trace_id = ?1")?;
    Ok(statement.query_row([trace_id], |row| row.get(0)).optional()?)
}

/// All spans of the whole that a trace is a part of, which for most is the trace itself; `None` when it is unknown.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn trace(db: &Connection, trace_id: TraceId) -> Result<Option<TraceTree>, StoreError> {
    let Some(asked) = trace_row(db, &trace_id)? else { return Ok(None) };
    const SPANS: &str =
        concat!("SELECT ", span_columns!(), " FROM span s WHERE s.trace = ?1 ORDER BY s.start_ns, s.span_id");
    // A trace has no bound in spans, so neither has the whole.
    let mut unbounded = usize::MAX;
    let tree = Joins::new(db).tree(asked, &mut unbounded)?;
    let mut ids = HashMap::new();
    let mut sources = Sources::new(db);
    let mut statement = db.prepare_cached(SPANS)?;
    let mut id_of = db.prepare_cached("SELECT trace_id FROM trace WHERE id = ?1")?;
    let mut found = TraceTree { joined: Vec::new(), spans: Vec::new() };
    for trace in &tree.traces {
        let id: TraceId = id_of.query_row([trace], |row| row.get(0))?;
        ids.insert(*trace, id);
        if id != trace_id {
            found.joined.push(id);
        }
        let mut rows = statement.query([trace])?;
        while let Some(row) = rows.next()? {
            found.spans.push(record(&mut sources, id, row, 0)?);
        }
    }
    if !found.joined.is_empty() {
        let joins = tree.joins.iter().map(|join| {
            ((ids[&join.below], join.root), Parent { trace_id: ids[&join.above], span_id: join.call })
        });
        let joins: HashMap<_, _> = joins.collect();
        for span in found.spans.iter_mut().filter(|span| span.parent_id.is_none()) {
            span.joined = joins.get(&(span.trace_id, span.span_id)).copied();
        }
        found.spans.sort_by_key(|span| (span.start_ns as i64, span.span_id));
    }
    Ok(Some(found))
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

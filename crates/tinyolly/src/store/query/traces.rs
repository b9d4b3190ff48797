//! Traces and spans.

use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use rusqlite::{Connection, Row};

use super::joins::Joins;
use super::sources::Sources;
use super::span_walk::trace_row;
use crate::store::rows::{SpanId, TraceId};
use crate::store::{StoreError, blob};

/// Calls that a list follows into other traces for its counts. One trace may have made more calls than a list has time
/// for; what is beyond is not counted.
pub(super) const LIST_CALLS: usize = 10_000;

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

macro_rules! span_columns {
    () => {
        "s.span_id, s.parent_id, s.start_ns, s.duration_ns, s.name, s.kind, s.status, s.service, s.resource, s.scope,
         s.detail"
    };
}
pub(super) use span_columns;

/// A span from [`span_columns`], which begin at column `at`.
pub(super) fn record(
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

/// The line of a trace that is no part of another.
pub(super) fn summary(
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

//! Log records.

use std::sync::Arc;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use rusqlite::{Connection, OptionalExtension};

use super::budget::Budget;
use super::filter::{LogFilter, Order};
use super::log_test::LogTest;
use super::log_walk::{passes, walk};
use super::page::{Page, Paging};
use super::sources::Sources;
use crate::store::rows::{SpanId, TraceId};
use crate::store::{StoreError, blob};

/// The letter of this list's cursors.
const LIST: char = 'l';

/// One stored log record.
#[derive(Clone, Debug)]
pub struct LogRecordRow {
    /// Number of the record, by arrival.
    pub id: i64,
    /// The record's own time, or the time it was observed.
    pub time_ns: u64,
    /// OTLP's severity number.
    pub severity: i32,
    /// Trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// Span it belongs to.
    pub span_id: Option<SpanId>,
    /// The resource's `service.name`.
    pub service: Arc<str>,
    /// The resource, in an envelope with its schema URL.
    pub resource: Arc<ResourceSpans>,
    /// The scope, in an envelope with its schema URL.
    pub scope: Arc<ScopeSpans>,
    /// Body, attributes and what else has no field above; those with one are empty here.
    pub detail: LogRecord,
}

/// A page of the log records that pass a filter.
///
/// # Errors
/// [`StoreError::Cursor`] for a cursor that is not of this list; when SQLite fails or a record is damaged.
pub fn logs(
    db: &Connection,
    filter: &LogFilter,
    paging: &Paging,
    mut budget: Budget,
) -> Result<Page<LogRecordRow>, StoreError> {
    let kind = paging.kind(LIST);
    let after = match &paging.cursor {
        Some(cursor) => Some(kind.read(cursor).map(|[time, id]| (time, id)).ok_or(StoreError::Cursor)?),
        None => None,
    };
    let mut sources = Sources::new(db);
    let mut test = LogTest::new(filter, &sources)?;
    if test.is_hopeless() {
        return Ok(Page::empty());
    }
    let limit = paging.limit as usize;
    let (mut found, mut last, mut more, mut spent) = (Vec::new(), None, false, false);
    walk(db, filter, paging.order, after, |key| {
        if found.len() == limit || spent {
            more = true;
            return Ok(false);
        }
        last = Some(key);
        if passes(db, &mut test, &mut sources, &key)? {
            found.push(key.id);
        }
        spent = budget.is_over();
        Ok(true)
    })?;
    let last = last.filter(|_| more);
    let cut_short = last.filter(|_| found.len() < limit);
    Ok(Page {
        items: read_all(db, &mut sources, &found)?,
        next: last.map(|key| kind.write(&[key.time_ns, key.id])),
        searched_to: cut_short.map(|key| key.time_ns as u64),
        complete: true,
    })
}

/// The record with this number; `None` when there is none.
///
/// # Errors
/// When SQLite fails or the record is damaged.
pub fn log(db: &Connection, id: i64) -> Result<Option<LogRecordRow>, StoreError> {
    read(db, &mut Sources::new(db), id)
}

/// The record with this number among those that pass a filter, newest first: up to `before` older ones and up to `after`
/// newer ones. It is there itself whether or not it passes. `None` when there is no such record; fewer than asked for
/// when time ran out.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn logs_around(
    db: &Connection,
    filter: &LogFilter,
    id: i64,
    (before, after): (usize, usize),
    budget: Budget,
) -> Result<Option<Vec<LogRecordRow>>, StoreError> {
    let mut time = db.prepare_cached("SELECT time_ns FROM log WHERE id = ?1")?;
    let Some(time): Option<i64> = time.query_row([id], |row| row.get(0)).optional()? else { return Ok(None) };
    let mut sources = Sources::new(db);
    let mut test = LogTest::new(filter, &sources)?;
    let mut side = |order, wanted: usize| -> Result<Vec<i64>, StoreError> {
        let (mut found, mut budget) = (Vec::new(), budget);
        if wanted > 0 && !test.is_hopeless() {
            walk(db, filter, order, Some((time, id)), |key| {
                if passes(db, &mut test, &mut sources, &key)? {
                    found.push(key.id);
                }
                Ok(found.len() < wanted && !budget.is_over())
            })?;
        }
        Ok(found)
    };
    let mut ids = side(Order::Ascending, after)?;
    ids.reverse();
    ids.push(id);
    ids.extend(side(Order::Descending, before)?);
    Ok(Some(read_all(db, &mut sources, &ids)?))
}

pub(super) fn read_all(
    db: &Connection,
    sources: &mut Sources<'_>,
    ids: &[i64],
) -> Result<Vec<LogRecordRow>, StoreError> {
    let mut items = Vec::with_capacity(ids.len());
    for id in ids {
        items.extend(read(db, sources, *id)?);
    }
    Ok(items)
}

fn read(db: &Connection, sources: &mut Sources<'_>, id: i64) -> Result<Option<LogRecordRow>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT id, time_ns, severity, trace_id, span_id, service, resource, scope, detail FROM log
         WHERE id = ?1",
    )?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(LogRecordRow {
        id: row.get(0)?,
        time_ns: row.get::<_, i64>(1)? as u64,
        severity: row.get(2)?,
        trace_id: row.get(3)?,
        span_id: row.get(4)?,
        service: sources.text(row.get(5)?)?,
        resource: sources.resource(row.get(6)?)?,
        scope: sources.scope(row.get(7)?)?,
        detail: blob::unpack(row.get_ref(8)?.as_blob_or_null().map_err(rusqlite::Error::from)?)?,
    }))
}

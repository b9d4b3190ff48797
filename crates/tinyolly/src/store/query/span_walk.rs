//! Spans one after the other, along the index by time or within a trace.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::filter::Order;
use super::sources::Sources;
use super::span_test::{Key, SpanTest};
use crate::store::StoreError;
use crate::store::rows::{SpanId, TraceId};

const COLUMNS: &str = "start_ns, service, name, kind, status, mark, duration_ns, trace, span_id";

/// Which spans are walked over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) order: Order,
    /// First and last start time.
    pub(super) bounds: (i64, i64),
    /// Goes on behind this one.
    pub(super) after: Option<Key>,
    /// Only of this trace.
    pub(super) trace: Option<i64>,
}

impl Walk {
    /// Hands each span's key to `visit`, until there are no more or it says `false`.
    pub(super) fn run(
        &self,
        db: &Connection,
        mut visit: impl FnMut(Key) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let (way, beyond) = match self.order {
            Order::Descending => ("DESC", "<"),
            Order::Ascending => ("ASC", ">"),
        };
        let (mut low, mut high) = self.bounds;
        let mut values: Vec<Value> = Vec::new();
        let mut sql = format!("SELECT {COLUMNS} FROM span ");
        let key: &[&str] = match self.trace {
            Some(trace) => {
                sql.push_str("WHERE trace = ? AND ");
                values.push(trace.into());
                &["start_ns", "span_id"]
            }
            None => {
                sql.push_str("INDEXED BY span_by_start WHERE ");
                &["start_ns", "service", "name", "kind", "status", "mark", "duration_ns", "trace", "span_id"]
            }
        };
        let after = self.after.filter(|after| (low..=high).contains(&after.start_ns));
        match (after, self.after, self.order) {
            // A place outside of the range is before all of it or behind it.
            (None, Some(after), Order::Descending) => high = high.min(after.start_ns),
            (None, Some(after), Order::Ascending) => low = low.max(after.start_ns),
            _ => {}
        }
        match after {
            // One bound is the place itself, so that the index is entered there.
            Some(after) => {
                let limit = if self.order == Order::Descending { low } else { high };
                let end = if self.order == Order::Descending { ">=" } else { "<=" };
                let marks = vec!["?"; key.len()].join(", ");
                sql.push_str(&format!("start_ns {end} ? AND ({}) {beyond} ({marks})", key.join(", ")));
                values.push(limit.into());
                values.extend(place_values(&after, self.trace.is_some()));
            }
            None => {
                sql.push_str("start_ns >= ? AND start_ns <= ?");
                values.extend([Value::from(low), Value::from(high)]);
            }
        }
        let order: Vec<_> = key.iter().map(|column| format!("{column} {way}")).collect();
        sql.push_str(&format!(" ORDER BY {}", order.join(", ")));
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        while let Some(row) = rows.next()? {
            let key = Key {
                start_ns: row.get(0)?,
                service: row.get(1)?,
                name: row.get(2)?,
                kind: row.get(3)?,
                status: row.get(4)?,
                mark: row.get(5)?,
                duration_ns: row.get(6)?,
                trace: row.get(7)?,
                span_id: row.get(8)?,
            };
            if !visit(key)? {
                break;
            }
        }
        Ok(())
    }
}

fn place_values(key: &Key, in_trace: bool) -> Vec<Value> {
    let id = Value::Blob(key.span_id.to_vec());
    if in_trace {
        return vec![key.start_ns.into(), id];
    }
    let numbers = place(key);
    numbers[..8].iter().map(|number| Value::from(*number)).chain([id]).collect()
}

/// A key as the numbers of a cursor.
pub(super) fn place(key: &Key) -> [i64; 9] {
    [
        key.start_ns,
        key.service,
        key.name,
        key.kind.into(),
        key.status.into(),
        key.mark,
        key.duration_ns,
        key.trace,
        i64::from_be_bytes(key.span_id),
    ]
}

/// The key that [`place`] was made of; `None` for numbers that are of no key.
pub(super) fn key(place: [i64; 9]) -> Option<Key> {
    let [start_ns, service, name, kind, status, mark, duration_ns, trace, span_id] = place;
    let (kind, status) = (kind.try_into().ok()?, status.try_into().ok()?);
    let span_id: SpanId = span_id.to_be_bytes();
    Some(Key { start_ns, service, name, kind, status, mark, duration_ns, trace, span_id })
}

/// Reads spans as far as a filter needs it.
pub(super) struct Deep<'a> {
    db: &'a Connection,
    last_id: Option<(i64, TraceId)>,
}

impl<'a> Deep<'a> {
    pub(super) fn new(db: &'a Connection) -> Self {
        Self { db, last_id: None }
    }

    /// Whether a span with this key passes all of the filter.
    pub(super) fn passes(
        &mut self,
        test: &mut SpanTest<'_>,
        sources: &mut Sources<'_>,
        key: &Key,
    ) -> Result<bool, StoreError> {
        if !test.admits(key) {
            return Ok(false);
        }
        if !test.needs_row() {
            return Ok(true);
        }
        let mut statement = self.db.prepare_cached(
            "SELECT resource, detail FROM span WHERE trace = ?1 AND start_ns = ?2 AND span_id = ?3",
        )?;
        let mut rows = statement.query(rusqlite::params![key.trace, key.start_ns, key.span_id])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        let detail = row.get_ref(1)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
        let trace_id = || self.trace_id(key.trace);
        test.passes(sources, key, row.get(0)?, detail, trace_id)
    }

    /// The id of a trace; spans that are near in time are often of one.
    pub(super) fn trace_id(&mut self, trace: i64) -> Result<TraceId, StoreError> {
        match self.last_id {
            Some((known, id)) if known == trace => Ok(id),
            _ => {
                let mut statement = self.db.prepare_cached("SELECT trace_id FROM trace WHERE id = ?1")?;
                let id = statement.query_row([trace], |row| row.get(0))?;
                self.last_id = Some((trace, id));
                Ok(id)
            }
        }
    }
}

/// The row of a trace.
pub(super) fn trace_row(db: &Connection, trace_id: &TraceId) -> Result<Option<i64>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id FROM trace WHERE trace_id = ?1")?;
    Ok(statement.query_row([trace_id], |row| row.get(0)).optional()?)
}

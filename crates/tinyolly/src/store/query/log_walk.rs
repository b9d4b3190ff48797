//! Log records one after the other by time: of all, of a trace or of a span.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::filter::{LogFilter, Order};
use super::log_test::{LogKey, LogTest};
use super::sources::Sources;
use crate::store::StoreError;

/// Hands the key of each record in the filter's range, trace and span to `visit`, behind the place `after` of time and
/// id, until there are no more or it says `false`.
pub(super) fn walk(
    db: &Connection,
    filter: &LogFilter,
    order: Order,
    after: Option<(i64, i64)>,
    mut visit: impl FnMut(LogKey) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let (way, beyond) = match order {
        Order::Descending => ("DESC", "<"),
        Order::Ascending => ("ASC", ">"),
    };
    let (mut low, mut high) = filter.range.bounds();
    let mut values: Vec<Value> = Vec::new();
    let (index, belongs) = match (&filter.trace_id, &filter.span_id) {
        (_, Some(span)) => {
            values.push(Value::Blob(span.to_vec()));
            match &filter.trace_id {
                Some(trace) => {
                    values.push(Value::Blob(trace.to_vec()));
                    ("log_by_span", "span_id = ? AND trace_id = ? AND ")
                }
                None => ("log_by_span", "span_id = ? AND "),
            }
        }
        (Some(trace), None) => {
            values.push(Value::Blob(trace.to_vec()));
            ("log_by_trace", "trace_id = ? AND ")
        }
        (None, None) => ("log_by_time", ""),
    };
    let mut sql =
        format!("SELECT time_ns, id, severity, service FROM log INDEXED BY {index} WHERE {belongs}");
    // A place outside of the range is before all of it or behind it.
    let within = after.filter(|(time, _)| (low..=high).contains(time));
    match (within, after, order) {
        (Some((time, id)), ..) => {
            let (end, limit) = if order == Order::Descending { (">=", low) } else { ("<=", high) };
            sql.push_str(&format!("time_ns {end} ? AND (time_ns, id) {beyond} (?, ?)"));
            values.extend([limit, time, id].map(Value::from));
        }
        (None, outside, order) => {
            match (outside, order) {
                (Some((time, _)), Order::Descending) => high = high.min(time),
                (Some((time, _)), Order::Ascending) => low = low.max(time),
                (None, _) => {}
            }
            sql.push_str("time_ns >= ? AND time_ns <= ?");
            values.extend([low, high].map(Value::from));
        }
    }
    sql.push_str(&format!(" ORDER BY time_ns {way}, id {way}"));
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        let key =
            LogKey { time_ns: row.get(0)?, id: row.get(1)?, severity: row.get(2)?, service: row.get(3)? };
        if !visit(key)? {
            break;
        }
    }
    Ok(())
}

/// Whether the record with this key passes the filter, which walking has applied range, trace and span of.
pub(super) fn passes(
    db: &Connection,
    test: &mut LogTest<'_>,
    sources: &mut Sources<'_>,
    key: &LogKey,
) -> Result<bool, StoreError> {
    if !test.admits(key) {
        return Ok(false);
    }
    if !test.needs_row() {
        return Ok(true);
    }
    let mut statement = db.prepare_cached("SELECT resource, detail FROM log WHERE id = ?1")?;
    let mut rows = statement.query([key.id])?;
    let Some(row) = rows.next()? else { return Ok(false) };
    let detail = row.get_ref(1)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    test.passes(sources, key, row.get(0)?, detail)
}

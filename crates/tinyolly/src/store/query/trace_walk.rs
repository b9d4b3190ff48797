//! Traces one after the other, along their index by time.

use rusqlite::Connection;

use super::filter::Order;
use super::trace_test::TraceKey;
use crate::store::StoreError;

/// Hands the key of each trace that starts within `bounds` to `visit`, behind the place `after` of start and row, until
/// there are no more or it says `false`.
pub(super) fn walk(
    db: &Connection,
    bounds: (i64, i64),
    order: Order,
    after: Option<(i64, i64)>,
    mut visit: impl FnMut(TraceKey) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let (low, high) = bounds;
    // A first page begins where a place just outside of the bounds would be.
    let (sql, from, to) = match order {
        Order::Descending => (
            "SELECT start_ns, id, end_ns, span_count, error_count FROM trace INDEXED BY trace_by_start
             WHERE (start_ns, id) < (?1, ?2) AND start_ns >= ?3 ORDER BY start_ns DESC, id DESC",
            after.map_or((high, i64::MAX), |place| place.min((high, i64::MAX))),
            low,
        ),
        Order::Ascending => (
            "SELECT start_ns, id, end_ns, span_count, error_count FROM trace INDEXED BY trace_by_start
             WHERE (start_ns, id) > (?1, ?2) AND start_ns <= ?3 ORDER BY start_ns, id",
            after.map_or((low, i64::MIN), |place| place.max((low, i64::MIN))),
            high,
        ),
    };
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([from.0, from.1, to])?;
    while let Some(row) = rows.next()? {
        let key = TraceKey {
            start_ns: row.get(0)?,
            id: row.get(1)?,
            end_ns: row.get(2)?,
            span_count: row.get(3)?,
            error_count: row.get(4)?,
        };
        if !visit(key)? {
            break;
        }
    }
    Ok(())
}

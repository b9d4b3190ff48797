//! Log records in the order of their arrival, for those that follow them.

use rusqlite::{Connection, OptionalExtension};

use super::budget::Budget;
use super::filter::LogFilter;
use super::log_test::{LogKey, LogTest};
use super::log_walk::passes;
use super::logs::{LogRecordRow, read_all};
use super::sources::Sources;
use crate::store::StoreError;

/// Records that one look reads at most, found or not.
const MOST_READ: i64 = 5000;
/// Records among which the newest that pass are looked for.
const MOST_BACK: i64 = 50_000;

/// Some of what arrived.
#[derive(Clone, Debug)]
pub struct Tail {
    /// What passes the filter, in the order of arrival.
    pub logs: Vec<LogRecordRow>,
    /// Number of the last record that was looked at, or the number from which on it was.
    pub seen: i64,
    /// Whether there is more already.
    pub more: bool,
    /// Records that would have come next and are deleted.
    pub deleted: i64,
}

/// Number of the last record that arrived, stored still or deleted since; 0 when there was none.
fn last_log(db: &Connection) -> Result<i64, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT COALESCE((SELECT MAX(id) FROM log), (SELECT log - 1 FROM arrival ORDER BY id DESC LIMIT 1), 0)",
    )?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// What arrived behind the record number `after`, `limit` records at most, as far as the budget lasts. Numbers are given
/// by the one writer, in the order in which it commits, so that nothing can come in behind what was seen.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn logs_after(
    db: &Connection,
    filter: &LogFilter,
    after: i64,
    limit: usize,
    budget: Budget,
) -> Result<Tail, StoreError> {
    let mut first = db.prepare_cached("SELECT id FROM log ORDER BY id LIMIT 1")?;
    let first: Option<i64> = first.query_row([], |row| row.get(0)).optional()?;
    let last = last_log(db)?;
    // A number that was not given yet is that of another file.
    let after = after.min(last);
    let from = first.map_or(last, |first| after.max(first - 1));
    let upto = last.min(from.saturating_add(MOST_READ)).max(from);
    let (logs, stopped) = matching(db, filter, (from, upto), limit, "ASC", budget)?;
    let seen = stopped.unwrap_or(upto);
    Ok(Tail { logs, seen, more: seen < last, deleted: from - after })
}

/// The `count` records that arrived last, in the order of arrival; looked for among the newest only, as far as the
/// budget lasts.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn last_logs(
    db: &Connection,
    filter: &LogFilter,
    count: usize,
    budget: Budget,
) -> Result<Tail, StoreError> {
    let seen = last_log(db)?;
    let mut logs = match count {
        0 => Vec::new(),
        _ => matching(db, filter, (seen.saturating_sub(MOST_BACK), seen), count, "DESC", budget)?.0,
    };
    logs.reverse();
    Ok(Tail { logs, seen, more: false, deleted: 0 })
}

/// Records with numbers above `from` and up to `upto` that pass the filter, and at which number it ended if that was
/// before all were looked at.
fn matching(
    db: &Connection,
    filter: &LogFilter,
    (from, upto): (i64, i64),
    limit: usize,
    order: &'static str,
    mut budget: Budget,
) -> Result<(Vec<LogRecordRow>, Option<i64>), StoreError> {
    let mut sources = Sources::new(db);
    let mut test = LogTest::new(filter, &sources)?;
    if test.is_hopeless() {
        return Ok((Vec::new(), None));
    }
    let (low, high) = filter.range.bounds();
    let mut statement = db.prepare_cached(&format!(
        "SELECT id, time_ns, severity, service, trace_id, span_id FROM log WHERE id > ?1 AND id <= ?2
         ORDER BY id {order}"
    ))?;
    let mut rows = statement.query([from, upto])?;
    let (mut found, mut stopped) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        let key =
            LogKey { id: row.get(0)?, time_ns: row.get(1)?, severity: row.get(2)?, service: row.get(3)? };
        let belongs = (low..=high).contains(&key.time_ns)
            && (filter.trace_id.is_none() || filter.trace_id == row.get(4)?)
            && (filter.span_id.is_none() || filter.span_id == row.get(5)?);
        if belongs && passes(db, &mut test, &mut sources, &key)? {
            found.push(key.id);
        }
        if found.len() >= limit || budget.is_over() {
            stopped = Some(key.id);
            break;
        }
    }
    Ok((read_all(db, &mut sources, &found)?, stopped))
}

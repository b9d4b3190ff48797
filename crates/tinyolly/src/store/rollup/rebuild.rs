//! Rows from stored spans: of a file that has none yet, and of spans that are about to be deleted.

use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::ScopeSpans;
use prost::Message;
use rusqlite::{Connection, OptionalExtension};

use super::{Role, Rollups, contribution, is_error, is_from_agent};

/// Spans gathered before they are written, which bounds what an update of an older file takes in memory.
const SPANS_AT_ONCE: usize = 50_000;

/// Counts all stored spans.
///
/// # Errors
/// When SQLite fails.
pub fn rebuild(db: &Connection) -> rusqlite::Result<()> {
    gather(db, i64::MAX, |rollups| rollups.add(db))
}

/// Takes away the counts of the traces with rows below `trace`.
///
/// # Errors
/// When SQLite fails.
pub fn subtract(db: &Connection, trace: i64) -> rusqlite::Result<()> {
    gather(db, trace, |rollups| rollups.take(db))
}

fn gather(
    db: &Connection,
    trace: i64,
    mut write: impl FnMut(Rollups) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut rollups = Rollups::default();
    let mut agents: HashMap<i64, bool> = HashMap::new();
    let mut spans = db.prepare_cached(
        "SELECT start_ns, duration_ns, name, kind, status, service, scope, parent_id IS NULL, mark
         FROM span WHERE trace < ?1",
    )?;
    let mut rows = spans.query([trace])?;
    let mut gathered = 0;
    while let Some(row) = rows.next()? {
        let (kind, status, scope): (i32, i32, i64) = (row.get(3)?, row.get(4)?, row.get(6)?);
        let from_agent = match agents.get(&scope) {
            Some(known) => *known,
            None => *agents.entry(scope).or_insert(scope_is_agents(db, scope)?),
        };
        let tally = contribution(row.get(1)?, is_error(kind, status, row.get(8)?), from_agent);
        let role = Role::spans(kind, row.get(7)?);
        rollups.span(row.get(5)?, row.get(2)?, role, row.get::<_, i64>(0)? as u64, &tally);
        gathered += 1;
        if gathered % SPANS_AT_ONCE == 0 {
            write(std::mem::take(&mut rollups))?;
        }
    }
    drop(rows);
    let mut traces = db.prepare_cached(
        "SELECT service, slot, COUNT(*) FROM trace_service WHERE trace < ?1 GROUP BY service, slot",
    )?;
    let mut rows = traces.query([trace])?;
    while let Some(row) = rows.next()? {
        rollups.traces(row.get(0)?, row.get(1)?, row.get::<_, i64>(2)? as u64);
    }
    drop(rows);
    write(rollups)
}

fn scope_is_agents(db: &Connection, scope: i64) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached("SELECT body FROM scope WHERE id = ?1")?;
    let body: Option<Vec<u8>> = statement.query_row([scope], |row| row.get(0)).optional()?;
    let envelope = ScopeSpans::decode(body.unwrap_or_default().as_slice()).unwrap_or_default();
    Ok(envelope.scope.is_some_and(|scope| is_from_agent(&scope.name)))
}

//! Retention by size: at the limit the oldest arrivals go, from all tables alike, and the file shrinks.
//!
//! A trace is as old as its first span. Deletion takes whole arrival intervals, oldest first, until a tenth of the
//! limit is free again, so that it runs seldom and in short transactions.

use rusqlite::{Connection, OptionalExtension};

use super::intern::SEEN_LAG;

#[derive(Debug)]
pub(super) struct Retention {
    max_bytes: u64,
}

/// First row ids of an arrival interval.
#[derive(Clone, Copy, Debug)]
struct Cut {
    arrival: i64,
    trace: i64,
    log: i64,
    point: i64,
}

impl Retention {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { max_bytes }
    }

    /// Deletes what is above the limit; says whether anything went.
    pub(super) fn enforce(&self, db: &mut Connection) -> rusqlite::Result<bool> {
        if used_bytes(db)? <= self.max_bytes {
            shrink_to(db, self.max_bytes)?;
            return Ok(false);
        }
        let mut deleted = false;
        while used_bytes(db)? > self.max_bytes / 10 * 9 {
            let Some(cut) = second_oldest(db)? else { break };
            let transaction = db.transaction()?;
            delete_before(&transaction, cut)?;
            transaction.commit()?;
            deleted = true;
        }
        shrink_to(db, self.max_bytes)?;
        Ok(deleted)
    }
}

fn pragma(db: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let number: i64 = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    Ok(number.max(0) as u64)
}

fn used_bytes(db: &Connection) -> rusqlite::Result<u64> {
    let pages = pragma(db, "PRAGMA page_count")?.saturating_sub(pragma(db, "PRAGMA freelist_count")?);
    Ok(pages * pragma(db, "PRAGMA page_size")?)
}

/// Gives free pages back to the file system until the file is within `max_bytes`.
fn shrink_to(db: &Connection, max_bytes: u64) -> rusqlite::Result<()> {
    let page_bytes = pragma(db, "PRAGMA page_size")?.max(1);
    let pages = pragma(db, "PRAGMA page_count")?;
    let free = pragma(db, "PRAGMA freelist_count")?;
    let excess = pages.saturating_sub(max_bytes / page_bytes).min(free);
    if excess > 0 {
        // Each step frees one page, so the statement is run to its end; `execute_batch` would take a single step.
        let mut vacuum = db.prepare(&format!("PRAGMA incremental_vacuum({excess})"))?;
        let mut steps = vacuum.query([])?;
        while steps.next()?.is_some() {}
        db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    }
    Ok(())
}

/// Where the data after the oldest interval begins; the newest interval is never deleted.
fn second_oldest(db: &Connection) -> rusqlite::Result<Option<Cut>> {
    db.prepare_cached("SELECT id, trace, log, point FROM arrival ORDER BY id LIMIT 1 OFFSET 1")?
        .query_row([], |row| {
            Ok(Cut { arrival: row.get(0)?, trace: row.get(1)?, log: row.get(2)?, point: row.get(3)? })
        })
        .optional()
}

fn delete_before(db: &Connection, cut: Cut) -> rusqlite::Result<()> {
    let spans = db.prepare_cached("DELETE FROM span WHERE trace < ?1")?.execute([cut.trace])?;
    db.prepare_cached("DELETE FROM trace_service WHERE trace < ?1")?.execute([cut.trace])?;
    let traces = db.prepare_cached("DELETE FROM trace WHERE id < ?1")?.execute([cut.trace])?;
    let logs = db.prepare_cached("DELETE FROM log WHERE id < ?1")?.execute([cut.log])?;
    db.prepare_cached(
        "UPDATE series SET point_count = point_count - gone.n
         FROM (SELECT series, COUNT(*) AS n FROM point WHERE id < ?1 GROUP BY series) AS gone
         WHERE series.id = gone.series",
    )?
    .execute([cut.point])?;
    let points = db.prepare_cached("DELETE FROM point WHERE id < ?1")?.execute([cut.point])?;
    if points > 0 {
        db.execute_batch(
            "DELETE FROM series WHERE point_count <= 0;
             DELETE FROM metric WHERE id NOT IN (SELECT metric FROM series)",
        )?;
    }
    db.prepare_cached("DELETE FROM arrival WHERE id < ?1")?.execute([cut.arrival])?;
    db.prepare_cached(
        "UPDATE total SET traces = traces - ?1, spans = spans - ?2, logs = logs - ?3, points = points - ?4",
    )?
    .execute([traces, spans, logs, points].map(|n| n as i64))?;
    // An entry's mark lags behind its last use by at most SEEN_LAG intervals, so below this no row refers to it.
    let unused = cut.arrival - 2 * SEEN_LAG;
    if unused > 0 && unused % SEEN_LAG == 0 {
        db.prepare_cached("DELETE FROM text WHERE seen < ?1")?.execute([unused])?;
        db.prepare_cached("DELETE FROM resource WHERE seen < ?1")?.execute([unused])?;
        db.prepare_cached("DELETE FROM scope WHERE seen < ?1")?.execute([unused])?;
    }
    Ok(())
}

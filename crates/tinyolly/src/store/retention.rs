//! Retention by age, where one is set, and by size: the oldest arrivals go, from all tables alike, and the file shrinks.
//!
//! A trace is as old as its first span. Above the limit a pass begins, which deletes whole arrival intervals, oldest
//! first, until a tenth of the limit is free again. A pass is made of steps of bounded size, so that what waits to be
//! stored gets its turn between them; what needs a look at whole tables is done once in many steps.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use super::intern::SEEN_LAG;
use super::rollup;
use super::tally;

/// Rows a step deletes at most, beyond its first interval.
const STEP_ROWS: i64 = 8192;
/// Steps after which emptied series and unused texts are looked for: they can be what fills the file.
const STEPS_PER_CLEANING: u32 = 16;

#[derive(Debug)]
pub(super) struct Retention {
    max_bytes: u64,
    max_age_ns: Option<i64>,
    pass: Option<Pass>,
    /// Under way by age.
    aged: Option<Pass>,
}

/// A pass under way.
#[derive(Debug, Default)]
struct Pass {
    /// First arrival interval that is left.
    arrival: i64,
    /// Steps since the last cleaning.
    steps: u32,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    /// Spans, log records and data points deleted.
    pub(super) rows: u64,
    /// Whether interned values or series may be gone, so that nothing may be remembered of them.
    pub(super) cleaned: bool,
    /// Whether the pass goes on.
    pub(super) more: bool,
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
    pub(super) fn new(max_bytes: u64, max_age: Option<Duration>) -> Self {
        let max_age_ns = max_age.map(|age| i64::try_from(age.as_nanos()).unwrap_or(i64::MAX));
        Self { max_bytes, max_age_ns, pass: None, aged: None }
    }

    /// How long nothing may be looked at, while nothing arrives; `None` without an age.
    pub(super) fn tick(&self) -> Option<Duration> {
        let age = Duration::from_nanos(self.max_age_ns?.unsigned_abs());
        Some((age / 10).clamp(Duration::from_millis(200), Duration::from_secs(60)))
    }

    /// Deletes some of what is too old at `now_ns`, or above the limit.
    pub(super) fn step(&mut self, db: &mut Connection, now_ns: i64) -> rusqlite::Result<Step> {
        if let Some(age) = self.max_age_ns
            && let Some(step) = self.age_step(db, now_ns.saturating_sub(age))?
        {
            return Ok(step);
        }
        let used = used_bytes(db)?;
        let enough = self.max_bytes / 10 * 9;
        if self.pass.is_none() && used <= self.max_bytes {
            shrink_to(db, self.max_bytes)?;
            return Ok(Step::default());
        }
        let pass = self.pass.get_or_insert_default();
        let excess = used.saturating_sub(enough);
        let cut = if excess > 0 { next_cut(db, excess as f64 / used as f64)? } else { None };
        let mut step = Step { more: cut.is_some(), ..Step::default() };
        if let Some(cut) = cut {
            let transaction = db.transaction()?;
            step.rows = delete_before(&transaction, cut)?;
            transaction.commit()?;
            pass.arrival = cut.arrival;
            pass.steps += 1;
        }
        if pass.steps >= STEPS_PER_CLEANING || !step.more {
            let transaction = db.transaction()?;
            clean(&transaction, pass.arrival)?;
            transaction.commit()?;
            pass.steps = 0;
            step.cleaned = true;
        }
        if !step.more {
            self.pass = None;
            shrink_to(db, self.max_bytes)?;
        }
        Ok(step)
    }
}

impl Retention {
    /// Deletes some of what arrived before `before_ns`; `None` when there is nothing, and nothing left to tidy.
    fn age_step(&mut self, db: &mut Connection, before_ns: i64) -> rusqlite::Result<Option<Step>> {
        let cut = aged_cut(db, before_ns)?;
        let mut step = Step { more: true, ..Step::default() };
        let tidy = match cut {
            Some(cut) => {
                let pass = self.aged.get_or_insert_default();
                let transaction = db.transaction()?;
                step.rows = delete_before(&transaction, cut)?;
                transaction.commit()?;
                pass.arrival = cut.arrival;
                pass.steps += 1;
                pass.steps >= STEPS_PER_CLEANING
            }
            None => true,
        };
        let Some(pass) = self.aged.as_mut() else { return Ok(None) };
        if tidy {
            let transaction = db.transaction()?;
            clean(&transaction, pass.arrival)?;
            transaction.commit()?;
            pass.steps = 0;
            step.cleaned = true;
        }
        if cut.is_none() {
            self.aged = None;
            // Some room stays for what comes next.
            shrink_to(db, used_bytes(db)? / 4 * 5)?;
        }
        Ok(Some(step))
    }
}

/// Up to where to delete next by age: intervals that ended before `before_ns`, no more than fit into a step, but one.
fn aged_cut(db: &Connection, before_ns: i64) -> rusqlite::Result<Option<Cut>> {
    let mut intervals =
        db.prepare_cached("SELECT id, trace, log, point, received_ns FROM arrival ORDER BY id")?;
    let mut spans =
        db.prepare_cached("SELECT COALESCE(SUM(span_count), 0) FROM trace WHERE id >= ?1 AND id < ?2")?;
    let mut intervals = intervals.query_map([], |row| {
        let cut = Cut { arrival: row.get(0)?, trace: row.get(1)?, log: row.get(2)?, point: row.get(3)? };
        Ok((cut, row.get::<_, i64>(4)?))
    })?;
    let Some((mut from, _)) = intervals.next().transpose()? else { return Ok(None) };
    let (mut chosen, mut rows) = (None, 0);
    for next in intervals {
        // An interval ends where the next one begins.
        let (next, received_ns) = next?;
        if received_ns > before_ns {
            break;
        }
        let spans: i64 = spans.query_row([from.trace, next.trace], |row| row.get(0))?;
        rows += spans + (next.log - from.log) + (next.point - from.point);
        if chosen.is_some() && rows > STEP_ROWS {
            break;
        }
        chosen = Some(next);
        from = next;
    }
    Ok(chosen)
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

/// Up to where to delete next: as many of the oldest intervals as hold `share` of all rows, but no more than fit into
/// a step. At least one, and never the newest: `None` when only that one is left.
fn next_cut(db: &Connection, share: f64) -> rusqlite::Result<Option<Cut>> {
    let total: i64 = db
        .prepare_cached("SELECT spans + logs + points FROM total WHERE id = 1")?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or_default();
    let wanted = ((total as f64 * share) as i64).clamp(1, STEP_ROWS);
    let mut intervals = db.prepare_cached("SELECT id, trace, log, point FROM arrival ORDER BY id")?;
    let mut spans =
        db.prepare_cached("SELECT COALESCE(SUM(span_count), 0) FROM trace WHERE id >= ?1 AND id < ?2")?;
    let mut intervals = intervals.query_map([], |row| {
        Ok(Cut { arrival: row.get(0)?, trace: row.get(1)?, log: row.get(2)?, point: row.get(3)? })
    })?;
    let Some(mut from) = intervals.next().transpose()? else { return Ok(None) };
    let (mut chosen, mut rows) = (None, 0);
    for next in intervals {
        let next = next?;
        let spans: i64 = spans.query_row([from.trace, next.trace], |row| row.get(0))?;
        rows += spans + (next.log - from.log) + (next.point - from.point);
        if chosen.is_some() && rows > STEP_ROWS {
            break;
        }
        chosen = Some(next);
        if rows >= wanted {
            break;
        }
        from = next;
    }
    Ok(chosen)
}

/// Deletes what arrived before `cut`; says how many rows that were.
fn delete_before(db: &Connection, cut: Cut) -> rusqlite::Result<u64> {
    tally::forget_before(db, cut.trace, cut.log)?;
    rollup::subtract(db, cut.trace)?;
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
    db.prepare_cached("DELETE FROM arrival WHERE id < ?1")?.execute([cut.arrival])?;
    db.prepare_cached(
        "UPDATE total SET traces = traces - ?1, spans = spans - ?2, logs = logs - ?3, points = points - ?4",
    )?
    .execute([traces, spans, logs, points].map(|n| n as i64))?;
    Ok((spans + logs + points) as u64)
}

/// Deletes what no row refers to any more, when nothing is left from before the interval `arrival`.
fn clean(db: &Connection, arrival: i64) -> rusqlite::Result<()> {
    db.execute_batch(
        "DELETE FROM series WHERE point_count <= 0;
         DELETE FROM metric WHERE id NOT IN (SELECT metric FROM series)",
    )?;
    // An entry's mark lags behind its last use by at most SEEN_LAG intervals, so below this no row refers to it.
    let unused = arrival - 2 * SEEN_LAG;
    if unused > 0 {
        db.prepare_cached("DELETE FROM text WHERE seen < ?1")?.execute([unused])?;
        db.prepare_cached("DELETE FROM resource WHERE seen < ?1")?.execute([unused])?;
        db.prepare_cached("DELETE FROM scope WHERE seen < ?1")?.execute([unused])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn small_intervals_go_many_at_a_time_and_in_bounded_steps() {
        const INTERVALS: i64 = 40_000;
        let directory = tempfile::tempdir().unwrap();
        let mut db = super::super::schema::open_writer(&directory.path().join("t.db")).unwrap();
        // One small log record per interval, as a sender that is seldom heard of leaves them.
        db.execute_batch(&format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {INTERVALS})
             INSERT INTO arrival SELECT i, i, 1, i, 1 FROM n;
             INSERT INTO log SELECT id, id, 9, 1, 1, 1, NULL, NULL, NULL FROM arrival;
             UPDATE total SET logs = {INTERVALS};"
        ))
        .unwrap();
        let mut retention = Retention::new(used_bytes(&db).unwrap() / 2, None);
        let (mut steps, mut rows) = (0, 0);
        loop {
            let step = retention.step(&mut db, 0).unwrap();
            assert!(step.rows <= STEP_ROWS as u64, "{step:?}");
            rows += step.rows;
            steps += 1;
            if !step.more {
                assert!(step.cleaned);
                break;
            }
        }
        assert!(steps < 12, "{steps} steps");
        let left: i64 = db.query_row("SELECT COUNT(*) FROM log", [], |row| row.get(0)).unwrap();
        assert_eq!(left + rows as i64, INTERVALS);
        assert!((INTERVALS / 4..INTERVALS / 2).contains(&left), "{left} left");
        assert!(used_bytes(&db).unwrap() <= retention.max_bytes / 10 * 9);
        assert_eq!(retention.step(&mut db, 0).unwrap().rows, 0, "the pass is over");
    }
}

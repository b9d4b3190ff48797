//! Counts of spans and log records by service and by slots of ten seconds, kept as they come and go, so that a
//! histogram of everything reads a few rows and not all.

use std::collections::HashMap;
use std::ops::Range;

use rusqlite::{Connection, params};

/// Width of a slot. Narrower buckets are counted from the indexes; so fine a look is at few rows.
pub(super) const SLOT_NS: i64 = 10_000_000_000;
/// OTLP's first severity number of errors.
pub(super) const SEVERITY_ERROR: i32 = 17;

/// What is counted, by the number it is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i64)]
pub(super) enum Signal {
    Spans = 1,
    Logs = 2,
}

/// What one transaction adds.
#[derive(Debug, Default)]
pub(super) struct Tally(HashMap<(Signal, i64, i64), (i64, i64)>);

impl Tally {
    /// Counts one span or record; `time_ns` as it is stored.
    pub(super) fn add(&mut self, signal: Signal, time_ns: i64, service: i64, error: bool) {
        // Division as SQL does it: towards zero.
        let count = self.0.entry((signal, time_ns / SLOT_NS, service)).or_default();
        count.0 += 1;
        count.1 += i64::from(error);
    }

    /// Writes what was counted, and begins anew.
    pub(super) fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut add = db.prepare_cached(
            "INSERT INTO tally VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT(signal, slot, service) DO UPDATE
             SET items = items + excluded.items, errors = errors + excluded.errors",
        )?;
        for ((signal, slot, service), (items, errors)) in self.0.drain() {
            add.execute([signal as i64, slot, service, items, errors])?;
        }
        Ok(())
    }
}

/// Takes out the spans of traces below row `trace` and the records below row `log`, which are about to be deleted.
pub(super) fn forget_before(db: &Connection, trace: i64, log: i64) -> rusqlite::Result<()> {
    for (signal, gone, before) in [
        (
            Signal::Spans,
            "SELECT start_ns / ?2, service, COUNT(*), SUM(status = 2) FROM span WHERE trace < ?1 GROUP BY 1, 2",
            trace,
        ),
        (
            Signal::Logs,
            "SELECT time_ns / ?2, service, COUNT(*), SUM(severity >= 17) FROM log WHERE id < ?1 GROUP BY 1, 2",
            log,
        ),
    ] {
        let mut gone = db.prepare_cached(gone)?;
        let mut take = db.prepare_cached(
            "UPDATE tally SET items = items - ?4, errors = errors - ?5
             WHERE signal = ?1 AND slot = ?2 AND service = ?3",
        )?;
        let mut clear = db.prepare_cached(
            "DELETE FROM tally WHERE signal = ?1 AND slot = ?2 AND service = ?3 AND items <= 0",
        )?;
        let mut rows = gone.query([before, SLOT_NS])?;
        while let Some(row) = rows.next()? {
            let (slot, service, items, errors): (i64, i64, i64, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            take.execute(params![signal as i64, slot, service, items, errors])?;
            clear.execute([signal as i64, slot, service])?;
        }
    }
    Ok(())
}

/// Hands slot, service, items and errors of each count in a range of slots to `visit`, in the order of slots.
pub(super) fn counted(
    db: &Connection,
    signal: Signal,
    slots: Range<i64>,
    mut visit: impl FnMut(i64, i64, u64, u64),
) -> rusqlite::Result<()> {
    let mut counts = db.prepare_cached(
        "SELECT slot, service, items, errors FROM tally WHERE signal = ?1 AND slot >= ?2 AND slot < ?3",
    )?;
    let mut rows = counts.query([signal as i64, slots.start, slots.end])?;
    while let Some(row) = rows.next()? {
        let number = |at| row.get::<_, i64>(at).map(|n| n.max(0) as u64);
        visit(row.get(0)?, row.get(1)?, number(2)?, number(3)?);
    }
    Ok(())
}

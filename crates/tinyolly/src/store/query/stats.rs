//! What the store holds.

use rusqlite::Connection;

use crate::store::{StoreError, file_bytes};

/// Counts of what is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Traces.
    pub traces: u64,
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub logs: u64,
    /// Metrics.
    pub metrics: u64,
    /// Metric data points.
    pub metric_points: u64,
    /// Bytes on disk.
    pub db_bytes: u64,
}

/// Counts of what is stored.
///
/// # Errors
/// When SQLite fails.
pub fn totals(db: &Connection) -> Result<Totals, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT traces, spans, logs, points, (SELECT COUNT(*) FROM metric) FROM total WHERE id = 1",
    )?;
    let totals = statement.query_row([], |row| {
        let number = |at| row.get::<_, i64>(at).map(|n| n.max(0) as u64);
        Ok(Totals {
            traces: number(0)?,
            spans: number(1)?,
            logs: number(2)?,
            metric_points: number(3)?,
            metrics: number(4)?,
            db_bytes: 0,
        })
    })?;
    let db_bytes = db.path().map_or(0, |path| file_bytes(path.as_ref()));
    Ok(Totals { db_bytes, ..totals })
}

/// Checks that the store answers.
///
/// # Errors
/// When SQLite fails.
pub fn alive(db: &Connection) -> Result<(), StoreError> {
    Ok(db.query_row("SELECT id FROM total", [], |_| Ok(()))?)
}

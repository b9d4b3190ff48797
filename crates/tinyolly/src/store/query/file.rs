//! The database file.

use rusqlite::Connection;

use crate::store::StoreError;

/// What there is to know of the file.
#[derive(Clone, Debug)]
pub struct FileInfo {
    /// Pages, used or free.
    pub pages: u64,
    /// Pages that hold nothing.
    pub free_pages: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Version of the tables.
    pub schema: u64,
    /// When the oldest data that is left arrived, in nanoseconds since the epoch.
    pub oldest_arrival_ns: Option<u64>,
    /// Services with spans.
    pub services: u64,
    /// Texts, such as names of spans, that are stored once.
    pub texts: u64,
    /// Resources.
    pub resources: u64,
    /// Series of metrics.
    pub series: u64,
}

/// What there is to know of the file.
///
/// # Errors
/// When SQLite fails.
pub fn file_info(db: &Connection) -> Result<FileInfo, StoreError> {
    let number = |sql: &str| -> Result<u64, StoreError> {
        let number: i64 = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(number.max(0) as u64)
    };
    let oldest = db
        .prepare_cached("SELECT MIN(received_ns) FROM arrival")?
        .query_row([], |row| row.get::<_, Option<i64>>(0))?;
    Ok(FileInfo {
        pages: number("PRAGMA page_count")?,
        free_pages: number("PRAGMA freelist_count")?,
        page_bytes: number("PRAGMA page_size")?,
        schema: number("PRAGMA user_version")?,
        oldest_arrival_ns: oldest.map(|time| time.max(0) as u64),
        services: number("SELECT COUNT(DISTINCT service) FROM rollup_service WHERE level = 2")?,
        texts: number("SELECT COUNT(*) FROM text")?,
        resources: number("SELECT COUNT(*) FROM resource")?,
        series: number("SELECT COUNT(*) FROM series")?,
    })
}

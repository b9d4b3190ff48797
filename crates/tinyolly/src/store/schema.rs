//! The tables, and how a database file is opened.
//!
//! - Everything that repeats is interned: `text` (span names, service names), `resource`, `scope`, `series`.
//! - `span` is clustered by trace, so one trace is one range read, and needs only one index more, for lists by time. That
//!   index holds what lists are most often narrowed by, so that a walk along it reads no span which is not shown.
//! - `trace` carries the summary of its spans, kept up at ingest, so that the trace list reads no span but the root. Its
//!   index by time holds the summary too, behind the row id that orders traces which start together.
//! - `span.mark` is what filters ask of a span that is else in its blob: see `mark.rs`.
//! - `tally` counts spans and log records by signal, service and ten seconds, for histograms of everything.
//! - Times are nanoseconds since the epoch in a 64-bit column, written bit for bit.
//! - `arrival` maps the clock of arrival to row ids: retention deletes by it, in all tables alike.
//! - `rollup_service` and `rollup_operation` count spans by time (see `rollup`).
//! - `span.link` is what two hosts' agents call one request by (see `query/joins.rs`). Few spans have one, and only those
//!   stand in its indexes.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::{StoreError, rollup};

/// What takes a file from each version of the schema to the next, beginning with an empty file. The version is kept in
/// `PRAGMA user_version`. A step is never changed once files were written with it.
const STEPS: [Step; 5] = [
    Step::plain(TABLES),
    Step::plain(LINKS),
    Step::plain(WALKS),
    Step::plain(METADATA),
    Step { tables: rollup::TABLES, fill: Some(rollup::rebuild) },
];

/// Version of the schema that this program reads and writes.
pub const VERSION: i64 = STEPS.len() as i64;

/// What takes a file from one version to the next.
struct Step {
    tables: &'static str,
    /// Fills the new tables from what the file holds.
    fill: Option<fn(&Connection) -> rusqlite::Result<()>>,
}

impl Step {
    const fn plain(tables: &'static str) -> Self {
        Self { tables, fill: None }
    }
}

const TABLES: &str = "
CREATE TABLE text(id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, body TEXT NOT NULL, seen INTEGER NOT NULL);
CREATE INDEX text_by_digest ON text(digest);
CREATE TABLE resource(id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, body BLOB NOT NULL, seen INTEGER NOT NULL,
  service INTEGER NOT NULL);
CREATE INDEX resource_by_digest ON resource(digest);
CREATE TABLE scope(id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, body BLOB NOT NULL, seen INTEGER NOT NULL);
CREATE INDEX scope_by_digest ON scope(digest);

CREATE TABLE trace(id INTEGER PRIMARY KEY, trace_id BLOB NOT NULL UNIQUE, start_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL, span_count INTEGER NOT NULL, error_count INTEGER NOT NULL,
  root_has_parent INTEGER NOT NULL, root_start_ns INTEGER NOT NULL, root_span_id BLOB NOT NULL);
CREATE INDEX trace_by_start ON trace(start_ns);
CREATE TABLE trace_service(trace INTEGER NOT NULL, service INTEGER NOT NULL, span_count INTEGER NOT NULL,
  error_count INTEGER NOT NULL, PRIMARY KEY(trace, service)) WITHOUT ROWID;
CREATE TABLE span(trace INTEGER NOT NULL, start_ns INTEGER NOT NULL, span_id BLOB NOT NULL, parent_id BLOB,
  duration_ns INTEGER NOT NULL, name INTEGER NOT NULL, kind INTEGER NOT NULL, status INTEGER NOT NULL,
  service INTEGER NOT NULL, resource INTEGER NOT NULL, scope INTEGER NOT NULL, detail BLOB,
  PRIMARY KEY(trace, start_ns, span_id)) WITHOUT ROWID;
CREATE INDEX span_by_start ON span(start_ns, service);

CREATE TABLE log(id INTEGER PRIMARY KEY, time_ns INTEGER NOT NULL, severity INTEGER NOT NULL,
  service INTEGER NOT NULL, resource INTEGER NOT NULL, scope INTEGER NOT NULL, trace_id BLOB, span_id BLOB,
  detail BLOB);
CREATE INDEX log_by_time ON log(time_ns, severity, service);
CREATE INDEX log_by_trace ON log(trace_id, time_ns) WHERE trace_id IS NOT NULL;
CREATE INDEX log_by_span ON log(span_id, time_ns) WHERE span_id IS NOT NULL;

CREATE TABLE metric(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type INTEGER NOT NULL, unit TEXT NOT NULL,
  description TEXT NOT NULL, UNIQUE(name, type, unit));
CREATE TABLE series(id INTEGER PRIMARY KEY, digest INTEGER NOT NULL, metric INTEGER NOT NULL,
  service INTEGER NOT NULL, resource INTEGER NOT NULL, scope INTEGER NOT NULL, temporality INTEGER NOT NULL,
  monotonic INTEGER, attributes BLOB NOT NULL, point_count INTEGER NOT NULL, last_ns INTEGER NOT NULL);
CREATE INDEX series_by_digest ON series(digest);
CREATE INDEX series_by_metric ON series(metric);
CREATE TABLE point(id INTEGER PRIMARY KEY, series INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  start_ns INTEGER NOT NULL, flags INTEGER NOT NULL, value, detail BLOB);
CREATE INDEX point_by_series ON point(series, time_ns);

CREATE TABLE arrival(id INTEGER PRIMARY KEY, received_ns INTEGER NOT NULL, trace INTEGER NOT NULL,
  log INTEGER NOT NULL, point INTEGER NOT NULL);
CREATE TABLE total(id INTEGER PRIMARY KEY CHECK(id = 1), traces INTEGER NOT NULL, spans INTEGER NOT NULL,
  logs INTEGER NOT NULL, points INTEGER NOT NULL);
INSERT INTO total VALUES (1, 0, 0, 0, 0);
";

/// Agents did not name requests while there was the first version only, so its spans have no link to be found.
const LINKS: &str = "
ALTER TABLE span ADD COLUMN link INTEGER;
CREATE INDEX span_by_link ON span(link) WHERE link IS NOT NULL;
CREATE INDEX span_by_call ON span(trace, link) WHERE link IS NOT NULL AND kind = 3;
";

/// `span_mark` is the function of `mark.rs`; a walk by time finds in the index what it tests.
const WALKS: &str = "
ALTER TABLE span ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;
UPDATE span SET mark = span_mark(parent_id IS NULL, detail);
DROP INDEX span_by_start;
CREATE INDEX span_by_start ON span(start_ns, service, name, kind, status, mark, duration_ns);
DROP INDEX trace_by_start;
CREATE INDEX trace_by_start ON trace(start_ns, id, end_ns, span_count, error_count);
DROP INDEX log_by_time;
CREATE INDEX log_by_time ON log(time_ns, id, severity, service);
CREATE TABLE tally(signal INTEGER NOT NULL, slot INTEGER NOT NULL, service INTEGER NOT NULL, items INTEGER NOT NULL,
  errors INTEGER NOT NULL, PRIMARY KEY(signal, slot, service)) WITHOUT ROWID;
INSERT INTO tally SELECT 1, start_ns / 10000000000, service, COUNT(*), SUM(status = 2) FROM span GROUP BY 2, 3;
INSERT INTO tally SELECT 2, time_ns / 10000000000, service, COUNT(*), SUM(severity >= 17) FROM log GROUP BY 2, 3;
";

/// What a metric's sender says of it besides its description, in protobuf; it was dropped before.
const METADATA: &str = "ALTER TABLE metric ADD COLUMN metadata BLOB NOT NULL DEFAULT x''";

/// Opens the file for writing, lays out the tables in a new one, and brings an older one up to date.
///
/// # Errors
/// When the file cannot be opened, is not a database, or was written by a newer schema.
pub fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    // Only before the first table is made does this choose how free pages are kept.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A commit is in the operating system's hands: it survives the end of this process, not a loss of power.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "journal_size_limit", 8 << 20)?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let missing = usize::try_from(version).ok().and_then(|version| STEPS.get(version..));
    let missing = missing.ok_or(StoreError::Version { found: version, known: VERSION })?;
    if !missing.is_empty() {
        super::mark::register(&connection)?;
        let transaction = connection.transaction()?;
        for step in missing {
            transaction.execute_batch(step.tables)?;
            if let Some(fill) = step.fill {
                fill(&transaction)?;
            }
        }
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(connection)
}

/// Opens the file for reading only.
///
/// # Errors
/// When the file cannot be opened.
pub fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn an_older_file_is_brought_up_to_date_and_keeps_what_it_holds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(TABLES).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.execute_batch("INSERT INTO span VALUES (1, 2, x'03', NULL, 4, 5, 3, 0, 6, 7, 8, NULL)").unwrap();
        drop(old);
        for _ in 0..2 {
            let db = open_writer(&path).unwrap();
            let read = |sql: &str| db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap();
            assert_eq!(read("PRAGMA user_version"), Some(VERSION));
            assert_eq!(read("SELECT duration_ns FROM span"), Some(4));
            assert_eq!(read("SELECT link FROM span"), None);
            assert_eq!(read("SELECT mark FROM span"), Some(1), "a root");
            assert_eq!(
                read("SELECT items FROM tally WHERE signal = 1 AND slot = 0 AND service = 6"),
                Some(1)
            );
            assert_eq!(read("SELECT COUNT(*) FROM rollup_operation WHERE service = 6 AND name = 5"), Some(3));
        }
    }

    #[test]
    fn a_newer_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        for version in [VERSION + 1, -1] {
            Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
            let refused = open_writer(&path).unwrap_err();
            assert!(matches!(refused, StoreError::Version { found, known: VERSION } if found == version));
        }
    }
}

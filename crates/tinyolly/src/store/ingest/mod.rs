//! Writes rows into the tables, inside the writer's transaction.

mod logs;
mod metrics;
mod traces;

use rusqlite::{Connection, OptionalExtension};

use super::intern::{Interner, Pool};
use super::rows::{Group, Rows};
use super::tally::Tally;
use metrics::SeriesCache;
use traces::Touched;

/// Length of an arrival interval in time and in rows: the grain in which retention deletes.
const INTERVAL_NS: i64 = 1_000_000_000;
const INTERVAL_ROWS: u64 = 4096;

/// What one transaction added.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stored {
    pub(super) traces: u64,
    pub(super) spans: u64,
    pub(super) duplicate_spans: u64,
    pub(super) logs: u64,
    pub(super) points: u64,
}

/// Row ids are handed out here and never used twice, so that they order rows by arrival.
#[derive(Clone, Copy, Debug, Default)]
struct Sequence {
    trace: i64,
    log: i64,
    point: i64,
    arrival: i64,
    /// When the current arrival interval began, and the rows in it.
    since_ns: i64,
    rows: u64,
}

/// The writer's view of the file.
#[derive(Debug)]
pub(super) struct Ingest {
    text: Interner,
    resource: Interner,
    scope: Interner,
    series: SeriesCache,
    tally: Tally,
    sequence: Sequence,
}

/// Numbers of a group's source.
#[derive(Clone, Copy, Debug)]
struct Source {
    service: i64,
    resource: i64,
    scope: i64,
}

impl Ingest {
    /// Takes up where the file ends.
    pub(super) fn resume(db: &Connection) -> rusqlite::Result<Self> {
        let mut ingest = Self {
            text: Interner::new(Pool::Text),
            resource: Interner::new(Pool::Resource),
            scope: Interner::new(Pool::Scope),
            series: SeriesCache::default(),
            tally: Tally::default(),
            sequence: Sequence::default(),
        };
        ingest.restart(db)?;
        Ok(ingest)
    }

    /// Drops everything remembered and reads it anew, after a transaction failed.
    pub(super) fn restart(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.forget();
        self.tally = Tally::default();
        let last: Option<(i64, i64, i64, i64)> = db
            .query_row("SELECT id, trace, log, point FROM arrival ORDER BY id DESC LIMIT 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let (arrival, trace, log, point) = last.unwrap_or_default();
        let max = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
        self.sequence = Sequence {
            trace: trace.max(max("SELECT COALESCE(MAX(id), 0) + 1 FROM trace")?),
            log: log.max(max("SELECT COALESCE(MAX(id), 0) + 1 FROM log")?),
            point: point.max(max("SELECT COALESCE(MAX(id), 0) + 1 FROM point")?),
            arrival,
            ..Sequence::default()
        };
        Ok(())
    }

    /// Drops what is remembered of interned values, after some were deleted.
    pub(super) fn forget(&mut self) {
        self.text.forget();
        self.resource.forget();
        self.scope.forget();
        self.series.forget();
    }

    /// Writes the rows of several requests.
    pub(super) fn apply<'a>(
        &mut self,
        db: &Connection,
        requests: impl Iterator<Item = &'a Rows>,
        now_ns: i64,
    ) -> rusqlite::Result<Stored> {
        let mut stored = Stored::default();
        let mut touched = Touched::default();
        self.open_interval(db, now_ns)?;
        for rows in requests {
            match rows {
                Rows::Spans(groups) => {
                    for group in groups.iter().filter(|g| !g.rows.is_empty()) {
                        let source = self.source(db, group)?;
                        self.spans(db, source, &group.rows, &mut touched, &mut stored)?;
                    }
                }
                Rows::Logs(groups) => {
                    for group in groups.iter().filter(|g| !g.rows.is_empty()) {
                        let source = self.source(db, group)?;
                        self.logs(db, source, &group.rows, &mut stored)?;
                    }
                }
                Rows::Metrics(groups) => {
                    for group in groups.iter().filter(|g| !g.rows.is_empty()) {
                        let source = self.source(db, group)?;
                        self.metrics(db, source, &group.rows, &mut stored)?;
                    }
                }
            }
        }
        touched.write(db)?;
        self.series.write(db)?;
        self.tally.write(db)?;
        self.sequence.rows += stored.spans + stored.logs + stored.points;
        db.prepare_cached(
            "UPDATE total SET traces = traces + ?1, spans = spans + ?2, logs = logs + ?3, points = points + ?4",
        )?
        .execute([stored.traces, stored.spans, stored.logs, stored.points].map(|n| n as i64))?;
        Ok(stored)
    }

    /// Ends the current arrival interval, if anything may have come in it.
    pub(super) fn close_interval(&mut self, db: &Connection, now_ns: i64) -> rusqlite::Result<()> {
        // After a start it is not known what the last interval holds.
        if self.sequence.rows > 0 || self.sequence.since_ns == 0 {
            self.open_interval(db, now_ns)?;
        }
        Ok(())
    }

    /// Notes which row ids come next, once per arrival interval.
    fn open_interval(&mut self, db: &Connection, now_ns: i64) -> rusqlite::Result<()> {
        let s = &mut self.sequence;
        // A clock that was set back starts an interval too.
        let age_ns = now_ns.saturating_sub(s.since_ns);
        if (0..INTERVAL_NS).contains(&age_ns) && s.rows < INTERVAL_ROWS {
            return Ok(());
        }
        s.arrival += 1;
        s.since_ns = now_ns;
        s.rows = 0;
        db.prepare_cached(
            "INSERT INTO arrival(id, received_ns, trace, log, point) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute([s.arrival, now_ns, s.trace, s.log, s.point])?;
        Ok(())
    }

    fn source<T>(&mut self, db: &Connection, group: &Group<T>) -> rusqlite::Result<Source> {
        let now = self.sequence.arrival;
        let service = self.text.id(db, group.service.as_bytes(), now, 0)?;
        let resource = self.resource.id(db, &group.resource, now, service)?;
        let scope = self.scope.id(db, &group.scope, now, 0)?;
        Ok(Source { service, resource, scope })
    }
}

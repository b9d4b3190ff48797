//! Spans, and the summary of each trace they belong to.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Ingest, Source, Stored};
use crate::store::rollup::{Role, Rollups, contribution, slot_of};
use crate::store::rows::{SpanId, SpanRow, TraceId};
use crate::store::tally::Signal;

/// OTLP's `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;

/// What orders candidates for the root: no parent first, then the earliest start, then the id to be definite.
type RootOrder = (bool, u64, SpanId);

/// Summary of one trace, as the file will have it at commit.
#[derive(Debug)]
struct Summary {
    id: i64,
    start_ns: u64,
    end_ns: u64,
    span_count: i64,
    error_count: i64,
    root: RootOrder,
    /// What this transaction adds per service.
    services: BTreeMap<i64, Share>,
}

/// What a transaction adds to a service's share of a trace.
#[derive(Debug)]
struct Share {
    spans: i64,
    errors: i64,
    /// Where the trace counts for the service, if these are its first spans of it.
    slot: i64,
}

/// The traces a transaction touches, each read at most once and written once, and what it adds to the rollups.
#[derive(Debug, Default)]
pub(super) struct Touched {
    traces: HashMap<TraceId, Summary>,
    rollups: Rollups,
}

impl Ingest {
    pub(super) fn spans(
        &mut self,
        db: &Connection,
        source: Source,
        rows: &[SpanRow],
        touched: &mut Touched,
        stored: &mut Stored,
    ) -> rusqlite::Result<()> {
        let mut insert = db.prepare_cached(
            "INSERT OR IGNORE INTO span(trace, start_ns, span_id, parent_id, duration_ns, name, kind, status, service,
               resource, scope, detail, link, mark)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?;
        for row in rows {
            let name = self.text.id(db, row.name.as_bytes(), self.sequence.arrival, 0)?;
            let summary = match touched.traces.get_mut(&row.trace_id) {
                Some(summary) => summary,
                None => {
                    let summary = match Summary::read(db, &row.trace_id)? {
                        Some(summary) => summary,
                        None => {
                            stored.traces += 1;
                            let id = self.sequence.trace;
                            self.sequence.trace += 1;
                            Summary::insert(db, id, row)?
                        }
                    };
                    touched.traces.entry(row.trace_id).or_insert(summary)
                }
            };
            let added = insert.execute(params![
                summary.id,
                row.start_ns as i64,
                row.span_id,
                row.parent_id,
                row.end_ns.wrapping_sub(row.start_ns) as i64,
                name,
                row.kind,
                row.status,
                source.service,
                source.resource,
                source.scope,
                row.detail,
                row.link,
                row.mark,
            ])?;
            if added == 0 {
                stored.duplicate_spans += 1;
            } else {
                stored.spans += 1;
                summary.add(row, source.service);
                self.tally.add(
                    Signal::Spans,
                    row.start_ns as i64,
                    source.service,
                    row.status == STATUS_ERROR,
                );
                let role = Role::spans(row.kind, row.parent_id.is_none());
                let duration_ns = row.end_ns.wrapping_sub(row.start_ns) as i64;
                let tally = contribution(duration_ns, row.is_error, row.from_agent);
                touched.rollups.span(source.service, name, role, row.start_ns, &tally);
            }
        }
        Ok(())
    }
}

impl Summary {
    fn read(db: &Connection, trace_id: &TraceId) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(
            "SELECT id, start_ns, end_ns, span_count, error_count, root_has_parent, root_start_ns, root_span_id
             FROM trace WHERE trace_id = ?1",
        )?
        .query_row([trace_id], |row| {
            Ok(Self {
                id: row.get(0)?,
                start_ns: row.get::<_, i64>(1)? as u64,
                end_ns: row.get::<_, i64>(2)? as u64,
                span_count: row.get(3)?,
                error_count: row.get(4)?,
                root: (row.get(5)?, row.get::<_, i64>(6)? as u64, row.get(7)?),
                services: BTreeMap::new(),
            })
        })
        .optional()
    }

    /// Makes the trace's row, with counts that [`Touched::write`] sets.
    fn insert(db: &Connection, id: i64, first: &SpanRow) -> rusqlite::Result<Self> {
        db.prepare_cached("INSERT INTO trace VALUES (?1, ?2, ?3, ?3, 0, 0, 1, ?3, ?4)")?.execute(params![
            id,
            first.trace_id,
            first.start_ns as i64,
            first.span_id
        ])?;
        let (start_ns, end_ns) = (first.start_ns, first.start_ns);
        let root = (first.parent_id.is_some(), first.start_ns, first.span_id);
        Ok(Self { id, start_ns, end_ns, span_count: 0, error_count: 0, root, services: BTreeMap::new() })
    }

    fn add(&mut self, row: &SpanRow, service: i64) {
        let error = i64::from(row.status == STATUS_ERROR);
        self.start_ns = self.start_ns.min(row.start_ns);
        self.end_ns = self.end_ns.max(row.end_ns);
        self.span_count += 1;
        self.error_count += error;
        self.root = self.root.min((row.parent_id.is_some(), row.start_ns, row.span_id));
        let slot = slot_of(row.start_ns);
        let share = self.services.entry(service).or_insert(Share { spans: 0, errors: 0, slot });
        share.spans += 1;
        share.errors += error;
    }
}

impl Touched {
    /// Writes the summaries back, and the rollups.
    pub(super) fn write(mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut trace = db.prepare_cached(
            "UPDATE trace SET start_ns = ?2, end_ns = ?3, span_count = ?4, error_count = ?5, root_has_parent = ?6,
               root_start_ns = ?7, root_span_id = ?8 WHERE id = ?1",
        )?;
        let mut service = db.prepare_cached(
            "INSERT INTO trace_service(trace, service, span_count, error_count, slot) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT(trace, service) DO UPDATE
             SET span_count = span_count + excluded.span_count, error_count = error_count + excluded.error_count
             RETURNING span_count",
        )?;
        for summary in self.traces.into_values() {
            let (has_parent, root_start_ns, root_span_id) = summary.root;
            trace.execute(params![
                summary.id,
                summary.start_ns as i64,
                summary.end_ns as i64,
                summary.span_count,
                summary.error_count,
                has_parent,
                root_start_ns as i64,
                root_span_id
            ])?;
            for (id, share) in summary.services {
                let values = [summary.id, id, share.spans, share.errors, share.slot];
                let spans: i64 = service.query_row(values, |row| row.get(0))?;
                // There are no others: the service is new in this trace.
                if spans == share.spans {
                    self.rollups.traces(id, share.slot, 1);
                }
            }
        }
        self.rollups.add(db)
    }
}

//! Whether a trace is listed: one of its spans, or of the traces joined below it, passes the filter.

use rusqlite::Connection;

use super::budget::Budget;
use super::filter::SpanFilter;
use super::joins::Joins;
use super::sources::Sources;
use super::span_test::{Key, SpanTest};
use crate::store::StoreError;
use crate::store::rows::TraceId;

/// Calls that are followed from one trace into others to look for a match.
const CALLS: usize = 1_000;

/// The columns of a trace that its index by time holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceKey {
    pub(super) start_ns: i64,
    pub(super) id: i64,
    pub(super) end_ns: i64,
    pub(super) span_count: i64,
    pub(super) error_count: i64,
}

impl TraceKey {
    pub(super) fn duration(&self) -> u64 {
        (self.end_ns as u64).saturating_sub(self.start_ns as u64)
    }
}

/// A filter at work on traces.
pub(super) struct TraceTest<'a> {
    db: &'a Connection,
    filter: &'a SpanFilter,
    test: SpanTest<'a>,
    pub(super) sources: Sources<'a>,
    pub(super) joins: Joins<'a>,
    /// Whether any trace can be a part of another.
    joined: bool,
}

impl<'a> TraceTest<'a> {
    pub(super) fn new(db: &'a Connection, filter: &'a SpanFilter) -> Result<Self, StoreError> {
        let sources = Sources::new(db);
        let test = SpanTest::new(filter, &sources)?;
        let joined = db
            .prepare_cached(
                "SELECT EXISTS(SELECT 1 FROM span INDEXED BY span_by_link WHERE link IS NOT NULL)",
            )?
            .query_row([], |row| row.get(0))?;
        Ok(Self { db, filter, test, sources, joins: Joins::new(db), joined })
    }

    /// Whether no trace can pass.
    pub(super) fn is_hopeless(&self) -> bool {
        self.test.is_hopeless()
    }

    /// Whether more than a trace's own times and joins decides.
    pub(super) fn is_costly(&self) -> bool {
        self.joined || self.test.asks_anything()
    }

    /// What of the filter the key alone can refuse.
    pub(super) fn admits(&self, key: &TraceKey) -> bool {
        self.filter.fits_duration(key.duration())
            && (!self.filter.errors || self.joined || key.error_count > 0)
    }

    /// Whether an admitted trace is a line of the list; `None` when the budget ended before that was known.
    pub(super) fn passes(&mut self, key: &TraceKey, budget: &mut Budget) -> Result<Option<bool>, StoreError> {
        if self.filter.trace_id.is_some_and(|id| self.id_of(key.id).is_ok_and(|own| own != id)) {
            return Ok(Some(false));
        }
        let own = !self.test.asks_anything();
        let own = own || {
            // Errors of the trace itself are in its key; those of parts are not.
            let refused = self.filter.errors && key.error_count == 0;
            let Some(own) = (if refused { Some(false) } else { self.holds(key.id, budget)? }) else {
                return Ok(None);
            };
            own
        };
        if !self.joined {
            return Ok(Some(own));
        }
        // A part is shown on the line of its top.
        if own {
            return Ok(Some(self.joins.top(key.id)? == key.id));
        }
        // The root of a line is that of the trace on top.
        if self.filter.root {
            return Ok(Some(false));
        }
        let tree = self.joins.tree(key.id, &mut CALLS.clone())?;
        if tree.traces.first() != Some(&key.id) {
            return Ok(Some(false));
        }
        for part in tree.traces.into_iter().skip(1) {
            match self.holds(part, budget)? {
                Some(false) => {}
                other => return Ok(other),
            }
        }
        Ok(Some(false))
    }

    fn id_of(&self, trace: i64) -> Result<TraceId, StoreError> {
        let mut statement = self.db.prepare_cached("SELECT trace_id FROM trace WHERE id = ?1")?;
        Ok(statement.query_row([trace], |row| row.get(0))?)
    }

    /// Whether a span of this very trace passes.
    fn holds(&mut self, trace: i64, budget: &mut Budget) -> Result<Option<bool>, StoreError> {
        if let Some(services) = &self.test.services {
            let mut share = self.db.prepare_cached(
                "SELECT error_count > 0 OR NOT ?3 FROM trace_service WHERE trace = ?1 AND service = ?2",
            )?;
            let mut any = false;
            for service in services {
                let mut rows = share.query(rusqlite::params![trace, service, self.filter.errors])?;
                any = any || rows.next()?.map_or(Ok(false), |row| row.get(0))?;
            }
            if !any || self.test.asks_shares_alone() {
                return Ok(Some(any));
            }
        } else if self.test.asks_shares_alone() {
            let mut errors = self.db.prepare_cached("SELECT error_count > 0 FROM trace WHERE id = ?1")?;
            return Ok(Some(errors.query_row([trace], |row| row.get(0))?));
        }
        let mut statement = self.db.prepare_cached(if self.filter.root {
            "SELECT s.start_ns, s.service, s.name, s.kind, s.status, s.mark, s.duration_ns, s.trace, s.span_id,
               s.resource, s.detail
             FROM trace t JOIN span s ON s.trace = t.id AND s.start_ns = t.root_start_ns AND s.span_id = t.root_span_id
             WHERE t.id = ?1"
        } else {
            "SELECT start_ns, service, name, kind, status, mark, duration_ns, trace, span_id, resource, detail
             FROM span WHERE trace = ?1"
        })?;
        let mut rows = statement.query([trace])?;
        while let Some(row) = rows.next()? {
            let key = Key {
                start_ns: row.get(0)?,
                service: row.get(1)?,
                name: row.get(2)?,
                kind: row.get(3)?,
                status: row.get(4)?,
                mark: row.get(5)?,
                duration_ns: row.get(6)?,
                trace: row.get(7)?,
                span_id: row.get(8)?,
            };
            if self.test.admits(&key) {
                if !self.test.needs_row() {
                    return Ok(Some(true));
                }
                let detail = row.get_ref(10)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
                let db = self.db;
                let id = || {
                    let mut statement = db.prepare_cached("SELECT trace_id FROM trace WHERE id = ?1")?;
                    Ok(statement.query_row([trace], |row| row.get(0))?)
                };
                if self.test.passes(&mut self.sources, &key, row.get(9)?, detail, id)? {
                    return Ok(Some(true));
                }
            }
            if budget.is_over() {
                return Ok(None);
            }
        }
        Ok(Some(false))
    }
}

//! The list of traces.

use rusqlite::{Connection, OptionalExtension};

use super::budget::Budget;
use super::filter::{Order, Sort, SpanFilter};
use super::page::{Page, Paging};
use super::sorted::{self, CANDIDATES, Candidate, Place};
use super::trace_test::{TraceKey, TraceTest};
use super::trace_walk::walk;
use super::traces::{LIST_CALLS, TraceSummary, summary};
use crate::store::StoreError;

/// The letter of this list's cursors.
const LIST: char = 't';

/// A page of the traces that pass a filter. Traces that are parts of one are one line, in the place of the one on top.
///
/// # Errors
/// [`StoreError::Cursor`] for a cursor that is not of this list; when SQLite fails or a record is damaged.
pub fn traces(
    db: &Connection,
    filter: &SpanFilter,
    paging: &Paging,
    mut budget: Budget,
) -> Result<Page<TraceSummary>, StoreError> {
    let test = TraceTest::new(db, filter)?;
    let mut list = List { db, filter, paging, test };
    match paging.sort {
        Sort::Time => list.by_time(&mut budget),
        _ => list.sorted(&mut budget),
    }
}

struct List<'a> {
    db: &'a Connection,
    filter: &'a SpanFilter,
    paging: &'a Paging,
    test: TraceTest<'a>,
}

impl List<'_> {
    fn by_time(&mut self, budget: &mut Budget) -> Result<Page<TraceSummary>, StoreError> {
        let kind = self.paging.kind(LIST);
        let after = match &self.paging.cursor {
            Some(cursor) => Some(kind.read(cursor).map(|[start, id]| (start, id)).ok_or(StoreError::Cursor)?),
            None => None,
        };
        if self.test.is_hopeless() {
            return Ok(Page::empty());
        }
        let limit = self.paging.limit as usize;
        let (mut found, mut last, mut more, mut spent) = (Vec::new(), None, false, false);
        walk(self.db, self.filter.range.bounds(), self.paging.order, after, |key| {
            if found.len() == limit || spent {
                more = true;
                return Ok(false);
            }
            if self.test.admits(&key) {
                // The first is looked at to its end, however large it is: each page gets somewhere.
                let mut whole = Budget::endless();
                let time = if last.is_none() { &mut whole } else { &mut *budget };
                match self.test.passes(&key, time)? {
                    Some(true) => found.push(key.id),
                    Some(false) => {}
                    None => {
                        more = true;
                        return Ok(false);
                    }
                }
            }
            last = Some(key);
            spent = budget.is_over();
            Ok(true)
        })?;
        let last = last.filter(|_| more);
        let cut_short = last.filter(|_| found.len() < limit);
        Ok(Page {
            items: self.lines(&found)?,
            next: last.map(|key| kind.write(&[key.start_ns, key.id])),
            searched_to: cut_short.map(|key| key.start_ns as u64),
            complete: true,
        })
    }

    fn sorted(&mut self, budget: &mut Budget) -> Result<Page<TraceSummary>, StoreError> {
        let mut place = Place::of(self.paging, LIST, self.filter.range.bounds())?;
        if self.test.is_hopeless() {
            return Ok(Page::empty());
        }
        let (mut candidates, mut seen, mut newest) = (Vec::new(), 0, None);
        // The names of roots take a look at each, so they share the time; what was gathered on the first page is
        // gathered again on all.
        let mut gathering = match (self.paging.sort, place.last) {
            (Sort::Name, None) => *budget,
            _ => Budget::endless(),
        };
        walk(self.db, place.bounds, Order::Descending, None, |key| {
            if seen == CANDIDATES || gathering.is_over() {
                place.cut = true;
                place.bounds.0 = key.start_ns;
                return Ok(false);
            }
            newest.get_or_insert(key.start_ns);
            seen += 1;
            if self.test.admits(&key) {
                let by = self.sort_key(&key)?;
                candidates.push(Candidate { by, start_ns: key.start_ns, trace: key.id, span: 0 });
            }
            Ok(true)
        })?;
        place.bounds.1 = newest.unwrap_or(place.bounds.1);
        sorted::arrange(&mut candidates, self.paging, place.last, &mut self.test.sources)?;

        let limit = self.paging.limit as usize;
        let (mut found, mut last) = (Vec::new(), None);
        let mut left = candidates.into_iter().peekable();
        while let Some(candidate) = left.peek().copied().filter(|_| found.len() < limit) {
            if self.test.is_costly()
                && let Some(key) = self.key(candidate.trace)?
            {
                let mut whole = Budget::endless();
                let time = if last.is_none() { &mut whole } else { &mut *budget };
                match self.test.passes(&key, time)? {
                    Some(true) => found.push(key.id),
                    Some(false) => {}
                    None => break,
                }
            } else {
                found.push(candidate.trace);
            }
            last = Some(candidate);
            left.next();
            if self.test.is_costly() && budget.is_over() {
                break;
            }
        }
        let last = last.filter(|_| left.peek().is_some());
        Ok(Page {
            items: self.lines(&found)?,
            next: last.map(|last| place.cursor(self.paging, LIST, last)),
            searched_to: None,
            complete: !place.cut,
        })
    }

    fn sort_key(&self, key: &TraceKey) -> Result<i64, StoreError> {
        Ok(match self.paging.sort {
            Sort::Time => key.start_ns,
            Sort::Duration => key.duration() as i64,
            Sort::Spans => key.span_count,
            Sort::Errors => key.error_count,
            Sort::Name => self
                .db
                .prepare_cached(
                    "SELECT s.name FROM trace t
                     JOIN span s ON s.trace = t.id AND s.start_ns = t.root_start_ns AND s.span_id = t.root_span_id
                     WHERE t.id = ?1",
                )?
                .query_row([key.id], |row| row.get(0))?,
        })
    }

    fn key(&self, trace: i64) -> Result<Option<TraceKey>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT start_ns, end_ns, span_count, error_count FROM trace WHERE id = ?1")?;
        let key = statement.query_row([trace], |row| {
            Ok(TraceKey {
                start_ns: row.get(0)?,
                id: trace,
                end_ns: row.get(1)?,
                span_count: row.get(2)?,
                error_count: row.get(3)?,
            })
        });
        Ok(key.optional()?)
    }

    fn lines(&mut self, traces: &[i64]) -> Result<Vec<TraceSummary>, StoreError> {
        let mut calls = LIST_CALLS;
        let TraceTest { sources, joins, .. } = &mut self.test;
        traces.iter().map(|trace| summary(self.db, sources, joins, *trace, &mut calls)).collect()
    }
}

//! Lists of spans.

use rusqlite::{Connection, OptionalExtension, params};

use super::budget::Budget;
use super::filter::{Order, Sort, SpanFilter};
use super::page::{Page, Paging};
use super::sorted::{self, CANDIDATES, Candidate, Place};
use super::sources::Sources;
use super::span_test::{Key, SpanTest};
use super::span_walk::{Deep, Walk, key, place, trace_row};
use super::traces::{SpanRecord, record, span_columns};
use crate::store::StoreError;
use crate::store::rows::{SpanId, TraceId};

/// The letter of this list's cursors.
const LIST: char = 's';

/// A page of the spans that pass a filter.
///
/// # Errors
/// [`StoreError::Cursor`] for a cursor that is not of this list; when SQLite fails or a record is damaged.
pub fn spans(
    db: &Connection,
    filter: &SpanFilter,
    paging: &Paging,
    mut budget: Budget,
) -> Result<Page<SpanRecord>, StoreError> {
    let mut sources = Sources::new(db);
    let mut test = SpanTest::new(filter, &sources)?;
    let trace = match &filter.trace_id {
        Some(id) => match trace_row(db, id)? {
            Some(row) => Some(row),
            None => return Ok(Page::empty()),
        },
        None => None,
    };
    let mut list = List { db, filter, paging, sources: &mut sources, trace };
    match paging.sort {
        Sort::Time => list.by_time(&mut test, &mut budget),
        Sort::Duration | Sort::Name => list.sorted(&mut test, &mut budget),
        // Only traces have these.
        Sort::Spans | Sort::Errors => Err(StoreError::Cursor),
    }
}

struct List<'a, 's> {
    db: &'a Connection,
    filter: &'a SpanFilter,
    paging: &'a Paging,
    sources: &'s mut Sources<'a>,
    trace: Option<i64>,
}

impl List<'_, '_> {
    fn by_time(
        &mut self,
        test: &mut SpanTest<'_>,
        budget: &mut Budget,
    ) -> Result<Page<SpanRecord>, StoreError> {
        let kind = self.paging.kind(LIST);
        let after = match &self.paging.cursor {
            Some(cursor) => Some(kind.read(cursor).and_then(key).ok_or(StoreError::Cursor)?),
            None => None,
        };
        if test.is_hopeless() {
            return Ok(Page::empty());
        }
        let bounds = self.filter.range.bounds();
        let walk = Walk { order: self.paging.order, bounds, after, trace: self.trace };
        let limit = self.paging.limit as usize;
        let (mut found, mut last, mut more, mut spent) = (Vec::new(), None, false, false);
        let mut deep = Deep::new(self.db);
        walk.run(self.db, |key| {
            if found.len() == limit || spent {
                more = true;
                return Ok(false);
            }
            last = Some(key);
            if self.filter.fits_duration(key.duration()) && deep.passes(test, self.sources, &key)? {
                found.push(key);
            }
            spent = budget.is_over();
            Ok(true)
        })?;
        let last = last.filter(|_| more);
        let cut_short = last.filter(|_| found.len() < limit);
        let mut items = Vec::with_capacity(found.len());
        for key in &found {
            items.extend(self.read(&mut deep, key.trace, key.start_ns, key.span_id)?);
        }
        Ok(Page {
            items,
            next: last.map(|key| kind.write(&place(&key))),
            searched_to: cut_short.map(|key| key.start_ns as u64),
            complete: true,
        })
    }

    fn sorted(
        &mut self,
        test: &mut SpanTest<'_>,
        budget: &mut Budget,
    ) -> Result<Page<SpanRecord>, StoreError> {
        let mut place = Place::of(self.paging, LIST, self.filter.range.bounds())?;
        if test.is_hopeless() {
            return Ok(Page::empty());
        }
        let walk = Walk { order: Order::Descending, bounds: place.bounds, after: None, trace: self.trace };
        let (mut candidates, mut seen) = (Vec::new(), 0);
        let mut newest = None;
        walk.run(self.db, |key| {
            if seen == CANDIDATES {
                place.cut = true;
                place.bounds.0 = key.start_ns;
                return Ok(false);
            }
            newest.get_or_insert(key.start_ns);
            seen += 1;
            if self.filter.fits_duration(key.duration()) && test.admits(&key) {
                candidates.push(Candidate {
                    by: if self.paging.sort == Sort::Name { key.name } else { key.duration() as i64 },
                    start_ns: key.start_ns,
                    trace: key.trace,
                    span: i64::from_be_bytes(key.span_id),
                });
            }
            Ok(true)
        })?;
        place.bounds.1 = newest.unwrap_or(place.bounds.1);
        sorted::arrange(&mut candidates, self.paging, place.last, self.sources)?;

        let limit = self.paging.limit as usize;
        let (mut items, mut last, mut spent) = (Vec::new(), None, false);
        let mut deep = Deep::new(self.db);
        let mut left = candidates.into_iter();
        for candidate in left.by_ref() {
            last = Some(candidate);
            let (trace, start_ns) = (candidate.trace, candidate.start_ns);
            let span_id = candidate.span.to_be_bytes();
            if !test.needs_row() || self.passes_whole(test, &mut deep, &candidate)? {
                items.extend(self.read(&mut deep, trace, start_ns, span_id)?);
            }
            spent = spent || budget.is_over();
            if items.len() == limit || (spent && test.needs_row()) {
                break;
            }
        }
        let last = last.filter(|_| left.next().is_some());
        Ok(Page {
            items,
            next: last.map(|last| place.cursor(self.paging, LIST, last)),
            searched_to: None,
            complete: !place.cut,
        })
    }

    /// Tests a candidate of which the key was not kept.
    fn passes_whole(
        &mut self,
        test: &mut SpanTest<'_>,
        deep: &mut Deep<'_>,
        candidate: &Candidate,
    ) -> Result<bool, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT service, name, kind, status, mark, duration_ns FROM span
             WHERE trace = ?1 AND start_ns = ?2 AND span_id = ?3",
        )?;
        let (trace, start_ns) = (candidate.trace, candidate.start_ns);
        let span_id: SpanId = candidate.span.to_be_bytes();
        let key = statement
            .query_row(params![trace, start_ns, span_id], |row| {
                Ok(Key {
                    start_ns,
                    service: row.get(0)?,
                    name: row.get(1)?,
                    kind: row.get(2)?,
                    status: row.get(3)?,
                    mark: row.get(4)?,
                    duration_ns: row.get(5)?,
                    trace,
                    span_id,
                })
            })
            .optional()?;
        key.map_or(Ok(false), |key| deep.passes(test, self.sources, &key))
    }

    fn read(
        &mut self,
        deep: &mut Deep<'_>,
        trace: i64,
        start_ns: i64,
        span_id: SpanId,
    ) -> Result<Option<SpanRecord>, StoreError> {
        const ONE: &str = concat!(
            "SELECT ",
            span_columns!(),
            " FROM span s WHERE s.trace = ?1 AND s.start_ns = ?2 AND s.span_id = ?3"
        );
        let trace_id = deep.trace_id(trace)?;
        let mut statement = self.db.prepare_cached(ONE)?;
        let mut rows = statement.query(params![trace, start_ns, span_id])?;
        rows.next()?.map(|row| record(self.sources, trace_id, row, 0)).transpose()
    }
}

/// The span with this id; of those that share it, the newest. `trace_id` says which trace to look in, which is quick.
/// Without it the store is searched, newest first, until the budget is spent: the answer says whether to the end.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn span(
    db: &Connection,
    span_id: SpanId,
    trace_id: Option<TraceId>,
    mut budget: Budget,
) -> Result<(Option<SpanRecord>, bool), StoreError> {
    let mut sources = Sources::new(db);
    let (filter, paging) = (SpanFilter { trace_id, ..SpanFilter::default() }, Paging::default());
    let trace = match &trace_id {
        Some(id) => match trace_row(db, id)? {
            Some(row) => Some(row),
            None => return Ok((None, true)),
        },
        None => None,
    };
    let walk = Walk { order: Order::Descending, bounds: filter.range.bounds(), after: None, trace };
    let (mut found, mut whole) = (None, true);
    walk.run(db, |key| {
        if key.span_id == span_id {
            found = Some((key.trace, key.start_ns));
        } else if budget.is_over() {
            whole = false;
        }
        Ok(found.is_none() && whole)
    })?;
    let Some((trace, start_ns)) = found else { return Ok((None, whole)) };
    let mut list = List { db, filter: &filter, paging: &paging, sources: &mut sources, trace: Some(trace) };
    Ok((list.read(&mut Deep::new(db), trace, start_ns, span_id)?, true))
}

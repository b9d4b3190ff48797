//! Lists in another order than by time: the newest candidates of the range are gathered and sorted.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::filter::{Order, Sort};
use super::page::Paging;
use super::sources::Sources;
use crate::store::StoreError;

/// Candidates that are sorted at most.
pub(super) const CANDIDATES: usize = 100_000;

/// Something to be listed, with what it is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// A number to sort by, bit for bit unsigned; of names, the number of the text.
    pub(super) by: i64,
    pub(super) start_ns: i64,
    pub(super) trace: i64,
    /// 0 where traces are listed.
    pub(super) span: i64,
}

/// Where a page of a sorted list ended, and the window of time whose candidates are sorted: the same on all pages, so
/// that what arrives does not move others out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) last: Option<Candidate>,
    pub(super) bounds: (i64, i64),
    /// Whether the window is less than the range that was asked for.
    pub(super) cut: bool,
}

impl Place {
    /// Reads the cursor, if there is one.
    pub(super) fn of(paging: &Paging, list: char, bounds: (i64, i64)) -> Result<Self, StoreError> {
        let Some(cursor) = &paging.cursor else { return Ok(Self { last: None, bounds, cut: false }) };
        let place = paging.kind(list).read(cursor).ok_or(StoreError::Cursor)?;
        let [by, start_ns, trace, span, low, high, cut] = place;
        let last = Some(Candidate { by, start_ns, trace, span });
        Ok(Self { last, bounds: (low.max(bounds.0), high.min(bounds.1)), cut: cut != 0 })
    }

    pub(super) fn cursor(&self, paging: &Paging, list: char, last: Candidate) -> String {
        let Candidate { by, start_ns, trace, span } = last;
        let cut = i64::from(self.cut);
        paging.kind(list).write(&[by, start_ns, trace, span, self.bounds.0, self.bounds.1, cut])
    }
}

/// Sorts candidates, and leaves those behind the place.
pub(super) fn arrange(
    candidates: &mut Vec<Candidate>,
    paging: &Paging,
    last: Option<Candidate>,
    sources: &mut Sources<'_>,
) -> Result<(), StoreError> {
    let ranks = match paging.sort {
        Sort::Name => Some(ranks(candidates.iter().chain(&last).map(|c| c.by), sources)?),
        _ => None,
    };
    let rank = |candidate: &Candidate| {
        let by = match &ranks {
            Some(ranks) => ranks.get(&candidate.by).copied().unwrap_or_default(),
            None => candidate.by as u64,
        };
        (by, candidate.start_ns, candidate.trace, candidate.span)
    };
    let descending = paging.order == Order::Descending;
    if let Some(last) = last {
        let last = rank(&last);
        candidates.retain(|c| if descending { rank(c) < last } else { rank(c) > last });
    }
    candidates.sort_unstable_by_key(rank);
    if descending {
        candidates.reverse();
    }
    Ok(())
}

/// The place of each text in the order of texts.
fn ranks(
    texts: impl Iterator<Item = i64>,
    sources: &mut Sources<'_>,
) -> Result<HashMap<i64, u64>, StoreError> {
    let ids: HashSet<i64> = texts.collect();
    let mut named: Vec<(Arc<str>, i64)> = Vec::with_capacity(ids.len());
    for id in ids {
        // The text of a cursor may have been deleted with the last that had it.
        named.push((sources.stored_text(id)?.ok_or(StoreError::Cursor)?, id));
    }
    named.sort_unstable();
    Ok(named.into_iter().zip(0..).map(|((_, id), rank)| (id, rank)).collect())
}

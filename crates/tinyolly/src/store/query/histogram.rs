//! How many spans, traces or log records there are over time.

use rusqlite::Connection;

use super::budget::Budget;
use super::filter::{LogFilter, Order, Range, SpanFilter};
use super::log_test::LogTest;
use super::log_walk;
use super::sources::Sources;
use super::span_test::SpanTest;
use super::span_walk::{Deep, Walk};
use super::trace_test::TraceTest;
use super::trace_walk;
use crate::store::StoreError;
use crate::store::tally::{SEVERITY_ERROR, SLOT_NS, Signal, counted};

/// What is counted, and what it is narrowed to.
#[derive(Clone, Debug)]
pub enum Subject {
    /// Traces, as they are listed.
    Traces(SpanFilter),
    /// Spans.
    Spans(SpanFilter),
    /// Log records.
    Logs(LogFilter),
}

impl Subject {
    /// The stretch of time that is asked for.
    pub fn range(&self) -> Range {
        match self {
            Self::Traces(filter) | Self::Spans(filter) => filter.range,
            Self::Logs(filter) => filter.range,
        }
    }
}

/// Counts over time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// First nanosecond that is counted.
    pub start: u64,
    /// First nanosecond behind.
    pub end: u64,
    /// Width of a bucket in nanoseconds; each begins at a multiple of it.
    pub bucket_ns: u64,
    /// The time down to which was counted, where time ran out; older buckets are too low.
    pub searched_to: Option<u64>,
    /// All buckets, empty ones too, oldest first.
    pub buckets: Vec<Bucket>,
}

/// Counts of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Where it begins.
    pub start: u64,
    /// What is in it.
    pub count: u64,
    /// What of it has failed: spans with status error, traces with such a span, records of severity ERROR and above.
    pub errors: u64,
}

const SECOND: u64 = 1_000_000_000;
/// Widths from a second to a week; below and above go 1, 2 and 5 of each power of ten, of nanoseconds and of weeks.
const WIDTHS: [u64; 21] = [
    1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800,
    345_600, 604_800,
];

/// The narrowest round width of which `most` buckets hold everything from `start` on and before `end`.
fn width(start: u64, end: u64, most: u64) -> u64 {
    let decades = |unit: u64| (0..20).flat_map(move |power| [1, 2, 5].map(move |step| (unit, power, step)));
    let scaled = |(unit, power, step): (u64, u32, u64)| 10_u64.checked_pow(power)?.checked_mul(step * unit);
    let below = decades(1).filter_map(scaled).take_while(|width| *width < SECOND);
    let above = decades(604_800 * SECOND).filter_map(scaled);
    let last = end.saturating_sub(1).max(start);
    let mut widths = below.chain(WIDTHS.map(|s| s * SECOND)).chain(above);
    widths.find(|width| last / width - start / width < most).unwrap_or(u64::MAX)
}

impl Histogram {
    /// An empty one of at most so many buckets.
    fn over(start: u64, end: u64, most: u64) -> Self {
        Self::of_width(start, end, width(start, end, most))
    }

    fn of_width(start: u64, end: u64, bucket_ns: u64) -> Self {
        let buckets = if start < end {
            let numbers = start / bucket_ns..=(end - 1) / bucket_ns;
            numbers.map(|n| Bucket { start: n * bucket_ns, ..Bucket::default() }).collect()
        } else {
            Vec::new()
        };
        Self { start, end, bucket_ns, searched_to: None, buckets }
    }

    fn add(&mut self, time_ns: i64, count: u64, errors: u64) {
        let first = self.start / self.bucket_ns;
        let at = u64::try_from(time_ns).ok().and_then(|time| (time / self.bucket_ns).checked_sub(first));
        if let Some(bucket) = at.and_then(|at| self.buckets.get_mut(usize::try_from(at).ok()?)) {
            bucket.count += count;
            bucket.errors += errors;
        }
    }
}

/// Counts what passes over at most `most` buckets, newest first, until the budget is spent.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn histogram(
    db: &Connection,
    subject: &Subject,
    most: u64,
    budget: Budget,
) -> Result<Histogram, StoreError> {
    let ends = match subject {
        Subject::Traces(_) => {
            ["SELECT MIN(start_ns) FROM trace WHERE start_ns >= 0", "SELECT MAX(start_ns) FROM trace"]
        }
        Subject::Spans(_) => {
            ["SELECT MIN(start_ns) FROM span WHERE start_ns >= 0", "SELECT MAX(start_ns) FROM span"]
        }
        Subject::Logs(_) => {
            ["SELECT MIN(time_ns) FROM log WHERE time_ns >= 0", "SELECT MAX(time_ns) FROM log"]
        }
    };
    let stored = |sql: &str| -> Result<Option<u64>, StoreError> {
        let time: Option<i64> = db.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(time.and_then(|time| u64::try_from(time).ok()))
    };
    let range = subject.range();
    let (first, last) = (stored(ends[0])?, stored(ends[1])?);
    let start = range.start.or(first);
    let end = range.end.or(last.map(|last| last + 1));
    let (start, end) = match (start, end) {
        (Some(start), Some(end)) => (start, end.max(start)),
        (None, Some(time)) | (Some(time), None) => (time, time),
        (None, None) => (0, 0),
    };
    let whole = Range { start: Some(start), end: Some(end) };
    let open = (first.is_none_or(|first| start <= first), last.is_none_or(|last| last < end));
    let found = Histogram::over(start, end, most);
    let mut count = Count { db, budget, found, open, tallied: false };
    count.all(subject, whole)?;
    if count.found.searched_to.is_some() && count.tallied && count.found.bucket_ns < SLOT_NS as u64 {
        // Too much to count one by one: the whole in wider buckets tells more than a part in narrow ones.
        count.found = Histogram::of_width(start, end, SLOT_NS as u64);
        count.budget = budget;
        count.all(subject, whole)?;
    }
    Ok(count.found)
}

struct Count<'a> {
    db: &'a Connection,
    budget: Budget,
    found: Histogram,
    /// Whether nothing is stored before the range, and nothing behind it.
    open: (bool, bool),
    /// Whether the tally answers what is asked, in wide buckets.
    tallied: bool,
}

impl Count<'_> {
    fn all(&mut self, subject: &Subject, whole: Range) -> Result<(), StoreError> {
        match subject {
            Subject::Traces(filter) => self.traces(&SpanFilter { range: whole, ..filter.clone() }),
            Subject::Spans(filter) => self.spans(&SpanFilter { range: whole, ..filter.clone() }),
            Subject::Logs(filter) => self.logs(&LogFilter { range: whole, ..filter.clone() }),
        }
    }

    /// Takes the slots of the tally of which all that is stored lies within the bounds; hands back the edges, newest
    /// first.
    fn tallied(
        &mut self,
        signal: Signal,
        (low, high): (i64, i64),
        services: Option<&[i64]>,
        errors_alone: bool,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let is_coarse = self.found.bucket_ns.is_multiple_of(SLOT_NS as u64);
        self.tallied = true;
        let first = if self.open.0 { low / SLOT_NS } else { low.saturating_add(SLOT_NS - 1) / SLOT_NS };
        let behind = if self.open.1 { high / SLOT_NS + 1 } else { high.saturating_add(1) / SLOT_NS };
        if !is_coarse || low < 0 || first >= behind {
            return Ok(vec![(low, high)]);
        }
        let found = &mut self.found;
        counted(self.db, signal, first..behind, |slot, service, items, errors| {
            if services.is_none_or(|ids| ids.contains(&service)) {
                found.add(slot * SLOT_NS, if errors_alone { errors } else { items }, errors);
            }
        })?;
        // Where the range is open these are empty.
        Ok(vec![(behind.saturating_mul(SLOT_NS), high), (low, first * SLOT_NS - 1)])
    }

    fn spans(&mut self, filter: &SpanFilter) -> Result<(), StoreError> {
        let mut sources = Sources::new(self.db);
        let mut test = SpanTest::new(filter, &sources)?;
        if test.is_hopeless() {
            return Ok(());
        }
        let bounds = filter.range.bounds();
        let all_lengths = filter.min_duration.is_none() && filter.max_duration.is_none();
        let parts = if test.asks_shares_alone() && all_lengths {
            self.tallied(Signal::Spans, bounds, test.services.as_deref(), filter.errors)?
        } else {
            vec![bounds]
        };
        let mut deep = Deep::new(self.db);
        for bounds in parts {
            let walk = Walk { order: Order::Descending, bounds, after: None, trace: None };
            walk.run(self.db, |key| {
                if filter.fits_duration(key.duration()) && deep.passes(&mut test, &mut sources, &key)? {
                    self.found.add(key.start_ns, 1, u64::from(key.is_error()));
                }
                if self.budget.is_over() {
                    self.found.searched_to = Some(key.start_ns as u64);
                }
                Ok(self.found.searched_to.is_none())
            })?;
        }
        Ok(())
    }

    fn logs(&mut self, filter: &LogFilter) -> Result<(), StoreError> {
        let mut sources = Sources::new(self.db);
        let mut test = LogTest::new(filter, &sources)?;
        if test.is_hopeless() {
            return Ok(());
        }
        let bounds = filter.range.bounds();
        let of_some = filter.trace_id.is_some() || filter.span_id.is_some();
        let by_severity = filter.severity_min.is_some() || !filter.severities.is_empty();
        let parts = if test.needs_row() || of_some || by_severity {
            vec![bounds]
        } else {
            self.tallied(Signal::Logs, bounds, test.services.as_deref(), false)?
        };
        for (low, high) in parts {
            let (Ok(start), Ok(end)) = (u64::try_from(low), u64::try_from(high)) else { continue };
            let range = Range { start: Some(start), end: end.checked_add(1) };
            let part = LogFilter { range, ..filter.clone() };
            log_walk::walk(self.db, &part, Order::Descending, None, |key| {
                if log_walk::passes(self.db, &mut test, &mut sources, &key)? {
                    self.found.add(key.time_ns, 1, u64::from(key.severity >= SEVERITY_ERROR));
                }
                if self.budget.is_over() {
                    self.found.searched_to = Some(key.time_ns as u64);
                }
                Ok(self.found.searched_to.is_none())
            })?;
        }
        Ok(())
    }

    fn traces(&mut self, filter: &SpanFilter) -> Result<(), StoreError> {
        let mut test = TraceTest::new(self.db, filter)?;
        if test.is_hopeless() {
            return Ok(());
        }
        trace_walk::walk(self.db, filter.range.bounds(), Order::Descending, None, |key| {
            let mut passes = Some(test.admits(&key));
            if passes == Some(true) && test.is_costly() {
                passes = test.passes(&key, &mut self.budget)?;
            }
            if passes == Some(true) {
                self.found.add(key.start_ns, 1, u64::from(key.error_count > 0));
            }
            if passes.is_none() || self.budget.is_over() {
                self.found.searched_to = Some(key.start_ns as u64);
            }
            Ok(self.found.searched_to.is_none())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_round_and_no_more_than_asked_for() {
        const T0: u64 = 1_763_829_600 * SECOND;
        for (start, end, most, expected) in [
            (T0, T0 + 3600 * SECOND, 60, 60 * SECOND),
            (T0 + 1, T0 + 3600 * SECOND + 1, 60, 120 * SECOND),
            (T0, T0 + 1, 60, 1),
            (T0, T0 + 100, 60, 2),
            (T0, T0 + 7 * 86_400 * SECOND, 400, 1800 * SECOND),
            (0, u64::MAX, 1, u64::MAX),
        ] {
            let made = Histogram::over(start, end, most);
            assert_eq!(made.bucket_ns, expected, "{start} {end}");
            assert!(made.buckets.len() as u64 <= most && !made.buckets.is_empty());
            assert!(made.buckets[0].start <= start);
            assert!(made.buckets.iter().all(|bucket| bucket.start % made.bucket_ns == 0));
        }
        assert!(Histogram::over(5, 5, 60).buckets.is_empty());
    }

    #[test]
    fn each_time_falls_into_its_bucket() {
        let mut made = Histogram::over(15, 95, 10);
        for time in [15, 19, 20, 94, 95, 99, 100, -1, i64::MAX] {
            made.add(time, 1, 0);
        }
        let counts: Vec<_> = made.buckets.iter().map(|bucket| (bucket.start, bucket.count)).collect();
        assert_eq!(counts.len(), 9);
        assert_eq!((counts[0], counts[1], counts[8]), ((10, 2), (20, 1), (90, 3)));
    }
}

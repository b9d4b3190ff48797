//! What lists are narrowed to.

use super::condition::Condition;
use super::needle::Needle;
use crate::store::rows::{SpanId, TraceId};

/// A stretch of event time in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The first nanosecond; from the beginning when `None`.
    pub start: Option<u64>,
    /// The first nanosecond behind; to the end when `None`.
    pub end: Option<u64>,
}

impl Range {
    /// The first and the last time, as they are stored: in 64 bits with a sign.
    pub(super) fn bounds(&self) -> (i64, i64) {
        let stored = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
        let last = |end: u64| stored(end).saturating_sub(1);
        (self.start.map_or(i64::MIN, stored), self.end.map_or(i64::MAX, last))
    }
}

/// What a list of spans is narrowed to: all of it holds for each. An empty list of choices narrows nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanFilter {
    /// Time of start.
    pub range: Range,
    /// In name, attributes, events, status message, service or ids.
    pub text: Option<Needle>,
    /// Any of these services.
    pub services: Vec<String>,
    /// Any of these names.
    pub names: Vec<String>,
    /// Any of these kinds, by OTLP's number.
    pub kinds: Vec<i32>,
    /// Any of these status codes, by OTLP's number.
    pub statuses: Vec<i32>,
    /// Any of these first digits of an HTTP status code.
    pub status_classes: Vec<i64>,
    /// All of these conditions.
    pub conditions: Vec<Condition>,
    /// Shortest duration in nanoseconds.
    pub min_duration: Option<u64>,
    /// Longest duration in nanoseconds.
    pub max_duration: Option<u64>,
    /// Only with status error.
    pub errors: bool,
    /// Only spans without a parent; of traces, only the root.
    pub root: bool,
    /// Only this trace.
    pub trace_id: Option<TraceId>,
}

impl SpanFilter {
    /// Whether a duration is within what is asked.
    pub(super) fn fits_duration(&self, duration_ns: u64) -> bool {
        self.min_duration.is_none_or(|min| duration_ns >= min)
            && self.max_duration.is_none_or(|max| duration_ns <= max)
    }
}

/// What a list of log records is narrowed to: all of it holds for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFilter {
    /// Time of the record.
    pub range: Range,
    /// In body, attributes, event name or service.
    pub text: Option<Needle>,
    /// Any of these services.
    pub services: Vec<String>,
    /// Only this trace.
    pub trace_id: Option<TraceId>,
    /// Only this span.
    pub span_id: Option<SpanId>,
    /// Only this severity number and above.
    pub severity_min: Option<i32>,
    /// Any of these classes of severity, by the first number of each: 1, 5, 9, 13, 17, 21.
    pub severities: Vec<i32>,
    /// All of these conditions.
    pub conditions: Vec<Condition>,
    /// Any of these event names.
    pub event_names: Vec<String>,
}

/// What a list is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Event time.
    #[default]
    Time,
    /// Duration.
    Duration,
    /// Number of spans; of traces only.
    Spans,
    /// Number of spans with status error; of traces only.
    Errors,
    /// Name; of traces, that of the root.
    Name,
}

/// Which way a list is ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Newest or largest first.
    #[default]
    Descending,
    /// Oldest or smallest first.
    Ascending,
}

/// Nanoseconds of a duration as a person writes it: `250us`, `1.5ms`, `2s`, `1m`, `1h`, or plain nanoseconds.
pub fn parse_duration(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ns: u64 = match unit {
        "" | "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit_ns)?;
    let mut place = unit_ns;
    for digit in fraction.bytes() {
        // What is less than a nanosecond is cut off.
        place /= 10;
        total = total.checked_add(place.checked_mul(u64::from(digit - b'0'))?)?;
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_to_the_nanosecond() {
        for (text, ns) in [
            ("0", Some(0)),
            ("1500", Some(1500)),
            ("250us", Some(250_000)),
            ("250µs", Some(250_000)),
            ("1.5ms", Some(1_500_000)),
            (".5s", Some(500_000_000)),
            ("2s", Some(2_000_000_000)),
            ("1.000000001s", Some(1_000_000_001)),
            ("1.0000000019s", Some(1_000_000_001)),
            ("2m", Some(120_000_000_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999h", None),
            ("", None),
            (".", None),
            ("ms", None),
            ("1 ms", None),
            ("-1ms", None),
            ("1e3", None),
            ("1.2.3s", None),
            ("1ms2", None),
            ("٣s", None),
        ] {
            assert_eq!(parse_duration(text), ns, "{text}");
        }
    }

    #[test]
    fn a_range_holds_its_start_and_not_its_end() {
        let bounds = |start, end| Range { start, end }.bounds();
        assert_eq!(bounds(None, None), (i64::MIN, i64::MAX));
        assert_eq!(bounds(Some(5), Some(7)), (5, 6));
        assert_eq!(bounds(Some(0), Some(0)), (0, -1));
        assert_eq!(bounds(Some(u64::MAX), Some(u64::MAX)), (i64::MAX, i64::MAX - 1));
    }
}

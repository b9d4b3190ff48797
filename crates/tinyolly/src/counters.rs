//! What the process has taken in and turned away since it started.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Counts shared by the receivers and the statistics of the API.
#[derive(Debug)]
pub struct Counters {
    /// When the process started counting.
    pub started: Instant,
    /// Spans stored.
    pub spans: Counter,
    /// Log records stored.
    pub logs: Counter,
    /// Metric data points stored.
    pub metric_points: Counter,
    /// Requests refused because they could not be read as OTLP.
    pub malformed_requests: Counter,
    /// Requests refused because the queue to the store was full.
    pub overloaded_requests: Counter,
    /// Items left out of an otherwise good request (bad ids, missing names).
    pub rejected_items: Counter,
    /// Names of metrics refused because there were too many; the first 10,000 are told apart.
    pub metric_names_refused: Counter,
    /// Spans that were stored before, as a client's retry sends them.
    pub duplicate_spans: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            spans: Counter::default(),
            logs: Counter::default(),
            metric_points: Counter::default(),
            malformed_requests: Counter::default(),
            overloaded_requests: Counter::default(),
            rejected_items: Counter::default(),
            metric_names_refused: Counter::default(),
            duplicate_spans: Counter::default(),
        }
    }
}

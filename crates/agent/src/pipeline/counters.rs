//! What became of everything the pipeline saw.

use std::collections::BTreeMap;

use super::tree::LinkCounts;

/// Counts of the pipeline. For requests `seen = exchanges + dropped`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Ring buffer records read.
    pub records: u64,
    /// Records that were no event of this build.
    pub undecodable: u64,
    /// Socket operations seen.
    pub operations: u64,
    /// Operations whose bytes could not be captured (sendfile, splice, io_uring, in-kernel senders).
    pub operations_without_payload: u64,
    /// Operations of processes that are no targets, or had ended before it was known whether they are.
    pub operations_not_traced: u64,
    /// Changes of a connection's state.
    pub socket_events: u64,
    /// Processes that began, became another program, began to listen or ended.
    pub process_events: u64,
    /// Tasks that woke or made another.
    pub task_events: u64,
    /// Requests whose beginning was seen.
    pub seen: u64,
    /// Requests that were told from beginning to end: each became a span, but for those counted as `ignored`
    /// or `left_to_sdk`.
    pub exchanges: u64,
    /// Failed connects that became a span.
    pub failed_connects: u64,
    /// Spans made, children included.
    pub spans: u64,
    /// Spans that the sampler left out.
    pub unsampled: u64,
    /// Spans of processes that are not, or no more, known as targets.
    pub unattributed: u64,
    /// Requests that the configuration ignores by their route.
    pub ignored: u64,
    /// Requests and failed connects of processes that export traces by themselves: they give no span.
    pub left_to_sdk: u64,
    /// What became of the spans' places.
    pub links: LinkCounts,
    /// Requests that gave no span, by cause.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl Counters {
    /// Counts a request that gave no span.
    pub fn drop_request(&mut self, cause: &'static str) {
        self.seen += 1;
        *self.dropped.entry(cause).or_default() += 1;
    }

    /// Requests that gave no span.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }
}

//! What became of the spans offered.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of spans by what became of them. Shared between the sink, the worker and whoever reports them.
#[derive(Debug, Default)]
pub struct DropCounters {
    offered: AtomicU64,
    exported: AtomicU64,
    queue_full: AtomicU64,
    rejected: AtomicU64,
    shutdown: AtomicU64,
    printed: AtomicU64,
    printer_dropped: AtomicU64,
}

/// A reading of [`DropCounters`]. Once the exporter has shut down,
/// `offered = exported + queue_full + rejected + shutdown`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportCounts {
    /// Spans handed to the exporter. Zero without a collector.
    pub offered: u64,
    /// Spans the collector took.
    pub exported: u64,
    /// Spans that found the queue full, because the collector is away or slower than the traffic.
    pub queue_full: u64,
    /// Spans the collector refused for good, whole requests or parts of one.
    pub rejected: u64,
    /// Spans left when the time to shut down was over, or offered later.
    pub shutdown: u64,
    /// Spans written to standard output.
    pub printed: u64,
    /// Spans not printed, because standard output is slower than the traffic.
    pub printer_dropped: u64,
}

impl ExportCounts {
    /// Spans that will not reach the collector, over all causes.
    pub fn dropped(&self) -> u64 {
        self.queue_full + self.rejected + self.shutdown
    }
}

impl DropCounters {
    /// Reads all counters. Spans on their way are offered and not yet anything else.
    pub fn read(&self) -> ExportCounts {
        // `offered` last: a span is counted as offered before it is counted as anything else, so the sum of
        // outcomes never exceeds it.
        let load = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        let mut counts = ExportCounts {
            offered: 0,
            exported: load(&self.exported),
            queue_full: load(&self.queue_full),
            rejected: load(&self.rejected),
            shutdown: load(&self.shutdown),
            printed: load(&self.printed),
            printer_dropped: load(&self.printer_dropped),
        };
        counts.offered = load(&self.offered);
        counts
    }

    pub(super) fn add_offered(&self, spans: u64) {
        self.offered.fetch_add(spans, Ordering::AcqRel);
    }

    pub(super) fn add_exported(&self, spans: u64) {
        self.exported.fetch_add(spans, Ordering::AcqRel);
    }

    pub(super) fn add_queue_full(&self, spans: u64) {
        self.queue_full.fetch_add(spans, Ordering::AcqRel);
    }

    pub(super) fn add_rejected(&self, spans: u64) {
        self.rejected.fetch_add(spans, Ordering::AcqRel);
    }

    pub(super) fn add_shutdown(&self, spans: u64) {
        self.shutdown.fetch_add(spans, Ordering::AcqRel);
    }

    pub(super) fn add_printed(&self, spans: u64) {
        self.printed.fetch_add(spans, Ordering::AcqRel);
    }

    pub(super) fn add_printer_dropped(&self, spans: u64) {
        self.printer_dropped.fetch_add(spans, Ordering::AcqRel);
    }
}

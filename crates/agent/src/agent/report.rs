//! What was lost, said while it happens and at the end.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use otel_ebpf_events::KernelDrop;
use tracing::{debug, info, warn};

use crate::{export::ExportCounts, pipeline::Counters, probes::maps::Drops};

/// Time between two looks at the loss counters, and so between two warnings.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Time between two looks whether events were lost, on which links depend.
const LOOK_FOR_LOSS_EVERY: Duration = Duration::from_millis(10);

/// Warns of losses of the kernel side, at a limited rate.
pub struct Reporter {
    kernel_drops: Drops,
    /// Name and descriptor of each attached program.
    programs: Vec<(&'static str, i32)>,
    reported: HashMap<&'static str, u64>,
    looked: Instant,
    /// Events lost so far, of all causes, and when that was last looked at.
    lost: u64,
    lost_looked: Instant,
}

impl Reporter {
    /// Nothing reported yet.
    pub fn new(kernel_drops: Drops, programs: Vec<(&'static str, i32)>) -> Self {
        Self {
            kernel_drops,
            programs,
            reported: HashMap::new(),
            looked: Instant::now(),
            lost: 0,
            lost_looked: Instant::now(),
        }
    }

    /// Losses of the kernel side so far, by cause; none where they cannot be read, which [`Reporter::tick`] tells.
    pub fn kernel_drops(&self) -> Vec<(KernelDrop, u64)> {
        self.kernel_drops.read().unwrap_or_default()
    }

    /// Whether the kernel side lost events since this was last asked; asks it at a limited rate.
    pub fn lost_events(&mut self) -> bool {
        if self.lost_looked.elapsed() < LOOK_FOR_LOSS_EVERY {
            return false;
        }
        self.lost_looked = Instant::now();
        let drops = self.kernel_drops.read().unwrap_or_default();
        let lost = drops.iter().filter(|(cause, _)| cause.is_of_event()).map(|(_, count)| count).sum();
        std::mem::replace(&mut self.lost, lost) < lost
    }

    /// Looks, if it is time to.
    pub fn tick(&mut self, counters: &Counters, open_connections: usize) {
        if self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        self.look();
        debug!(
            records = counters.records,
            requests_seen = counters.seen,
            exchanges = counters.exchanges,
            dropped = counters.dropped_total(),
            spans = counters.spans,
            open_connections,
            "counts"
        );
    }

    /// Looks once more, at the end.
    pub fn finish(&mut self) {
        self.look();
    }

    fn look(&mut self) {
        let drops = match self.kernel_drops.read() {
            Ok(drops) => drops,
            Err(error) => {
                warn!(%error, "cannot read loss counters");
                return;
            }
        };
        for (program, descriptor) in &self.programs {
            let count = skipped_runs(*descriptor);
            let before = self.reported.insert(program, count).unwrap_or(0);
            if count > before {
                // Two events at once on one processor, in one program.
                warn!(
                    cause = "program_skipped",
                    program,
                    lost = count - before,
                    total = count,
                    "kernel side lost"
                );
            }
        }
        for (cause, count) in drops {
            let before = self.reported.insert(cause.name(), count).unwrap_or(0);
            if count > before {
                warn!(
                    cause = cause.name(),
                    lost = count - before,
                    total = count,
                    remedy = remedy(cause),
                    "kernel side lost"
                );
            }
        }
    }
}

/// How often the kernel skipped a program because it was running already on that processor (`recursion_misses` in the
/// descriptor's fdinfo, since 5.12); 0 where that cannot be read.
fn skipped_runs(descriptor: i32) -> u64 {
    let Ok(text) = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")) else { return 0 };
    text.lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))
        .and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

fn remedy(cause: KernelDrop) -> &'static str {
    match cause {
        KernelDrop::DataRingFull
        | KernelDrop::SocketRingFull
        | KernelDrop::ProcessRingFull
        | KernelDrop::TaskRingFull => "raise OTEL_EBPF_RING_BUFFER_SIZE",
        _ => "none",
    }
}

/// Says, once and at the end, what became of everything: `seen = exchanges + dropped`, `offered = exported + dropped`.
pub fn summary(counters: &Counters, export: ExportCounts) {
    info!(
        requests_seen = counters.seen,
        exchanges = counters.exchanges,
        requests_dropped = counters.dropped_total(),
        dropped_by_cause = ?counters.dropped,
        ignored = counters.ignored,
        left_to_sdk = counters.left_to_sdk,
        failed_connects = counters.failed_connects,
        spans = counters.spans,
        linked = ?counters.links.linked,
        roots = counters.links.roots,
        ambiguous = counters.links.ambiguous,
        expired = counters.links.expired,
        unsampled = counters.unsampled,
        unattributed = counters.unattributed,
        operations_not_traced = counters.operations_not_traced,
        task_events = counters.task_events,
        undecodable = counters.undecodable,
        exported = export.exported,
        export_dropped = export.dropped(),
        queue_full = export.queue_full,
        rejected = export.rejected,
        left_at_shutdown = export.shutdown,
        printed = export.printed,
        "final counts"
    );
}

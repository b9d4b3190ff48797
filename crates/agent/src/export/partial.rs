//! Learns how many spans of an accepted request the collector refused.
//!
//! `opentelemetry-otlp` reports a partial success only as a `tracing` event with the field `rejected_spans`. The
//! export runs under a subscriber of its own that reads this field. The subscriber also takes the library's other
//! warnings, which the worker repeats at a limited rate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber};

const TARGET: &str = "opentelemetry-otlp";

/// Counts refused spans of the exports that run under [`PartialSuccess::dispatch`].
#[derive(Clone)]
pub(super) struct PartialSuccess {
    rejected: Arc<AtomicU64>,
    dispatch: Dispatch,
}

impl PartialSuccess {
    pub(super) fn new() -> Self {
        let rejected = Arc::new(AtomicU64::new(0));
        let dispatch = Dispatch::new(Listener { rejected: Arc::clone(&rejected) });
        Self { rejected, dispatch }
    }

    /// The subscriber to run an export under.
    pub(super) fn dispatch(&self) -> Dispatch {
        self.dispatch.clone()
    }

    /// Takes the number of spans refused since the last call.
    pub(super) fn take(&self) -> u64 {
        self.rejected.swap(0, Ordering::AcqRel)
    }
}

struct Listener {
    rejected: Arc<AtomicU64>,
}

impl Subscriber for Listener {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET && *metadata.level() <= tracing::Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut RejectedSpans(&self.rejected));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct RejectedSpans<'a>(&'a AtomicU64);

impl Visit for RejectedSpans<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "rejected_spans" {
            self.0.fetch_add(u64::try_from(value).unwrap_or(0), Ordering::AcqRel);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

//! Spans under construction and the making of the SDK's own type from them.

use std::borrow::Cow;

use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, SpanKind, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::clock::Clock;

/// A span without identity; times are kernel times.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Kind.
    pub kind: SpanKind,
    /// Low-cardinality name.
    pub name: Cow<'static, str>,
    /// Start, `CLOCK_MONOTONIC` ns.
    pub start_ns: u64,
    /// End, `CLOCK_MONOTONIC` ns; not before the start.
    pub end_ns: u64,
    /// Attributes.
    pub attributes: Vec<KeyValue>,
    /// Status.
    pub status: Status,
}

impl Draft {
    /// A child that only names a stretch of its parent's time.
    pub fn internal(name: &'static str, start_ns: u64, end_ns: u64) -> Self {
        Self {
            kind: SpanKind::Internal,
            name: name.into(),
            start_ns,
            end_ns,
            attributes: Vec::new(),
            status: Status::Unset,
        }
    }

    /// The finished span.
    pub fn finish(self, identity: Identity, clock: &Clock, scope: &InstrumentationScope) -> SpanData {
        SpanData {
            span_context: SpanContext::new(
                identity.trace_id,
                identity.span_id,
                TraceFlags::SAMPLED,
                false,
                identity.trace_state,
            ),
            parent_span_id: identity.parent_span_id,
            parent_span_is_remote: identity.parent_is_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: clock.wall(self.start_ns),
            end_time: clock.wall(self.end_ns.max(self.start_ns)),
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: self.status,
            instrumentation_scope: scope.clone(),
        }
    }
}

/// Place of a span in its trace.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Trace.
    pub trace_id: TraceId,
    /// Span.
    pub span_id: SpanId,
    /// Parent; invalid (zero) for a root.
    pub parent_span_id: SpanId,
    /// Whether the parent is known by a header alone.
    pub parent_is_remote: bool,
    /// `tracestate` of the trace.
    pub trace_state: TraceState,
}

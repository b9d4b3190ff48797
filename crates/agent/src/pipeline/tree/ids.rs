//! Span and trace ids that follow from what they name, so that they do not depend on the order of events.

use std::hash::{BuildHasher as _, Hash, RandomState};

use opentelemetry::{SpanId, TraceId};
use otel_ebpf_protocols::http1::Role;

use super::node::Key;

/// Keyed hashes: two agents, or two runs of one, give different ids.
#[derive(Default)]
pub struct Ids {
    high: RandomState,
    low: RandomState,
}

impl Ids {
    /// Id of an exchange's main span.
    pub fn span(&self, key: Key, role: Role) -> SpanId {
        self.span_of((key, role))
    }

    /// Id of a span that hangs at another and is no exchange.
    pub fn child(&self, parent: SpanId, ordinal: usize) -> SpanId {
        self.span_of((parent.to_bytes(), ordinal))
    }

    /// Id of a trace that begins with an exchange.
    pub fn trace(&self, key: Key) -> TraceId {
        let [high, low] = [&self.high, &self.low].map(|state| state.hash_one(("trace", key)));
        TraceId::from((u128::from(high) << 64 | u128::from(low)).max(1))
    }

    fn span_of(&self, named: impl Hash) -> SpanId {
        // Zero is no id (https://www.w3.org/TR/trace-context/#parent-id).
        SpanId::from(self.low.hash_one(named).max(1))
    }
}

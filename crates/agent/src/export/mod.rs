//! From finished spans to the collector and to standard output.
//!
//! ```text
//! SpanSink::offer ──► encode into a request, by service ──► bounded queue ──► worker: send, retry ──► collector
//!        └──────────► bounded queue ──► printer thread ──► stdout
//! ```
//!
//! Offering never waits. Whatever does not fit or cannot be delivered is counted by cause, so that
//! `offered = exported + dropped`. This module knows nothing of kernels or protocols.

mod answer;
mod backoff;
mod counters;
mod encode;
mod intake;
pub mod metrics;
mod outcome;
mod pipeline;
mod printer;
mod proto;
mod throttle;
mod transport;
mod worker;

use std::sync::{Arc, OnceLock};

use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

pub use counters::{DropCounters, ExportCounts};
pub use pipeline::{ExportTask, Exporter, SpanSink, StartError};

/// The semantic conventions that resources and spans follow.
pub use opentelemetry_semantic_conventions::SCHEMA_URL;

/// Name of the instrumentation scope of every span.
pub const SCOPE_NAME: &str = "otel-ebpf-agent";

/// The instrumentation scope of every span: name, version and schema of the agent.
pub fn instrumentation_scope() -> InstrumentationScope {
    InstrumentationScope::builder(SCOPE_NAME)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(SCHEMA_URL)
        .build()
}

/// A traced service: what OTLP calls a resource, usually one process. Shared as `Arc<Service>`; spans that hold
/// the same `Arc` are exported together.
#[derive(Debug, Clone)]
pub struct Service {
    /// Attributes and schema URL, as exported.
    pub resource: Resource,
    /// `service.name`, for the printer and for logs.
    pub name: String,
    /// The resource as a request has it, once it was needed.
    encoded: OnceLock<Vec<u8>>,
}

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        (&self.resource, &self.name) == (&other.resource, &other.name)
    }
}

impl Service {
    /// Wraps a resource; the name is its `service.name`.
    pub fn new(resource: Resource) -> Self {
        let name = resource
            .get(&opentelemetry::Key::from_static_str("service.name"))
            .map(|value| value.to_string())
            .unwrap_or_default();
        Self { resource, name, encoded: OnceLock::new() }
    }

    /// `ResourceSpans.resource`.
    fn encoded(&self) -> &[u8] {
        self.encoded.get_or_init(|| {
            let mut encoded = Vec::new();
            encode::resource(&mut encoded, 1, &self.resource);
            encoded
        })
    }
}

/// A finished span and the service it belongs to.
#[derive(Debug, Clone)]
pub struct SpanBatchItem {
    /// The service in which the span happened.
    pub service: Arc<Service>,
    /// The span, in the SDK's own type.
    pub span: SpanData,
}

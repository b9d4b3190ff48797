//! From OTLP messages to rows: checks ids, leaves out what cannot be stored and says why, packs details.
//!
//! This is the costly half of storing, and it runs on the receiving side, so that the one writer thread only writes.

mod logs;
mod metrics;
mod traces;

pub use logs::logs;
pub use metrics::metrics;
pub use traces::traces;

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;

use super::rows::Rows;

/// Name shown for telemetry whose resource has no `service.name`, as the OpenTelemetry specification gives it.
pub const UNKNOWN_SERVICE: &str = "unknown_service";

/// What can be stored of a request, and what cannot.
#[derive(Debug)]
pub struct Prepared {
    /// To be stored.
    pub rows: Rows,
    /// Left out.
    pub rejected: Rejected,
}

/// Items left out of a request, for the partial-success answer.
#[derive(Debug, Default)]
pub struct Rejected {
    /// How many spans, log records or data points.
    pub count: u64,
    /// Why, for the first of them.
    pub reason: Option<String>,
}

impl Rejected {
    pub(in crate::store) fn add(&mut self, count: usize, reason: impl FnOnce() -> String) {
        self.count += count as u64;
        self.reason.get_or_insert_with(reason);
    }

    /// The answer's message: the first reason, and how many more there were.
    pub fn message(&self) -> String {
        match (&self.reason, self.count) {
            (None, _) => String::new(),
            (Some(reason), 0 | 1) => reason.clone(),
            (Some(reason), n) => format!("{reason} (first of {n} rejected)"),
        }
    }
}

fn service_name(resource: Option<&Resource>) -> Arc<str> {
    let name = resource.and_then(|r| r.attributes.iter().find(|a| a.key == "service.name"));
    match name.and_then(|a| a.value.as_ref()).and_then(|v| v.value.as_ref()) {
        Some(Value::StringValue(name)) if !name.is_empty() => name.as_str().into(),
        _ => UNKNOWN_SERVICE.into(),
    }
}

// The envelopes of all three signals put resource or scope in field 1 and the schema URL in field 3, so the trace
// signal's serve for all.
fn resource_bytes(resource: Option<Resource>, schema_url: String) -> Arc<[u8]> {
    ResourceSpans { resource, scope_spans: Vec::new(), schema_url }.encode_to_vec().into()
}

fn scope_bytes(scope: Option<InstrumentationScope>, schema_url: String) -> Vec<u8> {
    ScopeSpans { scope, spans: Vec::new(), schema_url }.encode_to_vec()
}

/// A required id: exactly `N` bytes, not all zero.
fn required_id<const N: usize>(what: &str, bytes: &[u8]) -> Result<[u8; N], String> {
    match optional_id(what, bytes)? {
        Some(id) => Ok(id),
        None if bytes.is_empty() => Err(format!("{what} is missing")),
        None => Err(format!("{what} is all zero")),
    }
}

/// An id that may be missing; all zero means missing too.
fn optional_id<const N: usize>(what: &str, bytes: &[u8]) -> Result<Option<[u8; N]>, String> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let id: [u8; N] =
        bytes.try_into().map_err(|_| format!("{what} has {} bytes instead of {N}", bytes.len()))?;
    Ok((id != [0; N]).then_some(id))
}

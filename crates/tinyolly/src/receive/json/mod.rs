//! OTLP/JSON read straight into the protobuf messages.
//!
//! Follows the "JSON Protobuf Encoding" of the OTLP specification on top of proto3's JSON mapping: ids are hex in
//! either case, 64-bit integers are strings or numbers, enums are numbers, bytes are base64 in either alphabet,
//! floating-point numbers may be "NaN", "Infinity" or "-Infinity", a missing field and a null both mean the default,
//! unknown fields are ignored. Nesting is bounded by `serde_json`'s recursion limit of 128 levels, which is less than
//! what the stored protobuf may nest.

mod any_value;
mod codec;
mod messages;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use serde::de::{DeserializeSeed, MapAccess};

pub(super) use codec::FromJson;

/// Requests of all signals in one document.
#[derive(Default)]
pub(super) struct Everything {
    pub(super) traces: ExportTraceServiceRequest,
    pub(super) logs: ExportLogsServiceRequest,
    pub(super) metrics: ExportMetricsServiceRequest,
}

impl FromJson for Everything {
    fn field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
        match field {
            "resourceLogs" => self.logs.field(field, map),
            "resourceMetrics" => self.metrics.field(field, map),
            // It skips what it does not know.
            _ => self.traces.field(field, map),
        }
    }
}

/// Reads documents that follow each other, with nothing but white space between them.
pub(super) fn decode_all(body: &[u8]) -> Result<Everything, serde_json::Error> {
    let mut all = Everything::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    loop {
        let mut next = codec::Object::<Everything>::default().deserialize(&mut deserializer)?;
        all.traces.resource_spans.append(&mut next.traces.resource_spans);
        all.logs.resource_logs.append(&mut next.logs.resource_logs);
        all.metrics.resource_metrics.append(&mut next.metrics.resource_metrics);
        if deserializer.end().is_ok() {
            return Ok(all);
        }
    }
}

/// Reads one message.
pub(super) fn decode<M: FromJson>(body: &[u8]) -> Result<M, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let message = codec::Object::<M>::default().deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(message)
}

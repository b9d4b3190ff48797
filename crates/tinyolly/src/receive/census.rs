//! What a request would take in memory, counted on its bytes before anything of it is built.
//!
//! Two bytes of protobuf can say "one more empty log record", which is two hundred bytes once decoded, so the size on
//! the wire bounds nothing. The tables below follow opentelemetry-proto 1.x; fields that hold no message are left out.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, SummaryDataPoint,
};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::Refusal;

/// Spans, log records or data points in one request. Senders batch hundreds to thousands.
const MAX_ITEMS: usize = 100_000;
/// How many times the size limit of a request its message may take in memory. Spans and points as SDKs send them take
/// two to five times their size on the wire.
const MAX_EXPANSION: usize = 8;
/// Nesting at which prost gives up as well.
const MAX_DEPTH: u32 = 100;

/// What a request holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Spans, log records or data points.
    pub(super) items: usize,
    /// Bytes of the structures that decoding makes, without what they copy from the wire.
    pub(super) bytes: usize,
}

impl Census {
    /// Refuses what would take too much.
    pub(super) fn check(self, max_request_bytes: usize) -> Result<Self, Refusal> {
        if self.items > MAX_ITEMS {
            return Err(Refusal::TooMany(format!("the request has more than {MAX_ITEMS} items")));
        }
        if self.bytes > max_request_bytes.saturating_mul(MAX_EXPANSION) {
            return Err(Refusal::TooMany("the request has too many parts for its size".into()));
        }
        Ok(self)
    }

    /// Counts a protobuf message. What is not valid ends the count, as it ends the decoding.
    pub(super) fn of_protobuf(message: &[u8], shape: &Shape) -> Self {
        let mut census = Self::default();
        census.message(message, shape, 0);
        census
    }

    fn message(&mut self, mut rest: &[u8], shape: &Shape, depth: u32) -> Option<()> {
        while !rest.is_empty() {
            let (tag, wire_type) = decode_key(&mut rest).ok()?;
            let inner = shape.fields.iter().find(|(number, _)| *number == tag);
            let Some((_, inner)) = inner.filter(|_| wire_type == WireType::LengthDelimited) else {
                skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
                continue;
            };
            let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            let (body, after) = rest.split_at_checked(length)?;
            rest = after;
            self.items += usize::from(inner.item);
            self.bytes = self.bytes.saturating_add(inner.size + inner.per_byte * length);
            if depth < MAX_DEPTH {
                self.message(body, inner, depth + 1)?;
            }
        }
        Some(())
    }

    /// Counts OTLP/JSON by its objects: items are those at the nesting where `shape` has them.
    pub(super) fn of_json(text: &[u8], shape: &Shape) -> Self {
        let mut census = Self::default();
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        for byte in text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                _ if quoted => {}
                b'{' => {
                    depth += 1;
                    census.items += usize::from(depth == shape.json_depth);
                    // Below the items there are mostly attributes.
                    let size = if depth <= shape.json_depth { LARGEST_ITEM } else { size_of::<KeyValue>() };
                    census.bytes = census.bytes.saturating_add(size);
                }
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        census
    }
}

/// The largest structure that a request repeats.
const LARGEST_ITEM: usize = size_of::<Span>();

/// What of a message type matters for its size.
#[derive(Debug)]
pub(super) struct Shape {
    /// Bytes it takes as an element of its parent's list.
    size: usize,
    /// Bytes each byte on the wire may become, for packed lists of small numbers.
    per_byte: usize,
    /// Whether it is a span, log record or data point.
    item: bool,
    /// Its fields that hold messages, or repeat.
    fields: &'static [(u32, &'static Shape)],
    /// For requests: the nesting of the items in OTLP/JSON, the request itself being 1.
    json_depth: usize,
}

const fn part(size: usize, fields: &'static [(u32, &'static Shape)]) -> Shape {
    Shape { size, per_byte: 0, item: false, fields, json_depth: 0 }
}

const fn item(size: usize, fields: &'static [(u32, &'static Shape)]) -> Shape {
    Shape { size, per_byte: 0, item: true, fields, json_depth: 0 }
}

const fn request(json_depth: usize, fields: &'static [(u32, &'static Shape)]) -> Shape {
    Shape { size: 0, per_byte: 0, item: false, fields, json_depth }
}

static STRING: Shape = part(size_of::<String>(), &[]);
static KEY_VALUE: Shape = part(size_of::<KeyValue>(), &[(2, &VALUE_IN_PLACE)]);
static VALUE_IN_PLACE: Shape = part(0, VALUES);
static VALUE: Shape = part(size_of::<AnyValue>(), VALUES);
static VALUES: &[(u32, &Shape)] = &[(5, &ARRAY), (6, &ATTRIBUTES)];
static ARRAY: Shape = part(0, &[(1, &VALUE)]);
static ATTRIBUTES: Shape = part(0, &[(1, &KEY_VALUE)]);
static ENTITY: Shape = part(size_of::<EntityRef>(), &[(3, &STRING), (4, &STRING)]);
static RESOURCE: Shape = part(0, &[(1, &KEY_VALUE), (3, &ENTITY)]);
static SCOPE: Shape = part(0, &[(3, &KEY_VALUE)]);

/// `ExportTraceServiceRequest`
pub(super) static TRACES: Shape = request(4, &[(1, &RESOURCE_SPANS)]);
static RESOURCE_SPANS: Shape = part(size_of::<ResourceSpans>(), &[(1, &RESOURCE), (2, &SCOPE_SPANS)]);
static SCOPE_SPANS: Shape = part(size_of::<ScopeSpans>(), &[(1, &SCOPE), (2, &SPAN)]);
static SPAN: Shape = item(size_of::<Span>(), &[(9, &KEY_VALUE), (11, &EVENT), (13, &LINK)]);
static EVENT: Shape = part(size_of::<Event>(), &[(3, &KEY_VALUE)]);
static LINK: Shape = part(size_of::<Link>(), &[(4, &KEY_VALUE)]);

/// `ExportLogsServiceRequest`
pub(super) static LOGS: Shape = request(4, &[(1, &RESOURCE_LOGS)]);
static RESOURCE_LOGS: Shape = part(size_of::<ResourceLogs>(), &[(1, &RESOURCE), (2, &SCOPE_LOGS)]);
static SCOPE_LOGS: Shape = part(size_of::<ScopeLogs>(), &[(1, &SCOPE), (2, &LOG_RECORD)]);
static LOG_RECORD: Shape = item(size_of::<LogRecord>(), &[(5, &VALUE_IN_PLACE), (6, &KEY_VALUE)]);

/// `ExportMetricsServiceRequest`
pub(super) static METRICS: Shape = request(6, &[(1, &RESOURCE_METRICS)]);
static RESOURCE_METRICS: Shape = part(size_of::<ResourceMetrics>(), &[(1, &RESOURCE), (2, &SCOPE_METRICS)]);
static SCOPE_METRICS: Shape = part(size_of::<ScopeMetrics>(), &[(1, &SCOPE), (2, &METRIC)]);
static METRIC: Shape = part(
    size_of::<Metric>(),
    &[(5, &NUMBERS), (7, &NUMBERS), (9, &HISTOGRAM), (10, &EXPONENTIAL), (11, &SUMMARY), (12, &KEY_VALUE)],
);
static NUMBERS: Shape = part(0, &[(1, &NUMBER_POINT)]);
static NUMBER_POINT: Shape = item(size_of::<NumberDataPoint>(), &[(5, &EXEMPLAR), (7, &KEY_VALUE)]);
static HISTOGRAM: Shape = part(0, &[(1, &HISTOGRAM_POINT)]);
static HISTOGRAM_POINT: Shape = item(size_of::<HistogramDataPoint>(), &[(8, &EXEMPLAR), (9, &KEY_VALUE)]);
static EXPONENTIAL: Shape = part(0, &[(1, &EXPONENTIAL_POINT)]);
static EXPONENTIAL_POINT: Shape = item(
    size_of::<ExponentialHistogramDataPoint>(),
    &[(1, &KEY_VALUE), (8, &BUCKETS), (9, &BUCKETS), (11, &EXEMPLAR)],
);
static BUCKETS: Shape = part(0, &[(2, &COUNTS)]);
static COUNTS: Shape = Shape { per_byte: size_of::<u64>(), ..part(0, &[]) };
static SUMMARY: Shape = part(0, &[(1, &SUMMARY_POINT)]);
static SUMMARY_POINT: Shape = item(size_of::<SummaryDataPoint>(), &[(6, &QUANTILE), (7, &KEY_VALUE)]);
static QUANTILE: Shape = part(size_of::<ValueAtQuantile>(), &[]);
static EXEMPLAR: Shape = part(size_of::<Exemplar>(), &[(7, &KEY_VALUE)]);

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
                    census.object(depth, shape);
                }
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        census
    }

    /// Counts one object of OTLP/JSON.
    fn object(&mut self, depth: usize, shape: &Shape) {
        self.items += usize::from(depth == shape.json_depth);
        // Below the items there are mostly attributes.
        let size = if depth <= shape.json_depth { LARGEST_ITEM } else { size_of::<KeyValue>() };
        self.bytes = self.bytes.saturating_add(size);
    }
}

/// What a file of any signals holds, each signal counted by its own shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FileCensus {
    pub(super) traces: Census,
    pub(super) logs: Census,
    pub(super) metrics: Census,
    /// What lies under no key that is known; it is judged as the signal that nests deepest.
    other: Census,
}

impl FileCensus {
    /// Counts OTLP/JSON of any signals by the key of each document under which an object lies.
    pub(super) fn of_json(text: &[u8]) -> Self {
        let mut census = Self::default();
        let (mut depth, mut nesting) = (0_usize, 0_usize);
        let (mut quoted, mut escaped) = (false, false);
        let (mut opened, mut string) = (0, &b""[..]);
        let mut key = &b""[..];
        for (at, byte) in text.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => {
                    if quoted {
                        string = text.get(opened..at).unwrap_or_default();
                    }
                    quoted = !quoted;
                    opened = at + 1;
                }
                _ if quoted => {}
                b':' if nesting == 1 => key = string,
                b'{' => {
                    (depth, nesting) = (depth + 1, nesting + 1);
                    if nesting == 1 {
                        key = b"";
                    }
                    let (counted, shape) = census.under(key);
                    counted.object(depth, shape);
                }
                b'}' => (depth, nesting) = (depth.saturating_sub(1), nesting.saturating_sub(1)),
                b'[' => nesting += 1,
                b']' => nesting = nesting.saturating_sub(1),
                _ => {}
            }
        }
        census
    }

    fn under(&mut self, key: &[u8]) -> (&mut Census, &'static Shape) {
        match key {
            b"resourceSpans" | b"resource_spans" => (&mut self.traces, &TRACES),
            b"resourceLogs" | b"resource_logs" => (&mut self.logs, &LOGS),
            b"resourceMetrics" | b"resource_metrics" => (&mut self.metrics, &METRICS),
            _ => (&mut self.other, &METRICS),
        }
    }

    /// Bytes of the structures that decoding makes, of all signals.
    pub(super) fn bytes(&self) -> usize {
        let Self { traces, logs, metrics, other } = self;
        [traces, logs, metrics, other].iter().fold(0, |sum, part| sum.saturating_add(part.bytes))
    }

    /// Refuses what would take too much: each signal's items are judged alone, the memory in all.
    pub(super) fn check(self, max_request_bytes: usize) -> Result<Self, Refusal> {
        let bytes = self.bytes();
        for part in [self.traces, self.logs, self.metrics, self.other] {
            Census { bytes, ..part }.check(max_request_bytes)?;
        }
        Ok(self)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn each_signal_of_a_file_counts_by_its_own_shape() {
        let attributes = vec![r#"{"key":"k","value":{"stringValue":"resourceLogs\":{"}}"#; 21].join(",");
        let spans = vec![format!(r#"{{"attributes":[{attributes}]}}"#); 5_000].join(",");
        let traces = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
        let points = r#"{"gauge":{"dataPoints":[{},{}]}}"#;
        let metrics = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{points}]}}]}}]}}"#);
        let logs = r#"{"resourceLogs":["resourceSpans",{"scopeLogs":[{"logRecords":[{},{},{}]}]}]}"#;
        let census = FileCensus::of_json(format!("{traces}\n{metrics}{logs}").as_bytes());
        assert_eq!((census.traces.items, census.metrics.items, census.logs.items), (5_000, 2, 3));
        assert_eq!(census.traces.bytes, Census::of_json(traces.as_bytes(), &TRACES).bytes - LARGEST_ITEM);
        assert!(census.check(16 << 20).is_ok());
        assert!(
            FileCensus::of_json(traces.replace("resourceSpans", "hm").as_bytes()).check(16 << 20).is_err()
        );
        let many = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}{{}}]}}]}}]}}"#,
            "{},".repeat(100_000)
        );
        assert!(FileCensus::of_json(many.as_bytes()).check(1 << 30).is_err());
    }
}

//! Accepted telemetry in the form the writer thread stores: ids checked, details packed, one source per group.

use std::sync::Arc;

/// A trace id as OTLP sends it.
pub type TraceId = [u8; 16];
/// A span id as OTLP sends it.
pub type SpanId = [u8; 8];

/// Everything one request asks to be stored.
#[derive(Debug)]
pub enum Rows {
    /// Spans.
    Spans(Vec<Group<SpanRow>>),
    /// Log records.
    Logs(Vec<Group<LogRow>>),
    /// Metric data points, by metric.
    Metrics(Vec<Group<MetricRow>>),
}

impl Rows {
    /// How many spans, log records or data points there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Spans(groups) => groups.iter().map(|g| g.rows.len()).sum(),
            Self::Logs(groups) => groups.iter().map(|g| g.rows.len()).sum(),
            Self::Metrics(groups) => groups.iter().flat_map(|g| &g.rows).map(|m| m.points.len()).sum(),
        }
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Rows of one resource and one scope.
#[derive(Debug)]
pub struct Group<T> {
    /// The resource's `service.name`.
    pub service: Arc<str>,
    /// Resource and its schema URL, in protobuf; shared, since each of its scopes makes a group.
    pub resource: Arc<[u8]>,
    /// Scope and its schema URL, in protobuf.
    pub scope: Vec<u8>,
    /// What they produced.
    pub rows: Vec<T>,
}

/// One span.
#[derive(Debug)]
pub struct SpanRow {
    /// Never all zero.
    pub trace_id: TraceId,
    /// Never all zero.
    pub span_id: SpanId,
    /// `None` for a root.
    pub parent_id: Option<SpanId>,
    /// Nanoseconds since the epoch.
    pub start_ns: u64,
    /// Nanoseconds since the epoch; may lie before the start when the sender's clock stepped.
    pub end_ns: u64,
    /// Interned by the writer.
    pub name: String,
    /// OTLP's number, kept even when unknown.
    pub kind: i32,
    /// OTLP's status code, kept even when unknown.
    pub status: i32,
    /// What filters ask of the span beyond these columns: see [`super::mark`].
    pub mark: i64,
    /// What the agents of both hosts call the request by, if this end's agent did not see the other.
    pub link: Option<i64>,
    /// Whether it counts as failed in the service catalog.
    pub is_error: bool,
    /// Whether the eBPF agent made it.
    pub from_agent: bool,
    /// The rest of the span, packed.
    pub detail: Option<Vec<u8>>,
}

/// One log record.
#[derive(Debug)]
pub struct LogRow {
    /// The record's own time, or the time it was observed.
    pub time_ns: u64,
    /// OTLP's severity number.
    pub severity: i32,
    /// Present when the record belongs to a trace.
    pub trace_id: Option<TraceId>,
    /// Present when the record belongs to a span.
    pub span_id: Option<SpanId>,
    /// The rest of the record, packed.
    pub detail: Option<Vec<u8>>,
}

/// One metric of one export, with its data points.
#[derive(Debug)]
pub struct MetricRow {
    /// Never empty.
    pub name: String,
    /// See [`MetricKind`].
    pub kind: MetricKind,
    /// UCUM unit, may be empty.
    pub unit: String,
    /// May be empty.
    pub description: String,
    /// What else the sender says of the metric, in protobuf; may be empty.
    pub metadata: Vec<u8>,
    /// OTLP's number; 0 where the kind has none.
    pub temporality: i32,
    /// Only sums say.
    pub monotonic: Option<bool>,
    /// At least one.
    pub points: Vec<PointRow>,
}

/// One data point of any kind.
#[derive(Debug)]
pub struct PointRow {
    /// Attributes in protobuf, sorted by key: they name the series.
    pub attributes: Vec<u8>,
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Nanoseconds since the epoch, 0 when not sent.
    pub start_ns: u64,
    /// OTLP's data point flags.
    pub flags: u32,
    /// The number of a gauge or sum.
    pub value: Option<Number>,
    /// Distribution and exemplars, packed.
    pub detail: Option<Vec<u8>>,
}

/// A data point's number, as sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `asInt`
    Int(i64),
    /// `asDouble`
    Double(f64),
}

/// The five kinds of metric data, by the number they are stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i64)]
pub enum MetricKind {
    /// Last values.
    Gauge = 1,
    /// Sums, monotonic or not.
    Sum = 2,
    /// Histograms with explicit bounds.
    Histogram = 3,
    /// Histograms with exponential buckets.
    ExponentialHistogram = 4,
    /// Quantiles computed by the sender.
    Summary = 5,
}

impl MetricKind {
    /// The name the API uses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Sum => "sum",
            Self::Histogram => "histogram",
            Self::ExponentialHistogram => "exponential_histogram",
            Self::Summary => "summary",
        }
    }

    /// The kind with this API name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Gauge, Self::Sum, Self::Histogram, Self::ExponentialHistogram, Self::Summary]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

impl TryFrom<i64> for MetricKind {
    type Error = i64;

    fn try_from(number: i64) -> Result<Self, i64> {
        [Self::Gauge, Self::Sum, Self::Histogram, Self::ExponentialHistogram, Self::Summary]
            .into_iter()
            .find(|kind| *kind as i64 == number)
            .ok_or(number)
    }
}

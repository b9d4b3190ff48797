//! Shapes of answers. Fields that are not always there are not required.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::ToSchema;

/// An error (RFC 9457, application/problem+json).
#[derive(ToSchema)]
pub(super) struct Problem {
    r#type: String,
    title: String,
    status: u16,
    /// What is wrong, in words.
    detail: String,
}

/// A key with a value in OTLP/JSON: one of stringValue, intValue (a string), doubleValue, boolValue, bytesValue (base64),
/// arrayValue, kvlistValue; an empty object without a value.
#[derive(ToSchema)]
pub(super) struct Attribute {
    key: String,
    value: Value,
}

/// A resource with its schema URL.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct Resource {
    attributes: Vec<Attribute>,
    dropped_attributes_count: u32,
    #[schema(required = false)]
    entity_refs: Vec<Value>,
    schema_url: String,
}

/// An instrumentation scope with its schema URL.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct Scope {
    name: String,
    version: String,
    attributes: Vec<Attribute>,
    dropped_attributes_count: u32,
    schema_url: String,
}

/// A status as OTLP numbers it: 0 unset, 1 ok, 2 error.
#[derive(ToSchema)]
pub(super) struct Status {
    code: i32,
    message: String,
}

/// A service's part in a trace.
#[derive(ToSchema)]
pub(super) struct ServiceShare {
    name: String,
    span_count: u64,
    error_count: u64,
}

/// A line of the list of traces.
#[derive(ToSchema)]
pub(super) struct TraceLine {
    trace_id: String,
    span_count: u64,
    error_count: u64,
    start_time: String,
    duration_ns: String,
    duration_ms: f64,
    service_name: String,
    root_span_id: String,
    root_span_name: String,
    root_span_kind: i32,
    #[schema(required = true)]
    root_span_method: Option<String>,
    #[schema(required = true)]
    root_span_route: Option<String>,
    #[schema(required = true)]
    root_span_url: Option<String>,
    #[schema(required = true)]
    root_span_status_code: Option<i64>,
    root_span_status: Status,
    services: Vec<ServiceShare>,
    /// Traces of other hosts that are parts of the same whole.
    joined_trace_ids: Vec<String>,
}

/// A span as OTLP/JSON has it, with its resource and scope.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct Span {
    trace_id: String,
    span_id: String,
    /// Empty for a root.
    parent_span_id: String,
    /// The parent found in another trace.
    #[schema(required = false)]
    joined_parent: Value,
    trace_state: String,
    flags: u32,
    name: String,
    kind: i32,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    dropped_attributes_count: u32,
    events: Vec<Value>,
    dropped_events_count: u32,
    links: Vec<Value>,
    dropped_links_count: u32,
    status: Status,
    service_name: String,
    resource: Resource,
    scope: Scope,
}

/// A trace with those that are parts of the same whole.
#[derive(ToSchema)]
pub(super) struct Trace {
    trace_id: String,
    joined_trace_ids: Vec<String>,
    span_count: u64,
    spans: Vec<Span>,
}

/// A span in short.
#[derive(ToSchema)]
pub(super) struct SpanLine {
    span_id: String,
    trace_id: String,
    parent_span_id: String,
    name: String,
    kind: i32,
    start_time: String,
    duration_ns: String,
    duration_ms: f64,
    #[schema(required = true)]
    method: Option<String>,
    #[schema(required = true)]
    route: Option<String>,
    #[schema(required = true)]
    url: Option<String>,
    #[schema(required = true)]
    status_code: Option<i64>,
    status: Status,
    service_name: String,
    /// Who made it: ebpf or sdk; null where the resource does not say.
    #[schema(required = true)]
    origin: Option<String>,
}

/// A log record.
#[derive(ToSchema)]
pub(super) struct LogRecord {
    log_id: String,
    timestamp: String,
    observed_timestamp: String,
    severity: String,
    severity_number: i32,
    event_name: String,
    /// A value as in attributes.
    body: Value,
    /// The body as text.
    message: String,
    trace_id: String,
    span_id: String,
    flags: u32,
    service_name: String,
    attributes: Vec<Attribute>,
    #[schema(rename = "droppedAttributesCount")]
    dropped_attributes_count: u32,
    resource: Resource,
    scope: Scope,
}

/// A line of the list of metrics.
#[derive(ToSchema)]
pub(super) struct MetricLine {
    name: String,
    r#type: String,
    unit: String,
    description: String,
    metadata: Vec<Attribute>,
    series_count: u64,
    point_count: u64,
    resource_count: u64,
    services: Vec<String>,
    last_time: String,
}

/// A metric with its series and points.
#[derive(ToSchema)]
pub(super) struct Metric {
    name: String,
    r#type: String,
    unit: String,
    description: String,
    metadata: Vec<Attribute>,
    /// 1 delta, 2 cumulative.
    #[schema(required = true)]
    temporality: Option<i32>,
    #[schema(required = true)]
    is_monotonic: Option<bool>,
    series: Vec<Series>,
}

/// A series of a metric.
#[derive(ToSchema)]
pub(super) struct Series {
    service_name: String,
    resource: Vec<Attribute>,
    resource_schema_url: String,
    scope: Scope,
    attributes: Vec<Attribute>,
    #[schema(required = true)]
    temporality: Option<i32>,
    #[schema(required = true)]
    is_monotonic: Option<bool>,
    /// Points with timestamp, start_timestamp, flags, and one of value, histogram, exponential_histogram, summary.
    datapoints: Vec<Value>,
    exemplars: Vec<Value>,
}

/// What a metric was over time.
#[derive(ToSchema)]
pub(super) struct MetricOverTime {
    name: String,
    r#type: String,
    unit: String,
    function: String,
    start: String,
    end: String,
    step: String,
    /// Whether nothing was left out for a limit.
    complete: bool,
    series: Vec<Line>,
    exemplars: Vec<Exemplar>,
    #[schema(required = false)]
    heatmap: Heatmap,
}

/// A line of a chart.
#[derive(ToSchema)]
pub(super) struct Line {
    labels: BTreeMap<String, String>,
    #[schema(required = false)]
    quantile: f64,
    /// Whether a value is that of a quantile beyond the last bound.
    #[schema(required = false)]
    quantile_beyond: bool,
    /// Pairs of time (a string) and number, or null where nothing is known.
    points: Vec<Vec<Value>>,
}

/// A measurement with its trace.
#[derive(ToSchema)]
pub(super) struct Exemplar {
    timestamp: String,
    value: f64,
    trace_id: String,
    span_id: String,
}

/// Observations by step and value.
#[derive(ToSchema)]
pub(super) struct Heatmap {
    /// Lower edge of the first bucket; null for none.
    #[schema(required = true)]
    lower: Option<f64>,
    /// Upper edges; null for none.
    bounds: Vec<Option<f64>>,
    columns: Vec<HeatmapColumn>,
}

/// A step of a heat map.
#[derive(ToSchema)]
pub(super) struct HeatmapColumn {
    time: String,
    counts: Vec<f64>,
}

/// What the series of a metric are made of.
#[derive(ToSchema)]
pub(super) struct Cardinality {
    series_count: u64,
    labels: Vec<Label>,
}

/// A label of a metric's series.
#[derive(ToSchema)]
pub(super) struct Label {
    key: String,
    /// attribute or resource.
    scope: String,
    distinct: u64,
    /// The 20 most frequent.
    values: Vec<LabelValue>,
}

/// A label's value.
#[derive(ToSchema)]
pub(super) struct LabelValue {
    value: String,
    series: u64,
}

/// What is stored, and what came since the start.
#[derive(ToSchema)]
pub(super) struct Stats {
    traces: u64,
    spans: u64,
    logs: u64,
    metrics: u64,
    metric_points: u64,
    db_bytes: u64,
    uptime_s: f64,
    received: BTreeMap<String, u64>,
    rejected: BTreeMap<String, u64>,
    limits: BTreeMap<String, u64>,
}

/// Whether the server works.
#[derive(ToSchema)]
pub(super) struct Health {
    status: String,
    version: String,
    #[schema(required = false)]
    detail: String,
}

/// What an import stored.
#[derive(ToSchema)]
pub(super) struct Imported {
    spans: u64,
    logs: u64,
    metric_points: u64,
    rejected: u64,
}

/// A service with rate, errors and durations of its requests.
#[derive(ToSchema)]
pub(super) struct Service {
    name: String,
    span_count: u64,
    trace_count: u64,
    /// server: requests are spans of servers and consumers; root: there are none, so root spans.
    basis: String,
    request_count: u64,
    error_count: u64,
    /// From 0 to 1.
    error_rate: f64,
    /// Requests per second.
    rate: f64,
    #[schema(required = true)]
    duration_p50_ms: Option<f64>,
    #[schema(required = true)]
    duration_p95_ms: Option<f64>,
    #[schema(required = true)]
    duration_p99_ms: Option<f64>,
    series: Vec<Slot>,
    first_seen: String,
    last_seen: String,
    /// ebpf, sdk, or both.
    instrumentation: Vec<String>,
}

/// One of the parts of a window.
#[derive(ToSchema)]
pub(super) struct Slot {
    start: String,
    request_count: u64,
    error_count: u64,
    #[schema(required = true)]
    duration_p95_ms: Option<f64>,
}

/// A service with its operations.
#[derive(ToSchema)]
pub(super) struct Operations {
    complete: bool,
    service: Service,
    operations: Vec<Operation>,
}

/// An operation of a service.
#[derive(ToSchema)]
pub(super) struct Operation {
    name: String,
    kind: i32,
    request_count: u64,
    error_count: u64,
    error_rate: f64,
    rate: f64,
    #[schema(required = true)]
    duration_p50_ms: Option<f64>,
    #[schema(required = true)]
    duration_p95_ms: Option<f64>,
    #[schema(required = true)]
    duration_p99_ms: Option<f64>,
    series: Vec<Slot>,
}

/// Who calls whom.
#[derive(ToSchema)]
pub(super) struct ServiceMap {
    complete: bool,
    searched_traces: u64,
    start: String,
    end: String,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

/// One who calls or is called.
#[derive(ToSchema)]
pub(super) struct Node {
    id: String,
    label: String,
    /// service, database, queue, external or caller.
    r#type: String,
    #[schema(required = true)]
    metrics: Option<Load>,
}

/// Requests, errors and durations.
#[derive(ToSchema)]
pub(super) struct Load {
    request_count: u64,
    rate: f64,
    error_count: u64,
    error_rate: f64,
    #[schema(required = true)]
    duration_p50_ms: Option<f64>,
    #[schema(required = true)]
    duration_p95_ms: Option<f64>,
}

/// Calls from one to another.
#[derive(ToSchema)]
pub(super) struct Edge {
    source: String,
    target: String,
    request_count: u64,
    rate: f64,
    error_count: u64,
    error_rate: f64,
    #[schema(required = true)]
    duration_p50_ms: Option<f64>,
    #[schema(required = true)]
    duration_p95_ms: Option<f64>,
}

/// An answer in the form of Jaeger's query service.
#[derive(ToSchema)]
pub(super) struct Jaeger {
    /// What was asked for; null after an error.
    data: Value,
    total: u64,
    limit: u64,
    offset: u64,
    #[schema(required = true)]
    errors: Option<Vec<Value>>,
}

/// Counts over time.
#[derive(ToSchema)]
pub(super) struct Histogram {
    signal: String,
    start: String,
    end: String,
    bucket_ns: String,
    complete: bool,
    /// How far was looked, where time ended the search.
    #[schema(required = false)]
    searched_to: Option<String>,
    total: u64,
    errors: u64,
    buckets: Vec<HistogramBucket>,
}

/// Counts of one bucket.
#[derive(ToSchema)]
pub(super) struct HistogramBucket {
    start: String,
    count: u64,
    errors: u64,
}

/// The most frequent values by field.
#[derive(ToSchema)]
pub(super) struct Facets {
    complete: bool,
    /// How far was looked, where time ended the search.
    #[schema(required = false)]
    searched_to: Option<String>,
    fields: BTreeMap<String, Vec<FacetValue>>,
}

/// A value with its count.
#[derive(ToSchema)]
pub(super) struct FacetValue {
    value: String,
    count: u64,
}

/// Attribute keys with their counts.
#[derive(ToSchema)]
pub(super) struct AttributeKeys {
    keys: Vec<AttributeKey>,
}

/// A key with its count.
#[derive(ToSchema)]
pub(super) struct AttributeKey {
    key: String,
    count: u64,
}

/// What an operator asks.
#[derive(ToSchema)]
pub(super) struct Admin {
    version: String,
    telemetry: Stats,
    db: DatabaseFile,
    cardinality: StoreCardinality,
    /// Resident memory of the process, where the system tells.
    #[schema(required = true)]
    memory_bytes: Option<u64>,
}

/// The database file.
#[derive(ToSchema)]
pub(super) struct DatabaseFile {
    path: String,
    size_bytes: u64,
    used_bytes: u64,
    free_bytes: u64,
    page_count: u64,
    page_size: u64,
    max_size_bytes: u64,
    #[schema(required = true)]
    max_age_s: Option<u64>,
    #[schema(required = true)]
    oldest_arrival: Option<String>,
    schema_version: u64,
}

/// Distinct things in the store.
#[derive(ToSchema)]
pub(super) struct StoreCardinality {
    services: u64,
    texts: u64,
    resources: u64,
    metric_series: u64,
    max_metric_names: u64,
}

/** What the server sends, field for field as docs/api.md of the project describes it. Views use `model` instead. */

/** An OTLP AnyValue in OTLP/JSON spelling; an object without a field is the empty value. */
export interface WireValue {
  stringValue?: string;
  boolValue?: boolean;
  intValue?: string | number;
  /** OTLP/JSON spells the numbers JSON lacks as text: "NaN", "Infinity", "-Infinity". */
  doubleValue?: number | string;
  arrayValue?: { values?: WireValue[] };
  kvlistValue?: { values?: WireAttribute[] };
  bytesValue?: string;
}

export interface WireAttribute {
  key: string;
  value?: WireValue;
}

export interface WireStatus {
  code: number;
  message: string;
}

export interface WireTraceSummary {
  trace_id: string;
  span_count: number;
  error_count: number;
  start_time: string;
  duration_ns: string;
  duration_ms: number;
  service_name: string;
  root_span_id: string;
  root_span_name: string;
  root_span_kind: number;
  root_span_method: string | null;
  root_span_route: string | null;
  root_span_url: string | null;
  root_span_status_code: number | null;
  root_span_status: WireStatus;
  services: { name: string; span_count: number; error_count: number }[];
  /** Traces that are parts of this one. */
  joined_trace_ids: string[];
}

export interface WireResource {
  attributes: WireAttribute[];
  droppedAttributesCount: number;
  schemaUrl: string;
}

export interface WireScope extends WireResource {
  name: string;
  version: string;
}

export interface WireEvent {
  timeUnixNano: string;
  name: string;
  attributes: WireAttribute[];
  droppedAttributesCount: number;
}

export interface WireLink {
  traceId: string;
  spanId: string;
  traceState: string;
  attributes: WireAttribute[];
  droppedAttributesCount: number;
  flags: number;
}

export interface WireSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  /** Where TinyOlly puts the root of a trace that is a part of another. */
  joinedParent?: { traceId: string; spanId: string; linkSource: string };
  traceState: string;
  flags: number;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: WireAttribute[];
  droppedAttributesCount: number;
  events: WireEvent[];
  droppedEventsCount: number;
  links: WireLink[];
  droppedLinksCount: number;
  status: WireStatus;
  serviceName: string;
  resource: WireResource;
  scope: WireScope;
}

export interface WireTrace {
  trace_id: string;
  /** The other traces whose spans these are. */
  joined_trace_ids: string[];
  span_count: number;
  spans: WireSpan[];
}

/** A line of the span list. */
export interface WireSpanSummary {
  span_id: string;
  trace_id: string;
  parent_span_id: string;
  name: string;
  kind: number;
  start_time: string;
  duration_ns: string;
  duration_ms: number;
  method: string | null;
  route: string | null;
  url: string | null;
  status_code: number | null;
  status: WireStatus;
  service_name: string;
  /** Absent where the server is older than the list. */
  origin?: 'ebpf' | 'sdk' | null;
}

/** How many items of the range and the filters fall into each piece of time. */
export interface WireHistogram {
  signal: string;
  start: string;
  end: string;
  bucket_ns: string | number;
  complete: boolean;
  total: number;
  errors: number;
  buckets: { start: string; count: number; errors: number }[];
}

export interface WireCount {
  value: string;
  count: number;
}

export interface WireFacets {
  complete: boolean;
  fields: Record<string, WireCount[]>;
}

export interface WireAttributeKeys {
  keys: { key: string; count: number }[];
}

export interface WireLog {
  log_id: string;
  timestamp: string;
  observed_timestamp: string;
  severity: string;
  severity_number: number;
  event_name: string;
  body: WireValue | null;
  message: string;
  trace_id: string;
  span_id: string;
  flags: number;
  service_name: string;
  attributes: WireAttribute[];
  droppedAttributesCount: number;
  resource: WireResource;
  scope: WireScope;
}

export type WireMetricType = 'gauge' | 'sum' | 'histogram' | 'exponential_histogram' | 'summary';

export interface WireMetricSummary {
  name: string;
  type: WireMetricType;
  unit: string;
  description: string;
  series_count: number;
  point_count: number;
  resource_count: number;
  services: string[];
  last_time: string;
}

/** The part that both kinds of histogram and the summary share. */
export interface WireDistribution {
  count: string;
  sum?: number | string | null;
  min?: number | string | null;
  max?: number | string | null;
}

export interface WireNumber {
  asDouble?: number | string;
  asInt?: string | number;
}

export interface WireDatapoint {
  timestamp: string;
  start_timestamp: string;
  flags: number;
  /** Null where the flags say that nothing was recorded. */
  value?: WireNumber | null;
  histogram?: WireDistribution;
  exponential_histogram?: WireDistribution;
  summary?: WireDistribution;
}

export interface WireSeries {
  service_name: string;
  resource: WireAttribute[];
  attributes: WireAttribute[];
  /** As for the metric, which has those of the series with the newest point. */
  temporality: number | null;
  is_monotonic: boolean | null;
  datapoints: WireDatapoint[];
}

export interface WireMetric {
  name: string;
  type: WireMetricType;
  unit: string;
  description: string;
  /** 1 delta, 2 cumulative; null or 0 where the type has none. */
  temporality: number | null;
  is_monotonic: boolean | null;
  series: WireSeries[];
}

export interface WireStats {
  traces: number;
  spans: number;
  logs: number;
  metrics: number;
  metric_points: number;
  db_bytes: number;
  uptime_s: number;
  received: { spans: number; logs: number; metric_points: number; duplicate_spans: number };
  rejected: { malformed_requests: number; overloaded_requests: number; items: number };
}

/** Rate, errors and durations of a set of requests. */
export interface WireRed {
  request_count: number;
  /** Requests per second over the part of the range that has data. */
  rate: number;
  error_count: number;
  /** 0 to 1. */
  error_rate: number;
  duration_p50_ms: number | null;
  duration_p95_ms: number | null;
}

/** A piece of the range, 30 of them. */
export interface WireRedBucket {
  start: string;
  request_count: number;
  error_count: number;
  duration_p95_ms: number | null;
}

export interface WireOperation extends WireRed {
  name: string;
  /** The OTLP number or its name. */
  kind: number | string;
  duration_p99_ms: number | null;
  series: WireRedBucket[];
}

export interface WireService extends WireRed {
  name: string;
  span_count: number;
  trace_count: number;
  duration_p99_ms: number | null;
  first_seen: string;
  last_seen: string;
  /** Which spans count as requests: those of servers and consumers, or roots where there are none. */
  basis: 'server' | 'root';
  /** Who reports the service: `ebpf`, `sdk`. */
  instrumentation: string[];
  series: WireRedBucket[];
}

export interface WireServiceDetail {
  service: WireService;
  operations: WireOperation[];
}

export type WireNodeType = 'service' | 'database' | 'queue' | 'external' | 'caller';

export interface WireMapNode {
  id: string;
  label: string;
  type: WireNodeType;
  metrics: WireRed | null;
}

export interface WireMapEdge extends WireRed {
  source: string;
  target: string;
}

export interface WireServiceMap {
  /** False when there were more traces than the server looks at. */
  complete: boolean;
  searched_traces: number;
  start: string;
  end: string;
  nodes: WireMapNode[];
  edges: WireMapEdge[];
}

/** `application/problem+json`. */
export interface WireProblem {
  title?: string;
  status?: number;
  detail?: string;
}

/** A point of a computed line: nanoseconds, and a value or a gap. */
export type WireLinePoint = [string, number | null];

export interface WireLine {
  labels: Record<string, string>;
  quantile?: number;
  /** Part of the quantile lies in the highest bucket, whose end is not known. */
  quantile_beyond?: boolean;
  points: WireLinePoint[];
}

export interface WireExemplar {
  timestamp: string;
  value: number | null;
  trace_id: string;
  span_id: string;
}

export interface WireHeatmap {
  /** Where the first bucket begins; null where it has no lower end. */
  lower?: number | null;
  /** Upper bounds, rising; the last is null where the bucket has no end. */
  bounds: (number | null)[];
  columns: { time: string; counts: number[] }[];
}

export interface WireMetricAnswer {
  name: string;
  type: WireMetricType;
  unit: string;
  function: string;
  start: string;
  end: string;
  step: string;
  complete: boolean;
  series: WireLine[];
  exemplars: WireExemplar[];
  heatmap?: WireHeatmap;
}

export interface WireLabel {
  key: string;
  scope: 'attribute' | 'resource';
  distinct: number;
  values: { value: string; series: number }[];
}

export interface WireCardinality {
  series_count: number;
  labels: WireLabel[];
}

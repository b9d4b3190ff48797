//! The fields of each message, by their JSON names.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{EntityRef, InstrumentationScope};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint, exemplar, metric,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde::de::MapAccess;

use super::codec::{
    FromJson, List, Nullable, Object, boolean, double, hex, signed32, signed64, skip, text, unsigned32,
    unsigned64,
};

/// Implements [`FromJson`] from a table of JSON name, field and reader; `oneof` rows set a member when it is not null.
macro_rules! message {
    ($message:ty { $($json:literal => $field:ident = $reader:expr,)* $(oneof $one:ident { $($member:literal => $variant:path = $inner:expr,)* })? }) => {
        impl FromJson for $message {
            fn field<'de, A: MapAccess<'de>>(&mut self, field: &str, map: &mut A) -> Result<(), A::Error> {
                match field {
                    $($json => self.$field = map.next_value_seed($reader)?,)*
                    $($($member => {
                        if let Some(value) = map.next_value_seed(Nullable($inner))? {
                            self.$one = Some($variant(value));
                        }
                    })*)?
                    _ => skip(map)?,
                }
                Ok(())
            }
        }
    };
}

/// A list of messages.
macro_rules! list {
    () => {
        List(Object::default)
    };
}

/// A message that may be missing.
macro_rules! maybe {
    () => {
        Nullable(Object::default())
    };
}

message!(ExportTraceServiceRequest { "resourceSpans" => resource_spans = list!(), });
message!(ExportMetricsServiceRequest { "resourceMetrics" => resource_metrics = list!(), });
message!(ExportLogsServiceRequest { "resourceLogs" => resource_logs = list!(), });

message!(ResourceSpans {
    "resource" => resource = maybe!(),
    "scopeSpans" => scope_spans = list!(),
    "schemaUrl" => schema_url = text(),
});
message!(ResourceMetrics {
    "resource" => resource = maybe!(),
    "scopeMetrics" => scope_metrics = list!(),
    "schemaUrl" => schema_url = text(),
});
message!(ResourceLogs {
    "resource" => resource = maybe!(),
    "scopeLogs" => scope_logs = list!(),
    "schemaUrl" => schema_url = text(),
});
message!(ScopeSpans {
    "scope" => scope = maybe!(),
    "spans" => spans = list!(),
    "schemaUrl" => schema_url = text(),
});
message!(ScopeMetrics {
    "scope" => scope = maybe!(),
    "metrics" => metrics = list!(),
    "schemaUrl" => schema_url = text(),
});
message!(ScopeLogs {
    "scope" => scope = maybe!(),
    "logRecords" => log_records = list!(),
    "schemaUrl" => schema_url = text(),
});
message!(Resource {
    "attributes" => attributes = list!(),
    "droppedAttributesCount" => dropped_attributes_count = unsigned32(),
    "entityRefs" => entity_refs = list!(),
});
message!(EntityRef {
    "schemaUrl" => schema_url = text(),
    "type" => r#type = text(),
    "idKeys" => id_keys = List(text),
    "descriptionKeys" => description_keys = List(text),
});
message!(InstrumentationScope {
    "name" => name = text(),
    "version" => version = text(),
    "attributes" => attributes = list!(),
    "droppedAttributesCount" => dropped_attributes_count = unsigned32(),
});

message!(Span {
    "traceId" => trace_id = hex(),
    "spanId" => span_id = hex(),
    "traceState" => trace_state = text(),
    "parentSpanId" => parent_span_id = hex(),
    "flags" => flags = unsigned32(),
    "name" => name = text(),
    "kind" => kind = signed32(),
    "startTimeUnixNano" => start_time_unix_nano = unsigned64(),
    "endTimeUnixNano" => end_time_unix_nano = unsigned64(),
    "attributes" => attributes = list!(),
    "droppedAttributesCount" => dropped_attributes_count = unsigned32(),
    "events" => events = list!(),
    "droppedEventsCount" => dropped_events_count = unsigned32(),
    "links" => links = list!(),
    "droppedLinksCount" => dropped_links_count = unsigned32(),
    "status" => status = maybe!(),
});
message!(Event {
    "timeUnixNano" => time_unix_nano = unsigned64(),
    "name" => name = text(),
    "attributes" => attributes = list!(),
    "droppedAttributesCount" => dropped_attributes_count = unsigned32(),
});
message!(Link {
    "traceId" => trace_id = hex(),
    "spanId" => span_id = hex(),
    "traceState" => trace_state = text(),
    "attributes" => attributes = list!(),
    "droppedAttributesCount" => dropped_attributes_count = unsigned32(),
    "flags" => flags = unsigned32(),
});
message!(Status { "message" => message = text(), "code" => code = signed32(), });

message!(LogRecord {
    "timeUnixNano" => time_unix_nano = unsigned64(),
    "observedTimeUnixNano" => observed_time_unix_nano = unsigned64(),
    "severityNumber" => severity_number = signed32(),
    "severityText" => severity_text = text(),
    "body" => body = maybe!(),
    "attributes" => attributes = list!(),
    "droppedAttributesCount" => dropped_attributes_count = unsigned32(),
    "flags" => flags = unsigned32(),
    "traceId" => trace_id = hex(),
    "spanId" => span_id = hex(),
    "eventName" => event_name = text(),
});

message!(Metric {
    "name" => name = text(),
    "description" => description = text(),
    "unit" => unit = text(),
    "metadata" => metadata = list!(),
    oneof data {
        "gauge" => metric::Data::Gauge = Object::default(),
        "sum" => metric::Data::Sum = Object::default(),
        "histogram" => metric::Data::Histogram = Object::default(),
        "exponentialHistogram" => metric::Data::ExponentialHistogram = Object::default(),
        "summary" => metric::Data::Summary = Object::default(),
    }
});
message!(Gauge { "dataPoints" => data_points = list!(), });
message!(Sum {
    "dataPoints" => data_points = list!(),
    "aggregationTemporality" => aggregation_temporality = signed32(),
    "isMonotonic" => is_monotonic = boolean(),
});
message!(Histogram {
    "dataPoints" => data_points = list!(),
    "aggregationTemporality" => aggregation_temporality = signed32(),
});
message!(ExponentialHistogram {
    "dataPoints" => data_points = list!(),
    "aggregationTemporality" => aggregation_temporality = signed32(),
});
message!(Summary { "dataPoints" => data_points = list!(), });
message!(NumberDataPoint {
    "attributes" => attributes = list!(),
    "startTimeUnixNano" => start_time_unix_nano = unsigned64(),
    "timeUnixNano" => time_unix_nano = unsigned64(),
    "exemplars" => exemplars = list!(),
    "flags" => flags = unsigned32(),
    oneof value {
        "asDouble" => number_data_point::Value::AsDouble = double(),
        "asInt" => number_data_point::Value::AsInt = signed64(),
    }
});
message!(HistogramDataPoint {
    "attributes" => attributes = list!(),
    "startTimeUnixNano" => start_time_unix_nano = unsigned64(),
    "timeUnixNano" => time_unix_nano = unsigned64(),
    "count" => count = unsigned64(),
    "sum" => sum = Nullable(double()),
    "bucketCounts" => bucket_counts = List(unsigned64),
    "explicitBounds" => explicit_bounds = List(double),
    "exemplars" => exemplars = list!(),
    "flags" => flags = unsigned32(),
    "min" => min = Nullable(double()),
    "max" => max = Nullable(double()),
});
message!(ExponentialHistogramDataPoint {
    "attributes" => attributes = list!(),
    "startTimeUnixNano" => start_time_unix_nano = unsigned64(),
    "timeUnixNano" => time_unix_nano = unsigned64(),
    "count" => count = unsigned64(),
    "sum" => sum = Nullable(double()),
    "scale" => scale = signed32(),
    "zeroCount" => zero_count = unsigned64(),
    "positive" => positive = maybe!(),
    "negative" => negative = maybe!(),
    "flags" => flags = unsigned32(),
    "exemplars" => exemplars = list!(),
    "min" => min = Nullable(double()),
    "max" => max = Nullable(double()),
    "zeroThreshold" => zero_threshold = double(),
});
message!(Buckets { "offset" => offset = signed32(), "bucketCounts" => bucket_counts = List(unsigned64), });
message!(SummaryDataPoint {
    "attributes" => attributes = list!(),
    "startTimeUnixNano" => start_time_unix_nano = unsigned64(),
    "timeUnixNano" => time_unix_nano = unsigned64(),
    "count" => count = unsigned64(),
    "sum" => sum = double(),
    "quantileValues" => quantile_values = list!(),
    "flags" => flags = unsigned32(),
});
message!(ValueAtQuantile { "quantile" => quantile = double(), "value" => value = double(), });
message!(Exemplar {
    "filteredAttributes" => filtered_attributes = list!(),
    "timeUnixNano" => time_unix_nano = unsigned64(),
    "spanId" => span_id = hex(),
    "traceId" => trace_id = hex(),
    oneof value {
        "asDouble" => exemplar::Value::AsDouble = double(),
        "asInt" => exemplar::Value::AsInt = signed64(),
    }
});

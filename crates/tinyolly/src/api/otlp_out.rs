//! Stored telemetry as OTLP/JSON requests, which any OTLP receiver takes, this one too.

use std::sync::Arc;

use opentelemetry_proto::tonic::metrics::v1::{Exemplar, exemplar, number_data_point};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use serde_json::{Value, json};

use super::otlp_json::{Any, Attributes, Double, Resource, Scope, Text, hex};
use crate::store::query::{Detail, LogRecordRow, MetricInfo, Point, Series, SpanRecord};
use crate::store::rows::MetricKind;

/// What one element of a request's list has in common.
type Source = (Arc<ResourceSpans>, Arc<ScopeSpans>);

/// The names of a signal's lists.
struct Names {
    scopes: &'static str,
    items: &'static str,
}

/// Elements of `resourceSpans`, one for each source.
pub(super) fn spans(spans: &[SpanRecord]) -> Vec<Value> {
    const NAMES: Names = Names { scopes: "scopeSpans", items: "spans" };
    let items = spans.iter().map(|s| ((Arc::clone(&s.resource), Arc::clone(&s.scope)), span(s)));
    by_source(items, &NAMES)
}

/// Elements of `resourceLogs`, one for each source.
pub(super) fn logs(logs: &[LogRecordRow]) -> Vec<Value> {
    const NAMES: Names = Names { scopes: "scopeLogs", items: "logRecords" };
    let items = logs.iter().map(|l| ((Arc::clone(&l.resource), Arc::clone(&l.scope)), log(l)));
    by_source(items, &NAMES)
}

/// An element of `resourceMetrics` with some points of one series.
pub(super) fn series(metric: &MetricInfo, series: &Series, points: &[Point]) -> Vec<Value> {
    const NAMES: Names = Names { scopes: "scopeMetrics", items: "metrics" };
    let source = (Arc::clone(&series.resource), Arc::clone(&series.scope));
    by_source(std::iter::once((source, self::metric(metric, series, points))), &NAMES)
}

fn by_source(items: impl Iterator<Item = (Source, Value)>, names: &Names) -> Vec<Value> {
    let mut groups: Vec<(Source, Vec<Value>)> = Vec::new();
    for (source, item) in items {
        // Within a query equal sources are the same allocation.
        let same = |(known, _): &&mut (Source, Vec<Value>)| {
            Arc::ptr_eq(&known.0, &source.0) && Arc::ptr_eq(&known.1, &source.1)
        };
        match groups.iter_mut().find(same) {
            Some((_, items)) => items.push(item),
            None => groups.push((source, vec![item])),
        }
    }
    let element = |((resource, scope), items): (Source, Vec<Value>)| {
        let mut in_scope = json!({ "scope": Scope::of(&scope), "schemaUrl": scope.schema_url });
        in_scope[names.items] = Value::Array(items);
        let mut element = json!({ "resource": Resource::of(&resource), "schemaUrl": resource.schema_url });
        element[names.scopes] = json!([in_scope]);
        // Elsewhere in the API the schema URL stands in the object itself.
        for path in ["/resource".to_owned(), format!("/{}/0/scope", names.scopes)] {
            if let Some(object) = element.pointer_mut(&path).and_then(Value::as_object_mut) {
                object.remove("schemaUrl");
            }
        }
        element
    };
    groups.into_iter().map(element).collect()
}

fn span(span: &SpanRecord) -> Value {
    let detail = &span.detail;
    let event = |e: &Event| {
        json!({ "timeUnixNano": Text(e.time_unix_nano), "name": e.name, "attributes": Attributes(&e.attributes),
            "droppedAttributesCount": e.dropped_attributes_count })
    };
    let link = |l: &Link| {
        json!({ "traceId": hex(&l.trace_id), "spanId": hex(&l.span_id), "traceState": l.trace_state,
            "attributes": Attributes(&l.attributes), "droppedAttributesCount": l.dropped_attributes_count,
            "flags": l.flags })
    };
    let message = detail.status.as_ref().map_or("", |status| &status.message);
    json!({
        "traceId": hex(&span.trace_id), "spanId": hex(&span.span_id),
        "parentSpanId": span.parent_id.map(|id| hex(&id)).unwrap_or_default(),
        "traceState": detail.trace_state, "flags": detail.flags, "name": &*span.name, "kind": span.kind,
        "startTimeUnixNano": Text(span.start_ns), "endTimeUnixNano": Text(span.end_ns),
        "attributes": Attributes(&detail.attributes), "droppedAttributesCount": detail.dropped_attributes_count,
        "events": detail.events.iter().map(event).collect::<Vec<_>>(),
        "droppedEventsCount": detail.dropped_events_count,
        "links": detail.links.iter().map(link).collect::<Vec<_>>(), "droppedLinksCount": detail.dropped_links_count,
        "status": { "code": span.status, "message": message },
    })
}

fn log(log: &LogRecordRow) -> Value {
    let detail = &log.detail;
    json!({
        "timeUnixNano": Text(log.time_ns), "observedTimeUnixNano": Text(detail.observed_time_unix_nano),
        "severityNumber": log.severity, "severityText": detail.severity_text, "eventName": detail.event_name,
        "body": detail.body.as_ref().map(|body| Any(Some(body))),
        "attributes": Attributes(&detail.attributes), "droppedAttributesCount": detail.dropped_attributes_count,
        "flags": detail.flags, "traceId": log.trace_id.map(|id| hex(&id)).unwrap_or_default(),
        "spanId": log.span_id.map(|id| hex(&id)).unwrap_or_default(),
    })
}

fn metric(metric: &MetricInfo, series: &Series, points: &[Point]) -> Value {
    let mut data = json!({ "dataPoints": points.iter().map(|p| point(series, p)).collect::<Vec<_>>() });
    if !matches!(metric.kind, MetricKind::Gauge | MetricKind::Summary) {
        data["aggregationTemporality"] = json!(series.temporality);
    }
    if let Some(monotonic) = series.monotonic {
        data["isMonotonic"] = json!(monotonic);
    }
    let mut all = json!({ "name": metric.name, "unit": metric.unit, "description": metric.description,
        "metadata": Attributes(&metric.metadata) });
    let kind = match metric.kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Sum => "sum",
        MetricKind::Histogram => "histogram",
        MetricKind::ExponentialHistogram => "exponentialHistogram",
        MetricKind::Summary => "summary",
    };
    all[kind] = data;
    all
}

fn exemplars(all: &[Exemplar]) -> Vec<Value> {
    let one = |e: &Exemplar| {
        let mut json = json!({ "timeUnixNano": Text(e.time_unix_nano), "traceId": hex(&e.trace_id),
            "spanId": hex(&e.span_id), "filteredAttributes": Attributes(&e.filtered_attributes) });
        match e.value {
            Some(exemplar::Value::AsDouble(number)) => json["asDouble"] = json!(Double(number)),
            Some(exemplar::Value::AsInt(number)) => json["asInt"] = json!(Text(number)),
            None => {}
        }
        json
    };
    all.iter().map(one).collect()
}

fn texts(counts: &[u64]) -> Vec<Text<u64>> {
    counts.iter().copied().map(Text).collect()
}

fn doubles(numbers: &[f64]) -> Vec<Double> {
    numbers.iter().copied().map(Double).collect()
}

fn point(series: &Series, point: &Point) -> Value {
    let mut json = match &point.detail {
        Detail::Number(p) => {
            let mut json = json!({ "exemplars": exemplars(&p.exemplars) });
            match p.value {
                Some(number_data_point::Value::AsDouble(number)) => json["asDouble"] = json!(Double(number)),
                Some(number_data_point::Value::AsInt(number)) => json["asInt"] = json!(Text(number)),
                None => {}
            }
            json
        }
        Detail::Histogram(p) => json!({
            "count": Text(p.count), "sum": p.sum.map(Double), "min": p.min.map(Double), "max": p.max.map(Double),
            "bucketCounts": texts(&p.bucket_counts), "explicitBounds": doubles(&p.explicit_bounds),
            "exemplars": exemplars(&p.exemplars),
        }),
        Detail::Exponential(p) => {
            let side = |side: &Option<_>| side.as_ref().map(buckets);
            json!({
                "count": Text(p.count), "sum": p.sum.map(Double), "min": p.min.map(Double),
                "max": p.max.map(Double), "scale": p.scale, "zeroCount": Text(p.zero_count),
                "zeroThreshold": Double(p.zero_threshold), "positive": side(&p.positive),
                "negative": side(&p.negative), "exemplars": exemplars(&p.exemplars),
            })
        }
        Detail::Summary(p) => {
            let quantile =
                |q: &opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile| json!({ "quantile": Double(q.quantile), "value": Double(q.value) });
            json!({ "count": Text(p.count), "sum": Double(p.sum),
                "quantileValues": p.quantile_values.iter().map(quantile).collect::<Vec<_>>() })
        }
    };
    json["attributes"] = json!(Attributes(&series.attributes.values));
    json["startTimeUnixNano"] = json!(Text(point.start_ns));
    json["timeUnixNano"] = json!(Text(point.time_ns));
    json["flags"] = json!(point.flags);
    json
}

fn buckets(
    buckets: &opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets,
) -> Value {
    json!({ "offset": buckets.offset, "bucketCounts": texts(&buckets.bucket_counts) })
}

//! Metrics of all five kinds.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, metric::Data, number_data_point::Value,
};
use prost::Message;

use super::{Prepared, Rejected, resource_bytes, scope_bytes, service_name};
use crate::store::blob;
use crate::store::rows::{Group, MetricKind, MetricRow, Number, PointRow, Rows};

/// Prepares a metrics request.
pub fn metrics(request: ExportMetricsServiceRequest) -> Prepared {
    let mut rejected = Rejected::default();
    let mut groups = Vec::new();
    for per_resource in request.resource_metrics {
        let service = service_name(per_resource.resource.as_ref());
        let resource = resource_bytes(per_resource.resource, per_resource.schema_url);
        for per_scope in per_resource.scope_metrics {
            let mut rows = Vec::with_capacity(per_scope.metrics.len());
            for metric in per_scope.metrics {
                let nameless = metric.name.is_empty();
                match row(metric) {
                    Some(row) if nameless => {
                        rejected.add(row.points.len(), || "metric without a name".into())
                    }
                    Some(row) => rows.push(row),
                    None => {}
                }
            }
            let scope = scope_bytes(per_scope.scope, per_scope.schema_url);
            groups.push(Group {
                service: Arc::clone(&service),
                resource: Arc::clone(&resource),
                scope,
                rows,
            });
        }
    }
    Prepared { rows: Rows::Metrics(groups), rejected }
}

/// Takes the common fields out of a data point of any kind.
macro_rules! frame {
    ($p:ident) => {
        Frame::take(&mut $p.attributes, &mut $p.time_unix_nano, &mut $p.start_time_unix_nano, &mut $p.flags)
    };
}

/// The points of a histogram, exponential histogram or summary, whose own fields all go into the detail.
macro_rules! distributions {
    ($data:ident) => {{
        let mut rows = Vec::with_capacity($data.data_points.len());
        for mut p in $data.data_points {
            rows.push(frame!(p).point(None, blob::pack(&p)));
        }
        rows
    }};
}

/// `None` when the metric has no data point.
fn row(metric: Metric) -> Option<MetricRow> {
    let (kind, temporality, monotonic, points) = match metric.data? {
        Data::Gauge(gauge) => (MetricKind::Gauge, 0, None, numbers(gauge.data_points)),
        Data::Sum(sum) => {
            (MetricKind::Sum, sum.aggregation_temporality, Some(sum.is_monotonic), numbers(sum.data_points))
        }
        Data::Histogram(data) => {
            (MetricKind::Histogram, data.aggregation_temporality, None, distributions!(data))
        }
        Data::ExponentialHistogram(data) => {
            (MetricKind::ExponentialHistogram, data.aggregation_temporality, None, distributions!(data))
        }
        Data::Summary(data) => (MetricKind::Summary, 0, None, distributions!(data)),
    };
    let (name, unit, description) = (metric.name, metric.unit, metric.description);
    let metadata = KeyValueList { values: metric.metadata }.encode_to_vec();
    (!points.is_empty()).then_some(MetricRow {
        name,
        kind,
        unit,
        description,
        metadata,
        temporality,
        monotonic,
        points,
    })
}

fn numbers(points: Vec<NumberDataPoint>) -> Vec<PointRow> {
    let row = |mut p: NumberDataPoint| {
        let frame = frame!(p);
        let value = match p.value {
            // SQLite has no NaN (it would read back as NULL), so that one stays in the detail.
            Some(Value::AsDouble(number)) if number.is_nan() => None,
            Some(Value::AsDouble(number)) => Some(Number::Double(number)),
            Some(Value::AsInt(number)) => Some(Number::Int(number)),
            None => None,
        };
        if value.is_some() {
            p.value = None;
        }
        frame.point(value, blob::pack(&p))
    };
    points.into_iter().map(row).collect()
}

/// What every kind of data point has, taken out of its message.
struct Frame {
    attributes: Vec<u8>,
    time_ns: u64,
    start_ns: u64,
    flags: u32,
}

impl Frame {
    fn take(attributes: &mut Vec<KeyValue>, time: &mut u64, start: &mut u64, flags: &mut u32) -> Self {
        let mut values = std::mem::take(attributes);
        values.sort_by(|a, b| a.key.cmp(&b.key));
        Self {
            attributes: KeyValueList { values }.encode_to_vec(),
            time_ns: std::mem::take(time),
            start_ns: std::mem::take(start),
            flags: std::mem::take(flags),
        }
    }

    fn point(self, value: Option<Number>, detail: Option<Vec<u8>>) -> PointRow {
        let Self { attributes, time_ns, start_ns, flags } = self;
        PointRow { attributes, time_ns, start_ns, flags, value, detail }
    }
}

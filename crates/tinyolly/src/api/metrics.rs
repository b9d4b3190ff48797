//! Metrics.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, exemplar, number_data_point};
use serde::Serialize;

use super::Context;
use super::otlp_json::{Attributes, Double, Scope, Text, hex};
use super::params::Params;
use super::problem::Problem;
use crate::store::query::{self, Detail, MetricData, MetricFilter, MetricInfo, Point, Series};
use crate::store::rows::MetricKind;

const HOUR_NS: u64 = 3_600_000_000_000;
/// What senders' clocks may be ahead of this one and still count as now.
const CLOCK_SLACK_NS: u64 = 300_000_000_000;

#[derive(Serialize)]
struct MetricLine<'a> {
    name: &'a str,
    r#type: &'static str,
    unit: &'a str,
    description: &'a str,
    metadata: Attributes<'a>,
    series_count: u64,
    point_count: u64,
    resource_count: u64,
    services: Vec<&'a str>,
    last_time: Text<u64>,
}

impl<'a> MetricLine<'a> {
    fn of(metric: &'a MetricInfo) -> Self {
        Self {
            name: &metric.name,
            r#type: metric.kind.name(),
            unit: &metric.unit,
            description: &metric.description,
            metadata: Attributes(&metric.metadata),
            series_count: metric.series_count,
            point_count: metric.point_count,
            resource_count: metric.resource_count,
            services: metric.services.iter().map(AsRef::as_ref).collect(),
            last_time: Text(metric.last_ns),
        }
    }
}

#[derive(Serialize)]
struct WholeMetric<'a> {
    name: &'a str,
    r#type: &'static str,
    unit: &'a str,
    description: &'a str,
    metadata: Attributes<'a>,
    temporality: Option<i32>,
    is_monotonic: Option<bool>,
    series: Vec<SeriesJson<'a>>,
}

#[derive(Serialize)]
struct SeriesJson<'a> {
    service_name: &'a str,
    resource: Attributes<'a>,
    resource_schema_url: &'a str,
    scope: Scope<'a>,
    attributes: Attributes<'a>,
    temporality: Option<i32>,
    is_monotonic: Option<bool>,
    datapoints: Vec<PointJson<'a>>,
    exemplars: Vec<ExemplarJson<'a>>,
}

#[derive(Serialize)]
struct PointJson<'a> {
    timestamp: Text<u64>,
    start_timestamp: Text<u64>,
    flags: u32,
    #[serde(flatten)]
    measured: Measured<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Measured<'a> {
    Value(Option<NumberJson>),
    Histogram(HistogramJson<'a>),
    ExponentialHistogram(ExponentialJson<'a>),
    Summary(SummaryJson),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum NumberJson {
    AsDouble(Double),
    AsInt(Text<i64>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HistogramJson<'a> {
    count: Text<u64>,
    sum: Option<Double>,
    min: Option<Double>,
    max: Option<Double>,
    bucket_counts: Counts<'a>,
    explicit_bounds: Vec<Double>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExponentialJson<'a> {
    count: Text<u64>,
    sum: Option<Double>,
    min: Option<Double>,
    max: Option<Double>,
    scale: i32,
    zero_count: Text<u64>,
    zero_threshold: Double,
    positive: BucketsJson<'a>,
    negative: BucketsJson<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BucketsJson<'a> {
    offset: i32,
    bucket_counts: Counts<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SummaryJson {
    count: Text<u64>,
    sum: Double,
    quantile_values: Vec<QuantileJson>,
}

#[derive(Serialize)]
struct QuantileJson {
    quantile: Double,
    value: Double,
}

#[derive(Serialize)]
struct ExemplarJson<'a> {
    timestamp: Text<u64>,
    value: Option<NumberJson>,
    trace_id: String,
    span_id: String,
    attributes: Attributes<'a>,
}

/// Counts as strings.
struct Counts<'a>(&'a [u64]);

impl Serialize for Counts<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Text))
    }
}

impl<'a> BucketsJson<'a> {
    fn of(buckets: Option<&'a Buckets>) -> Self {
        Self {
            offset: buckets.map_or(0, |b| b.offset),
            bucket_counts: Counts(buckets.map_or(&[], |b| &b.bucket_counts)),
        }
    }
}

impl<'a> PointJson<'a> {
    fn of(point: &'a Point) -> Self {
        let measured = match &point.detail {
            Detail::Number(p) => Measured::Value(p.value.map(|value| match value {
                number_data_point::Value::AsDouble(number) => NumberJson::AsDouble(Double(number)),
                number_data_point::Value::AsInt(number) => NumberJson::AsInt(Text(number)),
            })),
            Detail::Histogram(p) => Measured::Histogram(HistogramJson {
                count: Text(p.count),
                sum: p.sum.map(Double),
                min: p.min.map(Double),
                max: p.max.map(Double),
                bucket_counts: Counts(&p.bucket_counts),
                explicit_bounds: p.explicit_bounds.iter().copied().map(Double).collect(),
            }),
            Detail::Exponential(p) => Measured::ExponentialHistogram(ExponentialJson {
                count: Text(p.count),
                sum: p.sum.map(Double),
                min: p.min.map(Double),
                max: p.max.map(Double),
                scale: p.scale,
                zero_count: Text(p.zero_count),
                zero_threshold: Double(p.zero_threshold),
                positive: BucketsJson::of(p.positive.as_ref()),
                negative: BucketsJson::of(p.negative.as_ref()),
            }),
            Detail::Summary(p) => Measured::Summary(SummaryJson {
                count: Text(p.count),
                sum: Double(p.sum),
                quantile_values: p
                    .quantile_values
                    .iter()
                    .map(|q| QuantileJson { quantile: Double(q.quantile), value: Double(q.value) })
                    .collect(),
            }),
        };
        Self {
            timestamp: Text(point.time_ns),
            start_timestamp: Text(point.start_ns),
            flags: point.flags,
            measured,
        }
    }
}

fn exemplars(detail: &Detail) -> &[Exemplar] {
    match detail {
        Detail::Number(p) => &p.exemplars,
        Detail::Histogram(p) => &p.exemplars,
        Detail::Exponential(p) => &p.exemplars,
        Detail::Summary(_) => &[],
    }
}

impl<'a> ExemplarJson<'a> {
    fn of(exemplar: &'a Exemplar) -> Self {
        let value = exemplar.value.map(|value| match value {
            exemplar::Value::AsDouble(number) => NumberJson::AsDouble(Double(number)),
            exemplar::Value::AsInt(number) => NumberJson::AsInt(Text(number)),
        });
        Self {
            timestamp: Text(exemplar.time_unix_nano),
            value,
            trace_id: hex(&exemplar.trace_id),
            span_id: hex(&exemplar.span_id),
            attributes: Attributes(&exemplar.filtered_attributes),
        }
    }
}

fn temporality(series: &Series) -> Option<i32> {
    (series.temporality != 0).then_some(series.temporality)
}

impl<'a> SeriesJson<'a> {
    fn of(series: &'a Series) -> Self {
        let resource = series.resource.resource.as_ref();
        Self {
            service_name: &series.service,
            resource: Attributes(resource.map_or(&[], |r| &r.attributes)),
            resource_schema_url: &series.resource.schema_url,
            scope: Scope::of(&series.scope),
            attributes: Attributes(&series.attributes.values),
            temporality: temporality(series),
            is_monotonic: series.monotonic,
            datapoints: series.points.iter().map(PointJson::of).collect(),
            exemplars: series
                .points
                .iter()
                .flat_map(|p| exemplars(&p.detail))
                .map(ExemplarJson::of)
                .collect(),
        }
    }
}

impl<'a> WholeMetric<'a> {
    fn of(metric: &'a MetricData) -> Self {
        let newest = metric.series.iter().max_by_key(|series| series.last_ns);
        Self {
            name: &metric.name,
            r#type: metric.kind.name(),
            unit: &metric.unit,
            description: &metric.description,
            metadata: Attributes(&metric.metadata),
            temporality: newest.and_then(temporality),
            is_monotonic: newest.and_then(|series| series.monotonic),
            series: metric.series.iter().map(SeriesJson::of).collect(),
        }
    }
}

/// `GET /api/metrics`
pub(super) async fn list(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let limit = params.limit()?;
    params.finish()?;
    let found = context.store.read(move |db| query::metrics(db, limit)).await?;
    Ok(Json(found.iter().map(MetricLine::of).collect::<Vec<_>>()).into_response())
}

/// `GET /api/metrics/{name}`
pub(super) async fn one(context: &Context, name: String, uri: &Uri) -> Result<Response, Problem> {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ns = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    let mut params = Params::of(uri)?;
    let end = params.time_ns("end")?;
    let start_ns = params.time_ns("start")?.unwrap_or(end.unwrap_or(now_ns).saturating_sub(HOUR_NS));
    let end_ns = end.unwrap_or(now_ns.saturating_add(CLOCK_SLACK_NS));
    let kinds = "one of gauge, sum, histogram, exponential_histogram, summary";
    let kind = params.choice("type", kinds, MetricKind::from_name)?;
    let unit = params.text("unit")?;
    params.finish()?;
    if start_ns > end_ns {
        return Err(Problem::bad_request("start lies after end"));
    }
    let filter = MetricFilter { name: name.clone(), kind, unit, start_ns, end_ns };
    let Some(metric) = context.store.read(move |db| query::metric(db, &filter)).await? else {
        return Err(Problem::not_found(format!("no metric {name:?}")));
    };
    // A metric has no bound in series, so it becomes JSON off the async threads.
    let body = tokio::task::spawn_blocking(move || serde_json::to_vec(&WholeMetric::of(&metric)));
    let body = body.await.map_err(|error| error.to_string()).and_then(|body| body.map_err(|e| e.to_string()));
    let body = body.map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

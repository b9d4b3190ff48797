//! Metrics.

use utoipa::IntoParams;

use super::params::MetricChoice;
use super::schemas::{Cardinality, Metric, MetricLine, MetricOverTime, Problem};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Range {
    /// First time, in nanoseconds since the epoch; an hour before the end when absent.
    start: Option<String>,
    /// Last time; now when absent.
    end: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Query {
    /// The metric.
    name: String,
    /// raw, rate, increase, sum, avg, min, max, count, quantile or heatmap; by default what fits the kind best.
    function: Option<String>,
    /// For quantiles: which, from 0 to 1.
    quantile: Option<Vec<f64>>,
    /// Attribute keys, resource.KEY, or service: series with the same values become one line.
    group_by: Option<Vec<String>>,
    /// Width of a step in nanoseconds.
    step: Option<String>,
    /// Only series of resources with this attribute: the parameter resource.KEY=VALUE, for any KEY.
    #[param(rename = "resource.KEY")]
    resource: Option<String>,
    /// Only series with this attribute: the parameter attribute.KEY=VALUE, for any KEY.
    #[param(rename = "attribute.KEY")]
    attribute: Option<String>,
}

/// Metrics by name.
#[utoipa::path(get, path = "/api/metrics", tag = "metrics",
    params(("limit" = Option<u32>, Query, description = "At most so many, 1 to 5000; 100 when absent")),
    responses((status = 200, body = Vec<MetricLine>), (status = 400, body = Problem)))]
fn list_metrics() {}

/// What a metric was over time.
///
/// Rates, sums, quantiles and more, by groups of series.
#[utoipa::path(get, path = "/api/metrics/query", tag = "metrics", params(Query, Range, MetricChoice),
    responses((status = 200, body = MetricOverTime), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn query_metric() {}

/// One metric with its points as they were sent.
#[utoipa::path(get, path = "/api/metrics/{name}", tag = "metrics",
    params(("name" = String, Path, description = "May hold slashes"), Range, MetricChoice),
    responses((status = 200, body = Metric), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn get_metric() {}

/// What the series of a metric are made of.
#[utoipa::path(get, path = "/api/metrics/{name}/cardinality", tag = "metrics",
    params(("name" = String, Path, description = "May hold slashes"), MetricChoice),
    responses((status = 200, body = Cardinality), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn metric_cardinality() {}

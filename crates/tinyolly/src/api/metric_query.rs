//! Metrics over time, and what their series are made of.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Context;
use super::otlp_json::{Text, hex};
use super::params::Params;
use super::problem::Problem;
use crate::store::query::{self, Cardinality, MetricAnswer, MetricOutcome, MetricQuery, Scope};
use crate::store::rows::MetricKind;
use crate::timeseries::evaluate::{Labels, Line};
use crate::timeseries::function::Function;
use crate::timeseries::grid::Grid;
use crate::timeseries::heatmap::Heatmap;

const HOUR_NS: u64 = 3_600_000_000_000;
const KINDS: &str = "one of gauge, sum, histogram, exponential_histogram, summary";
const FUNCTIONS: &str = "one of raw, rate, increase, sum, avg, min, max, count, quantile, heatmap";
/// Most values of one repeated parameter.
const MAX_REPEATED: usize = 20;

#[derive(Serialize)]
struct AnswerJson<'a> {
    name: &'a str,
    r#type: &'static str,
    unit: &'a str,
    function: &'static str,
    start: Text<u64>,
    end: Text<u64>,
    step: Text<u64>,
    complete: bool,
    series: Vec<LineJson<'a>>,
    exemplars: Vec<ExemplarJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heatmap: Option<HeatmapJson<'a>>,
}

#[derive(Serialize)]
struct LineJson<'a> {
    labels: LabelsJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantile: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    quantile_beyond: bool,
    points: Vec<(Text<u64>, Option<f64>)>,
}

struct LabelsJson<'a>(&'a Labels);

impl Serialize for LabelsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct ExemplarJson {
    timestamp: Text<u64>,
    value: Option<f64>,
    trace_id: String,
    span_id: String,
}

#[derive(Serialize)]
struct HeatmapJson<'a> {
    lower: Option<f64>,
    bounds: &'a [Option<f64>],
    columns: Vec<ColumnJson<'a>>,
}

#[derive(Serialize)]
struct ColumnJson<'a> {
    time: Text<u64>,
    counts: &'a [f64],
}

#[derive(Serialize)]
struct CardinalityJson<'a> {
    series_count: u64,
    labels: Vec<LabelJson<'a>>,
}

#[derive(Serialize)]
struct LabelJson<'a> {
    key: &'a str,
    scope: &'static str,
    distinct: u64,
    values: Vec<ValueJson<'a>>,
}

#[derive(Serialize)]
struct ValueJson<'a> {
    value: &'a str,
    series: u64,
}

impl<'a> LineJson<'a> {
    fn of(line: &'a Line) -> Self {
        Self {
            labels: LabelsJson(&line.labels),
            quantile: line.quantile,
            quantile_beyond: line.beyond,
            points: line.points.iter().map(|(time, value)| (Text(*time), *value)).collect(),
        }
    }
}

impl<'a> HeatmapJson<'a> {
    fn of(map: &'a Heatmap, grid: Grid) -> Self {
        let column = |(at, counts): &'a (usize, Vec<f64>)| ColumnJson { time: Text(grid.time(*at)), counts };
        Self { lower: map.lower, bounds: &map.bounds, columns: map.columns.iter().map(column).collect() }
    }
}

impl<'a> AnswerJson<'a> {
    fn of(query: &'a MetricQuery, found: &'a MetricAnswer) -> Self {
        let exemplar = |e: &opentelemetry_proto::tonic::metrics::v1::Exemplar| ExemplarJson {
            timestamp: Text(e.time_unix_nano),
            value: query::exemplar_number(e),
            trace_id: hex(&e.trace_id),
            span_id: hex(&e.span_id),
        };
        Self {
            name: &query.name,
            r#type: found.kind.name(),
            unit: &found.unit,
            function: found.function.name(),
            start: Text(query.grid.time(0)),
            end: Text(query.grid.end_ns()),
            step: Text(query.grid.step_ns()),
            complete: found.answer.complete,
            series: found.answer.lines.iter().map(LineJson::of).collect(),
            exemplars: found.exemplars.iter().map(exemplar).collect(),
            heatmap: found.answer.heatmap.as_ref().map(|map| HeatmapJson::of(map, query.grid)),
        }
    }
}

impl<'a> CardinalityJson<'a> {
    fn of(found: &'a Cardinality) -> Self {
        let label = |label: &'a query::Label| LabelJson {
            key: &label.key,
            scope: match label.scope {
                Scope::Attribute => "attribute",
                Scope::Resource => "resource",
            },
            distinct: label.distinct,
            values: label.values.iter().map(|(value, series)| ValueJson { value, series: *series }).collect(),
        };
        Self { series_count: found.series_count, labels: found.labels.iter().map(label).collect() }
    }
}

fn now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

fn read(uri: &Uri) -> Result<MetricQuery, Problem> {
    let mut params = Params::of(uri)?;
    let name = params.text("name")?.ok_or_else(|| Problem::bad_request("name is missing"))?;
    let end_ns = params.time_ns("end")?.unwrap_or_else(now_ns);
    let start_ns = params.time_ns("start")?.unwrap_or(end_ns.saturating_sub(HOUR_NS));
    let step = params.choice("step", "a number of nanoseconds above 0", |value| {
        value.parse::<u64>().ok().filter(|step| *step > 0)
    })?;
    let kind = params.choice("type", KINDS, MetricKind::from_name)?;
    let unit = params.text("unit")?;
    let function = params.choice("function", FUNCTIONS, Function::from_name)?;
    let mut quantiles = params.all("quantile", "a number from 0 to 1", |value| {
        value.parse::<f64>().ok().filter(|q| (0.0..=1.0).contains(q))
    })?;
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    let mut group_by: Vec<String> = Vec::new();
    for key in params.texts("group_by")? {
        if !group_by.contains(&key) {
            group_by.push(key);
        }
    }
    let resource = params.with_prefix("resource.");
    let attribute = params.with_prefix("attribute.");
    params.finish()?;
    for (name, count) in [("quantile", quantiles.len()), ("group_by", group_by.len())] {
        if count > MAX_REPEATED {
            return Err(Problem::bad_request(format!("{name} has {count} values, at most {MAX_REPEATED}")));
        }
    }
    let grid =
        Grid::covering(start_ns, end_ns, step).map_err(|error| Problem::bad_request(error.to_string()))?;
    Ok(MetricQuery { name, kind, unit, resource, attribute, function, quantiles, group_by, grid })
}

/// `GET /api/metrics/query`
pub(super) async fn query(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let query = read(&uri)?;
    let body = context.store.read(move |db| {
        let outcome = query::metric_query(db, &query)?;
        // An answer may be long, so it becomes JSON off the async threads.
        Ok(match outcome {
            MetricOutcome::Unknown => Err(Problem::not_found(format!("no metric {:?}", query.name))),
            MetricOutcome::Unfit(reason) => Err(Problem::bad_request(reason)),
            MetricOutcome::Found(found) => serde_json::to_vec(&AnswerJson::of(&query, &found))
                .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        })
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], body.await??).into_response())
}

/// `GET /api/metrics/{name}` and `GET /api/metrics/{name}/cardinality`: a name may hold slashes, so the router cannot
/// tell them apart. A name that itself ends so is written with `%2F`.
pub(super) async fn one_or_cardinality(
    State(context): State<Context>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    match name.strip_suffix("/cardinality") {
        Some(name) if uri.path().ends_with("/cardinality") => cardinality(&context, name, &uri).await,
        _ => super::metrics::one(&context, name, &uri).await,
    }
}

async fn cardinality(context: &Context, name: &str, uri: &Uri) -> Result<Response, Problem> {
    let mut params = Params::of(uri)?;
    let kind = params.choice("type", KINDS, MetricKind::from_name)?;
    let unit = params.text("unit")?;
    params.finish()?;
    let metric = name.to_owned();
    let found = context.store.read(move |db| query::cardinality(db, &metric, kind, unit.as_deref())).await?;
    let found = found.ok_or_else(|| Problem::not_found(format!("no metric {name:?}")))?;
    Ok(axum::Json(CardinalityJson::of(&found)).into_response())
}

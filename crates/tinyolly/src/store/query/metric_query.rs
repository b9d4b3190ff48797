//! Metrics over time: chooses series, reads their points, and hands them to [`crate::timeseries`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{Exemplar, exemplar, number_data_point};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use rusqlite::{Connection, params};

use super::metrics::{Detail, Point, choose, point};
use super::sources::Sources;
use super::value::text as value_text;
use crate::store::StoreError;
use crate::store::rows::MetricKind;
use crate::timeseries::distribution::Distribution;
use crate::timeseries::evaluate::{Answer, Evaluation, Labels, Plan, Points};
use crate::timeseries::function::{Function, Shape};
use crate::timeseries::grid::Grid;
use crate::timeseries::stream::{Sample, Temporality};

/// Most points read for an answer.
const MAX_POINTS: usize = 1_000_000;
/// Most exemplars of an answer; the newest.
const MAX_EXEMPLARS: usize = 500;
/// Points read before the range: two more than needed tell how far apart points are.
const NEIGHBOURS: i64 = 3;
/// Most quantiles of a summary.
const MAX_SENT_QUANTILES: usize = 100;
/// OTLP's flag of a point that says that nothing was recorded.
const NO_RECORDED_VALUE: u32 = 1;

/// What is asked.
#[derive(Clone, Debug)]
pub struct MetricQuery {
    /// The metric's name.
    pub name: String,
    /// Needed only where one name was sent with several kinds.
    pub kind: Option<MetricKind>,
    /// Needed only where one name was sent with several units.
    pub unit: Option<String>,
    /// Resource attributes that a series must have, with their values as text.
    pub resource: Vec<(String, String)>,
    /// Attributes that a series must have, with their values as text.
    pub attribute: Vec<(String, String)>,
    /// What to compute; without it what fits the kind best.
    pub function: Option<Function>,
    /// Quantiles for that function; without them 0.5, 0.95 and 0.99.
    pub quantiles: Vec<f64>,
    /// Attribute keys, `resource.` keys or `service`: series with the same values become one line.
    pub group_by: Vec<String>,
    /// The steps.
    pub grid: Grid,
}

/// What a query came to.
#[derive(Debug)]
pub enum MetricOutcome {
    /// There is no such metric.
    Unknown,
    /// The question does not fit the metric, for this reason.
    Unfit(String),
    /// The answer.
    Found(Box<MetricAnswer>),
}

/// The answer to a query.
#[derive(Debug)]
pub struct MetricAnswer {
    /// The metric's kind.
    pub kind: MetricKind,
    /// UCUM unit.
    pub unit: String,
    /// What was computed.
    pub function: Function,
    /// Lines or a heat map.
    pub answer: Answer,
    /// Exemplars of the series with a trace, newest first.
    pub exemplars: Vec<Exemplar>,
}

/// A series that was chosen.
struct Chosen {
    id: i64,
    service: Arc<str>,
    resource: Arc<ResourceSpans>,
    attributes: Vec<KeyValue>,
    temporality: i32,
    monotonic: Option<bool>,
    last_ns: u64,
}

/// Computes what is asked.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn metric_query(db: &Connection, query: &MetricQuery) -> Result<MetricOutcome, StoreError> {
    let Some(metric) = choose(db, &query.name, query.kind, query.unit.as_deref())? else {
        return Ok(MetricOutcome::Unknown);
    };
    let all = series(db, metric.id)?;
    let newest = all.iter().max_by_key(|series| series.last_ns);
    let shape = shape(metric.kind, newest.and_then(|series| series.monotonic));
    let function = query.function.or_else(|| shape.functions().first().copied()).unwrap_or(Function::Raw);
    if let Some(reason) = unfit(shape, function, query) {
        return Ok(MetricOutcome::Unfit(reason));
    }
    let chosen: Vec<Chosen> = all.into_iter().filter(|series| series.matches(query)).collect();
    let newest_ns = chosen.iter().map(|series| series.last_ns).max().unwrap_or_default();
    let mut quantiles = query.quantiles.clone();
    if quantiles.is_empty() && metric.kind != MetricKind::Summary {
        quantiles = vec![0.5, 0.95, 0.99];
    }
    let plan = Plan { shape, function, quantiles, grid: query.grid, newest_ns };
    let whole_labels = function == Function::Raw || (shape, function) == (Shape::Summary, Function::Quantile);
    let telling = if whole_labels { telling_resource_keys(&chosen) } else { BTreeSet::new() };
    let mut evaluation = Evaluation::new(plan);
    let mut exemplars = Vec::new();
    let mut room = MAX_POINTS;
    for series in &chosen {
        let points = points(db, metric.kind, series.id, query.grid, room)?;
        room = room.saturating_sub(points.len());
        if room == 0 {
            evaluation.incomplete();
            break;
        }
        collect_exemplars(&points, query.grid, &mut exemplars);
        let labels = if whole_labels { series.all_labels(&telling) } else { series.labels(&query.group_by) };
        evaluation.add(labels, Temporality::from_number(series.temporality), samples(metric.kind, &points));
    }
    exemplars.sort_by_key(|exemplar| Reverse(exemplar.time_unix_nano));
    exemplars.truncate(MAX_EXEMPLARS);
    let answer = evaluation.finish();
    let found = MetricAnswer { kind: metric.kind, unit: metric.unit, function, answer, exemplars };
    Ok(MetricOutcome::Found(Box::new(found)))
}

fn shape(kind: MetricKind, monotonic: Option<bool>) -> Shape {
    match kind {
        MetricKind::Gauge => Shape::Gauge,
        MetricKind::Sum if monotonic == Some(true) => Shape::Counter,
        MetricKind::Sum => Shape::Balance,
        MetricKind::Histogram | MetricKind::ExponentialHistogram => Shape::Histogram,
        MetricKind::Summary => Shape::Summary,
    }
}

fn unfit(shape: Shape, function: Function, query: &MetricQuery) -> Option<String> {
    let name = function.name();
    if !shape.functions().contains(&function) {
        let fitting: Vec<_> = shape.functions().iter().map(|function| function.name()).collect();
        return Some(format!(
            "function={name} does not fit {}; these do: {}",
            shape.describe(),
            fitting.join(", ")
        ));
    }
    if !query.quantiles.is_empty() && function != Function::Quantile {
        return Some(format!("quantile is for function=quantile, not for {name}"));
    }
    let alone = match function {
        Function::Raw => Some("gives each series as it is"),
        Function::Heatmap => Some("is one map of all series"),
        Function::Quantile if shape == Shape::Summary => Some("of a summary cannot merge series"),
        _ => None,
    };
    match alone {
        Some(why) if !query.group_by.is_empty() => {
            Some(format!("group_by does not go with function={name}, which {why}"))
        }
        _ => None,
    }
}

fn series(db: &Connection, metric: i64) -> Result<Vec<Chosen>, StoreError> {
    let mut sources = Sources::new(db);
    let mut list = db.prepare_cached(
        "SELECT id, service, resource, attributes, temporality, monotonic, last_ns FROM series
         WHERE metric = ?1 ORDER BY id",
    )?;
    let mut rows = list.query([metric])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let attributes = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        found.push(Chosen {
            id: row.get(0)?,
            service: sources.text(row.get(1)?)?,
            resource: sources.resource(row.get(2)?)?,
            attributes: KeyValueList::decode(attributes)
                .map_err(|e| StoreError::Damaged(e.to_string()))?
                .values,
            temporality: row.get(4)?,
            monotonic: row.get(5)?,
            last_ns: row.get::<_, i64>(6)? as u64,
        });
    }
    Ok(found)
}

fn text(value: Option<&AnyValue>) -> String {
    value_text(value).into_owned()
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a KeyValue> {
    attributes.iter().find(|attribute| attribute.key == key)
}

impl Chosen {
    fn resource(&self) -> &[KeyValue] {
        self.resource.resource.as_ref().map_or(&[], |resource| &resource.attributes)
    }

    fn matches(&self, query: &MetricQuery) -> bool {
        let has = |attributes: &[KeyValue], (key, value): &(String, String)| {
            find(attributes, key).is_some_and(|found| value_text(found.value.as_ref()) == value.as_str())
        };
        // A resource without a service name counts as `unknown_service` everywhere.
        let resource = |wanted: &(String, String)| match wanted.0.as_str() {
            "service.name" => *self.service == *wanted.1,
            _ => has(self.resource(), wanted),
        };
        query.resource.iter().all(resource)
            && query.attribute.iter().all(|wanted| has(&self.attributes, wanted))
    }

    /// Values of the keys that were asked for; one that the series does not have is left out.
    fn labels(&self, keys: &[String]) -> Labels {
        let value = |key: &String| {
            if key == "service" || key == "resource.service.name" {
                return Some(self.service.to_string());
            }
            let found = match key.strip_prefix("resource.") {
                Some(resource) => find(self.resource(), resource),
                None => find(&self.attributes, key),
            };
            found.map(|found| text(found.value.as_ref()))
        };
        keys.iter().filter_map(|key| Some((key.clone(), value(key)?))).collect()
    }

    /// The service, all attributes, and the resource attributes that tell series apart.
    fn all_labels(&self, telling: &BTreeSet<String>) -> Labels {
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for attribute in &self.attributes {
            let key = if attribute.key == "service" { "attribute.service" } else { &attribute.key };
            labels.insert(key.to_owned(), text(attribute.value.as_ref()));
        }
        for attribute in self.resource().iter().filter(|attribute| telling.contains(&attribute.key)) {
            labels.insert(format!("resource.{}", attribute.key), text(attribute.value.as_ref()));
        }
        labels.insert("service".to_owned(), self.service.to_string());
        labels.into_iter().collect()
    }
}

/// Resource attributes whose values differ among the series.
fn telling_resource_keys(chosen: &[Chosen]) -> BTreeSet<String> {
    let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut having: BTreeMap<&str, usize> = BTreeMap::new();
    for attribute in chosen.iter().flat_map(|series| series.resource()) {
        values.entry(&attribute.key).or_default().insert(text(attribute.value.as_ref()));
        *having.entry(&attribute.key).or_default() += 1;
    }
    let differs = |key: &str| values.get(key).is_some_and(|v| v.len() > 1) || having[key] < chosen.len();
    let keys = values.keys().filter(|key| **key != "service.name" && differs(key));
    keys.map(|key| (*key).to_owned()).collect()
}

/// Points of a series in `[?2, ?3)`.
macro_rules! select {
    () => {
        "SELECT time_ns, start_ns, flags, value, detail FROM point
         WHERE series = ?1 AND time_ns >= ?2 AND time_ns < ?3 "
    };
}

/// Points on the grid, with a few before and one after, which tell what the first and the last step have of them.
fn points(
    db: &Connection,
    kind: MetricKind,
    series: i64,
    grid: Grid,
    most: usize,
) -> Result<Vec<Point>, StoreError> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let (first, last) = (grid.time(0) as i64, grid.end_ns().min(i64::MAX as u64) as i64);
    let mut found = Vec::new();
    let mut read = |sql: &str, from: i64, to: i64, most: i64| -> Result<(), StoreError> {
        let mut statement = db.prepare_cached(sql)?;
        let mut rows = statement.query(params![series, from, to, most])?;
        while let Some(row) = rows.next()? {
            found.push(point(kind, row)?);
        }
        Ok(())
    };
    read(concat!(select!(), "ORDER BY time_ns DESC, id DESC LIMIT ?4"), 0, first, NEIGHBOURS)?;
    read(concat!(select!(), "ORDER BY time_ns, id LIMIT ?4"), first, last, most)?;
    read(concat!(select!(), "ORDER BY time_ns, id LIMIT ?4"), last, i64::MAX, 1)?;
    Ok(found)
}

fn sample<M>(point: &Point, value: Option<M>) -> Sample<M> {
    let recorded = point.flags & NO_RECORDED_VALUE == 0;
    Sample { time_ns: point.time_ns, start_ns: point.start_ns, value: value.filter(|_| recorded) }
}

fn samples(kind: MetricKind, points: &[Point]) -> Points {
    match kind {
        MetricKind::Gauge | MetricKind::Sum => Points::Numbers(points.iter().map(number).collect()),
        MetricKind::Histogram | MetricKind::ExponentialHistogram => {
            Points::Distributions(points.iter().map(|point| sample(point, distribution(point))).collect())
        }
        MetricKind::Summary => {
            let totals = points.iter().map(|point| sample(point, distribution(point))).collect();
            let mut quantiles: Vec<(f64, Vec<Sample<f64>>)> = Vec::new();
            for point in points {
                let Detail::Summary(summary) = &point.detail else { continue };
                for sent in &summary.quantile_values {
                    let value = sample(point, Some(sent.value).filter(|value| value.is_finite()));
                    let known = quantiles.iter().position(|(quantile, _)| *quantile == sent.quantile);
                    let full = quantiles.len() >= MAX_SENT_QUANTILES;
                    match known.and_then(|at| quantiles.get_mut(at)) {
                        Some((_, values)) => values.push(value),
                        None if sent.quantile.is_finite() && !full => {
                            quantiles.push((sent.quantile, vec![value]));
                        }
                        None => {}
                    }
                }
            }
            quantiles.sort_by(|a, b| a.0.total_cmp(&b.0));
            Points::Summary(totals, quantiles)
        }
    }
}

fn number(point: &Point) -> Sample<f64> {
    let value = match &point.detail {
        Detail::Number(number) => number.value.map(|value| match value {
            number_data_point::Value::AsDouble(number) => number,
            number_data_point::Value::AsInt(number) => number as f64,
        }),
        _ => None,
    };
    sample(point, value.filter(|value| value.is_finite()))
}

fn distribution(point: &Point) -> Option<Distribution> {
    match &point.detail {
        Detail::Histogram(h) => {
            let found = Distribution::explicit(h.count, h.sum, &h.explicit_bounds, &h.bucket_counts);
            Some(found.with_extremes(h.min, h.max))
        }
        Detail::Exponential(h) => {
            let found = Distribution::exponential(
                (h.count, h.sum),
                h.scale,
                (h.zero_count, h.zero_threshold),
                side(h.positive.as_ref()),
                side(h.negative.as_ref()),
            );
            Some(found.with_extremes(h.min, h.max))
        }
        Detail::Summary(s) => Some(Distribution::totals(s.count, s.sum)),
        Detail::Number(_) => None,
    }
}

fn side(buckets: Option<&Buckets>) -> (i32, &[u64]) {
    buckets.map_or((0, &[]), |buckets| (buckets.offset, &buckets.bucket_counts))
}

fn collect_exemplars(points: &[Point], grid: Grid, found: &mut Vec<Exemplar>) {
    for point in points {
        let all: &[Exemplar] = match &point.detail {
            Detail::Number(p) => &p.exemplars,
            Detail::Histogram(p) => &p.exemplars,
            Detail::Exponential(p) => &p.exemplars,
            Detail::Summary(_) => &[],
        };
        let on_grid = |e: &&Exemplar| grid.step_of(e.time_unix_nano).is_some() && !e.trace_id.is_empty();
        found.extend(all.iter().filter(on_grid).filter(|e| exemplar_number(e).is_some()).cloned());
    }
    if found.len() > 20 * MAX_EXEMPLARS {
        found.sort_by_key(|exemplar| Reverse(exemplar.time_unix_nano));
        found.truncate(MAX_EXEMPLARS);
    }
}

/// An exemplar's value, if it is a finite number.
pub fn exemplar_number(exemplar: &Exemplar) -> Option<f64> {
    let value = match exemplar.value? {
        exemplar::Value::AsDouble(number) => number,
        exemplar::Value::AsInt(number) => number as f64,
    };
    value.is_finite().then_some(value)
}

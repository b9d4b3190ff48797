//! Metrics: the list, and the series of one.

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{KeyValue, KeyValueList};
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, SummaryDataPoint, number_data_point,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sources::Sources;
use crate::store::rows::{MetricKind, Number};
use crate::store::{StoreError, blob};

/// One line of the metric list.
#[derive(Clone, Debug)]
pub struct MetricInfo {
    /// The metric's name.
    pub name: String,
    /// Its kind.
    pub kind: MetricKind,
    /// UCUM unit.
    pub unit: String,
    /// The newest description sent.
    pub description: String,
    /// What else the sender said of the metric.
    pub metadata: Vec<KeyValue>,
    /// Series stored.
    pub series_count: u64,
    /// Points stored.
    pub point_count: u64,
    /// Distinct resources among the series.
    pub resource_count: u64,
    /// Services among the series, by name.
    pub services: Vec<Arc<str>>,
    /// Time of the newest point.
    pub last_ns: u64,
}

/// One metric with its series.
#[derive(Clone, Debug)]
pub struct MetricData {
    /// The metric's name.
    pub name: String,
    /// Its kind.
    pub kind: MetricKind,
    /// UCUM unit.
    pub unit: String,
    /// The newest description sent.
    pub description: String,
    /// What else the sender said of the metric.
    pub metadata: Vec<KeyValue>,
    /// Its series; those without a point in the time range too.
    pub series: Vec<Series>,
}

/// One series.
#[derive(Clone, Debug)]
pub struct Series {
    /// The resource's `service.name`.
    pub service: Arc<str>,
    /// The resource, in an envelope with its schema URL.
    pub resource: Arc<ResourceSpans>,
    /// The scope, in an envelope with its schema URL.
    pub scope: Arc<ScopeSpans>,
    /// The series' attributes, by key.
    pub attributes: KeyValueList,
    /// OTLP's aggregation temporality, 0 where the kind has none.
    pub temporality: i32,
    /// Only for sums.
    pub monotonic: Option<bool>,
    /// Time of the newest point.
    pub last_ns: u64,
    /// Points in the time range, oldest first.
    pub points: Vec<Point>,
}

/// One data point.
#[derive(Clone, Debug)]
pub struct Point {
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Nanoseconds since the epoch, 0 when not sent.
    pub start_ns: u64,
    /// OTLP's flags.
    pub flags: u32,
    /// What was measured.
    pub detail: Detail,
}

/// A data point's measurement and exemplars; the fields that [`Point`] and [`Series`] have are empty.
#[derive(Clone, Debug)]
pub enum Detail {
    /// Gauge or sum.
    Number(NumberDataPoint),
    /// Histogram.
    Histogram(HistogramDataPoint),
    /// Exponential histogram.
    Exponential(ExponentialHistogramDataPoint),
    /// Summary.
    Summary(SummaryDataPoint),
}

/// Which metric and which times.
#[derive(Clone, Debug)]
pub struct MetricFilter {
    /// The metric's name.
    pub name: String,
    /// Needed only where one name was sent with several kinds.
    pub kind: Option<MetricKind>,
    /// Needed only where one name was sent with several units.
    pub unit: Option<String>,
    /// First nanosecond wanted.
    pub start_ns: u64,
    /// Last nanosecond wanted.
    pub end_ns: u64,
}

fn kind(number: i64) -> Result<MetricKind, StoreError> {
    MetricKind::try_from(number).map_err(|n| StoreError::Damaged(format!("metric kind {n}")))
}

fn metadata(blob: Vec<u8>) -> Result<Vec<KeyValue>, StoreError> {
    let list = KeyValueList::decode(blob.as_slice()).map_err(|e| StoreError::Damaged(e.to_string()))?;
    Ok(list.values)
}

/// Metrics by name. A name sent with several kinds or units has a line for each.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn metrics(db: &Connection, limit: u32) -> Result<Vec<MetricInfo>, StoreError> {
    let mut sources = Sources::new(db);
    let mut services = db.prepare_cached("SELECT DISTINCT service FROM series WHERE metric = ?1")?;
    let mut list = db.prepare_cached(
        "SELECT m.id, m.name, m.type, m.unit, m.description, COUNT(*), SUM(s.point_count),
           COUNT(DISTINCT s.resource), MAX(s.last_ns), m.metadata
         FROM (SELECT * FROM metric ORDER BY name, type, unit LIMIT ?1) AS m JOIN series s ON s.metric = m.id
         GROUP BY m.id ORDER BY m.name, m.type, m.unit",
    )?;
    let mut rows = list.query([limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut names = Vec::new();
        let mut ids = services.query([row.get::<_, i64>(0)?])?;
        while let Some(id) = ids.next()? {
            names.push(sources.text(id.get(0)?)?);
        }
        names.sort();
        found.push(MetricInfo {
            name: row.get(1)?,
            kind: kind(row.get(2)?)?,
            unit: row.get(3)?,
            description: row.get(4)?,
            metadata: metadata(row.get(9)?)?,
            series_count: row.get::<_, i64>(5)? as u64,
            point_count: row.get::<_, i64>(6)? as u64,
            resource_count: row.get::<_, i64>(7)? as u64,
            services: names,
            last_ns: row.get::<_, i64>(8)? as u64,
        });
    }
    Ok(found)
}

/// One metric; `None` when there is none of that name. Where several kinds or units share the name and the filter
/// does not say which, the one with the newest point answers.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn metric(db: &Connection, filter: &MetricFilter) -> Result<Option<MetricData>, StoreError> {
    let Some(metric) = choose(db, &filter.name, filter.kind, filter.unit.as_deref())? else {
        return Ok(None);
    };
    let Chosen { id, kind, unit, description, metadata } = metric;
    let mut sources = Sources::new(db);
    let mut list = db.prepare_cached(
        "SELECT id, service, resource, scope, attributes, temporality, monotonic, last_ns FROM series
         WHERE metric = ?1 ORDER BY id",
    )?;
    let mut points = db.prepare_cached(
        "SELECT time_ns, start_ns, flags, value, detail FROM point
         WHERE series = ?1 AND time_ns BETWEEN ?2 AND ?3 ORDER BY time_ns, id",
    )?;
    let (first, last) = (filter.start_ns as i64, filter.end_ns.min(i64::MAX as u64) as i64);
    let mut series = Vec::new();
    let mut rows = list.query([id])?;
    while let Some(row) = rows.next()? {
        let mut found = Vec::new();
        let mut each = points.query([row.get::<_, i64>(0)?, first, last])?;
        while let Some(point) = each.next()? {
            found.push(self::point(kind, point)?);
        }
        let attributes: Vec<u8> = row.get(4)?;
        series.push(Series {
            service: sources.text(row.get(1)?)?,
            resource: sources.resource(row.get(2)?)?,
            scope: sources.scope(row.get(3)?)?,
            attributes: KeyValueList::decode(attributes.as_slice())
                .map_err(|e| StoreError::Damaged(e.to_string()))?,
            temporality: row.get(5)?,
            monotonic: row.get(6)?,
            last_ns: row.get::<_, i64>(7)? as u64,
            points: found,
        });
    }
    Ok(Some(MetricData { name: filter.name.clone(), kind, unit, description, metadata, series }))
}

/// A metric that a name stands for.
pub(super) struct Chosen {
    pub(super) id: i64,
    pub(super) kind: MetricKind,
    pub(super) unit: String,
    pub(super) description: String,
    pub(super) metadata: Vec<KeyValue>,
}

/// Of the metrics of this name the one with the newest point.
pub(super) fn choose(
    db: &Connection,
    name: &str,
    wanted: Option<MetricKind>,
    unit: Option<&str>,
) -> Result<Option<Chosen>, StoreError> {
    let chosen = db
        .prepare_cached(
            "SELECT m.id, m.type, m.unit, m.description, m.metadata FROM metric m
             WHERE m.name = ?1 AND (?2 IS NULL OR m.type = ?2) AND (?3 IS NULL OR m.unit = ?3)
             ORDER BY (SELECT MAX(s.last_ns) FROM series s WHERE s.metric = m.id) DESC LIMIT 1",
        )?
        .query_row(params![name, wanted.map(|k| k as i64), unit], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    let Some((id, number, unit, description, blob)) = chosen else { return Ok(None) };
    Ok(Some(Chosen { id, kind: kind(number)?, unit, description, metadata: metadata(blob)? }))
}

pub(super) fn point(kind: MetricKind, row: &Row<'_>) -> Result<Point, StoreError> {
    let packed = row.get_ref(4)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    let number = match row.get_ref(3)? {
        ValueRef::Integer(number) => Some(Number::Int(number)),
        ValueRef::Real(number) => Some(Number::Double(number)),
        _ => None,
    };
    let detail = match kind {
        MetricKind::Gauge | MetricKind::Sum => {
            let mut point: NumberDataPoint = blob::unpack(packed)?;
            match number {
                Some(Number::Int(number)) => point.value = Some(number_data_point::Value::AsInt(number)),
                Some(Number::Double(number)) => {
                    point.value = Some(number_data_point::Value::AsDouble(number))
                }
                None => {}
            }
            Detail::Number(point)
        }
        MetricKind::Histogram => Detail::Histogram(blob::unpack(packed)?),
        MetricKind::ExponentialHistogram => Detail::Exponential(blob::unpack(packed)?),
        MetricKind::Summary => Detail::Summary(blob::unpack(packed)?),
    };
    Ok(Point {
        time_ns: row.get::<_, i64>(0)? as u64,
        start_ns: row.get::<_, i64>(1)? as u64,
        flags: row.get(2)?,
        detail,
    })
}

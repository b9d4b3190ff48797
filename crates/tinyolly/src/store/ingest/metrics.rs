//! Metrics: the metric, its series, their points.

use std::collections::HashMap;

use rusqlite::types::{ToSqlOutput, Value};
use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::{Ingest, Source, Stored};
use crate::store::bounded::Bounded;
use crate::store::intern::digest;
use crate::store::rows::{MetricRow, Number};

/// What makes two points belong to one series.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SeriesKey {
    metric: i64,
    resource: i64,
    scope: i64,
    temporality: i32,
    monotonic: Option<bool>,
    attributes: Vec<u8>,
}

/// Digests of a metric's description and metadata.
type Described = (i64, i64);

/// Metrics (with the digests of their description and metadata) and series by what names them, and what the current transaction adds to each series.
#[derive(Debug, Default)]
pub(super) struct SeriesCache {
    metrics: Bounded<(String, i64, String), (i64, Described)>,
    series: Bounded<SeriesKey, i64>,
    /// Points added, newest time.
    added: HashMap<i64, (i64, u64)>,
}

impl SeriesCache {
    pub(super) fn forget(&mut self) {
        self.metrics.clear();
        self.series.clear();
        self.added.clear();
    }

    /// Writes the counts of the transaction's series.
    pub(super) fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let mut update = db.prepare_cached(
            "UPDATE series SET point_count = point_count + ?2, last_ns = MAX(last_ns, ?3) WHERE id = ?1",
        )?;
        for (id, (points, last_ns)) in self.added.drain() {
            update.execute([id, points, last_ns as i64])?;
        }
        Ok(())
    }

    fn metric(&mut self, db: &Connection, row: &MetricRow) -> rusqlite::Result<i64> {
        let key = (row.name.clone(), row.kind as i64, row.unit.clone());
        let described = (digest(row.description.as_bytes()), digest(&row.metadata));
        if let Some((id, known)) = self.metrics.get_mut(&key) {
            if known.0 != described.0 && !row.description.is_empty() {
                db.prepare_cached("UPDATE metric SET description = ?2 WHERE id = ?1")?
                    .execute(params![*id, row.description])?;
                known.0 = described.0;
            }
            if known.1 != described.1 && !row.metadata.is_empty() {
                db.prepare_cached("UPDATE metric SET metadata = ?2 WHERE id = ?1")?
                    .execute(params![*id, row.metadata])?;
                known.1 = described.1;
            }
            return Ok(*id);
        }
        // The newest description and metadata win, but empty ones say nothing.
        let id = db
            .prepare_cached(
                "INSERT INTO metric(name, type, unit, description, metadata) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT(name, type, unit) DO UPDATE
                 SET description = CASE excluded.description WHEN '' THEN description ELSE excluded.description END,
                   metadata = CASE excluded.metadata WHEN x'' THEN metadata ELSE excluded.metadata END
                 RETURNING id",
            )?
            .query_row(params![key.0, key.1, key.2, row.description, row.metadata], |r| r.get(0))?;
        let bytes = row.name.len() + row.unit.len();
        self.metrics.insert(key, (id, described), bytes);
        Ok(id)
    }

    fn series(&mut self, db: &Connection, key: SeriesKey, service: i64) -> rusqlite::Result<i64> {
        if let Some(id) = self.series.get_mut(&key) {
            return Ok(*id);
        }
        let digest = digest(&key.attributes);
        let found: Option<i64> = db
            .prepare_cached(
                "SELECT id FROM series WHERE digest = ?1 AND metric = ?2 AND resource = ?3 AND scope = ?4
                 AND temporality = ?5 AND monotonic IS ?6 AND attributes = ?7",
            )?
            .query_row(
                params![
                    digest,
                    key.metric,
                    key.resource,
                    key.scope,
                    key.temporality,
                    key.monotonic,
                    key.attributes
                ],
                |row| row.get(0),
            )
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                db.prepare_cached(
                    "INSERT INTO series(digest, metric, service, resource, scope, temporality, monotonic, attributes,
                       point_count, last_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0)",
                )?
                .execute(params![
                    digest,
                    key.metric,
                    service,
                    key.resource,
                    key.scope,
                    key.temporality,
                    key.monotonic,
                    key.attributes
                ])?;
                db.last_insert_rowid()
            }
        };
        let bytes = key.attributes.len();
        self.series.insert(key, id, bytes);
        Ok(id)
    }
}

impl Ingest {
    pub(super) fn metrics(
        &mut self,
        db: &Connection,
        source: Source,
        rows: &[MetricRow],
        stored: &mut Stored,
    ) -> rusqlite::Result<()> {
        let mut insert = db.prepare_cached(
            "INSERT INTO point(id, series, time_ns, start_ns, flags, value, detail)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        for row in rows {
            let metric = self.series.metric(db, row)?;
            for point in &row.points {
                let key = SeriesKey {
                    metric,
                    resource: source.resource,
                    scope: source.scope,
                    temporality: row.temporality,
                    monotonic: row.monotonic,
                    attributes: point.attributes.clone(),
                };
                let series = self.series.series(db, key, source.service)?;
                insert.execute(params![
                    self.sequence.point,
                    series,
                    point.time_ns as i64,
                    point.start_ns as i64,
                    point.flags,
                    point.value,
                    point.detail
                ])?;
                self.sequence.point += 1;
                stored.points += 1;
                let added = self.series.added.entry(series).or_default();
                added.0 += 1;
                added.1 = added.1.max(point.time_ns);
            }
        }
        Ok(())
    }
}

impl ToSql for Number {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Owned(match *self {
            Self::Int(number) => Value::Integer(number),
            Self::Double(number) => Value::Real(number),
        }))
    }
}

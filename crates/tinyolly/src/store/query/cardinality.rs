//! Which labels make up the series of a metric.

use std::collections::{BTreeMap, HashMap};

use opentelemetry_proto::tonic::common::v1::KeyValueList;
use prost::Message;
use rusqlite::Connection;

use super::sources::Sources;
use super::value::text as value_text;
use crate::store::StoreError;
use crate::store::rows::MetricKind;

/// Values listed of a label.
const TOP_VALUES: usize = 20;

/// Where a label comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The points' attributes.
    Attribute,
    /// The resource.
    Resource,
}

/// One label of a metric's series.
#[derive(Clone, Debug)]
pub struct Label {
    /// Its key.
    pub key: String,
    /// Where it comes from.
    pub scope: Scope,
    /// How many values it has.
    pub distinct: u64,
    /// The most frequent values, with the number of series that have them.
    pub values: Vec<(String, u64)>,
}

/// The labels of a metric's series; those with most values first.
#[derive(Clone, Debug)]
pub struct Cardinality {
    /// Series of all kinds and units of the name.
    pub series_count: u64,
    /// The labels.
    pub labels: Vec<Label>,
}

/// The labels of a metric; `None` when there is none of that name.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn cardinality(
    db: &Connection,
    name: &str,
    kind: Option<MetricKind>,
    unit: Option<&str>,
) -> Result<Option<Cardinality>, StoreError> {
    let mut sources = Sources::new(db);
    let mut statement = db.prepare_cached(
        "SELECT s.resource, s.attributes FROM metric m JOIN series s ON s.metric = m.id
         WHERE m.name = ?1 AND (?2 IS NULL OR m.type = ?2) AND (?3 IS NULL OR m.unit = ?3)",
    )?;
    let mut rows = statement.query(rusqlite::params![name, kind.map(|kind| kind as i64), unit])?;
    let mut series_count = 0;
    let mut labels: BTreeMap<(Scope, String), HashMap<String, u64>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        series_count += 1;
        let attributes = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let attributes =
            KeyValueList::decode(attributes).map_err(|e| StoreError::Damaged(e.to_string()))?.values;
        let resource = sources.resource(row.get(0)?)?;
        let resource = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        for (scope, attributes) in [(Scope::Attribute, &attributes[..]), (Scope::Resource, resource)] {
            for attribute in attributes {
                let values = labels.entry((scope, attribute.key.clone())).or_default();
                *values.entry(value_text(attribute.value.as_ref()).into_owned()).or_default() += 1;
            }
        }
    }
    if series_count == 0 {
        return Ok(None);
    }
    let label = |((scope, key), values): ((Scope, String), HashMap<String, u64>)| {
        let distinct = values.len() as u64;
        let mut values: Vec<(String, u64)> = values.into_iter().collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(TOP_VALUES);
        Label { key, scope, distinct, values }
    };
    let mut labels: Vec<Label> = labels.into_iter().map(label).collect();
    labels.sort_by_key(|label| std::cmp::Reverse(label.distinct));
    Ok(Some(Cardinality { series_count, labels }))
}

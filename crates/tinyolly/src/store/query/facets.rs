//! Which values there are, and how often: of chosen fields, and which attributes there are at all.

use std::cmp::Reverse;
use std::collections::HashMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use rusqlite::{Connection, Row};

use super::budget::Budget;
use super::filter::Order;
use super::histogram::Subject;
use super::log_test::{LogTest, severity_class};
use super::log_walk;
use super::sources::Sources;
use super::span_test::SpanTest;
use super::span_walk::{Deep, Walk};
use super::trace_test::TraceTest;
use super::{trace_walk, value};
use crate::store::{StoreError, blob, mark};

/// Values of each field that are answered.
const TOP: usize = 50;
/// Values of a field that are told apart; what comes after them is not counted.
const DISTINCT: usize = 10_000;
/// A longer value is nothing to choose by.
const LONGEST: usize = 1_000;
/// Newest spans or records whose attributes are looked at.
const NEWEST: usize = 2_000;
/// Keys that are answered.
const KEYS: usize = 200;

/// What values are counted of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// `service.name`; of a trace each of its services.
    Service,
    /// Name of the span or root.
    Name,
    /// Kind of the span or root, by OTLP's number.
    Kind,
    /// Status code of the span or root, by OTLP's number.
    Status,
    /// First digit of the HTTP status code.
    StatusClass,
    /// First number of the class of severity; 0 for none.
    Severity,
    /// Event name of a record.
    EventName,
    /// An attribute, of the span or root, the record or its resource.
    Attribute {
        /// It is the resource that has it.
        resource: bool,
        /// Its key.
        key: String,
    },
}

/// Values of fields.
#[derive(Clone, Debug, Default)]
pub struct Facets {
    /// Whether everything was counted.
    pub complete: bool,
    /// Of each field, in the order asked for, the most frequent values first.
    pub fields: Vec<Vec<(String, u64)>>,
}

/// Counts of one field's values.
#[derive(Default)]
struct Values(HashMap<String, u64>);

impl Values {
    /// Counts a value; `false` when there are too many.
    fn add(&mut self, value: &str) -> bool {
        if let Some(count) = self.0.get_mut(value) {
            *count += 1;
            return true;
        }
        let fits = self.0.len() < DISTINCT && value.len() <= LONGEST;
        if fits {
            self.0.insert(value.to_owned(), 1);
        }
        fits
    }

    fn top(self, most: usize) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        all.sort_unstable_by(|(one, n), (two, m)| (Reverse(n), one).cmp(&(Reverse(m), two)));
        all.truncate(most);
        all
    }
}

/// Counts values of what passes, newest first, until the budget is spent.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn facets(
    db: &Connection,
    subject: &Subject,
    fields: &[Field],
    budget: Budget,
) -> Result<Facets, StoreError> {
    let values = fields.iter().map(|_| Values::default()).collect();
    let mut count =
        Count { db, fields, values, sources: Sources::new(db), budget, complete: true, stopped: false };
    match subject {
        Subject::Spans(filter) => {
            let mut sources = Sources::new(db);
            let mut test = SpanTest::new(filter, &sources)?;
            let mut deep = Deep::new(db);
            let bounds = filter.range.bounds();
            let walk = Walk { order: Order::Descending, bounds, after: None, trace: None };
            if !test.is_hopeless() {
                walk.run(db, |key| {
                    if filter.fits_duration(key.duration()) && deep.passes(&mut test, &mut sources, &key)? {
                        let numbers = [key.service, key.name, key.kind.into(), key.status.into(), key.mark];
                        let of_key = (key.trace, key.start_ns, key.span_id);
                        count.span(numbers, None, || {
                            let mut one = db.prepare_cached(
                                "SELECT resource, detail FROM span WHERE trace = ?1 AND start_ns = ?2 AND span_id = ?3",
                            )?;
                            Ok(one.query_row(of_key, packed)?)
                        })?;
                    }
                    Ok(count.goes_on())
                })?;
            }
        }
        Subject::Traces(filter) => {
            let mut test = TraceTest::new(db, filter)?;
            if !test.is_hopeless() {
                trace_walk::walk(db, filter.range.bounds(), Order::Descending, None, |key| {
                    let mut passes = Some(test.admits(&key));
                    if passes == Some(true) {
                        passes = test.passes(&key, &mut count.budget)?;
                    }
                    match passes {
                        Some(true) => count.trace(key.id)?,
                        Some(false) => {}
                        None => count.stopped = true,
                    }
                    Ok(count.goes_on())
                })?;
            }
        }
        Subject::Logs(filter) => {
            let mut sources = Sources::new(db);
            let mut test = LogTest::new(filter, &sources)?;
            if !test.is_hopeless() {
                log_walk::walk(db, filter, Order::Descending, None, |key| {
                    if log_walk::passes(db, &mut test, &mut sources, &key)? {
                        count.log(key.service, key.severity, || {
                            let mut one =
                                db.prepare_cached("SELECT resource, detail FROM log WHERE id = ?1")?;
                            Ok(one.query_row([key.id], packed)?)
                        })?;
                    }
                    Ok(count.goes_on())
                })?;
            }
        }
    }
    let fields = count.values.into_iter().map(|values| values.top(TOP)).collect();
    Ok(Facets { complete: count.complete, fields })
}

/// Number of the resource, and the packed detail.
type Packed = (i64, Option<Vec<u8>>);

fn packed(row: &Row<'_>) -> rusqlite::Result<Packed> {
    Ok((row.get(0)?, row.get(1)?))
}

struct Count<'a> {
    db: &'a Connection,
    fields: &'a [Field],
    values: Vec<Values>,
    sources: Sources<'a>,
    budget: Budget,
    /// Whether everything was counted; a value that is not told apart ends nothing, so that the others are counted on.
    complete: bool,
    /// The budget was spent within a row.
    stopped: bool,
}

impl Count<'_> {
    fn goes_on(&mut self) -> bool {
        let over = self.stopped || self.budget.is_over();
        self.complete &= !over;
        !over
    }

    /// Counts a span by the numbers of its key; `services` are counted in place of its own.
    fn span(
        &mut self,
        [service, name, kind, status, mark]: [i64; 5],
        services: Option<&[i64]>,
        read: impl FnOnce() -> Result<Packed, StoreError>,
    ) -> Result<(), StoreError> {
        let attributes = self.fields.iter().any(|field| matches!(field, Field::Attribute { .. }));
        let packed = if attributes { Some(read()?) } else { None };
        let (resource, span) = self.open::<Span>(packed)?;
        for (field, values) in self.fields.iter().zip(&mut self.values) {
            let known = match field {
                Field::Service => {
                    let mut known = true;
                    for id in services.unwrap_or(&[service]) {
                        known &= values.add(&self.sources.text(*id)?);
                    }
                    known
                }
                Field::Name => values.add(&self.sources.text(name)?),
                Field::Kind => values.add(&kind.to_string()),
                Field::Status => values.add(&status.to_string()),
                Field::StatusClass => match mark::status_class(mark) {
                    0 => true,
                    class => values.add(&class.to_string()),
                },
                Field::Severity | Field::EventName => true,
                Field::Attribute { resource: of_resource, key } => {
                    let own =
                        if *of_resource { attributes_of(resource.as_deref()) } else { &span.attributes };
                    add_attribute(values, own, key)
                }
            };
            self.complete &= known;
        }
        Ok(())
    }

    /// Counts a trace, by its root and its services.
    fn trace(&mut self, trace: i64) -> Result<(), StoreError> {
        let mut services = Vec::new();
        if self.fields.contains(&Field::Service) {
            let mut shares = self.db.prepare_cached("SELECT service FROM trace_service WHERE trace = ?1")?;
            services = shares.query_map([trace], |row| row.get(0))?.collect::<Result<_, _>>()?;
        }
        let mut root = self.db.prepare_cached(
            "SELECT s.resource, s.detail, s.service, s.name, s.kind, s.status, s.mark FROM trace t
             JOIN span s ON s.trace = t.id AND s.start_ns = t.root_start_ns AND s.span_id = t.root_span_id
             WHERE t.id = ?1",
        )?;
        let (numbers, packed) = root.query_row([trace], |row| {
            Ok(([row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?], packed(row)?))
        })?;
        self.span(numbers, Some(&services), || Ok(packed))
    }

    fn log(
        &mut self,
        service: i64,
        severity: i32,
        read: impl FnOnce() -> Result<Packed, StoreError>,
    ) -> Result<(), StoreError> {
        let deep = |field: &Field| matches!(field, Field::Attribute { .. } | Field::EventName);
        let packed = if self.fields.iter().any(deep) { Some(read()?) } else { None };
        let (resource, record) = self.open::<LogRecord>(packed)?;
        for (field, values) in self.fields.iter().zip(&mut self.values) {
            let known = match field {
                Field::Service => values.add(&self.sources.text(service)?),
                Field::Severity => values.add(&severity_class(severity).to_string()),
                Field::EventName => record.event_name.is_empty() || values.add(&record.event_name),
                Field::Attribute { resource: of_resource, key } => {
                    let own =
                        if *of_resource { attributes_of(resource.as_deref()) } else { &record.attributes };
                    add_attribute(values, own, key)
                }
                Field::Name | Field::Kind | Field::Status | Field::StatusClass => true,
            };
            self.complete &= known;
        }
        Ok(())
    }

    fn open<M: prost::Message + Default>(
        &mut self,
        packed: Option<Packed>,
    ) -> Result<(Option<std::sync::Arc<ResourceSpans>>, M), StoreError> {
        let Some((resource, detail)) = packed else { return Ok((None, M::default())) };
        Ok((Some(self.sources.resource(resource)?), blob::unpack(detail.as_deref())?))
    }
}

fn attributes_of(envelope: Option<&ResourceSpans>) -> &[KeyValue] {
    envelope.and_then(|e| e.resource.as_ref()).map_or(&[], |resource| &resource.attributes)
}

fn add_attribute(values: &mut Values, attributes: &[KeyValue], key: &str) -> bool {
    let found = attributes.iter().find(|a| a.key == key);
    found.is_none_or(|a| values.add(&value::text(a.value.as_ref())))
}

/// Keys of attributes that begin with `prefix`, in either case, of the newest spans, or records where `logs` says so, and
/// of their resources (with `resource.` before them), the most frequent first.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn attribute_keys(
    db: &Connection,
    logs: bool,
    prefix: &str,
    mut budget: Budget,
) -> Result<Vec<(String, u64)>, StoreError> {
    let mut newest = db.prepare_cached(if logs {
        "SELECT resource, detail FROM log INDEXED BY log_by_time ORDER BY time_ns DESC, id DESC LIMIT ?1"
    } else {
        "SELECT s.resource, s.detail
         FROM (SELECT trace, start_ns, span_id FROM span INDEXED BY span_by_start ORDER BY start_ns DESC LIMIT ?1) AS n
         JOIN span s ON s.trace = n.trace AND s.start_ns = n.start_ns AND s.span_id = n.span_id"
    })?;
    let mut sources = Sources::new(db);
    let mut keys = Values::default();
    let prefix = prefix.to_lowercase();
    let mut rows = newest.query([NEWEST as i64])?;
    while let Some(row) = rows.next()? {
        let (resource, detail) = packed(row)?;
        let resource = sources.resource(resource)?;
        let own = if logs {
            blob::unpack::<LogRecord>(detail.as_deref())?.attributes
        } else {
            blob::unpack::<Span>(detail.as_deref())?.attributes
        };
        let of_resource = attributes_of(Some(&resource)).iter().map(|a| format!("resource.{}", a.key));
        for key in own.into_iter().map(|a| a.key).chain(of_resource) {
            if key.to_lowercase().starts_with(&prefix) {
                keys.add(&key);
            }
        }
        if budget.is_over() {
            break;
        }
    }
    Ok(keys.top(KEYS))
}

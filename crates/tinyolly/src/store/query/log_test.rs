//! A log filter, made ready for one query.

use std::collections::HashMap;

use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::filter::LogFilter;
use super::needle::Needle;
use super::sources::Sources;
use super::span_test::{Choice, choice};
use crate::store::{StoreError, blob};

/// The columns of a record that the index by time holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogKey {
    pub(super) time_ns: i64,
    pub(super) id: i64,
    pub(super) severity: i32,
    pub(super) service: i64,
}

/// A filter at work.
pub(super) struct LogTest<'a> {
    filter: &'a LogFilter,
    pub(super) services: Choice,
    /// Services whose name holds the needle.
    texts: HashMap<i64, bool>,
    /// Resources that fulfil the conditions on resources.
    resources: HashMap<i64, bool>,
}

/// First number of a severity's class, each of which has four; 0 for what is in none.
pub(super) fn severity_class(severity: i32) -> i32 {
    if (1..=24).contains(&severity) { (severity - 1) / 4 * 4 + 1 } else { 0 }
}

impl<'a> LogTest<'a> {
    pub(super) fn new(filter: &'a LogFilter, sources: &Sources<'_>) -> Result<Self, StoreError> {
        let services = choice(sources, &filter.services)?;
        Ok(Self { filter, services, texts: HashMap::new(), resources: HashMap::new() })
    }

    /// Whether no record can pass.
    pub(super) fn is_hopeless(&self) -> bool {
        self.services.as_ref().is_some_and(Vec::is_empty)
    }

    /// Whether a record has to be read, beyond its key, to be sure of it.
    pub(super) fn needs_row(&self) -> bool {
        let f = self.filter;
        f.text.is_some() || !f.conditions.is_empty() || !f.event_names.is_empty()
    }

    /// What of the filter a key answers, without its time.
    pub(super) fn admits(&self, key: &LogKey) -> bool {
        let f = self.filter;
        self.services.as_ref().is_none_or(|ids| ids.contains(&key.service))
            && f.severity_min.is_none_or(|min| key.severity >= min)
            && (f.severities.is_empty() || f.severities.contains(&severity_class(key.severity)))
    }

    /// Whether a record of an admitted key passes all of the filter.
    pub(super) fn passes(
        &mut self,
        sources: &mut Sources<'_>,
        key: &LogKey,
        resource: i64,
        detail: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        let f = self.filter;
        if f.conditions.iter().any(|c| c.resource) {
            let met = match self.resources.get(&resource) {
                Some(met) => *met,
                None => {
                    let envelope = sources.resource(resource)?;
                    let attributes = envelope.resource.as_ref().map_or(&[][..], |r| &r.attributes);
                    let met = f.conditions.iter().filter(|c| c.resource).all(|c| c.is_met(attributes));
                    self.resources.insert(resource, met);
                    met
                }
            };
            if !met {
                return Ok(false);
            }
        }
        let own = f.conditions.iter().any(|c| !c.resource) || !f.event_names.is_empty();
        let named = match &f.text {
            None => true,
            Some(needle) => self.is_named(sources, needle, key.service)?,
        };
        if named && !own {
            return Ok(true);
        }
        let plain = blob::plain(detail)?.unwrap_or_default();
        if let (false, false, Some(needle)) = (named, own, &f.text)
            && !needle.may_be_in_message(&plain)
        {
            return Ok(false);
        }
        let record: LogRecord = blob::decode(&plain)?;
        Ok(f.conditions.iter().filter(|c| !c.resource).all(|c| c.is_met(&record.attributes))
            && (f.event_names.is_empty() || f.event_names.contains(&record.event_name))
            && (named || f.text.as_ref().is_none_or(|needle| is_in_record(needle, &record))))
    }

    fn is_named(
        &mut self,
        sources: &mut Sources<'_>,
        needle: &Needle,
        service: i64,
    ) -> Result<bool, StoreError> {
        if let Some(found) = self.texts.get(&service) {
            return Ok(*found);
        }
        let found = needle.is_in(&sources.text(service)?);
        self.texts.insert(service, found);
        Ok(found)
    }
}

fn is_in_record(needle: &Needle, record: &LogRecord) -> bool {
    needle.is_in_value(record.body.as_ref())
        || needle.is_in_attributes(&record.attributes)
        || needle.is_in(&record.event_name)
}

//! A span filter, made ready for one query: names are numbers, and what was found out about a source is remembered.

use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::filter::SpanFilter;
use super::needle::Needle;
use super::sources::Sources;
use super::value::hex;
use crate::store::rows::{SpanId, TraceId};
use crate::store::{StoreError, blob, mark};

/// OTLP's `STATUS_CODE_ERROR`.
pub(super) const STATUS_ERROR: i32 = 2;

/// The columns of a span that the index by time holds; their order is that of the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) start_ns: i64,
    pub(super) service: i64,
    pub(super) name: i64,
    pub(super) kind: i32,
    pub(super) status: i32,
    pub(super) mark: i64,
    pub(super) duration_ns: i64,
    pub(super) trace: i64,
    pub(super) span_id: SpanId,
}

impl Key {
    /// The duration as it is shown: none for a span that ends before it starts.
    pub(super) fn duration(&self) -> u64 {
        let start = self.start_ns as u64;
        start.wrapping_add(self.duration_ns as u64).saturating_sub(start)
    }

    pub(super) fn is_error(&self) -> bool {
        self.status == STATUS_ERROR
    }
}

/// Numbers of names that are asked for; `None` when any will do.
pub(super) type Choice = Option<Vec<i64>>;

/// Looks names up; those that are not stored choose nothing.
pub(super) fn choice(sources: &Sources<'_>, names: &[String]) -> Result<Choice, StoreError> {
    if names.is_empty() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for name in names {
        found.extend(sources.service_id(name)?);
    }
    Ok(Some(found))
}

fn admits<T: PartialEq>(choices: &[T], value: &T) -> bool {
    choices.is_empty() || choices.contains(value)
}

/// A filter at work.
pub(super) struct SpanTest<'a> {
    filter: &'a SpanFilter,
    pub(super) services: Choice,
    names: Choice,
    /// Texts that hold the needle.
    texts: HashMap<i64, bool>,
    /// Resources that fulfil the conditions on resources.
    resources: HashMap<i64, bool>,
}

impl<'a> SpanTest<'a> {
    pub(super) fn new(filter: &'a SpanFilter, sources: &Sources<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            filter,
            services: choice(sources, &filter.services)?,
            names: choice(sources, &filter.names)?,
            texts: HashMap::new(),
            resources: HashMap::new(),
        })
    }

    /// Whether no span can pass.
    pub(super) fn is_hopeless(&self) -> bool {
        [&self.services, &self.names].into_iter().any(|choice| choice.as_ref().is_some_and(Vec::is_empty))
    }

    /// Whether a span has to be read, beyond its key, to be sure of it.
    pub(super) fn needs_row(&self) -> bool {
        self.filter.text.is_some() || !self.filter.conditions.is_empty()
    }

    /// Whether there is anything that a span may fail, besides its times.
    pub(super) fn asks_anything(&self) -> bool {
        let f = self.filter;
        let choices = [&self.services, &self.names].into_iter().any(|choice| choice.is_some());
        let numbers = !f.kinds.is_empty() || !f.statuses.is_empty() || !f.status_classes.is_empty();
        choices || numbers || f.errors || f.root || self.needs_row()
    }

    /// Whether only service and errors are asked for, which traces keep count of.
    pub(super) fn asks_shares_alone(&self) -> bool {
        let f = self.filter;
        let numbers = !f.kinds.is_empty() || !f.statuses.is_empty() || !f.status_classes.is_empty();
        self.names.is_none() && !numbers && !f.root && !self.needs_row()
    }

    /// What of the filter a key answers, without its times.
    pub(super) fn admits(&self, key: &Key) -> bool {
        let f = self.filter;
        let chosen = |choice: &Choice, id: i64| choice.as_ref().is_none_or(|ids| ids.contains(&id));
        chosen(&self.services, key.service)
            && chosen(&self.names, key.name)
            && admits(&f.kinds, &key.kind)
            && admits(&f.statuses, &key.status)
            && admits(&f.status_classes, &mark::status_class(key.mark))
            && (!f.errors || key.is_error())
            && (!f.root || mark::is_root(key.mark))
    }

    /// Whether a span of an admitted key passes all of the filter. `trace_id` is asked for when it matters.
    pub(super) fn passes(
        &mut self,
        sources: &mut Sources<'_>,
        key: &Key,
        resource: i64,
        detail: Option<&[u8]>,
        trace_id: impl FnOnce() -> Result<TraceId, StoreError>,
    ) -> Result<bool, StoreError> {
        let conditions = &self.filter.conditions;
        if conditions.iter().any(|c| c.resource) {
            let met = match self.resources.get(&resource) {
                Some(met) => *met,
                None => {
                    let envelope = sources.resource(resource)?;
                    let attributes = envelope.resource.as_ref().map_or(&[][..], |r| &r.attributes);
                    let met = conditions.iter().filter(|c| c.resource).all(|c| c.is_met(attributes));
                    self.resources.insert(resource, met);
                    met
                }
            };
            if !met {
                return Ok(false);
            }
        }
        let mut found = match &self.filter.text {
            None => true,
            Some(needle) => self.is_named(sources, needle, key, trace_id)?,
        };
        let own = conditions.iter().any(|c| !c.resource);
        if found && !own {
            return Ok(true);
        }
        let Some(plain) = blob::plain(detail)? else { return Ok(found && !own_needs(conditions)) };
        if let (false, false, Some(needle)) = (found, own, &self.filter.text)
            && !needle.may_be_in_message(&plain)
        {
            return Ok(false);
        }
        let span: Span = blob::decode(&plain)?;
        if !conditions.iter().filter(|c| !c.resource).all(|c| c.is_met(&span.attributes)) {
            return Ok(false);
        }
        if let (false, Some(needle)) = (found, &self.filter.text) {
            found = is_in_span(needle, &span);
        }
        Ok(found)
    }

    /// Whether name, service or an id holds the needle.
    fn is_named(
        &mut self,
        sources: &mut Sources<'_>,
        needle: &Needle,
        key: &Key,
        trace_id: impl FnOnce() -> Result<TraceId, StoreError>,
    ) -> Result<bool, StoreError> {
        for id in [key.name, key.service] {
            let found = match self.texts.get(&id) {
                Some(found) => *found,
                None => {
                    let found = needle.is_in(&sources.text(id)?);
                    self.texts.insert(id, found);
                    found
                }
            };
            if found {
                return Ok(true);
            }
        }
        Ok(needle.may_be_hex() && (needle.is_in(&hex(&key.span_id)) || needle.is_in(&hex(&trace_id()?))))
    }
}

/// Whether conditions on a span's own attributes fail where there are none.
fn own_needs(conditions: &[super::condition::Condition]) -> bool {
    !conditions.iter().filter(|c| !c.resource).all(|c| c.is_met(&[]))
}

fn is_in_span(needle: &Needle, span: &Span) -> bool {
    needle.is_in_attributes(&span.attributes)
        || span.status.as_ref().is_some_and(|status| needle.is_in(&status.message))
        || span.events.iter().any(|e| needle.is_in(&e.name) || needle.is_in_attributes(&e.attributes))
}

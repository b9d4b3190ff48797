//! Runs events through a pipeline, and looks at the spans.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use opentelemetry::{SpanId, Value, trace::SpanKind};
use opentelemetry_sdk::trace::SpanData;
use otel_ebpf_agent::{
    config::HttpSettings,
    export::instrumentation_scope,
    pipeline::{Clock, Counters, Finished, Pipeline},
};

use super::{Event, MS, What};

/// How far the reports of two processors may differ.
const GRACE: Duration = Duration::from_millis(20);

/// Everything that came of a run.
pub struct Run {
    pub finished: Vec<Finished>,
    pub counters: Counters,
    /// Exchanges in the tree when all was quiet, and when all was over.
    pub left: (usize, usize),
}

/// Runs events in the order in which they reach the pipeline.
pub fn run(events: &[Event]) -> Run {
    run_with(&HttpSettings::default(), events)
}

pub fn run_with(settings: &HttpSettings, events: &[Event]) -> Run {
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_by_key(|event| event.deliver_ns);
    let mut pipeline = Pipeline::new(settings, instrumentation_scope(), Clock::new(0, 0));
    let mut ticked_ns = 0;
    let mut last_ns = 0;
    for event in events {
        last_ns = event.deliver_ns;
        if ticked_ns + 5 * MS <= last_ns {
            ticked_ns = last_ns;
            pipeline.tick(last_ns);
        }
        match &event.what {
            What::Data(event, payload) => pipeline.data(event, payload, &[]),
            What::Socket(event) => pipeline.socket(event),
            What::Task(event) => pipeline.task(event),
        }
    }
    for _ in 0..3 {
        last_ns += 30 * MS;
        pipeline.tick(last_ns);
    }
    let quiet = pipeline.open_exchanges();
    pipeline.finish(last_ns);
    let left = (quiet, pipeline.open_exchanges());
    Run { finished: pipeline.take_finished().collect(), counters: pipeline.counters().clone(), left }
}

/// Parent and evidence.
pub type Link = (Option<String>, &'static str);

impl Run {
    /// The span of this name, as [`name`] has it.
    pub fn span(&self, named: &str) -> &SpanData {
        &self.finished(named).span
    }

    pub fn finished(&self, named: &str) -> &Finished {
        let mut found = self.finished.iter().filter(|finished| name(&finished.span) == named);
        let one = found.next().unwrap_or_else(|| panic!("no span {named}: {:#?}", self.links()));
        assert!(found.next().is_none(), "more than one {named}");
        one
    }

    /// What a span hangs at, and by which evidence ("" for none).
    pub fn link(&self, named: &str) -> Link {
        let span = self.span(named);
        let parent = span.parent_span_id;
        let known = self.finished.iter().find(|other| other.span.span_context.span_id() == parent);
        let parent = match known {
            _ if parent == SpanId::INVALID => None,
            Some(known) => Some(name(&known.span)),
            None => Some(parent.to_string()),
        };
        (parent, source(span))
    }

    /// Asserts a span's parent and evidence.
    #[track_caller]
    pub fn assert_link(&self, child: &str, parent: &str, by: &str) {
        assert_eq!(self.link(child), (Some(parent.to_owned()), source_named(by)), "{child}");
        let (child, parent) = (self.span(child), self.span(parent));
        assert_eq!(child.span_context.trace_id(), parent.span_context.trace_id());
    }

    #[track_caller]
    pub fn assert_root(&self, named: &str) {
        assert_eq!(self.link(named), (None, ""), "{named}");
    }

    /// All spans of exchanges with their links.
    pub fn links(&self) -> BTreeMap<String, Link> {
        let exchanges =
            || self.finished.iter().map(|it| &it.span).filter(|it| it.span_kind != SpanKind::Internal);
        let names: HashMap<SpanId, String> =
            exchanges().map(|span| (span.span_context.span_id(), name(span))).collect();
        let parent = |span: &SpanData| match names.get(&span.parent_span_id) {
            None if span.parent_span_id == SpanId::INVALID => None,
            None => Some(span.parent_span_id.to_string()),
            known => known.cloned(),
        };
        exchanges().map(|span| (name(span), (parent(span), source(span)))).collect()
    }

    /// What holds of every run of which all was seen.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.left.0, 0, "exchanges left in the tree");
        self.check_after_losses();
    }

    /// What holds of every run.
    #[track_caller]
    pub fn check_after_losses(&self) {
        let by_id: HashMap<SpanId, &SpanData> =
            self.finished.iter().map(|it| (it.span.span_context.span_id(), &it.span)).collect();
        assert_eq!(by_id.len(), self.finished.len(), "an id was given twice");
        assert_eq!(self.counters.spans, self.finished.len() as u64);
        assert_eq!(self.left.1, 0, "exchanges left in the tree");
        let links = &self.counters.links;
        let told = self.counters.exchanges - self.counters.ignored + self.counters.failed_connects;
        assert_eq!(links.roots + links.linked.values().sum::<u64>(), told, "{links:?}");
        for span in by_id.values() {
            assert!(span.start_time <= span.end_time, "{span:?}");
            if span.parent_span_id == SpanId::INVALID || span.parent_span_is_remote {
                continue;
            }
            let parent = by_id.get(&span.parent_span_id);
            let parent = parent.unwrap_or_else(|| panic!("{} hangs nowhere", name(span)));
            assert_eq!(span.span_context.trace_id(), parent.span_context.trace_id(), "{}", name(span));
            if span.span_kind == SpanKind::Internal || source(span) == "tcp_seq" {
                // A server may go on after its client gave up; it never seems to for less than the grace.
                let goes_on = span.end_time > parent.end_time + GRACE;
                let is_inside =
                    parent.start_time <= span.start_time && (goes_on || span.end_time <= parent.end_time);
                assert!(is_inside, "{} {} in {} {}", name(span), times(span), name(parent), times(parent));
            }
            let mut seen = HashSet::new();
            let mut at = Some(*span);
            while let Some(span) = at {
                assert!(seen.insert(span.span_context.span_id()), "a loop at {}", name(span));
                at = by_id.get(&span.parent_span_id).copied();
            }
        }
    }
}

/// `server /path`, `client /path`, or the span's own name.
pub fn name(span: &SpanData) -> String {
    let path = |key: &str| attribute(span, key).map(|url| url.trim_start_matches("http://").to_owned());
    match span.span_kind {
        SpanKind::Server => format!("server {}", path("url.path").unwrap_or_default()),
        SpanKind::Client => match path("url.full") {
            Some(url) => format!("client {}", &url[url.find('/').unwrap_or(0)..]),
            None => span.name.to_string(),
        },
        _ => span.name.to_string(),
    }
}

pub fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|pair| pair.key.as_str() == key)?;
    match &found.value {
        Value::String(text) => Some(text.as_str().to_owned()),
        other => Some(other.to_string()),
    }
}

/// Start and end, `CLOCK_MONOTONIC` ns.
pub fn time(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).expect("after the epoch").as_nanos() as u64
}

fn times(span: &SpanData) -> String {
    format!("{}..{}", time(span.start_time), time(span.end_time))
}

fn source(span: &SpanData) -> &'static str {
    source_named(&attribute(span, "ebpf.link.source").unwrap_or_default())
}

fn source_named(named: &str) -> &'static str {
    ["header", "tcp_seq", "thread", "sole"].into_iter().find(|source| *source == named).unwrap_or("")
}

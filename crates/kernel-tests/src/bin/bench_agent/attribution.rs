//! Who called whom, against the truth: the id of a request is in the path of every call that it makes.

use std::{
    collections::{BTreeMap, HashMap},
    process::Command,
};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use otel_ebpf_kernel_tests::{
    agent::Agent,
    forest,
    net::free_port,
    services::{Service, python_hop},
    sink::{Received, Sink},
    wait::wait_until,
};

use super::{
    Measurement,
    options::Effort,
    programs,
    table::{Row, grouped},
};

/// Requests under way at a time.
const CONCURRENCY: usize = 64;

/// How many wrong links are printed.
const EXAMPLES: usize = 5;

/// What a pattern is held to: the share of calls that must be linked, in hundredths of a per cent. A wrong link meets no
/// bar.
#[derive(Clone, Copy)]
struct Bar(u64);

/// For async services.
const NEARLY_ALL: Bar = Bar(9_950);
/// Where each request has a thread or a goroutine of its own.
const ALL: Bar = Bar(10_000);
/// For what cannot be told.
const NONE_WRONG: Bar = Bar(0);

/// A service that calls another.
struct Pattern {
    name: &'static str,
    /// What it does, for the table.
    told: &'static str,
    /// Calls for each request.
    calls: usize,
    bar: Bar,
    start: fn(port: u16, back: u16) -> Service,
}

const PATTERNS: [Pattern; 9] = [
    rust("pooled", "a pooled client", 1, NEARLY_ALL),
    rust("fresh", "a new connection for each call", 1, NEARLY_ALL),
    rust("spawn", "a new task sleeps and calls", 1, NEARLY_ALL),
    rust("join", "`join!` of two calls", 2, NEARLY_ALL),
    rust("yield", "sleep, call, yield, call", 2, NEARLY_ALL),
    rust("blocking", "`spawn_blocking`, then a call", 1, NEARLY_ALL),
    rust("queue", "a queue to one task that calls", 1, NONE_WRONG),
    Pattern {
        name: "python",
        told: "Python, a thread for each connection",
        calls: 1,
        bar: ALL,
        start: |port, back| python_hop(port, Some((back, "new"))),
    },
    Pattern { name: "go", told: "Go's `net/http`", calls: 1, bar: ALL, start: programs::go },
];

const fn rust(name: &'static str, told: &'static str, calls: usize, bar: Bar) -> Pattern {
    Pattern { name, told, calls, bar, start: programs::front }
}

/// One measurement for each pattern.
pub fn all() -> Vec<Measurement> {
    let measurement = |pattern: &'static Pattern| {
        Measurement::new(format!("attribution/{}", pattern.name), |effort| vec![pattern.measure(effort)])
    };
    PATTERNS.iter().map(measurement).collect()
}

impl Pattern {
    fn measure(&self, effort: Effort) -> Row {
        let requests = effort.requests();
        let (front_port, back_port) = (free_port(), free_port());
        let back = programs::back(back_port);
        let front = (self.start)(front_port, back_port);
        let sink = Sink::start();
        let agent = Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &format!("{front_port},{back_port}"))]);
        agent.wait_until_traces(back.pid());
        agent.wait_until_traces(front.pid());
        // Whose runtime it is takes longer to find; calls before that are told without it.
        let found = format!("runtime pid={} ", front.pid());
        wait_until(&found, || agent.log().contains(&found));
        let load = Command::new(programs::patterns())
            .args(["load", &format!("http://127.0.0.1:{front_port}"), self.name])
            .args([requests, CONCURRENCY].map(|number| number.to_string()))
            .output()
            .expect("run the load");
        let output = String::from_utf8_lossy(&load.stdout);
        let errors = String::from_utf8_lossy(&load.stderr);
        assert!(load.status.success(), "the load failed: {}{}", output.trim(), errors.trim());
        let ended = agent.stop();
        let lost = ended.kernel_losses();

        let mut spans: Vec<Seen> = sink.spans().iter().map(Seen::of).collect();
        spans.retain(|span| [front.pid(), back.pid()].contains(&span.pid));
        let (calls, served) = judge(&spans, front.pid());
        for wrong in calls.wrong.iter().chain(&served.wrong).take(EXAMPLES) {
            eprintln!("    wrong: {wrong}");
        }
        let expected = requests * self.calls;
        let enough = calls.is_enough(expected, self.bar);
        // What the back serves was always asked for by the front.
        let served_enough = served.is_enough(expected, if self.bar.0 == 0 { NEARLY_ALL } else { self.bar });
        let mut told = calls.tell(expected);
        told += &format!("; what was asked for: {}", served.tell(expected));
        if lost > 0 {
            told += &format!("; {lost} events lost");
        }
        Row::held(&format!("calls linked, {}", self.told), told, &self.bar.tell(), enough && served_enough)
    }
}

impl Bar {
    fn tell(self) -> String {
        match self.0 {
            0 => "0 wrong".to_owned(),
            share => format!("≥ {} %, 0 wrong", share as f64 / 100.0),
        }
    }
}

/// What judging takes of a span.
#[derive(Clone, Debug)]
struct Seen {
    kind: SpanKind,
    pid: u32,
    path: String,
    id: Vec<u8>,
    parent: Vec<u8>,
    source: Option<String>,
}

impl Seen {
    fn of(received: &Received) -> Self {
        let path = match received.attribute("url.full").as_str().and_then(path_of) {
            Some(path) => path.to_owned(),
            None => received.path(),
        };
        Self {
            kind: received.span.kind(),
            pid: received.pid(),
            path,
            id: received.span.span_id.clone(),
            parent: received.span.parent_span_id.clone(),
            source: forest::source(received),
        }
    }

    /// The id that the path carries.
    fn request(&self) -> Option<&str> {
        self.path.split('/').nth(2)
    }
}

fn path_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://")?.1;
    rest.find('/').map(|at| &rest[at..])
}

/// How the spans of one kind are linked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    by_source: BTreeMap<String, usize>,
    unlinked: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn right(&self) -> usize {
        self.by_source.values().sum()
    }

    fn is_enough(&self, expected: usize, bar: Bar) -> bool {
        self.wrong.is_empty() && self.right() as u64 * 10_000 >= expected as u64 * bar.0
    }

    fn tell(&self, expected: usize) -> String {
        let right = self.right();
        let by_source: Vec<String> =
            self.by_source.iter().map(|(by, count)| format!("`{by}` {}", grouped(*count as u64))).collect();
        let missing = expected.saturating_sub(right + self.unlinked + self.wrong.len());
        let mut told = format!("{:.2} %", 100.0 * right as f64 / expected as f64);
        if !by_source.is_empty() {
            told += &format!(" ({})", by_source.join(", "));
        }
        for (count, what) in [(self.unlinked, "unlinked"), (missing, "without a span")] {
            if count > 0 {
                told += &format!(", {} {what}", grouped(count as u64));
            }
        }
        told + &format!(", {} wrong", self.wrong.len())
    }
}

/// Judges the calls that the front made, and what others served because of them. A root of the front that is linked to
/// anything counts as a wrong call.
fn judge(spans: &[Seen], front: u32) -> (Tally, Tally) {
    let by_id: HashMap<&[u8], &Seen> = spans.iter().map(|span| (span.id.as_slice(), span)).collect();
    let (mut calls, mut served) = (Tally::default(), Tally::default());
    for span in spans {
        let parent = by_id.get(span.parent.as_slice()).copied();
        let (tally, is_right) = match span.kind {
            SpanKind::Client => {
                let is_right = parent.is_some_and(|parent| {
                    parent.kind == SpanKind::Server
                        && parent.pid == span.pid
                        && parent.request() == span.request()
                });
                (&mut calls, is_right)
            }
            SpanKind::Server if span.pid != front => {
                let is_right = parent.is_some_and(|parent| {
                    parent.kind == SpanKind::Client && parent.pid == front && parent.path == span.path
                });
                (&mut served, is_right)
            }
            // Nothing that is traced asks the front.
            SpanKind::Server if !span.parent.is_empty() => (&mut calls, false),
            _ => continue,
        };
        if is_right {
            *tally.by_source.entry(span.source.clone().unwrap_or_default()).or_default() += 1;
        } else if span.parent.is_empty() {
            tally.unlinked += 1;
        } else {
            let (source, parent) = (span.source.as_deref(), parent.map(|parent| parent.path.as_str()));
            tally.wrong.push(format!("{:?} {} by {source:?} to {parent:?}", span.kind, span.path));
        }
    }
    (calls, served)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRONT: u32 = 1;
    const BACK: u32 = 2;

    fn span(kind: SpanKind, pid: u32, path: &str, id: u8, parent: u8, source: &str) -> Seen {
        let id_of = |id: u8| if id == 0 { Vec::new() } else { vec![id; 8] };
        let source = Some(source.to_owned()).filter(|source| !source.is_empty());
        Seen { kind, pid, path: path.to_owned(), id: id_of(id), parent: id_of(parent), source }
    }

    fn chain() -> Vec<Seen> {
        vec![
            span(SpanKind::Server, FRONT, "/pooled/7", 1, 0, ""),
            span(SpanKind::Client, FRONT, "/back/7/0", 2, 1, "task"),
            span(SpanKind::Server, BACK, "/back/7/0", 3, 2, "tcp_seq"),
        ]
    }

    #[test]
    fn a_chain_is_right() {
        let (calls, served) = judge(&chain(), FRONT);
        assert_eq!(calls.tell(1), "100.00 % (`task` 1), 0 wrong");
        assert_eq!(served.tell(1), "100.00 % (`tcp_seq` 1), 0 wrong");
        assert!(calls.is_enough(1, ALL) && !calls.is_enough(2, NEARLY_ALL));
    }

    #[test]
    fn a_link_to_another_request_is_wrong() {
        let mut spans = chain();
        spans.push(span(SpanKind::Server, FRONT, "/pooled/8", 4, 0, ""));
        spans.push(span(SpanKind::Client, FRONT, "/back/8/0", 5, 1, "task"));
        let (calls, _) = judge(&spans, FRONT);
        assert_eq!((calls.right(), calls.wrong.len()), (1, 1));
        assert!(!calls.is_enough(1, NONE_WRONG));
    }

    #[test]
    fn a_link_to_another_call_of_the_request_is_wrong() {
        let mut spans = chain();
        spans[2].path = "/back/7/1".to_owned();
        assert_eq!(judge(&spans, FRONT).1.wrong.len(), 1);
    }

    #[test]
    fn a_parent_that_nobody_told_is_wrong() {
        let mut spans = chain();
        spans.remove(0);
        assert_eq!(judge(&spans, FRONT).0.wrong.len(), 1);
    }

    #[test]
    fn a_root_that_is_linked_is_wrong() {
        let mut spans = chain();
        spans[0].parent = vec![3; 8];
        assert_eq!(judge(&spans, FRONT).0.wrong.len(), 1);
    }

    #[test]
    fn what_is_not_linked_and_what_is_not_there_is_told() {
        let mut spans = chain();
        spans[1].parent.clear();
        let (calls, _) = judge(&spans, FRONT);
        assert_eq!(calls.tell(3), "0.00 %, 1 unlinked, 2 without a span, 0 wrong");
        assert!(calls.is_enough(3, NONE_WRONG) && !calls.is_enough(3, NEARLY_ALL));
    }

    #[test]
    fn the_path_of_a_url_begins_after_the_port() {
        assert_eq!(path_of("http://127.0.0.1:80/back/1"), Some("/back/1"));
        assert_eq!(path_of("http://127.0.0.1:80"), None);
    }
}

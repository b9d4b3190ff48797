//! The trees that spans form, against what is known of the requests: each carries a number that every hop passes on.

use std::{collections::HashMap, fmt::Write as _};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::Value;

use crate::sink::{Received, Sink};

/// Spans of requests, by what links them.
#[derive(Debug)]
pub struct Forest {
    spans: Vec<Received>,
    by_id: HashMap<Vec<u8>, usize>,
}

impl Forest {
    /// What a sink has received so far.
    pub fn of(sink: &Sink) -> Self {
        let mut spans = sink.spans();
        spans.sort_by_key(|span| span.span.start_time_unix_nano);
        let by_id = spans.iter().enumerate().map(|(at, span)| (span.span.span_id.clone(), at)).collect();
        Self { spans, by_id }
    }

    /// Spans of requests that a process served.
    pub fn servers(&self, pid: u32) -> Vec<&Received> {
        self.spans.iter().filter(|span| span.span.kind() == SpanKind::Server && span.pid() == pid).collect()
    }

    /// All client spans.
    pub fn clients(&self) -> Vec<&Received> {
        self.spans.iter().filter(|span| span.span.kind() == SpanKind::Client).collect()
    }

    /// The parent, where it was received too.
    pub fn parent(&self, span: &Received) -> Option<&Received> {
        self.by_id.get(&span.span.parent_span_id).map(|at| &self.spans[*at])
    }

    /// Spans of requests that hang at a span.
    pub fn children(&self, span: &Received) -> Vec<&Received> {
        let is_child = |other: &&Received| {
            is_request(other)
                && !span.span.span_id.is_empty()
                && other.span.parent_span_id == span.span.span_id
        };
        self.spans.iter().filter(is_child).collect()
    }

    /// The one child, which must be linked by this evidence.
    pub fn only_child(&self, span: &Received, by: &str) -> &Received {
        let children = self.children(span);
        let [child] = children[..] else {
            panic!("{} children of {}\n{}", children.len(), tell(span), self.of_number(span))
        };
        assert_eq!(source(child).as_deref(), Some(by), "{}\n{}", tell(child), self.of_number(span));
        child
    }

    /// How many spans are linked by this evidence.
    pub fn linked(&self, by: &str) -> usize {
        self.spans.iter().filter(|span| source(span).as_deref() == Some(by)).count()
    }

    /// Spans of requests without a parent.
    pub fn roots(&self) -> Vec<&Received> {
        self.spans.iter().filter(|span| is_request(span) && span.span.parent_span_id.is_empty()).collect()
    }

    /// Checks every link: that it joins spans of one request, of the right kinds, nested in time, in one trace; and that
    /// spans without one claim no evidence.
    pub fn assert_right(&self) {
        let mut wrong = String::new();
        for span in &self.spans {
            if let Err(what) = self.check(span) {
                writeln!(wrong, "{what}:\n{}", self.of_number(span)).expect("strings take everything");
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
    }

    fn check(&self, span: &Received) -> Result<(), String> {
        let ensure = |truth: bool, what: &str| {
            if truth { Ok(()) } else { Err(format!("{what}: {}", tell(span))) }
        };
        let source = source(span);
        if !is_request(span) {
            let parent = self.parent(span);
            ensure(parent.is_some_and(|parent| parent.span.trace_id == span.span.trace_id), "a lost part")?;
            return ensure(source.is_none(), "a part claims evidence");
        }
        let Some(source) = source else {
            return ensure(span.span.parent_span_id.is_empty(), "a parent without evidence");
        };
        ensure(!span.span.parent_span_id.is_empty(), "evidence without a parent")?;
        if source == "header" {
            // What the header names is no span of the agent's, unless it was passed on.
            let is_passed_on = |parent: &Received| {
                parent.span.kind() == SpanKind::Server
                    && parent.pid() == span.pid()
                    && number(parent) == number(span)
            };
            return ensure(self.parent(span).is_none_or(is_passed_on), "a header that nobody sent");
        }
        let parent = self.parent(span).ok_or_else(|| format!("its parent is missing: {}", tell(span)))?;
        ensure(parent.span.trace_id == span.span.trace_id, "not in its parent's trace")?;
        ensure(parent.span.trace_state == span.span.trace_state, "not with its parent's trace state")?;
        ensure(number(parent) == number(span), "linked to another request's span")?;
        let kinds = (parent.span.kind(), span.span.kind());
        let is_within_process = match source.as_str() {
            "tcp_seq" => {
                ensure(kinds == (SpanKind::Client, SpanKind::Server), "not a client's server")?;
                false
            }
            "task" | "thread" | "sole" => {
                ensure(kinds == (SpanKind::Server, SpanKind::Client), "not a server's call")?;
                true
            }
            _ => return Err(format!("unknown evidence: {}", tell(span))),
        };
        ensure((parent.pid() == span.pid()) == is_within_process, "not where the evidence puts it")?;
        let is_nested = parent.span.start_time_unix_nano <= span.span.start_time_unix_nano
            && span.span.end_time_unix_nano <= parent.span.end_time_unix_nano;
        ensure(is_nested, "not within its parent's time")
    }

    /// The first spans of requests, line by line, for messages.
    pub fn tell_first(&self, count: usize) -> String {
        let requests = self.spans.iter().filter(|span| is_request(span));
        requests.take(count).map(|span| format!("  {}\n", tell(span))).collect()
    }

    /// All that was told of a span's request and of its parent's.
    fn of_number(&self, span: &Received) -> String {
        let numbers = [number(span), self.parent(span).and_then(number)];
        let about = self.spans.iter().filter(|other| numbers.contains(&number(other)) && is_request(other));
        about.map(|span| format!("  {}\n", tell(span))).collect()
    }
}

/// Number of the request that a span tells of: eight digits in its path, else what stands last there.
pub fn number(span: &Received) -> Option<String> {
    let path = match span.attribute("url.full") {
        Value::String(url) => url,
        _ => span.path(),
    };
    let is_number = |part: &&str| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_digit());
    let number = path.split('/').find(is_number).or_else(|| path.rsplit_once('/').map(|(_, last)| last));
    number.map(str::to_owned)
}

/// Evidence for a span's parent.
pub fn source(span: &Received) -> Option<String> {
    span.attribute("ebpf.link.source").as_str().map(str::to_owned)
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_request(span: &Received) -> bool {
    matches!(span.span.kind(), SpanKind::Server | SpanKind::Client)
}

/// A span in one line.
fn tell(span: &Received) -> String {
    let told = &span.span;
    format!(
        "{:?} {} of {} ({}), trace {} span {} parent {} by {}, {}..{}",
        told.kind(),
        number(span).unwrap_or_default(),
        span.service(),
        span.pid(),
        hex(&told.trace_id),
        hex(&told.span_id),
        hex(&told.parent_span_id),
        source(span).unwrap_or_else(|| "nothing".to_owned()),
        told.start_time_unix_nano,
        told.end_time_unix_nano,
    )
}

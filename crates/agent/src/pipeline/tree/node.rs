//! An exchange in the tree.

use opentelemetry::{
    SpanId, TraceId,
    trace::{SpanContext, TraceState},
};
use otel_ebpf_protocols::http1::Role;

use super::{
    HOLD_AT_MOST_NS,
    tasks::{Evidence, late_ns},
};
use crate::pipeline::http_span::ExchangeSpans;

/// Names an exchange in the tree; never given twice.
pub type NodeId = u64;

/// Names an exchange as its process sees it: the socket's cookie and the sequence number of the request's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Socket cookie.
    pub cookie: u64,
    /// Sequence number.
    pub seq: u32,
}

/// What is known of an exchange when its request begins.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Name.
    pub key: Key,
    /// What the process is in it.
    pub role: Role,
    /// Process.
    pub tgid: u32,
    /// Thread that moved the request's first byte.
    pub tid: u32,
    /// Whether that thread was ready to wait for it, as one does that has nothing else to do.
    pub blocking: bool,
    /// When the request's first byte was moved, `CLOCK_MONOTONIC` ns.
    pub start_ns: u64,
    /// Place of the other direction at that moment: the response begins there, or behind it where requests are
    /// pipelined. `None` for a call that never got so far.
    pub answer_seq: Option<u32>,
    /// Tasks that moved the first and the last byte of the request's head; 0 for none.
    pub tasks: [u64; 2],
    /// What the request's `traceparent` and `tracestate` say, where they are valid.
    pub header: Option<SpanContext>,
}

/// Evidence for a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The request carried a `traceparent`: it names the parent, or on a call the request that came with the same one.
    Header,
    /// The request's first byte has the same sequence number at both ends of the connection.
    TcpSeq,
    /// The call was made by the task that reads and answers the request, by one that it made, or by one that took it over
    /// from one of these and gave the response back.
    Task,
    /// The call was made by the thread that waited for the request and serves it alone.
    Thread,
    /// The request was the only one that the process was serving during the whole call.
    Sole,
}

impl Source {
    /// As `ebpf.link.source` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Header => "header",
            Source::TcpSeq => "tcp_seq",
            Source::Task => "task",
            Source::Thread => "thread",
            Source::Sole => "sole",
        }
    }
}

/// Where an exchange hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Not known yet.
    Undecided,
    /// Nowhere: it begins a trace.
    Root,
    /// At the span its request's header names.
    Header,
    /// At another exchange.
    Node(NodeId, Source),
}

/// Who decides whether the spans of a trace are exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampled {
    /// The sampler of the process in which the trace began.
    By(u32),
    /// The header that the trace came with.
    Header(bool),
}

/// A trace, as its spans share it.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Trace id.
    pub id: TraceId,
    /// `tracestate`, passed along.
    pub state: TraceState,
    /// Whether it is exported.
    pub sampled: Sampled,
}

impl Trace {
    /// One that begins in a process that is traced here.
    pub fn begun(id: TraceId, tgid: u32) -> Self {
        Self { id, state: TraceState::default(), sampled: Sampled::By(tgid) }
    }

    /// One that came with a request.
    pub fn carried(header: &SpanContext) -> Self {
        Self {
            id: header.trace_id(),
            state: header.trace_state().clone(),
            sampled: Sampled::Header(header.is_sampled()),
        }
    }
}

/// An exchange that is open, or waits for its place.
#[derive(Debug)]
pub struct Node {
    /// How it began.
    pub opening: Opening,
    /// When it ended.
    pub end_ns: Option<u64>,
    /// What there is to tell of it, once it is over and until it is told.
    pub spans: Option<Box<ExchangeSpans>>,
    /// Where it hangs.
    pub parent: Parent,
    /// Exchanges that hang at it and are still in the tree.
    pub children: usize,
    /// Its main span.
    pub span_id: SpanId,
    /// Its trace, once known.
    pub trace: Option<Trace>,
    /// It began at this time at the latest, as the other end of the connection shows.
    pub began_by_ns: u64,
    /// More than one request may have caused it.
    pub is_ambiguous: bool,
    /// It was told.
    pub is_told: bool,
    /// It is a call whose server end was seen.
    pub has_server: bool,
    /// What the tasks tell about it, for a call that a task made.
    pub evidence: Option<Box<Evidence>>,
}

impl Node {
    /// An exchange that begins.
    pub fn new(opening: Opening, span_id: SpanId) -> Self {
        Self {
            opening,
            end_ns: None,
            spans: None,
            parent: Parent::Undecided,
            children: 0,
            span_id,
            trace: None,
            began_by_ns: u64::MAX,
            is_ambiguous: false,
            is_told: false,
            has_server: false,
            evidence: None,
        }
    }

    /// Sequence numbers of the first bytes of request and response, where the other end was not seen.
    pub fn link_id(&self) -> Option<(u32, u32)> {
        let is_alone = match self.opening.role {
            Role::Client => !self.has_server,
            Role::Server => !matches!(self.parent, Parent::Node(_, Source::TcpSeq)),
        };
        self.opening.answer_seq.filter(|_| is_alone).map(|answer_seq| (self.opening.key.seq, answer_seq))
    }

    /// Until when others wait for its end.
    pub fn held_until_ns(&self) -> u64 {
        self.opening.start_ns.saturating_add(HOLD_AT_MOST_NS)
    }

    /// When all that bears on it has happened; `None` while it goes on.
    pub fn settled_ns(&self) -> Option<u64> {
        self.end_ns.map(|end_ns| end_ns.saturating_add(late_ns(self.opening.tasks)))
    }

    /// From when to when it lasts, as far as that is known.
    pub fn window(&self) -> (u64, u64) {
        (self.opening.start_ns.min(self.began_by_ns), self.end_ns.unwrap_or(u64::MAX))
    }
}

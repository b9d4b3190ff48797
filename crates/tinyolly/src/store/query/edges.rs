//! What the spans of one trace tell of who calls whom.

use std::collections::HashMap;

use opentelemetry_proto::tonic::trace::v1::Span;

use super::peers::{NodeType, Peer, callee, caller, queue};
use crate::store::rollup::{Tally, contribution, is_error};
use crate::store::rows::SpanId;

const SERVER: i32 = 2;
const CLIENT: i32 = 3;
const PRODUCER: i32 = 4;
const CONSUMER: i32 = 5;

/// A span, as the walk needs it.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) trace: i64,
    pub(super) span_id: SpanId,
    pub(super) parent_id: Option<SpanId>,
    pub(super) duration_ns: i64,
    pub(super) kind: i32,
    pub(super) status: i32,
    pub(super) service: i64,
    /// See `mark.rs`.
    pub(super) mark: i64,
    /// Empty where nothing is asked of it.
    pub(super) detail: Span,
}

impl Walked {
    fn tally(&self) -> Tally {
        contribution(self.duration_ns, is_error(self.kind, self.status, self.mark), false)
    }
}

/// A place on the map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    /// By the number of its name.
    Service(i64),
    /// By what spans say of it.
    Peer(Peer),
}

/// The map so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    numbers: HashMap<Node, usize>,
    edges: HashMap<(usize, usize), Tally>,
    /// What services answered, and what began in them.
    served: HashMap<i64, Tally>,
    roots: HashMap<i64, Tally>,
}

/// What the children of a span say about it.
#[derive(Clone, Copy, Debug, Default)]
struct Children {
    /// One of them is what was called.
    answered: bool,
    /// One of them, in the same service, makes the call itself.
    delegated: bool,
}

impl Gathered {
    /// Adds a whole trace. `joined` gives the call, by trace and span, that the root of another host's trace answers.
    pub(super) fn walk(&mut self, spans: &[Walked], joined: &HashMap<(i64, SpanId), (i64, SpanId)>) {
        let by_id: HashMap<_, _> =
            spans.iter().enumerate().map(|(at, span)| ((span.trace, span.span_id), at)).collect();
        let parent_of = |at: usize| {
            let span = &spans[at];
            let key = match span.parent_id {
                Some(parent) => (span.trace, parent),
                None => *joined.get(&(span.trace, span.span_id))?,
            };
            by_id.get(&key).copied().filter(|parent| *parent != at)
        };
        let mut children = vec![Children::default(); spans.len()];
        for (at, span) in spans.iter().enumerate() {
            let Some(parent) = parent_of(at) else { continue };
            if span.kind == SERVER || span.service != spans[parent].service {
                children[parent].answered = true;
            } else if span.kind == CLIENT || span.kind == PRODUCER {
                children[parent].delegated = true;
            }
        }
        for (at, span) in spans.iter().enumerate() {
            self.place(span, parent_of(at).map(|parent| &spans[parent]), children[at]);
        }
    }

    fn place(&mut self, span: &Walked, parent: Option<&Walked>, children: Children) {
        let here = self.number(Node::Service(span.service));
        let tally = span.tally();
        if span.kind == SERVER || span.kind == CONSUMER {
            self.served.entry(span.service).or_default().merge(&tally);
        } else if span.parent_id.is_none() {
            self.roots.entry(span.service).or_default().merge(&tally);
        }
        let through = match span.kind {
            CLIENT | PRODUCER | CONSUMER => queue(span.kind, &span.detail),
            _ => None,
        };
        match (through, parent) {
            (Some((queue, true)), _) => {
                let queue = self.number(Node::Peer(queue));
                return self.edge(queue, here, &tally);
            }
            (Some((queue, false)), _) if !children.delegated => {
                let queue = self.number(Node::Peer(queue));
                self.edge(here, queue, &tally);
            }
            (_, Some(parent)) if parent.service != span.service => {
                // What crossed a queue is told by the queue's edges, if its other end is one.
                let is_queued = parent.kind == PRODUCER && queue(PRODUCER, &parent.detail).is_some();
                let caller = self.number(Node::Service(parent.service));
                if !is_queued {
                    self.edge(caller, here, &failed_if(tally.clone(), parent));
                }
            }
            (_, None) if span.kind == SERVER || span.kind == CONSUMER => {
                let caller = self.number(Node::Peer(caller(&span.detail)));
                self.edge(caller, here, &tally);
            }
            _ => {}
        }
        if span.kind == CLIENT
            && !children.answered
            && !children.delegated
            && queue(CLIENT, &span.detail).is_none()
        {
            let callee = self.number(Node::Peer(callee(&span.detail)));
            self.edge(here, callee, &tally);
        }
    }

    fn number(&mut self, node: Node) -> usize {
        let next = self.numbers.len();
        *self.numbers.entry(node).or_insert(next)
    }

    fn edge(&mut self, source: usize, target: usize, tally: &Tally) {
        self.edges.entry((source, target)).or_default().merge(tally);
    }

    /// Nodes with what they were asked, and the edges between them, by places in the list of nodes.
    #[expect(clippy::type_complexity, reason = "a pair of lists that is taken apart at once")]
    pub(super) fn finish(self) -> (Vec<(Node, Option<Tally>)>, HashMap<(usize, usize), Tally>) {
        let mut incoming: HashMap<usize, Tally> = HashMap::new();
        let mut outgoing: HashMap<usize, Tally> = HashMap::new();
        for ((source, target), tally) in &self.edges {
            incoming.entry(*target).or_default().merge(tally);
            outgoing.entry(*source).or_default().merge(tally);
        }
        let mut nodes: Vec<_> = self.numbers.into_iter().collect();
        nodes.sort_unstable_by_key(|(_, at)| *at);
        let load = |(node, at): (Node, usize)| {
            let load = match &node {
                Node::Service(service) => {
                    self.served.get(service).or_else(|| self.roots.get(service)).cloned()
                }
                Node::Peer(peer) if peer.kind == NodeType::Caller => None,
                // A queue whose senders are not seen is known by what was taken from it.
                Node::Peer(_) => incoming.get(&at).or_else(|| outgoing.get(&at)).cloned(),
            };
            (node, load)
        };
        (nodes.into_iter().map(load).collect(), self.edges)
    }
}

/// A call failed as well when its caller says so: it may have stopped waiting.
fn failed_if(mut tally: Tally, call: &Walked) -> Tally {
    if call.kind == CLIENT && call.status == 2 {
        tally.errors = tally.count;
    }
    tally
}

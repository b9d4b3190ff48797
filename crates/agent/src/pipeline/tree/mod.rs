//! Who caused whom: gives every exchange its place in a trace, on evidence alone.
//!
//! An exchange enters the tree when its request begins and leaves it when it is over and its place is known. Events come
//! nearly in the order of their times, not quite; so nothing is decided before [`GRACE_NS`] have passed behind the
//! moment in question, and what is decided depends on the events' times and not on their order. Where the evidence names
//! no caller, or more than one, the span begins a trace.
//!
//! An exchange is told when all those above it are over, as one that ends without a span must leave nothing hanging.

mod callers;
mod ids;
mod node;
mod place;
mod tasks;
mod waiting;
mod wire;

use std::collections::BTreeMap;

use foldhash::HashMap;
use opentelemetry::SpanId;
use otel_ebpf_protocols::http1::Role;

use super::http_span::ExchangeSpans;
use callers::{Process, Served};
use ids::Ids;
pub use node::{Key, NodeId, Opening, Sampled, Source, Trace};
use node::{Node, Parent};
use otel_ebpf_events::{TaskEvent, task::what};
use tasks::{LATE_NS, late_ns};
use waiting::{Agenda, Answer, Answered, Waiting};
use wire::Wire;

/// How far the events of different processors may be out of order: what happened before this is known in full. The tap
/// reports an operation within the same system call, so only a thread that is taken off its processor in between is late.
pub const GRACE_NS: u64 = 20_000_000;
/// Longest time after its beginning that an exchange keeps those below it waiting for its end. Their place is then
/// decided by what is known.
///
/// Those that wait are told together in the end, and the exporter's queue has to take them.
pub const HOLD_AT_MOST_NS: u64 = 3_000_000_000;
/// Time after a request that could not be told for which its process may be busy with it.
const BLIND_FOR_NS: u64 = 10_000_000_000;
/// Most exchanges in the tree. Those beyond begin traces of their own.
const MOST_NODES: usize = 200_000;
/// Longest chain of callers that is looked along for a loop.
const LONGEST_CHAIN: usize = 64;

/// What became of places, for the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Spans with a parent, by the evidence for it.
    pub linked: BTreeMap<&'static str, u64>,
    /// Spans that begin a trace.
    pub roots: u64,
    /// Of these, calls for which more than one request could be the cause.
    pub ambiguous: u64,
    /// Spans placed before all evidence was in, because they had waited for long or there were too many.
    pub expired: u64,
}

/// A finished exchange with its place.
#[derive(Debug)]
pub struct Placed {
    /// Process it belongs to.
    pub tgid: u32,
    /// Its spans.
    pub spans: ExchangeSpans,
    /// Trace, span, and what the trace says about sampling.
    pub trace: Trace,
    /// The main span.
    pub span_id: SpanId,
    /// Its parent; invalid (zero) for a root.
    pub parent_span_id: SpanId,
    /// Whether the parent is a span of somebody else's.
    pub is_remote: bool,
    /// Evidence for the parent.
    pub source: Option<Source>,
    /// Sequence numbers of the first bytes of request and response, where the other end was not seen here: an agent that
    /// sees it names the same.
    pub link_id: Option<(u32, u32)>,
}

/// A task sent part of a request, or received part of a response.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// Process.
    pub tgid: u32,
    /// Task.
    pub task: u64,
    /// Connection.
    pub cookie: u64,
    /// When, `CLOCK_MONOTONIC` ns.
    pub at_ns: u64,
    /// Whether it received.
    pub is_answer: bool,
}

/// Exchanges that are open, or over and without a place yet.
#[derive(Default)]
pub struct Tree {
    nodes: HashMap<NodeId, Node>,
    next_id: NodeId,
    by_key: HashMap<Key, NodeId>,
    wire: Wire,
    processes: HashMap<u32, Process>,
    /// Calls by their beginning, until the tasks and threads that made them are looked at.
    begun: Agenda,
    /// Calls by when part of the response was received, until the tasks that were woken then are looked at.
    answered: Answered,
    /// Exchanges that are over, by their end, until the grace has passed.
    over: Agenda,
    /// Exchanges that are over and wait until one above them is.
    waiting: Waiting,
    /// Exchanges that found no room.
    strays: Vec<Placed>,
    ids: Ids,
    counts: LinkCounts,
    /// All that happened before this is known.
    known_ns: u64,
    /// When events were lost last.
    lost_ns: (u64, u64),
}

impl Tree {
    /// Counts so far.
    pub fn counts(&self) -> &LinkCounts {
        &self.counts
    }

    /// Exchanges that are open, or over and not told yet.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A request begins; returns its name, where there is room for it.
    pub fn open(&mut self, opening: Opening) -> Option<NodeId> {
        if self.nodes.len() >= MOST_NODES {
            if opening.role == Role::Server {
                self.blind(opening.tgid, opening.start_ns, opening.start_ns);
            }
            return None;
        }
        let id = self.insert(opening);
        self.by_key.insert(self.nodes[&id].opening.key, id);
        Some(id)
    }

    /// A task woke or made another.
    pub fn task(&mut self, event: &TaskEvent) {
        let &TaskEvent { header, from, to, what, .. } = event;
        let tasks = &mut self.process(header.tgid).tasks;
        match what {
            what::SPAWN => tasks.made(from, to, header.ktime_ns),
            what::SEND_FOR => tasks.sends_for(from, to),
            _ => tasks.woke(from, to, header.ktime_ns),
        }
    }

    /// A task moved part of a call.
    pub fn moved(&mut self, moved: &Moved, call: Option<NodeId>) {
        let &Moved { tgid, task, cookie, at_ns, is_answer } = moved;
        let tasks = &mut self.process(tgid).tasks;
        if is_answer {
            tasks.received(task, cookie, at_ns);
            if let Some(call) = call {
                self.answered.add(Answer { due_ns: at_ns + LATE_NS, call, task, cookie, at_ns });
            }
        } else {
            tasks.sent(task, at_ns);
        }
    }

    /// Events of this time may be missing, of any process: what was not seen may have been there, and go on.
    pub fn lost_events(&mut self, from_ns: u64, until_ns: u64) {
        self.lost_ns = (from_ns, until_ns);
        for process in self.processes.values_mut() {
            process.lose(from_ns, until_ns);
        }
    }

    /// Forgets what the tasks of processes did that are gone.
    pub fn keep_processes(&mut self, is_there: impl Fn(u32) -> bool) {
        self.processes.retain(|tgid, process| is_there(*tgid) || !process.has_only_connections());
    }

    /// An exchange is over.
    pub fn end(&mut self, key: Key, role: Role, tgid: u32, end_ns: u64, spans: ExchangeSpans) {
        match self.by_key.remove(&key) {
            Some(id) => self.complete(id, end_ns, spans),
            // It began when there was no room.
            None => self.stray(key, role, tgid, spans),
        }
    }

    /// A call that was over as soon as it is told: a connection that could not be made.
    pub fn instant(&mut self, opening: Opening, end_ns: u64, spans: ExchangeSpans) {
        if self.nodes.len() >= MOST_NODES {
            self.stray(opening.key, opening.role, opening.tgid, spans);
            return;
        }
        let id = self.insert(opening);
        self.complete(id, end_ns, spans);
    }

    /// Tells an exchange for which there was no room as the beginning of a trace.
    fn stray(&mut self, key: Key, role: Role, tgid: u32, spans: ExchangeSpans) {
        self.counts.expired += 1;
        self.counts.roots += 1;
        self.strays.push(Placed {
            tgid,
            spans,
            trace: Trace::begun(self.ids.trace(key), tgid),
            span_id: self.ids.span(key, role),
            parent_span_id: SpanId::INVALID,
            is_remote: false,
            source: None,
            link_id: None,
        });
    }

    /// An exchange gives no span: nothing can be its child.
    pub fn abandon(&mut self, key: Key, end_ns: u64) {
        let Some(id) = self.by_key.remove(&key) else { return };
        let Some(node) = self.nodes.get(&id) else { return };
        let Opening { role, tgid, .. } = node.opening;
        if role == Role::Server {
            // It was there, so it still counts among those that might have caused a call.
            self.process(tgid).server_ended(id, end_ns);
        }
        self.waiting.free(id);
        self.remove(id);
    }

    /// Another tells the spans of a process: its exchanges that were not told yet give none. Returns how many of them were
    /// over; the others are abandoned when they are.
    pub fn leave(&mut self, tgid: u32) -> u64 {
        let is_left = |node: &Node| node.opening.tgid == tgid && node.end_ns.is_some() && !node.is_told;
        let left: Vec<NodeId> =
            self.nodes.iter().filter(|(_, node)| is_left(node)).map(|(id, _)| *id).collect();
        for id in &left {
            self.waiting.free(*id);
            self.remove(*id);
        }
        left.len() as u64
    }

    /// It can no longer be told what becomes of an exchange: it gives no span, but the process may still be busy with it.
    pub fn lose(&mut self, key: Key, at_ns: u64) {
        let node = self.by_key.get(&key).and_then(|id| self.nodes.get(id));
        if let Some((Role::Server, tgid)) = node.map(|node| (node.opening.role, node.opening.tgid)) {
            self.blind(tgid, at_ns, at_ns);
        }
        self.abandon(key, at_ns);
    }

    /// From `from_ns` on a process may be busy with a request of which no more can be told at `now_ns`, not even when it
    /// ends.
    pub fn blind(&mut self, tgid: u32, from_ns: u64, now_ns: u64) {
        self.process(tgid).blind(from_ns, now_ns.saturating_add(BLIND_FOR_NS));
    }

    /// Places what can be placed, given that all that happened before `known_ns` is known.
    pub fn settle(&mut self, known_ns: u64, placed: &mut Vec<Placed>) {
        self.settle_all(known_ns.saturating_sub(GRACE_NS), placed);
    }

    /// Places everything that is over with what is known.
    pub fn finish(&mut self, placed: &mut Vec<Placed>) {
        self.settle_all(u64::MAX, placed);
    }

    /// What comes of it is the same whenever and however often this is done, so decisions that bear on each other are
    /// taken in the order of time: first all of them, then come the spans.
    fn settle_all(&mut self, known_ns: u64, placed: &mut Vec<Placed>) {
        placed.append(&mut self.strays);
        // What was known stays known, whatever clock said so.
        self.known_ns = self.known_ns.max(known_ns);
        let known_ns = self.known_ns;
        for process in self.processes.values_mut() {
            process.tasks.settle(known_ns);
        }
        while let Some(id) = self.begun.next(known_ns) {
            self.ask_task(id);
            self.ask_thread(id);
        }
        while let Some(answer) = self.answered.next(known_ns) {
            self.ask_woken(answer);
        }
        let mut due = Vec::new();
        while let Some(id) = self.over.next(known_ns) {
            self.decide(id, known_ns);
            due.push(id);
        }
        for id in self.waiting.due(known_ns) {
            self.place(id, known_ns, placed);
        }
        for id in due {
            // Those that wait for it are below it, and are told before it.
            for waiting in self.waiting.take(id) {
                self.place(waiting, known_ns, placed);
            }
            self.place(id, known_ns, placed);
        }
        self.processes.retain(|_, process| !process.is_idle(known_ns));
    }

    fn process(&mut self, tgid: u32) -> &mut Process {
        let (from_ns, until_ns) = self.lost_ns;
        self.processes.entry(tgid).or_insert_with(|| {
            let mut process = Process::default();
            process.lose(from_ns, until_ns);
            process
        })
    }

    fn insert(&mut self, opening: Opening) -> NodeId {
        self.next_id += 1;
        let id = self.next_id;
        let span_id = self.ids.span(opening.key, opening.role);
        let Opening { role, tgid, tid, blocking, start_ns, tasks, .. } = opening;
        let peer = self.wire.add(id, &opening, &self.nodes);
        self.nodes.insert(id, Node::new(opening, span_id));
        match role {
            Role::Server => {
                let waited_by = blocking.then_some(tid);
                let served = Served { id, start_ns, end_ns: u64::MAX, waited_by, tasks };
                self.process(tgid).server_started(served);
                if let Some(client) = peer {
                    self.link(id, client, Source::TcpSeq);
                }
            }
            Role::Client => {
                self.begun.add(start_ns + late_ns(tasks), id);
                if let Some(server) = peer {
                    self.link(server, id, Source::TcpSeq);
                }
            }
        }
        id
    }

    fn complete(&mut self, id: NodeId, end_ns: u64, spans: ExchangeSpans) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        node.end_ns = Some(end_ns);
        node.spans = Some(Box::new(spans));
        let settled_ns = node.settled_ns().unwrap_or(end_ns);
        let Opening { role, tgid, .. } = node.opening;
        if role == Role::Server {
            self.process(tgid).server_ended(id, end_ns);
            self.bound_start_of_caller(id);
        }
        self.over.add(settled_ns, id);
    }

    /// Makes `child` the child of `parent`, unless the parent descends from it.
    fn link(&mut self, child: NodeId, parent: NodeId, source: Source) {
        if child == parent || self.descends(parent, child) || !self.nodes.contains_key(&parent) {
            return;
        }
        let Some(node) = self.nodes.get_mut(&child) else { return };
        if node.parent != Parent::Undecided {
            return;
        }
        node.parent = Parent::Node(parent, source);
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children += 1;
            parent.has_server |= source == Source::TcpSeq;
        }
        self.bound_start_of_caller(child);
    }

    /// A client's first byte was on its way before the server had it, whenever the call that sent it returned.
    fn bound_start_of_caller(&mut self, server: NodeId) {
        let Some(node) = self.nodes.get(&server) else { return };
        let (Parent::Node(client, Source::TcpSeq), Some(spans)) = (node.parent, &node.spans) else { return };
        let start_ns = spans.main.start_ns;
        if let Some(client) = self.nodes.get_mut(&client)
            && !client.is_told
        {
            client.began_by_ns = client.began_by_ns.min(start_ns);
        }
    }

    /// Whether `id` is a descendant of `ancestor`; also where the chain is too long to tell.
    fn descends(&self, id: NodeId, ancestor: NodeId) -> bool {
        let mut at = id;
        for _ in 0..LONGEST_CHAIN {
            match self.nodes.get(&at).map(|node| node.parent) {
                Some(Parent::Node(parent, _)) if parent == ancestor => return true,
                Some(Parent::Node(parent, _)) => at = parent,
                _ => return false,
            }
        }
        true
    }

    /// Forgets an exchange that was told, once no other waits for its place.
    fn release(&mut self, id: NodeId) {
        if self.nodes.get(&id).is_some_and(|node| node.is_told && node.children == 0) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: NodeId) {
        let mut gone = Some(id);
        while let Some(node) = gone.take().and_then(|id| self.nodes.remove_entry(&id)) {
            let (id, node) = node;
            self.wire.remove(id, &node.opening);
            if let Parent::Node(parent, _) = node.parent
                && let Some(caller) = self.nodes.get_mut(&parent)
            {
                caller.children -= 1;
                gone = (caller.is_told && caller.children == 0).then_some(parent);
            }
        }
    }

    /// Id of a span that hangs at a placed one and is no exchange, by its number among those.
    pub fn child_id(&self, parent: SpanId, ordinal: usize) -> SpanId {
        self.ids.child(parent, ordinal)
    }
}

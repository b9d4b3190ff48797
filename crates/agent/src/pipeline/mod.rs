//! From events to spans: pure, driven by arguments alone. It reads no clock, opens no file, spawns no task.

mod clock;
mod connect_span;
mod counters;
mod endpoint;
mod errno;
mod forwarded;
mod http_span;
mod order;
mod otlp_export;
mod route;
mod sampler;
mod span;
mod trace_context;
mod tree;

use foldhash::{HashMap, HashSet};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use otel_ebpf_events::{
    ConnKey, DataEvent, SocketEvent, TaskEvent,
    data::{capture, direction},
    socket::what,
};
use otel_ebpf_protocols::{
    http1::{
        CloseKind, Connection, Direction, Exchange, ExchangeEnd, Limits, Op, Opened, Outcome, Role, State,
    },
    method::KnownMethods,
    redact::Redactor,
};

pub use clock::Clock;
pub use counters::Counters;
use http_span::{ExchangeSpans, HttpSpans};
use order::Order;
use otlp_export::{OtlpExports, Watch};
use route::Router;
pub use sampler::{RootDecision, samples};
use span::Identity;
use tree::{Key, Moved, NodeId, Opening, Placed, Tree};
pub use tree::{LinkCounts, Sampled};

use crate::{config::HttpSettings, semconv};

/// What the engine keeps of an operation for the spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Process that did it.
    pub tgid: u32,
    /// Thread that did it.
    pub tid: u32,
    /// When the first of its bytes reached the socket, `CLOCK_MONOTONIC` ns; 0 where not known.
    pub arrival_ns: u64,
    /// TCP sequence number of that byte.
    pub seq: u32,
    /// Place of the other direction when it was done.
    pub other_seq: u32,
    /// The thread was ready to wait for it.
    pub blocking: bool,
    /// Task that the thread ran; 0 for none.
    pub task: u64,
}

/// A finished span and the process it belongs to.
#[derive(Debug)]
pub struct Finished {
    /// Process, as the kernel numbers it.
    pub tgid: u32,
    /// The span.
    pub span: SpanData,
    /// Who decides whether its trace is exported.
    pub sampled: Sampled,
}

/// One connection's end in one process.
struct Tracked {
    engine: Connection<Meta>,
    conn: ConnKey,
    order: Order,
    /// Process of the latest operation.
    tgid: u32,
    /// Task of the latest operation; 0 for none.
    task: u64,
    /// The request that was opened last.
    opened: Option<NodeId>,
    /// What tasks did since the tree was last told.
    moved: Vec<Moved>,
    /// Whether traces are exported over it.
    watch: Watch,
}

/// A response without a visible end is taken as ended after this quiet time.
const QUIET_END_NS: u64 = 2_000_000_000;
/// A connection without open requests is forgotten after this quiet time; its next request is seen as on a connection
/// older than the agent.
const FORGET_IDLE_NS: u64 = 300_000_000_000;
/// Longest time after the loss of events until it is known: between two looks at the counters, and as long as the reader
/// may be behind.
const LOST_WITHIN_NS: u64 = 1_000_000_000;
/// Events between two looks at which exchanges can be placed. Between two ticks there may be thousands: told all at once
/// they would overrun the exporter's queue.
const PLACE_EVERY: u32 = 256;
/// Time between two sweeps over all connections.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;

/// Turns events into spans.
pub struct Pipeline {
    connections: HashMap<u64, Tracked>,
    clock: Clock,
    http: HttpSpans,
    router: Router,
    scope: InstrumentationScope,
    tree: Tree,
    exports: OtlpExports,
    placed: Vec<Placed>,
    counters: Counters,
    outcomes: Vec<Outcome<Meta>>,
    finished: Vec<Finished>,
    /// Cookies on which nothing can become a span any more.
    ignorable: Vec<u64>,
    /// Cookies of connections on which a receive waits for a send.
    waiting: HashSet<u64>,
    swept_ns: u64,
    /// Time of the latest event.
    seen_ns: u64,
    /// Events since the last tick.
    seen: u32,
}

impl Pipeline {
    /// A pipeline without connections.
    pub fn new(http: &HttpSettings, scope: InstrumentationScope, clock: Clock) -> Self {
        let mut redactor = Redactor::default();
        http.sensitive_query_add.iter().for_each(|name| redactor.add(name));
        http.sensitive_query_remove.iter().for_each(|name| redactor.remove(name));
        let methods =
            http.known_methods.as_deref().map_or_else(KnownMethods::default, KnownMethods::from_list);
        let queue_threshold_ns = u64::try_from(http.queue_threshold.0.as_nanos()).unwrap_or(u64::MAX);
        Self {
            connections: HashMap::default(),
            clock,
            http: HttpSpans { redactor, methods, queue_threshold_ns },
            router: Router::new(&http.routes),
            scope,
            tree: Tree::default(),
            exports: OtlpExports::default(),
            placed: Vec::new(),
            counters: Counters::default(),
            outcomes: Vec::new(),
            finished: Vec::new(),
            ignorable: Vec::new(),
            waiting: HashSet::default(),
            swept_ns: 0,
            seen_ns: 0,
            seen: 0,
        }
    }

    /// The wall clock, to adjust.
    pub fn clock_mut(&mut self) -> &mut Clock {
        &mut self.clock
    }

    /// Counts so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts so far, for what happens outside (undecodable records).
    pub fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Connections that are followed.
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// Exchanges that are open, or over and wait for their place in a trace.
    pub fn open_exchanges(&self) -> usize {
        self.tree.len()
    }

    /// Takes the spans finished so far.
    pub fn take_finished(&mut self) -> std::vec::Drain<'_, Finished> {
        self.finished.drain(..)
    }

    /// Takes the cookies of connections on which nothing can become a span any more, so that the kernel side can stop
    /// reporting them.
    pub fn take_ignorable(&mut self) -> std::vec::Drain<'_, u64> {
        self.ignorable.drain(..)
    }

    /// One send or receive.
    pub fn data(&mut self, event: &DataEvent, head: &[u8], tail: &[u8]) {
        self.counters.operations += 1;
        if event.capture != capture::READ {
            self.counters.operations_without_payload += 1;
        }
        let cookie = event.conn.cookie;
        let now_ns = event.header.ktime_ns;
        self.saw(now_ns);
        if event.total_bytes == 0 {
            self.release(cookie);
            // A client that reads the end of the stream gets no more of a response; a server may still answer.
            self.end(cookie, now_ns, Role::Client);
            return;
        }
        let tracked = self.connections.entry(cookie).or_insert_with(|| Tracked {
            engine: Connection::new(Limits::default()),
            conn: event.conn,
            order: Order::default(),
            tgid: event.header.tgid,
            task: event.task,
            opened: None,
            moved: Vec::new(),
            watch: Watch::default(),
        });
        tracked.tgid = event.header.tgid;
        tracked.task = event.task;
        let Tracked { engine, order, moved, watch, .. } = tracked;
        let (outcomes, exports) = (&mut self.outcomes, &mut self.exports);
        order.put(event, head, tail, |event, head, tail| {
            moved.extend(moved_by_task(event));
            exports.operation(watch, event, head, tail);
            feed(engine, event, head, tail, outcomes);
        });
        if order.is_waiting() {
            self.waiting.insert(cookie);
        }
        if matches!(engine.state(), State::Foreign | State::Upgraded) && !watch.is_on() {
            self.ignorable.push(cookie);
        }
        self.settle(cookie, 0);
    }

    /// Leaves the spans of processes that export traces to them.
    pub fn leave_exporters(&mut self) {
        self.exports.watch();
    }

    /// A process begins, or becomes another program.
    pub fn process_begins(&mut self, tgid: u32) {
        self.exports.begins(tgid);
    }

    /// Forgets what is known of processes that are gone.
    pub fn keep_processes(&mut self, is_there: impl Fn(u32) -> bool) {
        self.tree.keep_processes(&is_there);
        self.exports.keep(is_there);
    }

    /// A process that was found to export traces since this was last asked. What it did is told no more.
    pub fn next_exporter(&mut self) -> Option<u32> {
        let tgid = self.exports.next()?;
        self.counters.left_to_sdk += self.tree.leave(tgid);
        Some(tgid)
    }

    /// A task woke or made another.
    pub fn task(&mut self, event: &TaskEvent) {
        self.counters.task_events += 1;
        self.saw(event.header.ktime_ns);
        self.tree.task(event);
    }

    /// Events were lost, not long before `now_ns`: what was not seen may have been there.
    pub fn lost_events(&mut self, now_ns: u64) {
        self.tree.lost_events(now_ns.saturating_sub(LOST_WITHIN_NS), now_ns);
    }

    /// A connection changed its state.
    pub fn socket(&mut self, event: &SocketEvent) {
        let now_ns = event.header.ktime_ns;
        self.saw(now_ns);
        match event.what {
            what::CONNECT_FAILED if self.exports.contains(event.header.tgid) => {
                self.counters.left_to_sdk += 1;
            }
            what::CONNECT_FAILED => {
                self.counters.failed_connects += 1;
                let opening = Opening {
                    // A socket may be told to connect again.
                    key: Key { cookie: event.conn.cookie, seq: event.since_ns as u32 },
                    role: Role::Client,
                    tgid: event.header.tgid,
                    tid: event.header.tid,
                    blocking: false,
                    start_ns: event.since_ns,
                    answer_seq: None,
                    tasks: [0; 2],
                    header: None,
                };
                self.tree.instant(opening, now_ns, ExchangeSpans::alone(connect_span::tell(event)));
            }
            // A server that sends no more cannot answer; a client that sends no more still waits for its response.
            what::SEND_CLOSED => self.end(event.conn.cookie, now_ns, Role::Server),
            _ => {
                let ended_ns = if event.since_ns == 0 { now_ns } else { event.since_ns };
                let how = if event.error == 0 { CloseKind::Fin } else { CloseKind::Reset };
                self.close(event.conn.cookie, ended_ns, how, event.error);
                self.connections.remove(&event.conn.cookie);
            }
        }
    }

    /// Does what time alone brings about: ends of responses that cannot be seen, and forgetting. `now_ns` is kernel time.
    pub fn tick(&mut self, now_ns: u64) {
        let due: Vec<u64> =
            self.waiting.iter().copied().filter(|cookie| self.is_due(*cookie, now_ns)).collect();
        for cookie in due {
            self.waiting.remove(&cookie);
            self.release(cookie);
        }
        // With events still coming, what happened up to now may not have been read yet.
        let known_ns = if std::mem::take(&mut self.seen) > 0 { self.seen_ns } else { now_ns };
        self.place(known_ns);
        if now_ns < self.swept_ns.saturating_add(SWEEP_EVERY_NS) {
            return;
        }
        self.swept_ns = now_ns;
        self.counters.links = self.tree.counts().clone();
        let quiet_before = now_ns.saturating_sub(QUIET_END_NS);
        let forget_before = now_ns.saturating_sub(FORGET_IDLE_NS);
        let mut touched = Vec::new();
        let mut forgotten = HashSet::default();
        for (cookie, tracked) in &mut self.connections {
            let last_ns = tracked.engine.last_activity_ns();
            if tracked.engine.has_open_exchange() {
                if last_ns < quiet_before {
                    tracked.engine.expire(quiet_before, &mut self.outcomes);
                    let made = self.outcomes.len();
                    touched.extend(self.outcomes.drain(..made).map(|outcome| (*cookie, outcome)));
                }
            } else if last_ns < forget_before {
                forgotten.insert(*cookie);
            }
        }
        for (cookie, outcome) in touched {
            self.outcomes.push(outcome);
            self.settle(cookie, 0);
        }
        self.connections.retain(|cookie, _| !forgotten.contains(cookie));
        if self.connections.capacity() > 4 * self.connections.len() + 1024 {
            self.connections.shrink_to_fit();
        }
    }

    /// Ends everything: what is still open is counted as unfinished.
    pub fn finish(&mut self, now_ns: u64) {
        let cookies: Vec<u64> = self.connections.keys().copied().collect();
        for cookie in cookies {
            self.close(cookie, now_ns, CloseKind::Forgotten, 0);
        }
        self.connections.clear();
        self.tree.finish(&mut self.placed);
        self.tell_placed();
        self.counters.links = self.tree.counts().clone();
    }

    /// Connections on which an exchange has been open for long without a byte. The kernel side knows whether they are
    /// still there; the word of their end may have been lost.
    pub fn silent_since(&self, before_ns: u64) -> Vec<u64> {
        let silent = |tracked: &Tracked| {
            tracked.engine.has_open_exchange() && tracked.engine.last_activity_ns() < before_ns
        };
        self.connections.iter().filter(|(_, tracked)| silent(tracked)).map(|(cookie, _)| *cookie).collect()
    }

    /// Gives up a connection whose end was not seen: what is open on it is counted as unfinished.
    pub fn forget(&mut self, cookie: u64, now_ns: u64) {
        self.close(cookie, now_ns, CloseKind::Forgotten, 0);
        self.connections.remove(&cookie);
    }

    /// Whether what waits on a connection should wait no longer; true as well where nothing does.
    fn is_due(&self, cookie: u64, now_ns: u64) -> bool {
        self.connections
            .get(&cookie)
            .is_none_or(|tracked| !tracked.order.is_waiting() || tracked.order.is_overdue(now_ns))
    }

    /// Passes on what waits for a send that does not come.
    fn release(&mut self, cookie: u64) {
        if let Some(Tracked { engine, order, moved, watch, .. }) = self.connections.get_mut(&cookie) {
            let (outcomes, exports) = (&mut self.outcomes, &mut self.exports);
            order.release(|event, head, tail| {
                moved.extend(moved_by_task(event));
                exports.operation(watch, event, head, tail);
                feed(engine, event, head, tail, outcomes);
            });
            self.settle(cookie, 0);
        }
    }

    /// Closes a connection if the process has this role on it.
    fn end(&mut self, cookie: u64, now_ns: u64, role: Role) {
        if self.connections.get(&cookie).is_some_and(|tracked| tracked.engine.role() == Some(role)) {
            self.close(cookie, now_ns, CloseKind::Fin, 0);
        }
    }

    fn close(&mut self, cookie: u64, now_ns: u64, how: CloseKind, errno: u32) {
        self.release(cookie);
        if let Some(tracked) = self.connections.get_mut(&cookie) {
            tracked.engine.close(now_ns, how, &mut self.outcomes);
            self.settle(cookie, errno);
        }
    }

    /// Turns what the engine of a connection said into spans and counts. `errno` is what the end of the connection left.
    fn settle(&mut self, cookie: u64, errno: u32) {
        let Some(tracked) = self.connections.get(&cookie) else {
            self.outcomes.clear();
            return;
        };
        if self.outcomes.is_empty() && tracked.moved.is_empty() {
            return;
        }
        let (conn, tgid, role, task) = (tracked.conn, tracked.tgid, tracked.engine.role(), tracked.task);
        let mut outcomes = std::mem::take(&mut self.outcomes);
        for outcome in outcomes.drain(..) {
            match outcome {
                // Who looks for its caller finds none, and goes by the header that the SDK sent.
                Outcome::Opened(opened) if self.exports.contains(opened.request_meta.tgid) => {}
                Outcome::Opened(opened) => {
                    let id = self.tree.open(opening(cookie, task, &opened));
                    if let Some(tracked) = self.connections.get_mut(&cookie) {
                        tracked.opened = id;
                    }
                }
                Outcome::Dropped { cause, request_seq } => {
                    self.counters.drop_request(cause.as_str());
                    match request_seq {
                        Some(seq) => self.tree.lose(Key { cookie, seq }, self.seen_ns),
                        None if role != Some(Role::Client) => {
                            self.tree.blind(tgid, self.seen_ns, self.seen_ns);
                        }
                        None => {}
                    }
                }
                Outcome::Exchange(exchange) => self.exchange(&exchange, &conn, errno),
            }
        }
        self.outcomes = outcomes;
        if let Some(tracked) = self.connections.get_mut(&cookie) {
            for moved in tracked.moved.drain(..).filter(|_| role == Some(Role::Client)) {
                self.tree.moved(&moved, tracked.opened);
            }
        }
    }

    fn exchange(&mut self, exchange: &Exchange<Meta>, conn: &ConnKey, errno: u32) {
        self.counters.seen += 1;
        self.counters.exchanges += 1;
        let key = Key { cookie: conn.cookie, seq: exchange.request_seq };
        let end_ns = http_span::end_of(exchange);
        let path = otel_ebpf_protocols::url::split_target(&exchange.request).path;
        if self.router.ignores(path) {
            self.counters.ignored += 1;
            self.tree.abandon(key, end_ns);
            return;
        }
        self.exports.exchange(exchange);
        if self.exports.contains(exchange.request_meta.tgid) {
            self.counters.left_to_sdk += 1;
            self.tree.abandon(key, end_ns);
            return;
        }
        let route = if exchange.role == Role::Server { self.router.route(path) } else { None };
        let spans = self.http.tell(exchange, conn, route, errno);
        let tgid = exchange.request_meta.tgid;
        if exchange.role == Role::Server && was_given_up(exchange) {
            self.tree.blind(tgid, end_ns, self.seen_ns);
        }
        self.tree.end(key, exchange.role, tgid, end_ns, spans);
    }

    fn saw(&mut self, at_ns: u64) {
        self.seen_ns = self.seen_ns.max(at_ns);
        self.seen += 1;
        if self.seen.is_multiple_of(PLACE_EVERY) {
            self.place(self.seen_ns);
        }
    }

    /// Finishes the spans whose place is clear from what happened before `known_ns`.
    fn place(&mut self, known_ns: u64) {
        self.tree.settle(known_ns, &mut self.placed);
        self.tell_placed();
    }

    /// Finishes the spans that have their place, children before their parent, so that a reader of the stream knows them
    /// when it comes.
    fn tell_placed(&mut self) {
        for placed in self.placed.drain(..) {
            let Placed { tgid, spans, trace, span_id, parent_span_id, is_remote, source, link_id } = placed;
            let ExchangeSpans { mut main, children } = spans;
            self.counters.spans += 1 + children.len() as u64;
            for (ordinal, child) in children.into_iter().enumerate() {
                let identity = Identity {
                    trace_id: trace.id,
                    span_id: self.tree.child_id(span_id, ordinal),
                    parent_span_id: span_id,
                    parent_is_remote: false,
                    trace_state: trace.state.clone(),
                };
                let span = child.finish(identity, &self.clock, &self.scope);
                self.finished.push(Finished { tgid, span, sampled: trace.sampled });
            }
            if let Some(source) = source {
                main.attributes.push(KeyValue::new(semconv::EBPF_LINK_SOURCE, source.as_str()));
            }
            if let Some((request, response)) = link_id {
                main.attributes
                    .push(KeyValue::new(semconv::EBPF_LINK_ID, format!("{request:08x}{response:08x}")));
            }
            let identity = Identity {
                trace_id: trace.id,
                span_id,
                parent_span_id,
                parent_is_remote: is_remote,
                trace_state: trace.state,
            };
            let span = main.finish(identity, &self.clock, &self.scope);
            self.finished.push(Finished { tgid, span, sampled: trace.sampled });
        }
    }
}

/// Whether the connection ended before the answer did: the process may not know, and still be busy with the request.
fn was_given_up(exchange: &Exchange<Meta>) -> bool {
    matches!(exchange.outcome, ExchangeEnd::NoResponse | ExchangeEnd::Reset | ExchangeEnd::ResponseCutShort)
}

/// What the tree has to know of a request that begins; `task` moved the last byte of its head.
fn opening(cookie: u64, task: u64, opened: &Opened<Meta>) -> Opening {
    let meta = &opened.request_meta;
    let carried = opened.traceparent.as_deref();
    Opening {
        key: Key { cookie, seq: opened.request_seq },
        role: opened.role,
        tgid: meta.tgid,
        tid: meta.tid,
        blocking: meta.blocking,
        start_ns: opened.request_start_ns,
        answer_seq: Some(meta.other_seq),
        tasks: [meta.task, task],
        header: carried.and_then(|parent| trace_context::read(parent, opened.tracestate.as_deref())),
    }
}

/// What the tree has to know of an operation that a task did.
fn moved_by_task(event: &DataEvent) -> Option<Moved> {
    (event.task != 0).then_some(Moved {
        tgid: event.header.tgid,
        task: event.task,
        cookie: event.conn.cookie,
        at_ns: event.header.ktime_ns,
        is_answer: event.direction == direction::RECEIVE,
    })
}

/// Gives one operation to an engine.
fn feed(
    engine: &mut Connection<Meta>,
    event: &DataEvent,
    head: &[u8],
    tail: &[u8],
    outcomes: &mut Vec<Outcome<Meta>>,
) {
    let op = Op {
        direction: if event.direction == direction::SEND { Direction::Send } else { Direction::Receive },
        at_ns: event.header.ktime_ns,
        seq: event.seq,
        total_bytes: event.total_bytes,
        head,
        tail,
        meta: Meta {
            tgid: event.header.tgid,
            tid: event.header.tid,
            arrival_ns: event.arrival_ns,
            seq: event.seq,
            other_seq: event.other_seq,
            blocking: event.blocking != 0,
            task: event.task,
        },
    };
    engine.feed(op, outcomes);
}

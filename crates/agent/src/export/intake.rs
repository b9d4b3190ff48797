//! Where spans become requests, and wait until they are sent.
//!
//! A span is encoded by the thread that offers it, into the request that is being filled: what waits is bytes, whose
//! amount is known and bounded, and no span is moved to another thread, taken apart there and freed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::counters::DropCounters;
use super::proto::Write as _;
use super::worker::Stop;
use super::{SCHEMA_URL, Service, SpanBatchItem, encode, instrumentation_scope};

/// How requests are cut, and how much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most spans of a request.
    pub(super) batch_spans: usize,
    /// Bytes of spans from which on a request is full. Collectors refuse messages of more than 4 MiB as a rule.
    pub(super) batch_bytes: usize,
    /// How long a span waits for others.
    pub(super) batch_timeout: Duration,
    /// Most spans that are neither delivered nor given up.
    pub(super) queue_spans: usize,
    /// Most bytes of these.
    pub(super) queue_bytes: usize,
}

/// What is neither delivered nor given up, over all requests.
#[derive(Debug, Default)]
struct Held {
    spans: AtomicUsize,
    bytes: AtomicUsize,
}

/// A request that is ready to be sent. Spans that it has when it is dropped are counted as left at shutdown.
#[derive(Debug)]
pub(super) struct Batch {
    /// The request, encoded.
    pub(super) body: Bytes,
    spans: u64,
    /// Bytes of the spans alone.
    bytes: usize,
    held: Arc<Held>,
    counters: Arc<DropCounters>,
}

impl Batch {
    /// Spans in it.
    pub(super) fn spans(&self) -> u64 {
        self.spans
    }

    /// The collector has it, but for so many spans that it refused.
    pub(super) fn delivered(mut self, refused: u64) {
        let spans = self.take();
        self.counters.add_exported(spans - refused.min(spans));
        self.counters.add_rejected(refused.min(spans));
    }

    /// The collector does not want it.
    pub(super) fn refused(mut self) {
        let spans = self.take();
        self.counters.add_rejected(spans);
    }

    fn take(&mut self) -> u64 {
        let spans = std::mem::take(&mut self.spans);
        self.held.spans.fetch_sub(spans as usize, Ordering::AcqRel);
        self.held.bytes.fetch_sub(std::mem::take(&mut self.bytes), Ordering::AcqRel);
        spans
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let left = self.take();
        self.counters.add_shutdown(left);
    }
}

/// The spans of one service in the request that is being filled.
#[derive(Debug)]
struct Group {
    service: Arc<Service>,
    /// `ScopeSpans.spans`, encoded.
    spans: Vec<u8>,
}

#[derive(Debug, Default)]
struct State {
    groups: Vec<Group>,
    /// The group that the last span went to.
    latest: usize,
    spans: usize,
    bytes: usize,
    /// When the first span came.
    since: Option<Instant>,
    ready: VecDeque<Batch>,
    is_closed: bool,
}

/// Shared by whoever offers spans and the worker that sends them.
#[derive(Debug)]
pub(super) struct Intake {
    state: Mutex<State>,
    /// Wakes the worker: a request begins to be filled, or is full.
    changed: Notify,
    held: Arc<Held>,
    limits: Limits,
    counters: Arc<DropCounters>,
    /// `ScopeSpans.scope`, encoded.
    scope: Vec<u8>,
}

impl Intake {
    pub(super) fn new(limits: Limits, counters: Arc<DropCounters>) -> Self {
        let mut scope = Vec::new();
        encode::scope(&mut scope, 1, &instrumentation_scope());
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            held: Arc::default(),
            limits,
            counters,
            scope,
        }
    }

    /// Takes a span in, or counts why not. Never waits for the network.
    pub(super) fn offer(&self, item: &SpanBatchItem) {
        self.counters.add_offered(1);
        let mut state = self.lock();
        if state.is_closed {
            self.counters.add_shutdown(1);
            return;
        }
        let held = |of: &AtomicUsize| of.load(Ordering::Acquire);
        if held(&self.held.spans) >= self.limits.queue_spans
            || held(&self.held.bytes) >= self.limits.queue_bytes
        {
            self.counters.add_queue_full(1);
            return;
        }
        let written = state.write(item);
        self.held.spans.fetch_add(1, Ordering::AcqRel);
        self.held.bytes.fetch_add(written, Ordering::AcqRel);
        let is_first = state.since.is_none();
        if is_first {
            state.since = Some(Instant::now());
        }
        let is_full = state.spans >= self.limits.batch_spans || state.bytes >= self.limits.batch_bytes;
        if is_full {
            self.seal(&mut state);
        }
        drop(state);
        if is_first || is_full {
            self.changed.notify_one();
        }
    }

    /// Waits for a request that is full or old; `None` once told to stop and none is left.
    pub(super) async fn next(&self, stop: &mut Stop) -> Option<Batch> {
        loop {
            let due = {
                let mut state = self.lock();
                if let Some(batch) = state.ready.pop_front() {
                    return Some(batch);
                }
                let due = state.since.map(|since| since + self.limits.batch_timeout);
                if state.is_closed || due.is_some_and(|due| due <= Instant::now()) {
                    self.seal(&mut state);
                    let batch = state.ready.pop_front();
                    if batch.is_some() || state.is_closed {
                        return batch;
                    }
                }
                due
            };
            let timeout = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = timeout => {}
                // An error means that nobody can tell any more.
                _ = stop.wait_for(Option::is_some) => self.lock().is_closed = true,
            }
        }
    }

    /// Takes nothing more in, and gives up what waits; returns how many spans.
    pub(super) fn close(&self) -> u64 {
        let mut state = self.lock();
        state.is_closed = true;
        self.seal(&mut state);
        state.ready.drain(..).map(|batch| batch.spans).sum()
    }

    /// Makes a request of what was taken in, if there is something.
    fn seal(&self, state: &mut State) {
        state.since = None;
        if state.spans == 0 {
            return;
        }
        let mut body = Vec::with_capacity(state.bytes + state.groups.len() * 1024);
        for Group { service, spans } in state.groups.drain(..) {
            body.message(1, |body| {
                body.extend_from_slice(service.encoded());
                body.message(2, |body| {
                    body.extend_from_slice(&self.scope);
                    body.extend_from_slice(&spans);
                    body.bytes(3, SCHEMA_URL.as_bytes());
                });
                if let Some(url) = service.resource.schema_url() {
                    body.bytes(3, url.as_bytes());
                }
            });
        }
        state.latest = 0;
        state.ready.push_back(Batch {
            body: body.into(),
            spans: std::mem::take(&mut state.spans) as u64,
            bytes: std::mem::take(&mut state.bytes),
            held: Arc::clone(&self.held),
            counters: Arc::clone(&self.counters),
        });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts a span to the others of its service; returns its size.
    fn write(&mut self, item: &SpanBatchItem) -> usize {
        let is_its = |group: &Group| Arc::ptr_eq(&group.service, &item.service);
        if !self.groups.get(self.latest).is_some_and(is_its) {
            self.latest = self.groups.iter().position(is_its).unwrap_or_else(|| {
                self.groups.push(Group { service: Arc::clone(&item.service), spans: Vec::new() });
                self.groups.len() - 1
            });
        }
        let group = &mut self.groups[self.latest];
        let before = group.spans.len();
        encode::span(&mut group.spans, 2, &item.span);
        let written = group.spans.len() - before;
        self.spans += 1;
        self.bytes += written;
        written
    }
}

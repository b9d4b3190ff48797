//! Takes spans out of the queue and delivers them, batch by batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc::Receiver;
use tracing::instrument::WithSubscriber;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::counters::DropCounters;
use super::outcome::{Failure, classify};
use super::partial::PartialSuccess;
use super::throttle::Throttle;
use super::{Service, SpanBatchItem};

/// How long a request is offered again to a collector that answers but does not take it. Without an end, one
/// request that a collector can never take (such as one above its size limit) would hold up all others.
const BUSY_PATIENCE: Duration = Duration::from_secs(60);

/// Tells the worker to stop, and until when it may still deliver.
pub(super) type Stop = tokio::sync::watch::Receiver<Option<tokio::time::Instant>>;

/// How a batch is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchLimits {
    pub(super) max_size: usize,
    pub(super) timeout: Duration,
}

/// The spans of one service, exported in one request.
struct Group {
    service: Arc<Service>,
    spans: Vec<SpanData>,
}

/// Owns everything between the queue and the collector. Its state survives when [`Worker::run`] is dropped half way, so
/// that what was not delivered can be counted.
pub(super) struct Worker {
    queue: Receiver<SpanBatchItem>,
    /// Says when to stop taking spans in.
    stop: Stop,
    exporter: SpanExporter,
    endpoint: String,
    limits: BatchLimits,
    counters: Arc<DropCounters>,
    /// Taken out of the queue and not yet delivered; the last one is delivered next.
    pending: Vec<Group>,
    partial: PartialSuccess,
    backoff: Backoff,
    unreachable: bool,
    failures: Throttle,
    refusals: Throttle,
}

impl Worker {
    pub(super) fn new(
        queue: Receiver<SpanBatchItem>,
        stop: Stop,
        exporter: SpanExporter,
        endpoint: String,
        limits: BatchLimits,
        counters: Arc<DropCounters>,
    ) -> Self {
        Self {
            queue,
            stop,
            exporter,
            endpoint,
            limits,
            counters,
            pending: Vec::new(),
            partial: PartialSuccess::new(),
            backoff: Backoff::new(),
            unreachable: false,
            failures: Throttle::default(),
            refusals: Throttle::default(),
        }
    }

    /// Delivers until told to stop, then what is left in the queue. Dropping it earlier leaves the fate of the request
    /// under way unknown.
    pub(super) async fn run(&mut self) {
        loop {
            while !self.pending.is_empty() {
                self.deliver_next().await;
            }
            if !self.collect().await {
                return;
            }
        }
    }

    /// Counts what is left, after the last call of [`Worker::run`].
    pub(super) fn abandon(mut self) {
        self.queue.close();
        let mut left: u64 = self.pending.iter().map(|group| group.spans.len() as u64).sum();
        while self.queue.try_recv().is_ok() {
            left += 1;
        }
        self.counters.add_shutdown(left);
        if left > 0 {
            warn!(spans = left, endpoint = self.endpoint, "spans not exported before the end");
        }
    }

    /// Waits for a span and takes others that come before the batch is full or old. False when there is nothing
    /// left to come.
    async fn collect(&mut self) -> bool {
        let Some(first) = self.next().await else { return false };
        self.add(first);
        let mut taken = 1;
        let deadline = tokio::time::Instant::now() + self.limits.timeout;
        while taken < self.limits.max_size {
            match tokio::time::timeout_at(deadline, self.next()).await {
                Ok(Some(item)) => {
                    self.add(item);
                    taken += 1;
                }
                Ok(None) | Err(_) => break,
            }
        }
        true
    }

    /// Waits for the next span; `None` once told to stop and the queue is empty.
    async fn next(&mut self) -> Option<SpanBatchItem> {
        loop {
            tokio::select! {
                biased;
                // An error means that nobody can tell any more.
                _ = self.stop.wait_for(Option::is_some), if !self.queue.is_closed() => self.queue.close(),
                item = self.queue.recv() => return item,
            }
        }
    }

    /// Waits before the next attempt; being told to stop ends the wait once.
    async fn pause(&mut self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = self.stop.wait_for(Option::is_some), if !self.queue.is_closed() => self.queue.close(),
        }
    }

    /// Puts a span to the others of its service.
    fn add(&mut self, item: SpanBatchItem) {
        let same = |group: &&mut Group| Arc::ptr_eq(&group.service, &item.service);
        match self.pending.iter_mut().find(same) {
            Some(group) => group.spans.push(item.span),
            None => self.pending.push(Group { service: item.service, spans: vec![item.span] }),
        }
    }

    /// Delivers one group, with as many attempts as it takes.
    async fn deliver_next(&mut self) {
        let mut busy_since: Option<Instant> = None;
        while let Some(group) = self.pending.last() {
            self.exporter.set_resource(&group.service.resource);
            let attempt = self.exporter.export(group.spans.clone());
            let result = attempt.with_subscriber(self.partial.dispatch()).await;
            let spans = group.spans.len() as u64;
            let error = match result {
                Ok(()) => {
                    self.delivered(spans);
                    return;
                }
                Err(error) => error,
            };
            let failure = match classify(&error) {
                Failure::Busy if busy_since.get_or_insert_with(Instant::now).elapsed() >= BUSY_PATIENCE => {
                    Failure::Permanent
                }
                failure => failure,
            };
            if failure == Failure::Permanent {
                self.pending.pop();
                self.counters.add_rejected(spans);
                if let Some(suppressed) = self.refusals.pass(Instant::now()) {
                    let endpoint = &self.endpoint;
                    warn!(%error, spans, endpoint, suppressed, "collector refused spans, dropped");
                }
                return;
            }
            self.unreachable = true;
            if let Some(suppressed) = self.failures.pass(Instant::now()) {
                let queued = self.queue.len();
                warn!(%error, endpoint = self.endpoint, queued, suppressed, "export failed, will retry");
            }
            let duration = self.backoff.next(rand::random());
            self.pause(duration).await;
        }
    }

    fn delivered(&mut self, spans: u64) {
        self.pending.pop();
        let refused = self.partial.take().min(spans);
        self.counters.add_exported(spans - refused);
        self.counters.add_rejected(refused);
        if refused > 0
            && let Some(suppressed) = self.refusals.pass(Instant::now())
        {
            warn!(
                spans = refused,
                endpoint = self.endpoint,
                suppressed,
                "collector refused a part of the spans"
            );
        }
        self.backoff.reset();
        if std::mem::take(&mut self.unreachable) {
            info!(endpoint = self.endpoint, "collector is reachable again");
        }
    }
}

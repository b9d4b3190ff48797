//! Sends requests, several at a time, each with as many attempts as it takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::intake::{Batch, Intake};
use super::outcome::{Failure, SendError};
use super::throttle::Throttle;
use super::transport::Client;

/// How long a request is offered again to a collector that answers but does not take it. Without an end, one
/// request that a collector can never take (such as one above its size limit) would hold up all others.
const BUSY_PATIENCE: Duration = Duration::from_secs(60);
/// Requests under way at a time. One after the other, a collector that takes 100 ms to answer would get ten a second.
const MOST_UNDER_WAY: usize = 4;

/// Tells the worker to stop, and until when it may still deliver.
pub(super) type Stop = tokio::sync::watch::Receiver<Option<tokio::time::Instant>>;

/// Owns everything between the intake and the collector. What is not delivered when it is dropped counts as left at
/// shutdown.
pub(super) struct Worker {
    intake: Arc<Intake>,
    /// Says when to stop taking spans in.
    stop: Stop,
    sender: Arc<Sender>,
    under_way: JoinSet<()>,
}

impl Worker {
    pub(super) fn new(intake: Arc<Intake>, stop: Stop, client: Client) -> Self {
        let sender = Arc::new(Sender { client, said: Mutex::default() });
        Self { intake, stop, sender, under_way: JoinSet::new() }
    }

    /// Delivers until told to stop, then what is left.
    pub(super) async fn run(&mut self) {
        loop {
            while self.under_way.len() >= MOST_UNDER_WAY {
                self.under_way.join_next().await;
            }
            while self.under_way.try_join_next().is_some() {}
            let Some(batch) = self.intake.next(&mut self.stop).await else { break };
            self.under_way.spawn(deliver(Arc::clone(&self.sender), batch, self.stop.clone()));
        }
        while self.under_way.join_next().await.is_some() {}
    }

    /// Counts what is left, after the last call of [`Worker::run`].
    pub(super) async fn abandon(mut self, left_before: u64, left: impl Fn() -> u64) {
        self.under_way.shutdown().await;
        self.intake.close();
        let spans = left() - left_before;
        if spans > 0 {
            warn!(spans, endpoint = self.sender.client.endpoint(), "spans not exported before the end");
        }
    }
}

/// What the requests under way share.
struct Sender {
    client: Client,
    said: Mutex<Said>,
}

/// What was told of the collector.
#[derive(Default)]
struct Said {
    is_unreachable: bool,
    failures: Throttle,
    refusals: Throttle,
}

impl Sender {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delivered(&self, batch: Batch, refused: u64) {
        let endpoint = self.client.endpoint();
        batch.delivered(refused);
        let mut said = self.said();
        if refused > 0
            && let Some(suppressed) = said.refusals.pass(Instant::now())
        {
            warn!(spans = refused, endpoint, suppressed, "collector refused a part of the spans");
        }
        if std::mem::take(&mut said.is_unreachable) {
            info!(endpoint, "collector is reachable again");
        }
    }

    fn refused(&self, batch: Batch, error: &SendError) {
        let spans = batch.spans();
        batch.refused();
        if let Some(suppressed) = self.said().refusals.pass(Instant::now()) {
            let endpoint = self.client.endpoint();
            warn!(%error, spans, endpoint, suppressed, "collector refused spans, dropped");
        }
    }

    fn failed(&self, error: &SendError) {
        let mut said = self.said();
        said.is_unreachable = true;
        if let Some(suppressed) = said.failures.pass(Instant::now()) {
            warn!(%error, endpoint = self.client.endpoint(), suppressed, "export failed, will retry");
        }
    }
}

/// Delivers one request, with as many attempts as it takes.
async fn deliver(sender: Arc<Sender>, batch: Batch, mut stop: Stop) {
    let mut backoff = Backoff::new();
    let mut busy_since: Option<Instant> = None;
    loop {
        let error = match sender.client.send(batch.body.clone()).await {
            Ok(refused) => return sender.delivered(batch, refused),
            Err(error) => error,
        };
        let patience_is_over = || busy_since.is_some_and(|since| since.elapsed() >= BUSY_PATIENCE);
        let is_refused = matches!(error.failure, Failure::Permanent | Failure::Unsupported);
        if is_refused || (error.failure == Failure::Busy && patience_is_over()) {
            return sender.refused(batch, &error);
        }
        if error.failure == Failure::Busy {
            busy_since.get_or_insert_with(Instant::now);
        }
        sender.failed(&error);
        let asked = error.delay.unwrap_or_default().min(BUSY_PATIENCE);
        pause(backoff.next(rand::random()).max(asked), &mut stop).await;
    }
}

/// Waits before the next attempt; being told to stop ends the wait once.
async fn pause(duration: Duration, stop: &mut Stop) {
    let is_stopping = stop.borrow().is_some();
    tokio::select! {
        () = tokio::time::sleep(duration) => {}
        _ = stop.wait_for(Option::is_some), if !is_stopping => {}
    }
}

//! The writer thread: takes what waits, writes it in one transaction, then acknowledges.

use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::ingest::{Ingest, Stored};
use super::names::Names;
use super::retention::Retention;
use super::room::Room;
use super::rows::Rows;
use super::{LastFailure, StoreError};
use crate::counters::Counters;

/// Rows after which a transaction is closed even if more requests wait, so that the first of them is answered.
const ROWS_PER_TRANSACTION: usize = 8192;

/// One request's rows on their way to the file.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) rows: Rows,
    pub(super) done: oneshot::Sender<Result<(), String>>,
    /// Held until the rows are written: this is what bounds the queue's memory.
    pub(super) _room: Room,
}

pub(super) struct Writer {
    db: Connection,
    ingest: Ingest,
    retention: Retention,
    counters: Arc<Counters>,
    committed: watch::Sender<u64>,
    failure: LastFailure,
    names: Arc<Names>,
    /// For waits that end; there where an age is set.
    timer: Option<tokio::runtime::Runtime>,
}

/// What a wait ended with.
enum Waited {
    Job(Box<Job>),
    Tick,
    Closed,
}

impl Writer {
    pub(super) fn new(
        db: Connection,
        retention: Retention,
        counters: Arc<Counters>,
        committed: watch::Sender<u64>,
        (failure, names): (LastFailure, Arc<Names>),
    ) -> Result<Self, StoreError> {
        let ingest = Ingest::resume(&db)?;
        let timer = match retention.tick() {
            Some(_) => {
                let timer = tokio::runtime::Builder::new_current_thread().enable_time().build();
                Some(timer.map_err(|error| StoreError::Write(format!("start the writer's timer: {error}")))?)
            }
            None => None,
        };
        Ok(Self { db, ingest, retention, counters, committed, failure, names, timer })
    }

    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut deleting = self.enforce_retention(0);
        loop {
            // In the middle of a deletion the queue is asked, but not waited for.
            let first = if deleting {
                match jobs.try_recv() {
                    Ok(job) => Some(job),
                    Err(mpsc::error::TryRecvError::Empty) => None,
                    Err(mpsc::error::TryRecvError::Disconnected) => break,
                }
            } else {
                match self.wait(&mut jobs) {
                    Waited::Job(job) => Some(*job),
                    Waited::Tick => None,
                    Waited::Closed => break,
                }
            };
            let mut rows = 0;
            if let Some(first) = first {
                rows = first.rows.len();
                let mut batch = vec![first];
                while rows < ROWS_PER_TRANSACTION
                    && let Ok(next) = jobs.try_recv()
                {
                    rows += next.rows.len();
                    batch.push(next);
                }
                self.write(batch);
            }
            deleting = self.enforce_retention(rows);
        }
        if let Err(error) = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA optimize") {
            tracing::warn!(%error, "checkpoint at shutdown failed");
        }
    }

    /// Waits for a request, but no longer than data may grow old unseen.
    fn wait(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Waited {
        let waited = match (self.retention.tick(), &self.timer) {
            (Some(tick), Some(timer)) => {
                timer.block_on(async { tokio::time::timeout(tick, jobs.recv()).await })
            }
            _ => Ok(jobs.blocking_recv()),
        };
        match waited {
            Ok(Some(job)) => Waited::Job(Box::new(job)),
            Ok(None) => Waited::Closed,
            Err(_) => {
                // The last interval ends, so that what it holds can grow too old as well.
                if let Err(error) = self.ingest.close_interval(&self.db, now_ns()) {
                    tracing::error!(%error, "noting the time failed");
                }
                Waited::Tick
            }
        }
    }

    fn write(&mut self, batch: Vec<Job>) {
        let outcome = self.transaction(&batch).map_err(|error| {
            self.ingest.forget();
            tracing::error!(%error, requests = batch.len(), "batch not stored");
            error.to_string()
        });
        match &outcome {
            Ok(stored) => {
                self.counters.spans.add(stored.spans);
                self.counters.logs.add(stored.logs);
                self.counters.metric_points.add(stored.points);
                self.counters.duplicate_spans.add(stored.duplicate_spans);
                self.committed.send_modify(|n| *n += 1);
            }
            Err(_) => {
                if let Err(error) = self.ingest.restart(&self.db) {
                    tracing::error!(%error, "reading the state of the store failed");
                }
                self.refresh_names();
            }
        }
        let outcome = outcome.map(|_| ());
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = outcome.as_ref().err().cloned();
        for job in batch {
            // The sender may have gone away meanwhile, which changes nothing.
            job.done.send(outcome.clone()).ok();
        }
    }

    fn transaction(&mut self, batch: &[Job]) -> rusqlite::Result<Stored> {
        let transaction = self.db.transaction()?;
        let stored = self.ingest.apply(&transaction, batch.iter().map(|job| &job.rows), now_ns())?;
        transaction.commit()?;
        Ok(stored)
    }

    fn refresh_names(&self) {
        if let Err(error) = self.names.refresh(&self.db) {
            tracing::error!(%error, "reading the names of metrics failed");
        }
    }

    /// Deletes old data after `written` new rows, so much that the file gets smaller even while more keeps coming;
    /// says whether there is more to delete.
    fn enforce_retention(&mut self, written: usize) -> bool {
        let mut owed = 2 * written as u64;
        loop {
            let step = match self.retention.step(&mut self.db, now_ns()) {
                Ok(step) => step,
                Err(error) => {
                    self.ingest.forget();
                    tracing::error!(%error, "deleting old data failed");
                    return false;
                }
            };
            if step.cleaned {
                self.ingest.forget();
                self.refresh_names();
            }
            if step.rows > 0 {
                self.committed.send_modify(|n| *n += 1);
            }
            owed = owed.saturating_sub(step.rows);
            if !step.more || owed == 0 {
                return step.more;
            }
        }
    }
}

fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

//! Room in the queue: the bytes that requests hold, from their first byte read to their commit.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::rows::Rows;
use super::writer::Job;
use super::{Store, StoreError};

/// What one request holds of the queue's bytes; it grows while the request is read and is given back when dropped.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    held: Option<OwnedSemaphorePermit>,
    wanted: usize,
}

impl Room {
    pub(super) fn new(budget: &Arc<Semaphore>, budget_bytes: usize) -> Self {
        Self { budget: Arc::clone(budget), budget_bytes, held: None, wanted: 0 }
    }

    fn held(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Takes `bytes` more.
    ///
    /// # Errors
    /// [`StoreError::Full`] when others hold too much.
    pub fn grow(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.wanted = self.wanted.saturating_add(bytes);
        // A request larger than the whole budget may still go when it is alone.
        let missing = self.wanted.min(self.budget_bytes).saturating_sub(self.held());
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        if missing == 0 {
            return Ok(());
        }
        let more = Arc::clone(&self.budget).try_acquire_many_owned(missing).map_err(|_| StoreError::Full)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }

    /// Gives back what is held above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.wanted = self.wanted.min(bytes);
        let excess = self.held().saturating_sub(self.wanted);
        if let Some(held) = &mut self.held {
            drop(held.split(excess));
        }
    }
}

/// A place in the queue, held for one request.
#[derive(Debug)]
pub struct Reservation {
    slot: mpsc::OwnedPermit<Job>,
    room: Room,
}

impl Store {
    /// Room for a request that is about to be read.
    pub fn room(&self) -> Room {
        Room::new(&self.budget, self.budget_bytes)
    }

    /// Reserves a place in the queue for a request that was read into `room`.
    ///
    /// # Errors
    /// [`StoreError::Full`] when there is none, [`StoreError::Write`] when the store is shutting down.
    pub fn reserve(&self, room: Room) -> Result<Reservation, StoreError> {
        let slot = self.queue.clone().try_reserve_owned().map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Full,
            mpsc::error::TrySendError::Closed(_) => StoreError::Write("shutting down".into()),
        })?;
        Ok(Reservation { slot, room })
    }
}

impl Reservation {
    /// Hands the rows, which take about `bytes`, to the writer and waits until they are committed.
    ///
    /// # Errors
    /// When the transaction failed or the writer is gone; nothing of the request is stored then.
    pub async fn store(mut self, rows: Rows, bytes: usize) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.room.shrink_to(bytes);
        let (done, outcome) = oneshot::channel();
        self.slot.send(Job { rows, done, _room: self.room });
        match outcome.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(reason)) => Err(StoreError::Write(reason)),
            Err(_) => Err(StoreError::Write("the writer is gone".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn rooms_share_one_budget() {
        let budget = Arc::new(Semaphore::new(100));
        let (mut one, mut other) = (Room::new(&budget, 100), Room::new(&budget, 100));
        one.grow(60).unwrap();
        other.grow(40).unwrap();
        assert!(other.grow(1).is_err());
        one.shrink_to(10);
        assert_eq!(budget.available_permits(), 50);
        other.grow(9).unwrap();
        drop(other);
        one.grow(10_000).expect("alone it may exceed the budget");
        assert!(Room::new(&budget, 100).grow(1).is_err());
        drop(one);
        assert_eq!(budget.available_permits(), 100);
    }
}

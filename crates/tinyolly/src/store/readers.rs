//! A small pool of read-only connections, used from blocking threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{StoreError, schema};

/// Queries that may run at once; more wait.
const CONNECTIONS: usize = 3;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    room: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            idle: Mutex::new(Vec::new()),
            room: Arc::new(Semaphore::new(CONNECTIONS)),
        }
    }

    pub(super) async fn run<T, F>(self: &Arc<Self>, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let room = Arc::clone(&self.room).acquire_owned().await;
        let room = room.map_err(|_| StoreError::Write("shutting down".into()))?;
        let pool = Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
            // Held by the work itself: it goes on when the client that asked is gone.
            let _room = room;
            let connection = match pool.take() {
                Some(connection) => connection,
                None => schema::open_reader(&pool.path)?,
            };
            // One transaction, so that all statements of a query see the same state; dropping it ends it.
            let transaction = connection.unchecked_transaction()?;
            let answer = query(&transaction);
            drop(transaction);
            if answer.is_ok() {
                pool.put(connection);
            }
            answer
        });
        work.await.unwrap_or_else(|e| Err(StoreError::Damaged(format!("query stopped: {e}"))))
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop()
    }

    fn put(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(connection);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[tokio::test]
    async fn a_query_nobody_waits_for_keeps_its_place_until_it_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        drop(schema::open_writer(&path).unwrap());
        let readers = Arc::new(Readers::new(&path));
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let (started, running) = tokio::sync::oneshot::channel();
        let pool = Arc::clone(&readers);
        let asking = tokio::spawn(async move {
            pool.run(move |_| {
                started.send(()).ok();
                wait.recv().ok();
                Ok(())
            })
            .await
        });
        running.await.unwrap();
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert_eq!(readers.room.available_permits(), CONNECTIONS - 1);
        drop(go_on);
        drop(readers.room.acquire_many(CONNECTIONS as u32).await.unwrap());
    }
}

//! A small pool of read-only connections, used from blocking threads.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{StoreError, schema};

/// Queries that may run at once; more wait.
const CONNECTIONS: usize = 3;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), idle: Mutex::new(Vec::new()), room: Semaphore::new(CONNECTIONS) }
    }

    pub(super) async fn run<T, F>(self: &std::sync::Arc<Self>, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let _room = self.room.acquire().await.map_err(|_| StoreError::Write("shutting down".into()))?;
        let pool = std::sync::Arc::clone(self);
        let work = tokio::task::spawn_blocking(move || {
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

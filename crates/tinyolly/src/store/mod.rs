//! The store: one SQLite file, one writer thread, a few read-only connections.
//!
//! A request is prepared where it was received, waits in a bounded queue, and is acknowledged after the transaction
//! that holds it has committed. Reads never wait for writes (WAL).

mod blob;
mod bounded;
mod ingest;
mod intern;
mod lock;
pub mod mark;
mod names;
pub mod prepare;
pub mod query;
mod readers;
mod retention;
pub mod rollup;
mod room;
pub mod rows;
mod schema;
mod tally;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::counters::Counters;
use names::Names;
use readers::Readers;
use retention::Retention;
pub use room::{Reservation, Room};
use writer::{Job, Writer};

/// Requests that may wait for the writer; their bytes are bounded apart, by [`Settings::queue_bytes`].
const QUEUE_REQUESTS: usize = 1024;

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite reported a failure.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The file was written by another version of the schema.
    #[error("the database has schema version {found}, this program knows {known}: use another --db")]
    Version {
        /// In the file.
        found: i64,
        /// In this program.
        known: i64,
    },
    /// Another process writes to the file.
    #[error("{0} is in use by another tinyolly: stop that one, or use another --db")]
    InUse(PathBuf),
    /// The lock beside the file cannot be taken.
    #[error("lock {path}")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A stored value cannot be read back.
    #[error("damaged record: {0}")]
    Damaged(String),
    /// The writer did not take or finish the work, because it is shutting down or its transaction failed.
    #[error("the store could not write: {0}")]
    Write(String),
    /// A list was asked to go on from a place that is none of it.
    #[error("this cursor does not belong to this list, or its place was deleted: begin without one")]
    Cursor,
    /// The queue to the writer is full.
    #[error("the queue to the store is full")]
    Full,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database file; it is made when missing.
    pub path: PathBuf,
    /// Above this size of the file the oldest data is deleted.
    pub max_bytes: u64,
    /// What arrived longer ago is deleted; `None` keeps it until there is no room.
    pub max_age: Option<Duration>,
    /// Names of metrics above which new ones are refused.
    pub max_metric_names: usize,
    /// Request bytes that may be read or wait for the writer.
    pub queue_bytes: usize,
}

/// Handle to the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    queue: mpsc::Sender<Job>,
    budget: Arc<Semaphore>,
    budget_bytes: usize,
    settings: Arc<Settings>,
    readers: Arc<Readers>,
    commits: watch::Receiver<u64>,
    failure: LastFailure,
    names: Arc<Names>,
}

/// Why the last batch was not stored; `None` when it was.
type LastFailure = Arc<Mutex<Option<String>>>;

/// The running writer; joining it says that everything queued is on file.
#[derive(Debug)]
pub struct WriterHandle(std::thread::JoinHandle<()>);

impl WriterHandle {
    /// Waits until every [`Store`] handle is gone and the queue is written.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the writer thread panicked");
        }
    }
}

impl Store {
    /// Opens the file and starts the writer thread.
    ///
    /// # Errors
    /// When the file cannot be opened, is in use, or was written by another schema version.
    pub fn open(settings: &Settings, counters: Arc<Counters>) -> Result<(Self, WriterHandle), StoreError> {
        let lock = lock::take(&settings.path)?;
        let connection = schema::open_writer(&settings.path)?;
        let (queue, jobs) = mpsc::channel(QUEUE_REQUESTS);
        let (committed, commits) = watch::channel(0);
        let failure = LastFailure::default();
        let names = Names::new(&connection, settings.max_metric_names, Arc::clone(&counters))?;
        let names = Arc::new(names);
        let retention = Retention::new(settings.max_bytes, settings.max_age);
        let shared = (Arc::clone(&failure), Arc::clone(&names));
        let writer = Writer::new(connection, retention, counters, committed, shared)?;
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || {
            writer.run(jobs);
            drop(lock);
        });
        let thread = thread.map_err(|e| StoreError::Write(format!("start the writer thread: {e}")))?;
        // Permits are taken in numbers of 32 bits.
        let budget_bytes = settings.queue_bytes.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let store = Self {
            queue,
            budget: Arc::new(Semaphore::new(budget_bytes)),
            budget_bytes,
            settings: Arc::new(settings.clone()),
            readers: Arc::new(Readers::new(&settings.path)),
            commits,
            failure,
            names,
        };
        Ok((store, WriterHandle(thread)))
    }

    /// Runs a query on a reader connection, off the async threads.
    ///
    /// # Errors
    /// What the query reports, or that no connection could be opened.
    pub async fn read<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.run(query).await
    }

    /// Whether requests are being stored.
    ///
    /// # Errors
    /// When the writer is gone, or its last transaction failed.
    pub fn writing(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() {
            return Err(StoreError::Write("the writer is gone".into()));
        }
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            None => Ok(()),
            Some(reason) => Err(StoreError::Write(reason.clone())),
        }
    }

    /// Leaves out of a request the metrics whose names are too many.
    pub fn admit_names(&self, prepared: &mut prepare::Prepared) {
        self.names.admit(prepared);
    }

    /// Names of metrics above which new ones are refused.
    pub fn max_metric_names(&self) -> usize {
        self.names.limit()
    }

    /// How it was opened.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Changes after each committed batch.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }
}

/// Bytes the database takes on disk, with its write-ahead log.
pub fn file_bytes(path: &Path) -> u64 {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    size(path) + size(Path::new(&log))
}

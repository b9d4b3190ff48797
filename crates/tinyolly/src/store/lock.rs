//! One process per database: two writers would hand out the same numbers.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::StoreError;

/// Locks the database for as long as the file handed back lives. The lock is on a file beside the database, because
/// closing the database itself would take away the locks SQLite has on it (POSIX `fcntl` locks go with any close).
/// It ends with the process, however that ends; the file stays.
///
/// # Errors
/// When another process has it, or the file cannot be made.
pub(super) fn take(database: &Path) -> Result<File, StoreError> {
    // The same database by another name has the same lock.
    let database = std::fs::canonicalize(database).unwrap_or_else(|_| database.to_owned());
    let mut path = database.clone().into_os_string();
    path.push(".lock");
    let failed = |source| StoreError::Lock { path: path.clone().into(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(database)),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

//! Interning: what repeats from row to row is stored once and referred to by number.
//!
//! Lookups go through a bounded map in memory, then through an index on a digest; the bytes decide, the digest only
//! finds. Each entry remembers the arrival interval that used it last, coarsely, so that retention can drop entries
//! which no remaining row can refer to.

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::bounded::Bounded;

/// How many arrival intervals the `seen` mark of an entry may lag behind its use.
pub const SEEN_LAG: i64 = 64;

/// FNV-1a, 64 bits: stable across versions and machines, as a stored digest must be.
pub fn digest(bytes: &[u8]) -> i64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash as i64
}

/// Which table a pool of interned values lives in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Span names and service names.
    Text,
    /// Resources with their schema URL.
    Resource,
    /// Instrumentation scopes with their schema URL.
    Scope,
}

impl Pool {
    fn select(self) -> &'static str {
        match self {
            Self::Text => "SELECT id, seen FROM text WHERE digest = ?1 AND body = ?2",
            Self::Resource => "SELECT id, seen FROM resource WHERE digest = ?1 AND body = ?2",
            Self::Scope => "SELECT id, seen FROM scope WHERE digest = ?1 AND body = ?2",
        }
    }

    fn insert(self) -> &'static str {
        match self {
            Self::Text => "INSERT INTO text(digest, body, seen) VALUES (?1, ?2, ?3)",
            Self::Resource => "INSERT INTO resource(digest, body, seen, service) VALUES (?1, ?2, ?3, ?4)",
            Self::Scope => "INSERT INTO scope(digest, body, seen) VALUES (?1, ?2, ?3)",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Text => "UPDATE text SET seen = ?2 WHERE id = ?1",
            Self::Resource => "UPDATE resource SET seen = ?2 WHERE id = ?1",
            Self::Scope => "UPDATE scope SET seen = ?2 WHERE id = ?1",
        }
    }
}

/// One pool's numbers, as the writer knows them.
#[derive(Debug)]
pub struct Interner {
    pool: Pool,
    known: Bounded<Vec<u8>, (i64, i64)>,
}

impl Interner {
    /// An interner that knows nothing yet.
    pub fn new(pool: Pool) -> Self {
        Self { pool, known: Bounded::default() }
    }

    /// Forgets what is in memory; needed after a rollback or a deletion.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// The number of `body`, which is stored first if it is new. `service` is for resources.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn id(&mut self, db: &Connection, body: &[u8], now: i64, service: i64) -> rusqlite::Result<i64> {
        if let Some((id, seen)) = self.known.get_mut(body) {
            if now - *seen >= SEEN_LAG {
                db.prepare_cached(self.pool.mark())?.execute([*id, now])?;
                *seen = now;
            }
            return Ok(*id);
        }
        let digest = digest(body);
        let text;
        let value: &dyn ToSql = if self.pool == Pool::Text {
            text = String::from_utf8_lossy(body);
            &text
        } else {
            &body
        };
        let found: Option<(i64, i64)> = db
            .prepare_cached(self.pool.select())?
            .query_row(params![digest, value], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (id, seen) = match found {
            Some((id, seen)) if now - seen < SEEN_LAG => (id, seen),
            Some((id, _)) => {
                db.prepare_cached(self.pool.mark())?.execute([id, now])?;
                (id, now)
            }
            None => {
                let mut insert = db.prepare_cached(self.pool.insert())?;
                if self.pool == Pool::Resource {
                    insert.execute(params![digest, value, now, service])?;
                } else {
                    insert.execute(params![digest, value, now])?;
                }
                (db.last_insert_rowid(), now)
            }
        };
        self.known.insert(body.to_vec(), (id, seen), body.len());
        Ok(id)
    }
}

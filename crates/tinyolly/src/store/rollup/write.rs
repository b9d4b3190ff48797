//! Changes of a transaction, gathered and then written row by row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use rusqlite::{Connection, OptionalExtension, params};

use super::{LEVELS, Role, SLOT_NS, Tally};

/// Slot, service and role.
type ServiceKey = (i64, i64, Role);
/// Service, slot, name and role.
type OperationKey = (i64, i64, i64, Role);

/// What a transaction adds to the rows, or takes from them.
#[derive(Debug, Default)]
pub struct Rollups {
    services: HashMap<ServiceKey, Tally>,
    operations: HashMap<OperationKey, Tally>,
}

/// Which way the numbers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Add,
    Take,
}

/// The shortest slot that a time falls into.
pub fn slot_of(time_ns: u64) -> i64 {
    // 2^64 ns make less than 2^31 slots.
    (time_ns / SLOT_NS) as i64
}

fn gather<K: Eq + Hash>(map: &mut HashMap<K, Tally>, key: K, tally: &Tally) {
    match map.entry(key) {
        Entry::Occupied(entry) => entry.into_mut().merge(tally),
        Entry::Vacant(entry) => {
            entry.insert(tally.clone());
        }
    }
}

impl Rollups {
    /// Counts a span.
    pub fn span(&mut self, service: i64, name: i64, role: Role, start_ns: u64, tally: &Tally) {
        let slot = slot_of(start_ns);
        gather(&mut self.operations, (service, slot, name, role), tally);
        if role.is_served() || role.is_root() {
            gather(&mut self.services, (slot, service, role), tally);
        } else {
            let (count, errors, from_agent) = (tally.count, tally.errors, tally.from_agent);
            let counts = Tally { count, errors, from_agent, ..Tally::default() };
            gather(&mut self.services, (slot, service, role), &counts);
        }
    }

    /// Counts traces of a service in one of the shortest slots.
    pub fn traces(&mut self, service: i64, slot: i64, count: u64) {
        let tally = Tally { count, ..Tally::default() };
        gather(&mut self.services, (slot, service, Role::TRACES), &tally);
    }

    /// Adds everything to the rows.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn add(self, db: &Connection) -> rusqlite::Result<()> {
        self.write(db, Change::Add)
    }

    /// Takes everything from the rows; those that count nothing any more go.
    ///
    /// # Errors
    /// When SQLite fails.
    pub fn take(self, db: &Connection) -> rusqlite::Result<()> {
        self.write(db, Change::Take)
    }

    fn write(self, db: &Connection, change: Change) -> rusqlite::Result<()> {
        let Self { mut services, mut operations } = self;
        let mut slots_before = 1;
        for level in LEVELS {
            let shorter = (level.slots / slots_before) as i64;
            slots_before = level.slots;
            if shorter > 1 {
                services =
                    longer(services, |(slot, service, role)| (slot.div_euclid(shorter), service, role));
                operations = longer(operations, |(service, slot, name, role)| {
                    (service, slot.div_euclid(shorter), name, role)
                });
            }
            write_services(db, level.number, &services, change)?;
            write_operations(db, level.number, &operations, change)?;
        }
        Ok(())
    }
}

/// The same numbers in the slots of the next level.
fn longer<K: Eq + Hash + Copy>(map: HashMap<K, Tally>, key: impl Fn(K) -> K) -> HashMap<K, Tally> {
    let mut longer: HashMap<K, Tally> = HashMap::with_capacity(map.len());
    for (at, tally) in map {
        match longer.entry(key(at)) {
            Entry::Occupied(entry) => entry.into_mut().merge(&tally),
            Entry::Vacant(entry) => {
                entry.insert(tally);
            }
        }
    }
    longer
}

/// What a row says after the change; `None` when it has nothing left to say.
fn changed(row: Option<Vec<u8>>, tally: &Tally, change: Change) -> Option<Vec<u8>> {
    let mut now = Tally::default();
    if let Some(row) = row
        && let Err(error) = now.merge_encoded(&row)
    {
        // Counts are derived; that they are wrong must not keep spans from being stored.
        tracing::error!(%error, "a damaged row of the service catalog starts anew");
        now = Tally::default();
    }
    match change {
        Change::Add => now.merge(tally),
        Change::Take => now.take(tally),
    }
    (now.count > 0).then(|| now.encode())
}

fn write_services(
    db: &Connection,
    level: i64,
    rows: &HashMap<ServiceKey, Tally>,
    change: Change,
) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached(
        "SELECT data FROM rollup_service WHERE level = ?1 AND slot = ?2 AND service = ?3 AND role = ?4",
    )?;
    let mut replace = db.prepare_cached("REPLACE INTO rollup_service VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut delete = db.prepare_cached(
        "DELETE FROM rollup_service WHERE level = ?1 AND slot = ?2 AND service = ?3 AND role = ?4",
    )?;
    for ((slot, service, role), tally) in rows {
        let row = select.query_row([level, *slot, *service, role.number()], |row| row.get(0)).optional()?;
        match changed(row, tally, change) {
            Some(data) => replace.execute(params![level, slot, service, role.number(), data])?,
            None => delete.execute([level, *slot, *service, role.number()])?,
        };
    }
    Ok(())
}

fn write_operations(
    db: &Connection,
    level: i64,
    rows: &HashMap<OperationKey, Tally>,
    change: Change,
) -> rusqlite::Result<()> {
    let mut select = db.prepare_cached(
        "SELECT data FROM rollup_operation
         WHERE level = ?1 AND service = ?2 AND slot = ?3 AND name = ?4 AND role = ?5",
    )?;
    let mut replace = db.prepare_cached("REPLACE INTO rollup_operation VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut delete = db.prepare_cached(
        "DELETE FROM rollup_operation
         WHERE level = ?1 AND service = ?2 AND slot = ?3 AND name = ?4 AND role = ?5",
    )?;
    for ((service, slot, name, role), tally) in rows {
        let key = [level, *service, *slot, *name, role.number()];
        let row = select.query_row(key, |row| row.get(0)).optional()?;
        match changed(row, tally, change) {
            Some(data) => replace.execute(params![level, service, slot, name, role.number(), data])?,
            None => delete.execute(key)?,
        };
    }
    Ok(())
}

//! The service catalog: what services were asked, how often they failed and how long they took.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::sources::Sources;
use super::window::{Stretch, Window};
use crate::store::StoreError;
use crate::store::rollup::{Role, SLOT_NS, Tally};

/// Rows of the rollups that one answer reads at most. What ordinary services leave is a tenth of it.
const MOST_ROWS: usize = 200_000;
/// Spans that one answer looks at for the first and last of each service.
const MOST_SPANS: usize = 200_000;
/// Operations of an answer at most, those with the most spans.
const MOST_OPERATIONS: usize = 1000;

/// Counts and durations over a window, and in each slot of its series.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Over the window.
    pub total: Tally,
    /// By place in [`Window::series`]; slots without anything are missing.
    pub series: BTreeMap<usize, Tally>,
}

/// Which of a service's spans count as requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Those of servers and consumers.
    Server,
    /// Those without a parent, of a service that has none of the first.
    Root,
}

/// A service within a window.
#[derive(Clone, Debug)]
pub struct ServiceLoad {
    /// `service.name`.
    pub name: Arc<str>,
    /// Spans of all kinds.
    pub span_count: u64,
    /// Of them, those that the eBPF agent made.
    pub from_agent: u64,
    /// Traces that the service has spans in.
    pub trace_count: u64,
    /// What counts as a request.
    pub basis: Basis,
    /// The requests.
    pub requests: Load,
    /// Start of its earliest span.
    pub first_ns: u64,
    /// Start of its latest span.
    pub last_ns: u64,
}

/// Spans of one name and kind within a window.
#[derive(Clone, Debug)]
pub struct OperationLoad {
    /// The spans' name.
    pub name: Arc<str>,
    /// OTLP's number.
    pub kind: i32,
    /// The spans.
    pub requests: Load,
}

/// Services, and whether that is all of them.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// By name.
    pub services: Vec<ServiceLoad>,
    /// False when there was more to read than there is time for.
    pub complete: bool,
}

/// A service with its operations.
#[derive(Clone, Debug)]
pub struct Operations {
    /// The service.
    pub service: ServiceLoad,
    /// Most spans first.
    pub operations: Vec<OperationLoad>,
    /// False when there are more operations than are told.
    pub complete: bool,
}

/// What is gathered of a service.
#[derive(Default)]
struct Gathered {
    span_count: u64,
    from_agent: u64,
    trace_count: u64,
    served: Load,
    roots: Load,
}

impl Gathered {
    fn add(&mut self, place: usize, role: Role, row: &[u8]) -> Result<(), StoreError> {
        let mut tally = Tally::default();
        tally.merge_encoded(row)?;
        if role == Role::TRACES {
            self.trace_count += tally.count;
            return Ok(());
        }
        self.span_count += tally.count;
        self.from_agent += tally.from_agent;
        if role.is_served() {
            self.served.series.entry(place).or_default().merge(&tally);
        } else if role.is_root() {
            self.roots.series.entry(place).or_default().merge(&tally);
        }
        Ok(())
    }

    fn finish(self, name: Arc<str>, [first_ns, last_ns]: [u64; 2]) -> ServiceLoad {
        let (basis, requests) = match self.served.series.is_empty() {
            true => (Basis::Root, self.roots.summed()),
            false => (Basis::Server, self.served.summed()),
        };
        let (span_count, from_agent, trace_count) = (self.span_count, self.from_agent, self.trace_count);
        ServiceLoad { name, span_count, from_agent, trace_count, basis, requests, first_ns, last_ns }
    }
}

impl Load {
    fn summed(mut self) -> Self {
        self.series.values().for_each(|tally| self.total.merge(tally));
        self
    }
}

/// Starts of each service's first and last span within a window: of the slots in which they stand, each is walked once
/// for all services, until `spans_left` are looked at. After that the start of the slot stands for the time.
fn seen(
    db: &Connection,
    window: Window,
    services: &[i64],
    mut spans_left: usize,
) -> Result<HashMap<i64, [u64; 2]>, StoreError> {
    const FIRST_SLOT: &str =
        "SELECT slot FROM rollup_operation WHERE level = 0 AND service = ?1 AND slot >= ?2
         AND slot < ?3 ORDER BY slot LIMIT 1";
    const LAST_SLOT: &str =
        "SELECT slot FROM rollup_operation WHERE level = 0 AND service = ?1 AND slot >= ?2
         AND slot < ?3 ORDER BY slot DESC LIMIT 1";
    const FIRST: &str = "SELECT start_ns, service FROM span INDEXED BY span_by_start
         WHERE start_ns >= ?1 AND start_ns <= ?2 ORDER BY start_ns";
    const LAST: &str = "SELECT start_ns, service FROM span INDEXED BY span_by_start
         WHERE start_ns >= ?1 AND start_ns <= ?2 ORDER BY start_ns DESC";
    let [from, to] = window.slots();
    let mut found: HashMap<i64, [u64; 2]> = HashMap::with_capacity(services.len());
    for (end, slot_of, walk) in [(0, FIRST_SLOT, FIRST), (1, LAST_SLOT, LAST)] {
        let mut slots: BTreeMap<u64, HashSet<i64>> = BTreeMap::new();
        let mut slot_of = db.prepare_cached(slot_of)?;
        for service in services {
            let slot: Option<i64> = slot_of.query_row([*service, from, to], |row| row.get(0)).optional()?;
            let start = slot.unwrap_or(from).max(0) as u64 * SLOT_NS;
            found.entry(*service).or_default()[end] = start;
            slots.entry(start).or_default().insert(*service);
        }
        let mut walk = db.prepare_cached(walk)?;
        // The latest first, as they are of most use.
        for (start, mut missing) in slots.into_iter().rev() {
            let last = start.saturating_add(SLOT_NS - 1);
            let mut rows = walk.query([start as i64, last as i64])?;
            while spans_left > 0
                && !missing.is_empty()
                && let Some(row) = rows.next()?
            {
                spans_left -= 1;
                let service = row.get(1)?;
                if missing.remove(&service) {
                    found.entry(service).or_default()[end] = row.get::<_, i64>(0)? as u64;
                }
            }
        }
    }
    Ok(found)
}

/// Calls `each` with slot, service, role and data of the services' rows; says whether it was called with all.
fn service_rows(
    db: &Connection,
    stretch: Stretch,
    service: Option<i64>,
    rows_left: &mut usize,
    mut each: impl FnMut(i64, i64, Role, &[u8]) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT slot, service, role, data FROM rollup_service
         WHERE level = ?1 AND slot >= ?2 AND slot < ?3 AND (?4 IS NULL OR service = ?4)",
    )?;
    let mut rows =
        statement.query(rusqlite::params![stretch.level.number, stretch.from, stretch.to, service])?;
    while let Some(row) = rows.next()? {
        if *rows_left == 0 {
            return Ok(false);
        }
        *rows_left -= 1;
        let data = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        each(row.get(0)?, row.get(1)?, Role::stored(row.get(2)?), data)?;
    }
    Ok(true)
}

/// All services with spans in the window.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn catalog(db: &Connection, window: Window) -> Result<Catalog, StoreError> {
    let mut services: HashMap<i64, Gathered> = HashMap::new();
    let (mut rows_left, mut complete) = (MOST_ROWS, true);
    // The latest first, for the case that it is not all read.
    for stretch in window.stretches().into_iter().rev() {
        complete &= service_rows(db, stretch, None, &mut rows_left, |slot, service, role, data| {
            services.entry(service).or_default().add(window.place(stretch.level, slot), role, data)
        })?;
    }
    let mut sources = Sources::new(db);
    services.retain(|_, gathered| gathered.span_count > 0);
    let ids: Vec<i64> = services.keys().copied().collect();
    let seen = seen(db, window, &ids, MOST_SPANS)?;
    let mut found = Vec::with_capacity(services.len());
    for (id, gathered) in services {
        let name = sources.text(id)?;
        found.push(gathered.finish(name, seen.get(&id).copied().unwrap_or_default()));
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Catalog { services: found, complete })
}

/// A service and its operations; `None` when it has no spans in the window.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn operations(db: &Connection, window: Window, service: &str) -> Result<Option<Operations>, StoreError> {
    let mut sources = Sources::new(db);
    let Some(id) = sources.service_id(service)? else { return Ok(None) };
    let mut gathered = Gathered::default();
    let mut operations: HashMap<(i64, i32), Load> = HashMap::new();
    let (mut rows_left, mut complete) = (MOST_ROWS, true);
    let mut statement = db.prepare_cached(
        "SELECT slot, name, role, data FROM rollup_operation
         WHERE level = ?1 AND service = ?2 AND slot >= ?3 AND slot < ?4",
    )?;
    for stretch in window.stretches().into_iter().rev() {
        service_rows(db, stretch, Some(id), &mut MOST_ROWS.clone(), |slot, _, role, data| {
            gathered.add(window.place(stretch.level, slot), role, data)
        })?;
        let mut rows = statement.query([stretch.level.number, id, stretch.from, stretch.to])?;
        while let Some(row) = rows.next()? {
            if rows_left == 0 {
                complete = false;
                break;
            }
            rows_left -= 1;
            let key = (row.get(1)?, Role::stored(row.get(2)?).kind());
            let place = window.place(stretch.level, row.get(0)?);
            let data = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            let load = operations.entry(key).or_default();
            load.series.entry(place).or_default().merge_encoded(data)?;
        }
    }
    if gathered.span_count == 0 {
        return Ok(None);
    }
    let seen = seen(db, window, &[id], MOST_SPANS)?;
    let service = gathered.finish(service.into(), seen.get(&id).copied().unwrap_or_default());
    let mut operations: Vec<_> = operations.into_iter().map(|(key, load)| (key, load.summed())).collect();
    operations.sort_by_key(|(key, load)| (std::cmp::Reverse(load.total.count), *key));
    complete &= operations.len() <= MOST_OPERATIONS;
    operations.truncate(MOST_OPERATIONS);
    let operations = operations
        .into_iter()
        .map(|((name, kind), requests)| Ok(OperationLoad { name: sources.text(name)?, kind, requests }));
    Ok(Some(Operations { service, operations: operations.collect::<Result<_, StoreError>>()?, complete }))
}

/// Start of the earliest stored span. A start of 2^63 ns and above, which is stored as a negative number, is broken and
/// left out, for it is no time at which anything began.
///
/// # Errors
/// When SQLite fails.
pub fn earliest_span(db: &Connection) -> Result<Option<u64>, StoreError> {
    let mut statement =
        db.prepare_cached("SELECT start_ns FROM span WHERE start_ns >= 0 ORDER BY start_ns LIMIT 1")?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0)).optional()?.map(|time| time as u64))
}

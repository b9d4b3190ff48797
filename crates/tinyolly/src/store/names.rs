//! Names of metrics that are known, and no more than a limit of them: each new name costs every list and every chart, and
//! names made of user ids or times never end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use super::intern::digest;
use super::prepare::Prepared;
use super::rows::Rows;
use crate::counters::Counters;

/// Refused names that are told apart when they are counted.
const MAX_COUNTED: usize = 10_000;

/// The known names.
#[derive(Debug)]
pub(super) struct Names {
    limit: usize,
    state: Mutex<State>,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    known: HashSet<String>,
    refused: HashSet<i64>,
}

impl Names {
    pub(super) fn new(db: &Connection, limit: usize, counters: Arc<Counters>) -> rusqlite::Result<Self> {
        let names = Self { limit, state: Mutex::default(), counters };
        names.refresh(db)?;
        Ok(names)
    }

    /// Reads the names that are stored, after some were deleted or not stored.
    pub(super) fn refresh(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut statement = db.prepare_cached("SELECT DISTINCT name FROM metric")?;
        let known = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        self.state.lock().unwrap_or_else(PoisonError::into_inner).known = known;
        Ok(())
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes metrics with new names out of a request when there are too many.
    pub(super) fn admit(&self, prepared: &mut Prepared) {
        let Prepared { rows: Rows::Metrics(groups), rejected } = prepared else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for group in groups {
            group.rows.retain(|metric| {
                if state.known.contains(&metric.name) {
                    return true;
                }
                if state.known.len() < self.limit {
                    state.known.insert(metric.name.clone());
                    return true;
                }
                let limit = self.limit;
                rejected.add(metric.points.len(), || {
                    let name: String = metric.name.chars().take(100).collect();
                    format!("{name:?} would be one metric name more than {limit}, see --max-metric-names")
                });
                if state.refused.len() < MAX_COUNTED && state.refused.insert(digest(metric.name.as_bytes())) {
                    self.counters.metric_names_refused.add(1);
                }
                false
            });
        }
    }
}

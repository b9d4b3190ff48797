//! Counts and durations of spans by time, kept up at ingest, so that the service catalog reads no span.
//!
//! Time is cut into slots of 10 s, and these into slots of 5 min and 2 h ([`Level`]); a span counts in the slot its
//! start falls into, on every level. `rollup_service` has a row for each slot, service and role, `rollup_operation` for
//! each span name as well. Roles are kinds, roots apart, since roots are what counts where a service answers nobody.
//!
//! Everything here can be taken back: what retention deletes is subtracted, so that the rows always say what a count of
//! the stored spans would say.

mod contribution;
mod rebuild;
mod sketch;
mod write;

pub(super) use contribution::{contribution, is_error, is_from_agent};
pub(super) use rebuild::{rebuild, subtract};
pub use sketch::Sketch;
pub(super) use write::{Rollups, slot_of};

use super::StoreError;

/// Length of the shortest slots.
pub const SLOT_NS: u64 = 10_000_000_000;

/// A length of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// As it stands in the tables.
    pub number: i64,
    /// Its slots' length in shortest slots. Each divides the next.
    pub slots: u64,
}

/// All lengths, shortest first: 10 s, 5 min, 2 h.
pub const LEVELS: [Level; 3] =
    [Level { number: 0, slots: 1 }, Level { number: 1, slots: 30 }, Level { number: 2, slots: 720 }];

/// The tables. `slot` counts from the epoch in slots of its level. `trace_service.slot` is where the trace was counted
/// for the service.
pub(super) const TABLES: &str = "
CREATE TABLE rollup_service(level INTEGER NOT NULL, slot INTEGER NOT NULL, service INTEGER NOT NULL,
  role INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY(level, slot, service, role)) WITHOUT ROWID;
CREATE TABLE rollup_operation(level INTEGER NOT NULL, service INTEGER NOT NULL, slot INTEGER NOT NULL,
  name INTEGER NOT NULL, role INTEGER NOT NULL, data BLOB NOT NULL,
  PRIMARY KEY(level, service, slot, name, role)) WITHOUT ROWID;
ALTER TABLE trace_service ADD COLUMN slot INTEGER NOT NULL DEFAULT 0;
UPDATE trace_service SET slot = (SELECT start_ns / 10000000000 FROM trace WHERE id = trace_service.trace);
";

/// What a row counts: spans of a kind, or traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Role(i64);

impl Role {
    /// Traces that the service has spans in.
    pub const TRACES: Self = Self(-1_i64 << 40);

    /// Spans of a kind.
    pub fn spans(kind: i32, is_root: bool) -> Self {
        Self(i64::from(kind) * 2 + i64::from(is_root))
    }

    /// From its column.
    pub fn stored(number: i64) -> Self {
        Self(number)
    }

    /// For its column.
    pub fn number(self) -> i64 {
        self.0
    }

    /// OTLP's number of the kind.
    pub fn kind(self) -> i32 {
        i32::try_from(self.0 >> 1).unwrap_or_default()
    }

    /// Whether the spans have no parent.
    pub fn is_root(self) -> bool {
        self.0 & 1 == 1
    }

    /// Whether the spans answer requests of others.
    pub fn is_served(self) -> bool {
        self != Self::TRACES && matches!(self.kind(), 2 | 5)
    }
}

/// What a row says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Spans, or traces.
    pub count: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Those of them that the eBPF agent made.
    pub from_agent: u64,
    /// Their durations in nanoseconds. Not kept for services in roles that are no requests.
    pub durations: Sketch,
}

impl Tally {
    /// Adds another's numbers.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.errors += other.errors;
        self.from_agent += other.from_agent;
        self.durations.merge(&other.durations);
    }

    /// Takes another's numbers away.
    fn take(&mut self, other: &Self) {
        self.count = self.count.saturating_sub(other.count);
        self.errors = self.errors.saturating_sub(other.errors);
        self.from_agent = self.from_agent.saturating_sub(other.from_agent);
        self.durations.take(&other.durations);
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [self.count, self.errors, self.from_agent] {
            prost::encoding::encode_varint(number, &mut bytes);
        }
        self.durations.encode(&mut bytes);
        bytes
    }

    /// Adds what a row's column holds.
    ///
    /// # Errors
    /// When the column is damaged.
    pub fn merge_encoded(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        let mut number = || {
            prost::encoding::decode_varint(&mut bytes)
                .map_err(|error| StoreError::Damaged(format!("rollup: {error}")))
        };
        let (count, errors, from_agent) = (number()?, number()?, number()?);
        self.count = self.count.saturating_add(count);
        self.errors = self.errors.saturating_add(errors);
        self.from_agent = self.from_agent.saturating_add(from_agent);
        self.durations.merge_encoded(bytes)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn roles_keep_kind_and_root() {
        for kind in [0, 1, 2, 3, 4, 5, 77, -1, i32::MAX, i32::MIN] {
            for root in [false, true] {
                let role = Role::stored(Role::spans(kind, root).number());
                assert_eq!((role.kind(), role.is_root()), (kind, root));
                assert_ne!(role, Role::TRACES);
            }
        }
    }

    #[test]
    fn what_is_added_can_be_taken_away() {
        let tally = |durations: &[u64], errors| {
            let mut tally = Tally { count: durations.len() as u64, errors, ..Tally::default() };
            durations.iter().for_each(|d| tally.durations.add(*d));
            tally
        };
        let (first, second) = (tally(&[1, 5_000, u64::MAX], 1), tally(&[5_000, 7], 2));
        let mut both = Tally::default();
        both.merge_encoded(&first.encode()).unwrap();
        both.merge_encoded(&second.encode()).unwrap();
        assert_eq!(both.count, 5);
        both.take(&first);
        assert_eq!(both, second);
        assert!(Tally::default().merge_encoded(&[1, 0xff]).is_err());
    }
}

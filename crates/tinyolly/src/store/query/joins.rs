//! Which traces are parts of one: an agent that sees only one end of a request names it (`ebpf.link.id`), the agent on
//! the other host names it alike, and what the request caused there hangs below the call that was made here.
//!
//! Joins are found when they are asked for and never written. So the order of arrival cannot matter, a second claim
//! that arrives later ends a join that had become doubtful, retention may remove any part, and what is stored remains
//! what was received.

use std::collections::{HashMap, HashSet, VecDeque};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rusqlite::{Connection, OptionalExtension};

use super::sources::Sources;
use crate::store::StoreError;
use crate::store::rows::SpanId;

/// How far a server's span may begin outside the time of its call: the clocks are those of two hosts. A clock that has lost
/// its time server strays by seconds a day, so this joins hosts that missed it since yesterday. It is far below what could
/// bring a link id back: sequence numbers begin where a clock stands that goes round in 275 s (Linux `secure_tcp_seq`),
/// and traces that are replayed for a demonstration come by the minute. Unrelated requests share 64 bits so seldom that
/// a larger slack would not be wrong more often; it would only believe more in replays.
const SLACK_NS: u64 = 5_000_000_000;
/// Spans that may share a link id before all of them are taken for ambiguous, unseen. Two is what is normal.
const MOST_ENDS: usize = 64;

/// One end of a request, as its agent saw it.
#[derive(Clone, Debug)]
struct End {
    trace: i64,
    span_id: SpanId,
    start_ns: u64,
    end_ns: u64,
    is_server: bool,
    /// It is what its trace begins with.
    is_root: bool,
    resource: i64,
    /// `service.name` and `service.instance.id`, where there is an instance id.
    instance: Option<(String, String)>,
}

impl End {
    /// Whether this call can be what the server's end answered.
    fn can_be_call_of(&self, server: &Self) -> bool {
        let is_same =
            self.resource == server.resource || (self.instance.is_some() && self.instance == server.instance);
        let earliest = self.start_ns.saturating_sub(SLACK_NS);
        let latest = self.end_ns.max(self.start_ns).saturating_add(SLACK_NS);
        !self.is_server && server.is_server && !is_same && (earliest..=latest).contains(&server.start_ns)
    }
}

/// The one call and the one server's span that can belong together, for each that have no other to go with.
fn pairs(ends: &[End]) -> Vec<(&End, &End)> {
    fn only<'a>(mut fitting: impl Iterator<Item = &'a End>) -> Option<&'a End> {
        fitting.next().filter(|_| fitting.next().is_none())
    }
    let call_of = |server: &End| only(ends.iter().filter(|end| end.can_be_call_of(server)));
    let server_of = |call: &End| only(ends.iter().filter(|end| call.can_be_call_of(end)));
    ends.iter()
        .filter_map(|server| {
            let call = call_of(server)?;
            server_of(call)?;
            Some((call, server))
        })
        .collect()
}

/// A trace that begins with a request which a span of another trace sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Join {
    /// Row of the trace that holds the call.
    pub(super) above: i64,
    /// The call.
    pub(super) call: SpanId,
    /// Row of the trace that the call caused.
    pub(super) below: i64,
    /// Its root.
    pub(super) root: SpanId,
}

/// A trace with all those that are parts of it.
#[derive(Debug)]
pub(super) struct Tree {
    /// Rows of the traces, the one with the root of all first.
    pub(super) traces: Vec<i64>,
    /// What makes them one.
    pub(super) joins: Vec<Join>,
}

/// Finds joins; asks for each link id once.
pub(super) struct Joins<'a> {
    db: &'a Connection,
    sources: Sources<'a>,
    known: HashMap<i64, Vec<Join>>,
}

impl<'a> Joins<'a> {
    pub(super) fn new(db: &'a Connection) -> Self {
        Self { db, sources: Sources::new(db), known: HashMap::new() }
    }

    /// The trace that this one is a part of, at the top: often itself.
    pub(super) fn top(&mut self, trace: i64) -> Result<i64, StoreError> {
        Ok(self.climb(trace)?.0)
    }

    /// The whole that a trace is a part of. No more than `budget` calls are followed, which is counted down.
    pub(super) fn tree(&mut self, trace: i64, budget: &mut usize) -> Result<Tree, StoreError> {
        let (top, ring) = self.climb(trace)?;
        let mut tree = Tree { traces: vec![top], joins: Vec::new() };
        let mut seen: HashSet<i64> = ring.into_iter().chain([top]).collect();
        let mut open = VecDeque::from([top]);
        while let Some(trace) = open.pop_front() {
            for join in self.below(trace, budget)? {
                if seen.insert(join.below) {
                    tree.traces.push(join.below);
                    tree.joins.push(join);
                    open.push_back(join.below);
                }
            }
        }
        Ok(tree)
    }

    /// Goes up to the trace above which there is none. Traces that would stand above each other in a ring, which no
    /// requests can cause, are not joined among themselves: the first of them that is met is at the top, and the ring is
    /// returned.
    fn climb(&mut self, trace: i64) -> Result<(i64, Vec<i64>), StoreError> {
        let mut path = vec![trace];
        let mut at = trace;
        while let Some(join) = self.above(at)? {
            at = join.above;
            if let Some(start) = path.iter().position(|known| *known == at) {
                return Ok((at, path.split_off(start)));
            }
            path.push(at);
        }
        Ok((at, Vec::new()))
    }

    fn above(&mut self, trace: i64) -> Result<Option<Join>, StoreError> {
        let link: Option<i64> = self
            .db
            .prepare_cached(
                "SELECT s.link FROM trace t
                 JOIN span s ON s.trace = t.id AND s.start_ns = t.root_start_ns AND s.span_id = t.root_span_id
                 WHERE t.id = ?1 AND s.kind = 2",
            )?
            .query_row([trace], |row| row.get(0))
            .optional()?
            .flatten();
        let Some(link) = link else { return Ok(None) };
        Ok(self.of_link(link)?.iter().find(|join| join.below == trace).copied())
    }

    fn below(&mut self, trace: i64, budget: &mut usize) -> Result<Vec<Join>, StoreError> {
        let links: Vec<i64> = self
            .db
            .prepare_cached(
                "SELECT link FROM span INDEXED BY span_by_call
                 WHERE trace = ?1 AND link IS NOT NULL AND kind = 3 LIMIT ?2",
            )?
            .query_map([trace, i64::try_from(*budget).unwrap_or(i64::MAX)], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        *budget -= links.len();
        let mut found = Vec::new();
        for link in links {
            found.extend(self.of_link(link)?.iter().filter(|join| join.above == trace));
        }
        Ok(found)
    }

    fn of_link(&mut self, link: i64) -> Result<&[Join], StoreError> {
        if !self.known.contains_key(&link) {
            let joins = self.read(link)?;
            self.known.insert(link, joins);
        }
        Ok(&self.known[&link])
    }

    fn read(&mut self, link: i64) -> Result<Vec<Join>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT s.trace, s.span_id, s.start_ns, s.duration_ns, s.kind, s.resource,
               t.root_has_parent = 0 AND t.root_start_ns = s.start_ns AND t.root_span_id = s.span_id
             FROM span s INDEXED BY span_by_link JOIN trace t ON t.id = s.trace WHERE s.link = ?1 LIMIT ?2",
        )?;
        let ends = statement.query_map([link, MOST_ENDS as i64 + 1], |row| {
            let start_ns = row.get::<_, i64>(2)? as u64;
            Ok(End {
                trace: row.get(0)?,
                span_id: row.get(1)?,
                start_ns,
                end_ns: start_ns.wrapping_add(row.get::<_, i64>(3)? as u64),
                is_server: row.get::<_, i32>(4)? == SpanKind::Server as i32,
                is_root: row.get(6)?,
                resource: row.get(5)?,
                instance: None,
            })
        })?;
        let mut ends = ends.collect::<Result<Vec<_>, _>>()?;
        if ends.len() < 2 || ends.len() > MOST_ENDS {
            return Ok(Vec::new());
        }
        for end in &mut ends {
            end.instance = instance(&*self.sources.resource(end.resource)?);
        }
        // A span that says itself who caused it, or a root beside another one, is left where it is.
        let believed = pairs(&ends).into_iter().filter(|(_, server)| server.is_root);
        let join = |(call, server): (&End, &End)| Join {
            above: call.trace,
            call: call.span_id,
            below: server.trace,
            root: server.span_id,
        };
        Ok(believed.map(join).collect())
    }
}

fn instance(resource: &ResourceSpans) -> Option<(String, String)> {
    let attributes = &resource.resource.as_ref()?.attributes;
    let text = |key: &str| {
        let attribute = attributes.iter().find(|attribute| attribute.key == key)?;
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(text) => Some(text.clone()),
            _ => None,
        }
    };
    Some((text("service.name").unwrap_or_default(), text("service.instance.id")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_763_829_600_000_000_000;
    const SECOND: u64 = 1_000_000_000;

    fn end(number: u8, is_server: bool, start_ns: u64) -> End {
        End {
            trace: i64::from(number),
            span_id: [number; 8],
            start_ns,
            end_ns: start_ns + SECOND,
            is_server,
            is_root: is_server,
            resource: i64::from(number),
            instance: None,
        }
    }

    fn call(number: u8, start_ns: u64) -> End {
        end(number, false, start_ns)
    }

    fn server(number: u8, start_ns: u64) -> End {
        end(number, true, start_ns)
    }

    fn paired(ends: &[End]) -> Vec<(i64, i64)> {
        pairs(ends).iter().map(|(call, server)| (call.trace, server.trace)).collect()
    }

    #[test]
    fn a_call_and_a_server_are_a_pair_in_either_order() {
        assert_eq!(paired(&[call(1, T0), server(2, T0 + 1)]), [(1, 2)]);
        assert_eq!(paired(&[server(2, T0 + 1), call(1, T0)]), [(1, 2)]);
    }

    #[test]
    fn one_end_alone_or_two_of_a_kind_are_no_pair() {
        for ends in
            [vec![], vec![call(1, T0)], vec![call(1, T0), call(2, T0)], vec![server(1, T0), server(2, T0)]]
        {
            assert_eq!(paired(&ends), []);
        }
    }

    #[test]
    fn a_server_begins_while_its_call_is_open_give_or_take_the_clocks() {
        for (begins, fits) in [
            (T0 - SLACK_NS - 1, false),
            (T0 - SLACK_NS, true),
            (T0 + SECOND + SLACK_NS, true),
            (T0 + SECOND + SLACK_NS + 1, false),
        ] {
            assert_eq!(paired(&[call(1, T0), server(2, begins)]).len(), usize::from(fits), "{begins}");
        }
        // Times at the ends of their range, and a call that ended before it began.
        assert_eq!(paired(&[call(1, 0), server(2, 0)]).len(), 1);
        let backward = End { start_ns: u64::MAX - 1, end_ns: 3, ..call(1, T0) };
        let last = End { start_ns: u64::MAX, ..server(2, T0) };
        assert_eq!(paired(&[backward, last]).len(), 1);
    }

    #[test]
    fn what_fits_twice_is_no_pair() {
        assert_eq!(paired(&[call(1, T0), call(2, T0), server(3, T0)]), []);
        assert_eq!(paired(&[call(1, T0), server(2, T0), server(3, T0)]), []);
        assert_eq!(paired(&[call(1, T0), call(2, T0), server(3, T0), server(4, T0)]), []);
        // The server at the edge can only go with the later call, which however has two to choose from.
        let late = T0 + 10 * SECOND;
        assert_eq!(paired(&[call(1, T0), call(2, late - SLACK_NS), server(3, late), server(4, T0)]), []);
    }

    #[test]
    fn an_id_that_comes_back_later_pairs_those_of_each_time() {
        let later = T0 + 300 * SECOND;
        let ends = [call(1, T0), server(2, T0), server(4, later), call(3, later)];
        assert_eq!(paired(&ends), [(1, 2), (3, 4)]);
    }

    #[test]
    fn a_process_is_not_its_own_other_host() {
        let (call, mut same_resource) = (call(1, T0), server(2, T0));
        same_resource.resource = call.resource;
        assert_eq!(paired(&[call.clone(), same_resource]), []);
        let named = |mut end: End, name: &str| {
            end.instance = Some(("shop".to_owned(), name.to_owned()));
            end
        };
        assert_eq!(paired(&[named(call.clone(), "a:1"), named(server(2, T0), "a:1")]), []);
        assert_eq!(paired(&[named(call, "a:1"), named(server(2, T0), "b:1")]), [(1, 2)]);
    }
}

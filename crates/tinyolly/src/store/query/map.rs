//! The service map: who calls whom, found by walking traces.
//!
//! Nothing of it is kept at ingest: a child may arrive before its parent, and traces of two hosts become one only when
//! asked (see `joins`). So the newest traces of a window are walked for as long as an answer may take, and the answer
//! says how far that was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension};

use super::edges::{Gathered, Node, Walked};
use super::joins::Joins;
use super::peers::NodeType;
use super::sources::Sources;
use crate::store::rollup::Tally;
use crate::store::rows::TraceId;
use crate::store::{StoreError, blob};

/// How long traces are walked.
const BUDGET: Duration = Duration::from_millis(40);
/// Spans of a trace that are looked at; what is beyond makes the map incomplete.
const MOST_SPANS: usize = 20_000;
/// Calls of a trace that are followed into other traces.
const MOST_CALLS: usize = 1_000;

/// A place on the map.
#[derive(Clone, Debug)]
pub struct MapNode {
    /// Unique on the map.
    pub id: String,
    /// For people.
    pub label: Arc<str>,
    /// What it is.
    pub kind: NodeType,
    /// What it was asked; nothing is known of callers.
    pub load: Option<Tally>,
}

/// Calls from one place to another.
#[derive(Clone, Debug)]
pub struct MapEdge {
    /// Index of the caller's node.
    pub source: usize,
    /// Index of the node that was called.
    pub target: usize,
    /// The calls.
    pub load: Tally,
}

/// The service map.
#[derive(Clone, Debug)]
pub struct ServiceMap {
    /// Services first, each kind by name.
    pub nodes: Vec<MapNode>,
    /// In the order of their nodes.
    pub edges: Vec<MapEdge>,
    /// Traces walked.
    pub searched_traces: u64,
    /// Start of the earliest and end of the latest trace walked.
    pub times: Option<(u64, u64)>,
    /// Whether all traces of the window were walked.
    pub complete: bool,
}

/// The map of the traces that start from `start_ns` up to `end_ns`.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn service_map(db: &Connection, start_ns: u64, end_ns: u64) -> Result<ServiceMap, StoreError> {
    let deadline = Instant::now() + BUDGET;
    let mut walk = Walk::new(db);
    let mut complete = true;
    let mut list = db.prepare_cached(
        "SELECT id FROM trace INDEXED BY trace_by_start WHERE start_ns >= ?1 AND start_ns < ?2
         ORDER BY start_ns DESC",
    )?;
    // Times beyond the year 2262 are not looked for.
    let bounds = [start_ns, end_ns].map(|time| i64::try_from(time).unwrap_or(i64::MAX));
    let mut rows = list.query(bounds)?;
    while let Some(row) = rows.next()? {
        if walk.searched > 0 && Instant::now() >= deadline {
            complete = false;
            break;
        }
        walk.trace(row.get(0)?)?;
    }
    walk.finish(complete)
}

/// The map of one trace and those joined to it; `None` when it is unknown.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn trace_map(db: &Connection, trace_id: TraceId) -> Result<Option<ServiceMap>, StoreError> {
    let mut statement = db.prepare_cached("SELECT id FROM trace WHERE trace_id = ?1")?;
    let Some(trace) = statement.query_row([trace_id], |row| row.get(0)).optional()? else { return Ok(None) };
    let mut walk = Walk::new(db);
    walk.trace(trace)?;
    walk.finish(true).map(Some)
}

struct Walk<'a> {
    db: &'a Connection,
    joins: Joins<'a>,
    gathered: Gathered,
    /// Traces that were walked as parts of others.
    parts: HashSet<i64>,
    searched: u64,
    times: Option<(u64, u64)>,
    cut: bool,
}

impl<'a> Walk<'a> {
    fn new(db: &'a Connection) -> Self {
        Self {
            db,
            joins: Joins::new(db),
            gathered: Gathered::default(),
            parts: HashSet::new(),
            searched: 0,
            times: None,
            cut: false,
        }
    }

    fn trace(&mut self, trace: i64) -> Result<(), StoreError> {
        if self.parts.contains(&trace) {
            return Ok(());
        }
        self.searched += 1;
        let mut spans = Vec::new();
        let is_linked = self.read(trace, &mut spans)?;
        if !is_linked {
            self.gathered.walk(&spans, &HashMap::new());
            return Ok(());
        }
        let tree = self.joins.tree(trace, &mut MOST_CALLS.clone())?;
        for part in tree.traces {
            if part != trace {
                self.read(part, &mut spans)?;
                self.searched += 1;
            }
            self.parts.insert(part);
        }
        let joined = tree.joins.iter().map(|join| ((join.below, join.root), (join.above, join.call)));
        self.gathered.walk(&spans, &joined.collect());
        Ok(())
    }

    /// Reads a trace's spans; says whether any may belong to another host's.
    fn read(&mut self, trace: i64, spans: &mut Vec<Walked>) -> Result<bool, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT span_id, parent_id, start_ns, duration_ns, kind, status, service, link IS NOT NULL,
               mark, CASE WHEN kind BETWEEN 3 AND 5 OR (kind = 2 AND parent_id IS NULL) THEN detail END
             FROM span WHERE trace = ?1",
        )?;
        let mut rows = statement.query([trace])?;
        let mut is_linked = false;
        while let Some(row) = rows.next()? {
            if spans.len() >= MOST_SPANS {
                self.cut = true;
                break;
            }
            let start_ns = row.get::<_, i64>(2)? as u64;
            let duration_ns = row.get::<_, i64>(3)?.max(0);
            let end_ns = start_ns.saturating_add(duration_ns as u64);
            let (first, last) = self.times.unwrap_or((start_ns, end_ns));
            self.times = Some((first.min(start_ns), last.max(end_ns)));
            is_linked |= row.get::<_, bool>(7)?;
            spans.push(Walked {
                trace,
                span_id: row.get(0)?,
                parent_id: row.get(1)?,
                duration_ns,
                kind: row.get(4)?,
                status: row.get(5)?,
                service: row.get(6)?,
                mark: row.get(8)?,
                detail: blob::unpack(row.get_ref(9)?.as_blob_or_null().map_err(rusqlite::Error::from)?)?,
            });
        }
        Ok(is_linked)
    }

    fn finish(self, complete: bool) -> Result<ServiceMap, StoreError> {
        let mut sources = Sources::new(self.db);
        let (nodes, edges) = self.gathered.finish();
        let mut named = Vec::with_capacity(nodes.len());
        for (node, load) in nodes {
            let (id, label, kind): (_, Arc<str>, _) = match node {
                Node::Service(service) => {
                    let name = sources.text(service)?;
                    (format!("service:{name}"), name, NodeType::Service)
                }
                Node::Peer(peer) => {
                    let kind = match peer.kind {
                        NodeType::Service => "service",
                        NodeType::Database => "database",
                        NodeType::Queue => "queue",
                        NodeType::External => "external",
                        NodeType::Caller => "caller",
                    };
                    (format!("{kind}:{}", peer.key), peer.label.into(), peer.kind)
                }
            };
            named.push(MapNode { id, label, kind, load });
        }
        let (nodes, edges) = arranged(named, edges);
        let (searched_traces, times) = (self.searched, self.times);
        Ok(ServiceMap { nodes, edges, searched_traces, times, complete: complete && !self.cut })
    }
}

/// Puts nodes and edges in an order that stays; calls to a service by its name go to the service.
fn arranged(nodes: Vec<MapNode>, edges: HashMap<(usize, usize), Tally>) -> (Vec<MapNode>, Vec<MapEdge>) {
    let services = nodes.iter().enumerate().filter(|(_, node)| node.kind == NodeType::Service);
    let services: HashMap<_, _> = services.map(|(at, node)| (Arc::clone(&node.label), at)).collect();
    let is_named = |node: &MapNode| matches!(node.kind, NodeType::External | NodeType::Caller);
    let stands_for = |at: usize| match services.get(&nodes[at].label) {
        Some(service) if is_named(&nodes[at]) => *service,
        _ => at,
    };
    let mut loads: HashMap<(usize, usize), Tally> = HashMap::new();
    for ((source, target), load) in edges {
        let (source, target) = (stands_for(source), stands_for(target));
        if source != target {
            loads.entry((source, target)).or_default().merge(&load);
        }
    }
    let mut order: Vec<usize> = (0..nodes.len()).filter(|at| stands_for(*at) == *at).collect();
    order.sort_by(|a, b| (nodes[*a].kind, &nodes[*a].id).cmp(&(nodes[*b].kind, &nodes[*b].id)));
    let place: HashMap<usize, usize> = order.iter().enumerate().map(|(to, from)| (*from, to)).collect();
    let edge = |((source, target), load)| MapEdge { source: place[&source], target: place[&target], load };
    let mut edges: Vec<MapEdge> = loads.into_iter().map(edge).collect();
    edges.sort_by_key(|edge| (edge.source, edge.target));
    (order.iter().map(|at| nodes[*at].clone()).collect(), edges)
}

//! Which of the requests that a process serves may have caused a call that it makes.
//!
//! Nothing here depends on the order in which requests are told, as long as what is asked lies behind what is still to
//! be told.

use std::collections::VecDeque;

use foldhash::{HashMap, HashSet};

use super::{BLIND_FOR_NS, HOLD_AT_MOST_NS, node::NodeId, tasks::Tasks};

/// Most requests that are remembered when they are over: those of the grace at 100,000 a second, and more.
const MOST_ENDED: usize = 4096;

/// Time between two looks for tasks whose requests are over.
const SWEEP_EVERY_NS: u64 = 1_000_000_000;

/// What the requests open during a call tell about its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This one was open during the whole call, and no other during any of it.
    Sole(NodeId),
    /// There were several.
    Ambiguous,
    /// There was none, or none to the end.
    None,
}

/// Requests that a process serves.
#[derive(Debug, Default)]
pub struct Process {
    open: HashMap<NodeId, Served>,
    /// Requests that are over, by their end.
    ended: VecDeque<Served>,
    /// End of the latest request that was forgotten.
    forgotten_ns: u64,
    /// Open requests for which a thread waited.
    by_thread: HashMap<u32, Vec<NodeId>>,
    /// Threads that waited for a request, and when they had the latest.
    waiting_threads: HashMap<u32, u64>,
    /// Time in which something may be served that cannot be seen.
    blind_ns: (u64, u64),
    /// Its tasks, where it has a runtime whose tasks can be followed.
    pub tasks: Tasks,
    /// When requests that are over were last looked for.
    swept_ns: u64,
}

/// A request that a process serves.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Its name in the tree.
    pub id: NodeId,
    /// When it was read.
    pub start_ns: u64,
    /// When it was answered; `u64::MAX` while it is not.
    pub end_ns: u64,
    /// Thread that waited for it, as one does that serves one request at a time.
    pub waited_by: Option<u32>,
    /// Tasks that read its head; 0 for none.
    pub tasks: [u64; 2],
}

impl Process {
    /// A request was read.
    pub fn server_started(&mut self, served: Served) {
        self.open.insert(served.id, served);
        let [first, last] = served.tasks;
        self.tasks.serves(first, served.id, served.start_ns);
        if last != first {
            self.tasks.serves(last, served.id, served.start_ns);
        }
        if let Some(tid) = served.waited_by {
            self.waiting_threads.insert(tid, served.start_ns);
            self.by_thread.entry(tid).or_default().push(served.id);
        }
    }

    /// A request was answered, or came to its end otherwise.
    pub fn server_ended(&mut self, id: NodeId, end_ns: u64) {
        let Some(mut served) = self.open.remove(&id) else { return };
        served.end_ns = end_ns;
        self.tasks.served(served.tasks, id, end_ns);
        if self.ended.len() == MOST_ENDED {
            self.forget_first();
        }
        let before = self.ended.iter().rposition(|earlier| earlier.end_ns <= end_ns);
        self.ended.insert(before.map_or(0, |last| last + 1), served);
        if let Some(tid) = served.waited_by
            && let Some(waited) = self.by_thread.get_mut(&tid)
        {
            waited.retain(|waited| *waited != id);
            if waited.is_empty() {
                self.by_thread.remove(&tid);
            }
        }
    }

    /// The request that a thread was serving alone at this time, if there is one.
    pub fn served_by(&self, tid: u32, at_ns: u64) -> Option<NodeId> {
        if !self.waiting_threads.contains_key(&tid) {
            return None;
        }
        let open = self.by_thread.get(&tid).into_iter().flatten().filter_map(|id| self.open.get(id));
        let mut serving = open
            .chain(self.ended_since(at_ns))
            .filter(|served| served.waited_by == Some(tid) && served.start_ns <= at_ns);
        match (serving.next(), serving.next()) {
            (Some(one), None) => Some(one.id),
            _ => None,
        }
    }

    /// Says what caused a call that a thread made.
    ///
    /// A thread that waits for requests of its own makes calls for these, or for none: not for another's.
    ///
    /// A request that the call itself caused, in a process that calls itself, counts like any other: such a process makes
    /// calls of its own accord as likely as not, and another request that happens to be open has nothing to do with them.
    pub fn cause(&self, tid: u32, start_ns: u64, end_ns: u64) -> Verdict {
        if self.waiting_threads.contains_key(&tid) {
            return Verdict::None;
        }
        let (blind_from_ns, blind_until_ns) = self.blind_ns;
        let is_blind = start_ns < blind_until_ns && end_ns >= blind_from_ns;
        if is_blind || start_ns <= self.forgotten_ns {
            return Verdict::Ambiguous;
        }
        let mut overlapping =
            self.open.values().chain(self.ended_since(start_ns)).filter(|served| served.start_ns <= end_ns);
        match (overlapping.next(), overlapping.next()) {
            (Some(one), None) if one.start_ns <= start_ns && one.end_ns >= end_ns => Verdict::Sole(one.id),
            (_, None) => Verdict::None,
            (_, Some(_)) => Verdict::Ambiguous,
        }
    }

    /// Requests that were open at a time.
    pub fn open_at(&self, at_ns: u64) -> impl Iterator<Item = NodeId> {
        let served = self.open.values().chain(self.ended_since(at_ns));
        served.filter(move |served| served.start_ns <= at_ns).map(|served| served.id)
    }

    fn ended_since(&self, at_ns: u64) -> impl Iterator<Item = &Served> {
        self.ended.range(self.ended.partition_point(|served| served.end_ns < at_ns)..)
    }

    /// Events of this time may be missing: what was not seen may have been there, and go on.
    pub fn lose(&mut self, from_ns: u64, until_ns: u64) {
        if until_ns > 0 {
            self.blind(from_ns, until_ns.saturating_add(BLIND_FOR_NS));
            self.tasks.lost(until_ns);
        }
    }

    /// Whether there is nothing to know but which connections its tasks send for.
    pub fn has_only_connections(&self) -> bool {
        self.open.is_empty() && self.ended.is_empty() && self.tasks.is_past()
    }

    /// Something may be served in this time that cannot be seen.
    pub fn blind(&mut self, from_ns: u64, until_ns: u64) {
        let (known_from_ns, known_until_ns) = self.blind_ns;
        self.blind_ns = if known_until_ns < from_ns {
            (from_ns, until_ns)
        } else {
            (known_from_ns.min(from_ns), known_until_ns.max(until_ns))
        };
    }

    /// Forgets requests that ended long before `known_ns`; returns whether there is nothing left to know.
    pub fn is_idle(&mut self, known_ns: u64) -> bool {
        while self
            .ended
            .front()
            .is_some_and(|served| served.end_ns.saturating_add(HOLD_AT_MOST_NS) <= known_ns)
        {
            self.forget_first();
        }
        if self.waiting_threads.len() > MOST_ENDED {
            self.waiting_threads.retain(|_, since_ns| since_ns.saturating_add(HOLD_AT_MOST_NS) > known_ns);
        }
        if known_ns >= self.swept_ns.saturating_add(SWEEP_EVERY_NS) {
            self.swept_ns = known_ns;
            let (open, ended) = (&self.open, &self.ended);
            let ended: HashSet<NodeId> = ended.iter().map(|served| served.id).collect();
            self.tasks.forget_served(known_ns, |id| open.contains_key(&id) || ended.contains(&id));
        }
        let has_no_tasks = self.tasks.is_idle(known_ns);
        self.open.is_empty() && self.ended.is_empty() && self.blind_ns.1 <= known_ns && has_no_tasks
    }

    fn forget_first(&mut self) {
        if let Some(served) = self.ended.pop_front() {
            self.forgotten_ns = self.forgotten_ns.max(served.end_ns);
        }
    }
}

//! Which request a call belongs to, in a process whose runtime runs many tasks on few threads.
//!
//! A task works for the request that it reads and answers, and for the one that the task which made it worked for at that
//! time. A call is often sent by another task yet: that of a pooled connection, to which the caller hands its request. Of
//! this the caller's side is seen twice. Its task wakes the connection's task before the request is sent, and the task that
//! receives the response wakes the caller's. One of both alone proves little: a connection's task is woken as well by the
//! caller before, whose response body was read to its end, and a task that fetches something for many wakes all of them.
//! Both together name the caller.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use super::node::NodeId;

/// Longest time between two things that a thread does one right after the other: it may lose its processor in between.
pub const LATE_NS: u64 = 10_000_000;
/// How long what tasks did is remembered, behind what is known: a task that was woken may wait for a processor.
const REMEMBER_NS: u64 = 300_000_000;
/// Most deeds of a process's tasks that are remembered: those of the time above at a quarter of a million wake-ups a second.
const MOST_DEEDS: usize = 150_000;
/// Most tasks that are known to have been made for requests that are open.
const MOST_MADE: usize = 100_000;
/// Most tasks that are known to send a connection's requests.
const MOST_SENDERS: usize = 65_536;

/// How long after an exchange's beginning or end the tasks that took part in it may have more to tell.
pub fn late_ns(tasks: [u64; 2]) -> u64 {
    if tasks == [0; 2] { 0 } else { LATE_NS }
}

/// What a task did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// It woke this task.
    Woke(u64),
    /// It sent part of a request.
    Sent,
    /// It received part of a response, on the connection with this cookie.
    Received(u64),
}

/// Evidence about a call, from the tasks that took part in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Requests for which tasks worked that woke the one that sent the call, and when first.
    pub woken_for: Vec<(NodeId, u64)>,
    /// When the first of the response was received.
    pub answered_ns: Option<u64>,
    /// Requests for which tasks worked that the one that received the response woke then.
    pub woke: Vec<NodeId>,
    /// Requests for which tasks worked that woke that one in turn, as they do when it had to wait for them to take the
    /// response.
    pub took: Vec<NodeId>,
}

impl Evidence {
    /// The request that the call belongs to, given the one for which the task was made that sent it.
    ///
    /// # Errors
    ///
    /// More than one fits.
    pub fn cause(
        &self,
        made_for: Option<NodeId>,
        is_open: impl Fn(NodeId) -> bool,
    ) -> Result<Option<NodeId>, ()> {
        // The next to use a connection does so when the response has come.
        let asked = || {
            let in_time = |(_, at_ns): &&(NodeId, u64)| {
                self.answered_ns.is_none_or(|answered_ns| *at_ns <= answered_ns)
            };
            self.woken_for.iter().filter(in_time).map(|(id, _)| *id).filter(|id| is_open(*id))
        };
        let took = if self.woke.is_empty() { &self.took } else { &self.woke };
        let mut both = asked().filter(|id| took.contains(id));
        match (both.next(), both.next()) {
            (Some(_), Some(_)) => Err(()),
            (Some(one), None) => Ok(Some(one)),
            // A task that others wake as well works for them too.
            (None, _) => {
                Ok(made_for.filter(|id| asked().chain(self.woke.iter().copied()).all(|other| other == *id)))
            }
        }
    }

    /// Whether any of it is about another request.
    pub fn is_about_another(&self, id: NodeId) -> bool {
        self.woken_for.iter().map(|(other, _)| other).chain(&self.woke).any(|other| *other != id)
    }
}

/// A request that a task serves.
#[derive(Clone, Copy, Debug)]
struct Serving {
    id: NodeId,
    start_ns: u64,
    end_ns: u64,
}

/// The tasks of a process.
#[derive(Debug, Default)]
pub struct Tasks {
    /// Requests by the task that reads and answers them.
    serving: HashMap<u64, VecDeque<Serving>>,
    /// Tasks that were made by one that worked for a request.
    made_for: HashMap<u64, NodeId>,
    /// Tasks whose making is not judged yet: when, which one, by whom.
    made: BinaryHeap<Reverse<(u64, u64, u64)>>,
    deeds: HashMap<u64, VecDeque<(u64, Deed)>>,
    /// Connections by the task that sends their requests.
    sends_for: HashMap<u64, u64>,
    /// Who woke a task, or handed a request to a connection, and when.
    wakers: HashMap<u64, VecDeque<(u64, u64)>>,
    /// Tasks in `deeds` and `wakers`, by time, to forget them.
    recent: VecDeque<(u64, u64)>,
    /// Deeds up to this time may be missing.
    forgotten_ns: u64,
}

impl Tasks {
    /// A task read a request that it is to answer.
    pub fn serves(&mut self, task: u64, id: NodeId, start_ns: u64) {
        if task != 0 {
            self.serving.entry(task).or_default().push_back(Serving { id, start_ns, end_ns: u64::MAX });
        }
    }

    /// A request was answered, or came to its end otherwise.
    pub fn served(&mut self, tasks: [u64; 2], id: NodeId, end_ns: u64) {
        for task in tasks {
            let serving = self.serving.get_mut(&task).into_iter().flatten();
            serving.filter(|serving| serving.id == id).for_each(|serving| serving.end_ns = end_ns);
        }
    }

    /// A task made another.
    pub fn made(&mut self, parent: u64, child: u64, at_ns: u64) {
        if parent != 0 && child != 0 {
            self.made.push(Reverse((at_ns, child, parent)));
        }
    }

    /// A task woke another.
    pub fn woke(&mut self, from: u64, to: u64, at_ns: u64) {
        insert(self.deeds.entry(from).or_default(), at_ns, Deed::Woke(to));
        insert(self.wakers.entry(to).or_default(), at_ns, from);
        self.remember(at_ns, from);
        self.remember(at_ns, to);
    }

    /// A task sends the requests of a connection.
    pub fn sends_for(&mut self, task: u64, connection: u64) {
        if self.sends_for.len() >= MOST_SENDERS {
            // Those of connections that go on are known by who wakes them.
            self.sends_for.clear();
        }
        self.sends_for.insert(task, connection);
    }

    /// A task sent part of a request.
    pub fn sent(&mut self, task: u64, at_ns: u64) {
        insert(self.deeds.entry(task).or_default(), at_ns, Deed::Sent);
        self.remember(at_ns, task);
    }

    /// A task received part of a response.
    pub fn received(&mut self, task: u64, cookie: u64, at_ns: u64) {
        insert(self.deeds.entry(task).or_default(), at_ns, Deed::Received(cookie));
        self.remember(at_ns, task);
    }

    /// Events up to this time are missing.
    pub fn lost(&mut self, at_ns: u64) {
        self.forgotten_ns = self.forgotten_ns.max(at_ns);
    }

    /// The request that a task reads and answers at this time, alone.
    pub fn serving(&self, task: u64, at_ns: u64) -> Option<NodeId> {
        let mut serving = self.serving.get(&task).into_iter().flatten();
        let mut open =
            serving.by_ref().filter(|serving| serving.start_ns <= at_ns && at_ns <= serving.end_ns);
        match (open.next(), open.next()) {
            (Some(one), None) => Some(one.id),
            _ => None,
        }
    }

    /// The request for whose sake a task was made, unless events are missing since `since_ns`.
    pub fn made_for(&self, task: u64, since_ns: u64) -> Option<NodeId> {
        self.maker_of(task).filter(|_| since_ns > self.forgotten_ns)
    }

    /// The request for whose sake a task was made. One that sends the requests of a connection works for all who hand it
    /// some, not for the one that opened the connection.
    fn maker_of(&self, task: u64) -> Option<NodeId> {
        self.made_for.get(&task).copied().filter(|_| !self.sends_for.contains_key(&task))
    }

    /// The request that a task works for: the one it serves, or the one it was made for, unless a task that serves another
    /// has woken it since.
    fn works_for(&self, task: u64, at_ns: u64) -> Option<NodeId> {
        self.serving(task, at_ns)
            .or_else(|| self.maker_of(task).filter(|id| !self.is_shared(task, *id, at_ns)))
    }

    /// Whether a task that was made for a request takes work from others: it may do its next for any of them.
    fn is_shared(&self, task: u64, made_for: NodeId, at_ns: u64) -> bool {
        let wakers = self.wakers.get(&task).into_iter().flat_map(|wakers| between(wakers, 0, at_ns));
        wakers.filter_map(|(woken_ns, from)| self.serving(*from, *woken_ns)).any(|served| served != made_for)
    }

    /// Requests for which tasks worked that woke the one which sent a call: since it sent the one before, and until a
    /// while after. A connection's task that runs finds the request before it is woken for it.
    pub fn woken_for(&self, task: u64, sent_ns: u64) -> Vec<(NodeId, u64)> {
        let before =
            self.deeds.get(&task).into_iter().flat_map(|deeds| between(deeds, 0, sent_ns.saturating_sub(1)));
        let since_ns = before.rev().find(|(_, deed)| *deed == Deed::Sent).map_or(0, |(at_ns, _)| *at_ns);
        let until_ns = sent_ns.saturating_add(LATE_NS);
        let connection = self.sends_for.get(&task).and_then(|connection| self.wakers.get(connection));
        let wakers = self.wakers.get(&task).into_iter().chain(connection);
        let wakers = wakers.flat_map(|wakers| between(wakers, since_ns, until_ns));
        distinct(wakers.filter_map(|(at_ns, from)| Some((self.works_for(*from, *at_ns)?, *at_ns))))
    }

    /// Requests for which tasks worked that woke the one which received part of a response, right after it did.
    pub fn took_from(&self, task: u64, received_ns: u64) -> Vec<NodeId> {
        let until_ns = received_ns.saturating_add(LATE_NS);
        let wakers =
            self.wakers.get(&task).into_iter().flat_map(|wakers| between(wakers, received_ns, until_ns));
        let took =
            distinct(wakers.filter_map(|(at_ns, from)| Some((self.works_for(*from, *at_ns)?, *at_ns))));
        took.into_iter().map(|(id, _)| id).collect()
    }

    /// Requests for which tasks worked that were woken by the one which received part of a response, until it moved
    /// anything else.
    pub fn woke_for(&self, task: u64, cookie: u64, received_ns: u64) -> Vec<NodeId> {
        let until_ns = received_ns.saturating_add(LATE_NS);
        let deeds = self.deeds.get(&task).into_iter().flat_map(|deeds| between(deeds, received_ns, until_ns));
        let deeds = deeds.take_while(|(_, deed)| match deed {
            Deed::Sent => false,
            Deed::Received(other) => *other == cookie,
            Deed::Woke(_) => true,
        });
        let woke = distinct(deeds.filter_map(|(at_ns, deed)| match deed {
            Deed::Woke(to) => Some((self.works_for(*to, *at_ns)?, *at_ns)),
            _ => None,
        }));
        woke.into_iter().map(|(id, _)| id).collect()
    }

    /// Judges for whose sake tasks were made, given that all that happened before `known_ns` is known.
    pub fn settle(&mut self, known_ns: u64) {
        while let Some(Reverse((at_ns, child, parent))) = self.made.peek().copied()
            && at_ns <= known_ns
        {
            self.made.pop();
            if let Some(id) = self.works_for(parent, at_ns) {
                if self.made_for.len() >= MOST_MADE {
                    self.made_for.clear();
                    self.lost(at_ns);
                }
                self.made_for.insert(child, id);
            }
        }
    }

    /// Forgets what is long past; returns whether there is nothing left to know.
    pub fn is_idle(&mut self, known_ns: u64) -> bool {
        let horizon_ns = known_ns.saturating_sub(REMEMBER_NS);
        while let Some((at_ns, task)) = self.recent.front().copied()
            && (at_ns < horizon_ns || self.recent.len() > MOST_DEEDS)
        {
            self.recent.pop_front();
            if at_ns >= horizon_ns {
                self.forgotten_ns = self.forgotten_ns.max(at_ns);
            }
            forget(&mut self.deeds, task, at_ns);
            forget(&mut self.wakers, task, at_ns);
        }
        self.is_past() && self.sends_for.is_empty()
    }

    /// Whether nothing is going on, nor was lately.
    pub fn is_past(&self) -> bool {
        self.recent.is_empty() && self.made.is_empty() && self.made_for.is_empty() && self.serving.is_empty()
    }

    /// Forgets requests that are over, `is_open` says which are not.
    pub fn forget_served(&mut self, known_ns: u64, is_open: impl Fn(NodeId) -> bool) {
        let horizon_ns = known_ns.saturating_sub(REMEMBER_NS);
        self.serving.retain(|_, serving| {
            serving.retain(|serving| {
                serving.end_ns >= horizon_ns && (serving.end_ns != u64::MAX || is_open(serving.id))
            });
            !serving.is_empty()
        });
        self.made_for.retain(|_, id| is_open(*id));
    }

    fn remember(&mut self, at_ns: u64, task: u64) {
        self.recent.push_back((at_ns, task));
    }
}

/// Adds what happened at a time to a list by time; events come nearly in order.
fn insert<T>(list: &mut VecDeque<(u64, T)>, at_ns: u64, what: T) {
    let before = list.iter().rposition(|(earlier_ns, _)| *earlier_ns <= at_ns);
    list.insert(before.map_or(0, |last| last + 1), (at_ns, what));
}

/// What a list by time has of a time.
fn between<T>(
    list: &VecDeque<(u64, T)>,
    from_ns: u64,
    until_ns: u64,
) -> impl DoubleEndedIterator<Item = &(u64, T)> {
    let from = list.partition_point(|(at_ns, _)| *at_ns < from_ns);
    let until = list.partition_point(|(at_ns, _)| *at_ns <= until_ns);
    list.range(from..until.max(from))
}

/// Drops what a task has in a list up to a time.
fn forget<T>(lists: &mut HashMap<u64, VecDeque<(u64, T)>>, task: u64, until_ns: u64) {
    let Some(list) = lists.get_mut(&task) else { return };
    while list.front().is_some_and(|(at_ns, _)| *at_ns <= until_ns) {
        list.pop_front();
    }
    if list.is_empty() {
        lists.remove(&task);
    }
}

/// Each request once, with the first of its times.
fn distinct(ids: impl Iterator<Item = (NodeId, u64)>) -> Vec<(NodeId, u64)> {
    let mut found: Vec<(NodeId, u64)> = Vec::new();
    for (id, at_ns) in ids {
        match found.iter_mut().find(|(known, _)| *known == id) {
            Some((_, first_ns)) => *first_ns = at_ns.min(*first_ns),
            None => found.push((id, at_ns)),
        }
    }
    found
}

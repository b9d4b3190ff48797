//! Exchanges that are over and wait for others to be.

use std::{cmp::Reverse, collections::BinaryHeap};

use foldhash::HashMap;

use super::node::NodeId;

/// Names by time, the earliest first.
#[derive(Default)]
pub struct Agenda(BinaryHeap<Reverse<(u64, NodeId)>>);

impl Agenda {
    /// Adds a name.
    pub fn add(&mut self, at_ns: u64, id: NodeId) {
        self.0.push(Reverse((at_ns, id)));
    }

    /// Takes the earliest that is not after `until_ns`.
    pub fn next(&mut self, until_ns: u64) -> Option<NodeId> {
        self.0.peek().filter(|Reverse((at_ns, _))| *at_ns <= until_ns)?;
        self.0.pop().map(|Reverse((_, id))| id)
    }
}

/// A task received part of a call's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    /// When what the task did then is known.
    pub due_ns: u64,
    /// The call.
    pub call: NodeId,
    /// The task.
    pub task: u64,
    /// The connection.
    pub cookie: u64,
    /// When it received it.
    pub at_ns: u64,
}

/// Answers by time, the earliest first.
#[derive(Default)]
pub struct Answered(BinaryHeap<Reverse<Answer>>);

impl Answered {
    /// Adds one.
    pub fn add(&mut self, answer: Answer) {
        self.0.push(Reverse(answer));
    }

    /// Takes the earliest that is not after `until_ns`.
    pub fn next(&mut self, until_ns: u64) -> Option<Answer> {
        self.0.peek().filter(|Reverse(answer)| answer.due_ns <= until_ns)?;
        self.0.pop().map(|Reverse(answer)| answer)
    }
}

/// Who waits for whom.
#[derive(Default)]
pub struct Waiting {
    by_awaited: HashMap<NodeId, Vec<NodeId>>,
    /// When to wait no longer.
    until: Agenda,
    /// Those for whom the wait is over as what they waited for has gone.
    freed: Vec<NodeId>,
}

impl Waiting {
    /// Lets `id` wait for `awaited`, until `until_ns` at the most.
    pub fn add(&mut self, id: NodeId, awaited: NodeId, until_ns: u64) {
        let waiting = self.by_awaited.entry(awaited).or_default();
        if waiting.is_empty() {
            self.until.add(until_ns, awaited);
        }
        waiting.push(id);
    }

    /// Takes those that wait for this one.
    pub fn take(&mut self, awaited: NodeId) -> Vec<NodeId> {
        self.by_awaited.remove(&awaited).unwrap_or_default()
    }

    /// What they wait for has gone.
    pub fn free(&mut self, awaited: NodeId) {
        let waiting = self.take(awaited);
        self.freed.extend(waiting);
    }

    /// Takes those that have waited long enough, or for what has gone.
    pub fn due(&mut self, known_ns: u64) -> Vec<NodeId> {
        while let Some(awaited) = self.until.next(known_ns) {
            self.free(awaited);
        }
        std::mem::take(&mut self.freed)
    }
}

//! The two ends of a request: TCP numbers the bytes of a connection alike at both, whatever rewrites addresses between
//! them.

use foldhash::HashMap;
use otel_ebpf_protocols::http1::Role;

use super::node::{Node, NodeId, Opening};

/// Most bytes by which the ends may differ over where the response begins. They agree but for requests that were sent
/// before earlier ones were answered: the client's number is then behind the server's by what it has not read yet, or
/// the server's behind the client's by what it has yet to send.
const MOST_UNREAD: u32 = 1 << 20;
/// Longest time by which a server may seem to have a request before it was sent.
const MOST_EARLY_NS: u64 = 1_000_000_000;

/// Ends of requests by the sequence number of the first byte.
#[derive(Default)]
pub struct Wire {
    ends: HashMap<u32, Ends>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    client: Option<NodeId>,
    server: Option<NodeId>,
}

impl Wire {
    /// Adds an end; returns the other one, where it is known.
    ///
    /// A number has room for one end of each kind. That two connections use the same one at the same time is unlikely,
    /// one in 2^32 for each pair; the later is then not added, and stays alone.
    pub fn add(&mut self, id: NodeId, opening: &Opening, nodes: &HashMap<NodeId, Node>) -> Option<NodeId> {
        opening.answer_seq?;
        let ends = self.ends.entry(opening.key.seq).or_default();
        let (own, other) = match opening.role {
            Role::Client => (&mut ends.client, ends.server),
            Role::Server => (&mut ends.server, ends.client),
        };
        if own.is_some() {
            return None;
        }
        *own = Some(id);
        other.filter(|other| nodes.get(other).is_some_and(|other| is_same_request(opening, other)))
    }

    /// Removes an end.
    pub fn remove(&mut self, id: NodeId, opening: &Opening) {
        let Some(ends) = self.ends.get_mut(&opening.key.seq) else { return };
        for end in [&mut ends.client, &mut ends.server] {
            if *end == Some(id) {
                *end = None;
            }
        }
        if ends.client.is_none() && ends.server.is_none() {
            self.ends.remove(&opening.key.seq);
        }
    }
}

/// Whether two ends with the same number are those of one request: the other direction's number agrees as well, and the
/// server has it while the client waits.
fn is_same_request(one: &Opening, other: &Node) -> bool {
    let (Some(one_answer), Some(other_answer)) = (one.answer_seq, other.opening.answer_seq) else {
        return false;
    };
    let apart = one_answer.wrapping_sub(other_answer) as i32;
    if apart.unsigned_abs() > MOST_UNREAD || one.key.cookie == other.opening.key.cookie {
        return false;
    }
    let (client, client_end, server) = match one.role {
        Role::Client => (one, None, &other.opening),
        Role::Server => (&other.opening, other.end_ns, one),
    };
    client.start_ns <= server.start_ns.saturating_add(MOST_EARLY_NS)
        && client_end.is_none_or(|end| server.start_ns <= end)
}

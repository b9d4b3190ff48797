//! Puts the operations of one connection into the order in which they happened.
//!
//! The tap speaks when a call returns. Where one thread sends and another receives on the same socket (Go's HTTP client),
//! the answer may be received, and reported, before the call that sent the question has returned. Each receive therefore
//! tells how far the process had sent by then, and waits here for the sends that are still to be reported.

use std::collections::VecDeque;

use otel_ebpf_events::{DataEvent, data::direction};

/// Receives that may wait on one connection.
const WAITING_MAX: usize = 16;
/// How long a receive waits for a send, in nanoseconds: long for a call to return, short for a person. A send that does
/// not come by then was lost.
const WAIT_NS: u64 = 50_000_000;

/// Order of one connection.
#[derive(Default)]
pub struct Order {
    /// Sequence number behind the last send reported; unknown at first and after a loss.
    sent_to: Option<u32>,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    event: DataEvent,
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Order {
    /// Takes one operation and passes on what can be told now, in order.
    pub fn put(
        &mut self,
        event: &DataEvent,
        head: &[u8],
        tail: &[u8],
        mut pass: impl FnMut(&DataEvent, &[u8], &[u8]),
    ) {
        if event.direction == direction::SEND {
            self.sent_to = Some(event.seq.wrapping_add(event.total_bytes));
            pass(event, head, tail);
            while let Some(first) =
                self.waiting.pop_front_if(|first| !answers_later_send(self.sent_to, &first.event))
            {
                pass(&first.event, &first.head, &first.tail);
            }
        } else if self.waiting.is_empty() && !answers_later_send(self.sent_to, event) {
            pass(event, head, tail);
        } else {
            self.waiting.push_back(Waiting { event: *event, head: head.to_vec(), tail: tail.to_vec() });
            if self.waiting.len() > WAITING_MAX {
                self.release(pass);
            }
        }
    }

    /// Whether operations wait.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether what waits has waited long enough.
    pub fn is_overdue(&self, now_ns: u64) -> bool {
        self.waiting
            .front()
            .is_some_and(|first| first.event.header.ktime_ns.saturating_add(WAIT_NS) <= now_ns)
    }

    /// Passes on everything that waits: the sends it waited for do not come.
    pub fn release(&mut self, mut pass: impl FnMut(&DataEvent, &[u8], &[u8])) {
        if !self.waiting.is_empty() {
            self.sent_to = None;
        }
        for waiting in self.waiting.drain(..) {
            pass(&waiting.event, &waiting.head, &waiting.tail);
        }
    }
}

/// Whether the process had sent more than was reported when it received this. One more is a FIN, which is no send.
fn answers_later_send(sent_to: Option<u32>, receive: &DataEvent) -> bool {
    sent_to.is_some_and(|sent_to| (receive.other_seq.wrapping_sub(sent_to) as i32) > 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable as _;

    fn operation(direction: u8, seq: u32, total_bytes: u32, other_seq: u32) -> DataEvent {
        DataEvent { direction, seq, total_bytes, other_seq, ..DataEvent::zeroed() }
    }

    fn put(order: &mut Order, event: DataEvent, told: &mut Vec<(u8, u32)>) {
        order.put(&event, b"", b"", |event, _, _| told.push((event.direction, event.seq)));
    }

    const SEND: u8 = direction::SEND;
    const RECEIVE: u8 = direction::RECEIVE;

    #[test]
    fn an_answer_waits_for_its_question() {
        let (mut order, mut told) = (Order::default(), Vec::new());
        put(&mut order, operation(SEND, 100, 50, 900), &mut told);
        put(&mut order, operation(RECEIVE, 900, 10, 150), &mut told);
        put(&mut order, operation(RECEIVE, 910, 10, 200), &mut told);
        assert!(order.is_waiting());
        put(&mut order, operation(SEND, 150, 50, 920), &mut told);
        assert_eq!(told, [(SEND, 100), (RECEIVE, 900), (SEND, 150), (RECEIVE, 910)]);
        assert!(!order.is_waiting());
    }

    #[test]
    fn nothing_waits_for_a_fin_or_on_a_connection_of_unknown_place() {
        let (mut order, mut told) = (Order::default(), Vec::new());
        put(&mut order, operation(RECEIVE, 900, 10, 777), &mut told);
        put(&mut order, operation(SEND, u32::MAX - 9, 10, 910), &mut told);
        put(&mut order, operation(RECEIVE, 910, 10, 1), &mut told);
        assert_eq!(told.len(), 3);
    }

    #[test]
    fn a_lost_send_holds_nothing_up_for_long() {
        let (mut order, mut told) = (Order::default(), Vec::new());
        put(&mut order, operation(SEND, 100, 50, 900), &mut told);
        put(&mut order, operation(RECEIVE, 900, 10, 400), &mut told);
        assert!(order.is_overdue(WAIT_NS) && !order.is_overdue(WAIT_NS - 1));
        order.release(|event, _, _| told.push((event.direction, event.seq)));
        put(&mut order, operation(RECEIVE, 910, 10, 400), &mut told);
        assert_eq!(told, [(SEND, 100), (RECEIVE, 900), (RECEIVE, 910)]);
    }
}

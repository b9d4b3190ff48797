//! The direction responses come.

use super::{Connection, Cursor, Phase, RequestPart, request_direction};
use crate::http1::body::Body;
use crate::http1::detect;
use crate::http1::head::{Framing, Parsed, ResponseHead, parse_response};
use crate::http1::stream::{Expect, Failure, HeadStep, Start};
use crate::http1::types::{Direction, DropCause, ExchangeEnd, Outcome};

/// Most interim responses that are kept of one exchange.
const MAX_INTERIM: usize = 8;

impl<M: Clone> Connection<M> {
    /// Takes bytes where a response's head is expected; returns how many of them belong to it.
    pub(super) fn response_head(
        &mut self,
        direction: Direction,
        data: &[u8],
        cursor: &Cursor<'_, M>,
        out: &mut Vec<Outcome<M>>,
    ) -> usize {
        let awaited = self.open.front().is_some_and(|open| !open.answered);
        let max_head_bytes = self.limits.max_head_bytes;
        let stream = self.stream(direction);
        if !awaited {
            // To a request that was not seen, or to none at all.
            stream.restart(Expect::Skip);
            return data.len();
        }
        let mut skipped = 0;
        if stream.start.is_none() {
            skipped = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if skipped == data.len() {
                return skipped;
            }
            stream.start = Some(cursor.start(skipped));
        }
        let parse = |bytes: &[u8]| parse_response(bytes).map(|parsed| (parsed.consumed, parsed));
        match stream.head_bytes(&data[skipped..], max_head_bytes, detect::response_start, parse) {
            HeadStep::More => data.len(),
            HeadStep::Whole(consumed, parsed) => {
                if let Some(start) = stream.start.take() {
                    self.take_response(direction, parsed, start, cursor.at_ns, out);
                }
                skipped + consumed
            }
            HeadStep::Failed { with, .. } => {
                let cause = match with {
                    Failure::Malformed => DropCause::ResponseMalformed,
                    Failure::TooLarge => DropCause::ResponseTooLarge,
                };
                self.lose_responses(cause, out);
                data.len()
            }
        }
    }

    fn take_response(
        &mut self,
        direction: Direction,
        parsed: Parsed<ResponseHead>,
        start: Start<M>,
        at_ns: u64,
        out: &mut Vec<Outcome<M>>,
    ) {
        let status = parsed.head.status;
        // Nothing is missing before this response, so whatever waits behind the first request was sent early.
        self.pipelines |= self.open.len() > 1;
        let Some(front) = self.open.front_mut() else {
            return;
        };
        if status < 200 && status != 101 {
            if front.exchange.interim_statuses.len() < MAX_INTERIM {
                front.exchange.interim_statuses.push(status);
            }
            self.stream(direction).restart(Expect::Head);
            return;
        }
        let exchange = &mut front.exchange;
        exchange.response = Some(parsed.head);
        exchange.response_start_ns = Some(start.at_ns);
        exchange.response_end_ns = Some(at_ns);
        exchange.response_seq = Some(start.seq);
        exchange.response_meta = Some(start.meta);
        let is_connect = exchange.request.method == "CONNECT";
        let has_no_body = exchange.request.method == "HEAD" || matches!(status, 204 | 304);
        if status == 101 || (is_connect && status < 300) {
            self.upgrade(out);
            return;
        }
        let expect = match parsed.framing {
            Framing::Length(0) => Expect::Head,
            _ if has_no_body => Expect::Head,
            Framing::Length(length) => Expect::Body(Body::Length(length)),
            Framing::Chunked => Expect::Body(Body::CHUNKED),
            Framing::UntilClose => Expect::Body(Body::UntilClose),
        };
        self.stream(direction).restart(expect);
        if is_connect {
            self.release_requests(direction.other());
        }
        if expect == Expect::Head {
            self.finish_response(at_ns, false, out);
        }
    }

    /// Lets requests go on after a CONNECT that was refused.
    fn release_requests(&mut self, direction: Direction) {
        let stream = self.stream(direction);
        match stream.expect {
            Expect::Hold { early_bytes: true } => stream.restart(Expect::Skip),
            Expect::Hold { early_bytes: false } => stream.restart(Expect::Head),
            _ => {}
        }
    }

    fn upgrade(&mut self, out: &mut Vec<Outcome<M>>) {
        let begun = self.request_head_in_progress().is_some();
        if let Some(mut open) = self.open.pop_front() {
            open.exchange.outcome = ExchangeEnd::Upgraded;
            open.exchange.response_body_bytes = Some(0);
            out.push(Outcome::Exchange(open.exchange));
        }
        out.extend(self.open.iter().map(|open| open.dropped(DropCause::AfterUpgrade)));
        if begun {
            out.push(Outcome::unopened(DropCause::AfterUpgrade));
        }
        self.abandon(Phase::Upgraded);
    }

    /// Ends the response in progress at `at_ns`.
    pub(super) fn finish_response(&mut self, at_ns: u64, estimated: bool, out: &mut Vec<Outcome<M>>) {
        let Some(requests) = self.role.map(request_direction) else {
            return;
        };
        let stream = self.stream(requests.other());
        let is_blind = stream.expect == Expect::Body(Body::Blind);
        let is_cut = estimated && stream.expect == Expect::Body(Body::UntilClose);
        let estimated = estimated || (is_blind && stream.unseen);
        let exact = !is_blind && !is_cut;
        let content = stream.content;
        stream.restart(Expect::Head);
        self.has_paired = true;
        if let Some(front) = self.open.front_mut() {
            front.answered = true;
            front.exchange.outcome = ExchangeEnd::Complete;
            front.exchange.response_end_ns = Some(at_ns);
            front.exchange.end_estimated = estimated;
            front.exchange.response_body_bytes = exact.then_some(content);
        }
        self.make_body_optional(requests);
        self.settle(out);
        if is_blind && !self.open.is_empty() {
            // What could not be seen may have been its end and further responses.
            self.lose_responses(DropCause::ResponseNotCaptured, out);
        }
    }

    /// A client that asked for `100 (Continue)` and got its final answer instead may leave the body out
    /// (RFC 9110 section 10.1.1).
    fn make_body_optional(&mut self, requests: Direction) {
        let stream = self.stream(requests);
        let Expect::Body(body) = stream.expect else {
            return;
        };
        let untouched = body.untouched(stream.content);
        let Some(front) = self.open.front_mut() else {
            return;
        };
        let may_be_left_out = front.expects_continue
            && front.request == RequestPart::Coming
            && !front.exchange.interim_statuses.contains(&100);
        if let (true, Some(announced)) = (may_be_left_out, untouched) {
            front.request = RequestPart::Unknown;
            self.stream(requests).expect = Expect::Body(Body::Optional(announced));
        }
    }

    /// Emits the oldest exchange once both its halves are over.
    pub(super) fn settle(&mut self, out: &mut Vec<Outcome<M>>) {
        let blind = self
            .role
            .is_some_and(|role| self.stream(request_direction(role)).expect == Expect::Body(Body::Blind));
        let is_over = self
            .open
            .front()
            .is_some_and(|open| open.answered && (open.request != RequestPart::Coming || blind));
        if !is_over {
            return;
        }
        if let Some(mut open) = self.open.pop_front() {
            self.open_head_bytes -= open.head_bytes;
            if open.request == RequestPart::Coming
                && let Some(role) = self.role
            {
                let last_ns = self.stream(request_direction(role)).last_ns;
                open.exchange.request_end_ns = last_ns.max(open.exchange.request_end_ns);
            }
            out.push(Outcome::Exchange(open.exchange));
        }
        if self.open.is_empty() && self.open.capacity() > KEPT_CAPACITY {
            self.open = std::collections::VecDeque::new();
        }
    }

    /// Gives up the place in the responses' direction: none of the open requests can be told any more.
    pub(super) fn lose_responses(&mut self, cause: DropCause, out: &mut Vec<Outcome<M>>) {
        let Some(role) = self.role else {
            return;
        };
        // Without an earlier pair to tell, requests that wait together may have been pipelined.
        self.pipelines |= self.open.len() > 1 && !self.has_paired;
        self.stream(request_direction(role).other()).restart(Expect::Skip);
        out.extend(
            self.open.drain(..).map(|open| {
                if open.answered { Outcome::Exchange(open.exchange) } else { open.dropped(cause) }
            }),
        );
        self.open_head_bytes = 0;
    }
}

/// Places for open exchanges that an idle connection keeps.
const KEPT_CAPACITY: usize = 4;

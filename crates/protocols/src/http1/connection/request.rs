//! The direction requests go.

use super::{Connection, Cursor, Open, Phase, RequestPart, request_direction};
use crate::http1::body::Body;
use crate::http1::detect;
use crate::http1::head::{Framing, Parsed, RequestHead, parse_request};
use crate::http1::stream::{Expect, Failure, HeadStep, Start, Stream};
use crate::http1::types::{Direction, DropCause, Exchange, ExchangeEnd, Opened, Outcome, Role};

impl<M: Clone> Connection<M> {
    /// Takes bytes where a request's head is expected; returns how many of them belong to it.
    pub(super) fn request_head(
        &mut self,
        direction: Direction,
        data: &[u8],
        cursor: &Cursor<'_, M>,
        out: &mut Vec<Outcome<M>>,
    ) -> usize {
        let max_head_bytes = self.limits.max_head_bytes;
        let stream = self.stream(direction);
        let mut skipped = 0;
        if stream.start.is_none() {
            // Empty lines ahead of a request line (RFC 9112 section 2.2).
            skipped = data.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            if skipped == data.len() {
                return skipped;
            }
            stream.start = Some(cursor.start(skipped));
        }
        let fits = if stream.tentative { detect::request_start } else { detect::request_prefix };
        let parse = |bytes: &[u8]| parse_request(bytes).map(|parsed| (parsed.consumed, parsed));
        match stream.head_bytes(&data[skipped..], max_head_bytes, fits, parse) {
            HeadStep::More => data.len(),
            HeadStep::Whole(consumed, parsed) => {
                let tentative = std::mem::take(&mut stream.tentative);
                if let Some(mut start) = stream.start.take() {
                    start.after_turn |= tentative;
                    self.open_request(direction, parsed, start, cursor.at_ns, out);
                }
                skipped + consumed
            }
            HeadStep::Failed { with, has_line } => {
                if stream.tentative && !has_line {
                    stream.restart(Expect::Skip);
                    self.miss();
                } else {
                    stream.tentative = false;
                    let cause = match with {
                        Failure::Malformed => DropCause::RequestMalformed,
                        Failure::TooLarge => DropCause::RequestTooLarge,
                    };
                    self.lose_requests(direction, cause, out);
                }
                data.len()
            }
        }
    }

    fn open_request(
        &mut self,
        direction: Direction,
        parsed: Parsed<RequestHead>,
        start: Start<M>,
        at_ns: u64,
        out: &mut Vec<Outcome<M>>,
    ) {
        let role = match direction {
            Direction::Receive => Role::Server,
            Direction::Send => Role::Client,
        };
        if self.role.is_none() {
            self.role = Some(role);
            self.stream(direction.other()).restart(Expect::Head);
        }
        let is_connect = parsed.head.method == "CONNECT";
        let framing = parsed.framing;
        let is_told = self.may_await_response(direction.other(), &start, out);
        if is_told && !self.has_room(parsed.consumed) {
            // Its response would be taken for the next request's, so none is followed after it.
            self.pipelines = true;
            out.push(Outcome::unopened(DropCause::PipelineTooDeep));
            self.stream(direction).restart(Expect::Skip);
            return;
        }
        if is_told {
            self.push_open(role, parsed, start, at_ns, out);
        } else {
            out.push(Outcome::unopened(DropCause::Desynchronised));
        }
        let body = match framing {
            Framing::Length(0) => None,
            _ if is_connect => None,
            Framing::Length(length) => Some(Body::Length(length)),
            Framing::Chunked => Some(Body::CHUNKED),
            Framing::UntilClose => Some(Body::UntilClose),
        };
        if let Some(body) = body {
            self.stream(direction).restart(Expect::Body(body));
            return;
        }
        self.finish_request(at_ns, out);
        if is_connect {
            self.stream(direction).expect =
                if is_told { Expect::Hold { early_bytes: false } } else { Expect::Skip };
        }
    }

    fn has_room(&self, head_bytes: usize) -> bool {
        self.open.len() < self.limits.max_pipelined
            && self.open_head_bytes + head_bytes <= self.limits.max_open_head_bytes
    }

    /// Tells whether the response to a request that begins at `start` will be known for its own.
    ///
    /// A client that has not been seen to pipeline has no request waiting when it turns to the next one: that ends a
    /// response whose end could not be seen, and makes the next response this request's.
    fn may_await_response(
        &mut self,
        responses: Direction,
        start: &Start<M>,
        out: &mut Vec<Outcome<M>>,
    ) -> bool {
        if !start.opens_op && !self.open.is_empty() {
            self.pipelines = true;
        }
        let is_next_turn = start.after_turn && start.opens_op && !self.pipelines;
        let Stream { expect, last_ns, .. } = *self.stream(responses);
        match expect {
            Expect::Body(Body::Blind | Body::UntilClose) if is_next_turn => {
                self.finish_response(last_ns, true, out);
                true
            }
            Expect::Skip if is_next_turn && self.open.is_empty() => {
                self.stream(responses).restart(Expect::Head);
                true
            }
            Expect::Skip => false,
            _ => true,
        }
    }

    fn push_open(
        &mut self,
        role: Role,
        parsed: Parsed<RequestHead>,
        start: Start<M>,
        at_ns: u64,
        out: &mut Vec<Outcome<M>>,
    ) {
        out.push(Outcome::Opened(Opened {
            role,
            request_start_ns: start.at_ns,
            request_seq: start.seq,
            request_meta: start.meta.clone(),
            traceparent: parsed.head.traceparent.clone(),
            tracestate: parsed.head.tracestate.clone(),
        }));
        self.open_head_bytes += parsed.consumed;
        self.open.push_back(Open {
            head_bytes: parsed.consumed,
            request: RequestPart::Coming,
            expects_continue: parsed.expects_continue,
            answered: false,
            exchange: Box::new(Exchange {
                role,
                request: parsed.head,
                response: None,
                request_start_ns: start.at_ns,
                request_end_ns: at_ns,
                response_start_ns: None,
                response_end_ns: None,
                end_estimated: false,
                closed_ns: None,
                request_body_bytes: None,
                response_body_bytes: None,
                request_seq: start.seq,
                response_seq: None,
                request_meta: start.meta,
                response_meta: None,
                outcome: ExchangeEnd::NoResponse,
                interim_statuses: Vec::new(),
            }),
        });
    }

    /// Ends the request in progress at `at_ns`; its head ends it when it has no body.
    pub(super) fn finish_request(&mut self, at_ns: u64, out: &mut Vec<Outcome<M>>) {
        let Some(direction) = self.role.map(request_direction) else {
            return;
        };
        let stream = self.stream(direction);
        let exact = stream.expect != Expect::Body(Body::Blind);
        let content = stream.content;
        // What could not be seen of a body may have been its end and further requests.
        stream.restart(if exact { Expect::Head } else { Expect::Skip });
        if let Some(open) = self.coming() {
            open.request = RequestPart::Whole;
            open.exchange.request_end_ns = at_ns;
            open.exchange.request_body_bytes = exact.then_some(content);
        }
        self.settle(out);
    }

    /// Returns the exchange whose request is still coming in.
    pub(super) fn coming(&mut self) -> Option<&mut Open<M>> {
        self.open.back_mut().filter(|open| open.request == RequestPart::Coming)
    }

    /// Gives up the place in the requests' direction.
    pub(super) fn lose_requests(
        &mut self,
        direction: Direction,
        cause: DropCause,
        out: &mut Vec<Outcome<M>>,
    ) {
        if self.phase != Phase::Following {
            return;
        }
        let stream = self.stream(direction);
        let begun = stream.has_begun_request();
        let last_ns = stream.last_ns;
        stream.restart(Expect::Skip);
        if begun {
            out.push(Outcome::unopened(cause));
        }
        if let Some(open) = self.coming() {
            open.request = RequestPart::Unknown;
            open.exchange.request_end_ns = last_ns.max(open.exchange.request_end_ns);
        }
        self.settle(out);
    }

    /// Returns the direction in which a request's head is in progress that is certainly one.
    pub(super) fn request_head_in_progress(&self) -> Option<Direction> {
        let candidates = [(Direction::Receive, &self.receive), (Direction::Send, &self.send)];
        let found = candidates
            .into_iter()
            .find(|(direction, stream)| self.is_request(*direction) && stream.has_begun_request());
        found.map(|(direction, _)| direction)
    }
}

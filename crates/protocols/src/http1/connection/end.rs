//! The end of a connection, and of responses whose end cannot be seen.

use super::{Connection, Open, RequestPart, request_direction};
use crate::http1::body::Body;
use crate::http1::stream::Expect;
use crate::http1::types::{CloseKind, DropCause, ExchangeEnd, Outcome};

impl<M: Clone> Connection<M> {
    /// Ends the connection: every request seen and not yet told gets its outcome. The value is as new afterwards.
    pub fn close(&mut self, at_ns: u64, how: CloseKind, out: &mut Vec<Outcome<M>>) {
        self.note_unfinished_halves();
        let head_in_progress = self.request_head_in_progress().is_some();
        let response = self.response_so_far();
        for (position, open) in std::mem::take(&mut self.open).into_iter().enumerate() {
            let response = match (position, response) {
                (0, response) => response,
                // What could not be seen of the first response may have been its end and this request's response.
                (_, Response::Blind) if how != CloseKind::Forgotten => {
                    out.push(open.dropped(DropCause::ResponseNotCaptured));
                    continue;
                }
                _ => Response::None,
            };
            out.push(ended(open, response, at_ns, how));
        }
        if head_in_progress {
            out.push(Outcome::unopened(match how {
                CloseKind::Fin | CloseKind::Reset => DropCause::RequestCutShort,
                CloseKind::Forgotten => DropCause::Unfinished,
            }));
        }
        let last_ns = self.last_ns;
        *self = Connection::new(self.limits);
        self.last_ns = last_ns;
    }

    /// Ends exchanges whose end cannot be seen, if the connection has been idle since before `idle_before_ns`: a
    /// response whose chunk framing was lost or that lasts until the connection closes, and one that is over while
    /// the rest of its request does not come.
    pub fn expire(&mut self, idle_before_ns: u64, out: &mut Vec<Outcome<M>>) {
        let Some(role) = self.role else {
            return;
        };
        if self.last_ns >= idle_before_ns || self.open.is_empty() {
            return;
        }
        let responses = request_direction(role).other();
        let stream = self.stream(responses);
        if let Expect::Body(Body::Blind | Body::UntilClose) = stream.expect {
            let last_ns = stream.last_ns;
            self.finish_response(last_ns, true, out);
            self.stream(responses).restart(Expect::Skip);
        }
        if self.open.front().is_some_and(|open| open.answered) {
            self.note_unfinished_halves();
            if let Some(front) = self.open.front_mut() {
                front.request = RequestPart::Unknown;
            }
            self.settle(out);
        }
        let dropped = if self.stream(responses).expect == Expect::Skip {
            std::mem::take(&mut self.open)
        } else {
            return;
        };
        self.open_head_bytes = 0;
        out.extend(dropped.iter().map(|open| open.dropped(DropCause::Desynchronised)));
    }

    /// Writes down how far the halves in progress have come.
    fn note_unfinished_halves(&mut self) {
        let Some(role) = self.role else {
            return;
        };
        let requests = request_direction(role);
        let request_ns = self.stream(requests).last_ns;
        let responses = self.stream(requests.other());
        let response_ns = responses.last_ns;
        let response_start =
            responses.start.as_ref().map(|start| (start.at_ns, start.seq, start.meta.clone()));
        if let Some(open) = self.coming() {
            open.exchange.request_end_ns = request_ns.max(open.exchange.request_end_ns);
        }
        let Some(front) = self.open.front_mut().filter(|open| !open.answered) else {
            return;
        };
        if front.exchange.response.is_some() {
            front.exchange.response_end_ns = Some(response_ns);
        } else if let Some((at_ns, seq, meta)) = response_start {
            front.exchange.response_start_ns = Some(at_ns);
            front.exchange.response_end_ns = Some(response_ns);
            front.exchange.response_seq = Some(seq);
            front.exchange.response_meta = Some(meta);
        }
    }

    /// Returns how far the response to the oldest open request has come.
    fn response_so_far(&mut self) -> Response {
        let Some(role) = self.role else {
            return Response::None;
        };
        let stream = self.stream(request_direction(role).other());
        match stream.expect {
            Expect::Body(Body::UntilClose) => Response::UntilClose { content: stream.content },
            Expect::Body(Body::Blind) => Response::Blind,
            Expect::Body(_) => Response::Partial,
            Expect::Head if stream.start.is_some() => Response::Partial,
            Expect::Head | Expect::Skip | Expect::Hold { .. } => Response::None,
        }
    }
}

#[derive(Clone, Copy)]
enum Response {
    None,
    Partial,
    UntilClose { content: u64 },
    Blind,
}

fn ended<M>(open: Open<M>, response: Response, at_ns: u64, how: CloseKind) -> Outcome<M> {
    let mut exchange = open.exchange;
    exchange.closed_ns = Some(at_ns);
    let end = match (how, response) {
        (CloseKind::Forgotten, _) if open.answered => ExchangeEnd::Complete,
        (_, _) if open.answered && open.request == RequestPart::Coming => ExchangeEnd::RequestCutShort,
        (_, _) if open.answered => ExchangeEnd::Complete,
        (CloseKind::Fin, Response::UntilClose { content }) => {
            exchange.response_body_bytes = Some(content);
            ExchangeEnd::Complete
        }
        (CloseKind::Forgotten, Response::UntilClose { .. })
        | (CloseKind::Fin | CloseKind::Forgotten, Response::Blind) => {
            exchange.end_estimated = true;
            ExchangeEnd::Complete
        }
        (CloseKind::Forgotten, _) => {
            let request_seq = Some(exchange.request_seq);
            return Outcome::Dropped { cause: DropCause::Unfinished, request_seq };
        }
        (CloseKind::Reset, Response::Blind) => {
            exchange.end_estimated = true;
            ExchangeEnd::Reset
        }
        (CloseKind::Reset, _) => ExchangeEnd::Reset,
        (CloseKind::Fin, Response::Partial) => ExchangeEnd::ResponseCutShort,
        (CloseKind::Fin, Response::None) => ExchangeEnd::NoResponse,
    };
    exchange.outcome = end;
    Outcome::Exchange(exchange)
}

//! The engine: takes socket operations apart into messages and pairs them.

mod end;
mod parts;
mod request;
mod response;

use std::collections::VecDeque;

use self::parts::Parts;
use super::body::Body;
use super::detect::{self, Fit};
use super::stream::{Expect, Place, Start, Stream};
use super::types::{Direction, DropCause, Exchange, Limits, Op, Outcome, Role, State};

/// Turns of a conversation that may begin with something other than a request before a connection of unknown age
/// counts as not HTTP. An HTTP connection joined midway shows a request at its second turn at the latest.
const MISSES_OF_UNKNOWN_AGE: u8 = 4;

/// Follows one TCP connection as one process sees it.
///
/// Memory is bounded by [`Limits`]; between exchanges a connection keeps no buffers.
#[derive(Debug)]
pub struct Connection<M> {
    limits: Limits,
    phase: Phase,
    role: Option<Role>,
    receive: Stream<M>,
    send: Stream<M>,
    /// Requests whose exchange has not ended, oldest first. Only the first may have a response, only the last may
    /// still be coming in.
    open: VecDeque<Open<M>>,
    open_head_bytes: usize,
    last_direction: Option<Direction>,
    last_ns: u64,
    /// Turns that began with something other than a request, before the first request.
    misses: u8,
    max_misses: u8,
    /// Requests were certainly sent before earlier ones were answered, so a turn does not show that none is waiting.
    pipelines: bool,
    /// A response was paired.
    has_paired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Following,
    Upgraded,
    Foreign,
}

/// An exchange that has not ended.
#[derive(Debug)]
struct Open<M> {
    exchange: Box<Exchange<M>>,
    head_bytes: usize,
    request: RequestPart,
    expects_continue: bool,
    /// The final response is over, the request is not.
    answered: bool,
}

impl<M> Open<M> {
    /// Says that it cannot be told.
    fn dropped(&self, cause: DropCause) -> Outcome<M> {
        Outcome::Dropped { cause, request_seq: Some(self.exchange.request_seq) }
    }
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestPart {
    Coming,
    Whole,
    /// Where its body ends is not known, or whether it comes at all.
    Unknown,
}

/// Where the bytes at hand come from.
struct Cursor<'m, M> {
    at_ns: u64,
    seq: u32,
    /// Distance of the bytes at hand from the operation's first byte.
    offset: u32,
    /// The operation before this one went the other way, or there was none.
    turn: bool,
    meta: &'m M,
}

impl<M: Clone> Cursor<'_, M> {
    fn start(&self, skipped: usize) -> Start<M> {
        let distance = self.offset.wrapping_add(skipped as u32);
        Start {
            at_ns: self.at_ns,
            seq: self.seq.wrapping_add(distance),
            meta: self.meta.clone(),
            opens_op: self.offset == 0,
            after_turn: self.turn,
        }
    }
}

impl<M: Clone> Connection<M> {
    /// Follows a connection of unknown age: the first operation may be amid a message.
    pub fn new(limits: Limits) -> Self {
        Connection {
            limits,
            phase: Phase::Following,
            role: None,
            receive: Stream::new(),
            send: Stream::new(),
            open: VecDeque::new(),
            open_head_bytes: 0,
            last_direction: None,
            last_ns: 0,
            misses: 0,
            max_misses: MISSES_OF_UNKNOWN_AGE,
            pipelines: false,
            has_paired: false,
        }
    }

    /// Follows a connection from its first byte: what does not begin with a request is not HTTP.
    pub fn from_first_byte(limits: Limits) -> Self {
        Connection { max_misses: 1, ..Connection::new(limits) }
    }

    /// Takes one operation, in the order of their completion, and appends what it ended to `out`.
    pub fn feed(&mut self, op: Op<'_, M>, out: &mut Vec<Outcome<M>>) {
        if op.total_bytes == 0 {
            return;
        }
        self.last_ns = self.last_ns.max(op.at_ns);
        if self.phase != Phase::Following {
            return;
        }
        let direction = op.direction;
        let mut parts = Parts::of(&op);
        match self.stream(direction).place(op.seq, op.total_bytes) {
            Place::Next => {}
            Place::Ahead(unseen) => self.unseen(direction, unseen, out),
            Place::Overlap(repeated) => parts.skip(repeated),
            Place::Repeat => return,
            Place::Elsewhere => self.lose_place(direction, out),
        }
        self.stream(direction).next_seq = Some(op.seq.wrapping_add(op.total_bytes));
        // What was lost right before may have begun this turn already.
        let follows_loss = std::mem::take(&mut self.stream(direction).lost_before_next);
        let turn = self.last_direction != Some(direction) && !follows_loss;
        self.last_direction = Some(direction);
        self.stream(direction.other()).lost_before_next = false;
        if parts.offset == 0 {
            self.begin_operation(direction, parts.head, turn, out);
        }
        let mut cursor = Cursor { at_ns: op.at_ns, seq: op.seq, offset: parts.offset, turn, meta: &op.meta };
        self.captured(direction, parts.head, &mut cursor, out);
        self.not_captured(direction, parts.missing, op.at_ns, false, out);
        cursor.offset = op.total_bytes - parts.tail.len() as u32;
        self.captured(direction, parts.tail, &mut cursor, out);
        self.end_operation(direction, &parts, op.at_ns, out);
        self.stream(direction).last_ns = op.at_ns;
    }

    /// Tells that the next byte in `direction` has the sequence number `seq`, so that bytes which no operation
    /// showed are known to have been moved before it.
    ///
    /// Worth calling with the numbers the kernel gives along with an operation of the other direction, as long as no
    /// operation of `direction` can still be on its way here; and before [`Connection::close`].
    pub fn advance_to(&mut self, direction: Direction, seq: u32, out: &mut Vec<Outcome<M>>) {
        if self.phase != Phase::Following {
            return;
        }
        match self.stream(direction).place(seq, 1) {
            Place::Ahead(unseen) => self.unseen(direction, unseen, out),
            Place::Elsewhere => self.lose_place(direction, out),
            Place::Next => {}
            Place::Repeat | Place::Overlap(_) => return,
        }
        self.stream(direction).next_seq = Some(seq);
    }

    /// Returns what is known about the connection.
    pub fn state(&self) -> State {
        match (self.phase, self.role) {
            (Phase::Foreign, _) => State::Foreign,
            (Phase::Upgraded, _) => State::Upgraded,
            (Phase::Following, None) => State::Fresh,
            (Phase::Following, Some(_)) => {
                let lost = [&self.receive, &self.send].iter().any(|stream| stream.expect == Expect::Skip);
                if lost { State::Lost } else { State::Http }
            }
        }
    }

    /// Tells whether a request was seen on this connection.
    pub fn is_http(&self) -> bool {
        self.role.is_some()
    }

    /// Returns what the traced process is here, known from the first request.
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// Returns the time of the latest operation.
    pub fn last_activity_ns(&self) -> u64 {
        self.last_ns
    }

    /// Tells whether a request that was seen has had no outcome yet.
    pub fn has_open_exchange(&self) -> bool {
        !self.open.is_empty() || self.request_head_in_progress().is_some()
    }

    /// Judges the first bytes of an operation where the place in the conversation alone does not tell what they are.
    fn begin_operation(&mut self, direction: Direction, head: &[u8], turn: bool, out: &mut Vec<Outcome<M>>) {
        let expect = self.stream(direction).expect;
        match expect {
            Expect::Skip if self.may_hunt(direction, turn) => self.hunt(direction, head),
            Expect::Skip if self.is_untold_request(direction, head) => {
                out.push(Outcome::unopened(DropCause::Desynchronised));
            }
            Expect::Body(Body::Blind) if self.is_request(direction) => {
                let is_over = turn && self.open.is_empty();
                if is_over && detect::request_start(head) == Fit::Yes {
                    self.look_into(direction);
                }
            }
            Expect::Body(Body::Blind) => {
                let may_be_over = self.open.len() > 1 || self.stream(direction).unseen;
                if may_be_over && detect::response_start(head) == Fit::Yes {
                    let end = self.stream(direction).last_ns;
                    self.finish_response(end, true, out);
                    self.stream(direction).restart(Expect::Skip);
                }
            }
            Expect::Body(Body::Optional(_)) if detect::request_start(head) == Fit::Yes => {
                self.look_into(direction);
            }
            _ => {}
        }
    }

    /// Tells whether a request may provably begin with the next operation although the place was lost.
    fn may_hunt(&self, direction: Direction, turn: bool) -> bool {
        let Some(role) = self.role else {
            return turn;
        };
        let responses = match role {
            Role::Server => &self.send,
            Role::Client => &self.receive,
        };
        // The next request itself ends a response whose end could not be seen.
        let none_waits = match responses.expect {
            Expect::Body(Body::Blind | Body::UntilClose) => self.open.len() < 2,
            _ => self.open.is_empty(),
        };
        turn && none_waits && !self.pipelines && self.is_request(direction)
    }

    /// Tells whether a request begins here whose response could not be told from another's.
    fn is_untold_request(&self, direction: Direction, head: &[u8]) -> bool {
        self.role.is_some()
            && self.is_request(direction)
            && detect::request_start(head) == Fit::Yes
            && detect::has_request_line(head)
    }

    fn hunt(&mut self, direction: Direction, head: &[u8]) {
        if head.is_empty() {
            return;
        }
        if self.role.is_none() && detect::is_foreign_opening(head) {
            self.abandon(Phase::Foreign);
        } else if detect::request_start(head) != Fit::No {
            self.look_into(direction);
        } else if detect::response_start(head) == Fit::No {
            self.miss();
        }
    }

    fn look_into(&mut self, direction: Direction) {
        let stream = self.stream(direction);
        stream.restart(Expect::Head);
        stream.tentative = true;
    }

    /// Counts a turn that did not begin with a request.
    fn miss(&mut self) {
        if self.role.is_none() {
            self.misses += 1;
            if self.misses >= self.max_misses {
                self.abandon(Phase::Foreign);
            }
        }
    }

    fn captured(
        &mut self,
        direction: Direction,
        mut data: &[u8],
        cursor: &mut Cursor<'_, M>,
        out: &mut Vec<Outcome<M>>,
    ) {
        while !data.is_empty() && self.phase == Phase::Following {
            let is_request = self.is_request(direction);
            let used = match &mut self.stream(direction).expect {
                Expect::Skip => return,
                Expect::Hold { early_bytes } => {
                    *early_bytes = true;
                    return;
                }
                Expect::Head if is_request => self.request_head(direction, data, cursor, out),
                Expect::Head => self.response_head(direction, data, cursor, out),
                Expect::Body(body) => {
                    let step = body.bytes(data);
                    self.stream(direction).content += step.content;
                    if step.done {
                        self.finish(direction, cursor.at_ns, false, out);
                    }
                    step.used as usize
                }
            };
            cursor.offset = cursor.offset.wrapping_add(used as u32);
            data = &data[used..];
        }
    }

    /// Takes bytes that no operation showed; where they lie in time is not known either.
    fn unseen(&mut self, direction: Direction, length: u32, out: &mut Vec<Outcome<M>>) {
        let stream = self.stream(direction);
        stream.unseen = true;
        stream.lost_before_next = true;
        let before = stream.last_ns;
        self.not_captured(direction, length, before, true, out);
    }

    /// Takes note that an operation has nothing to do with those before it.
    fn lose_place(&mut self, direction: Direction, out: &mut Vec<Outcome<M>>) {
        self.stream(direction).lost_before_next = true;
        self.lose(direction, not_captured(direction, self.role), out);
    }

    fn not_captured(
        &mut self,
        direction: Direction,
        length: u32,
        at_ns: u64,
        estimated: bool,
        out: &mut Vec<Outcome<M>>,
    ) {
        let mut left = u64::from(length);
        while left > 0 && self.phase == Phase::Following {
            match &mut self.stream(direction).expect {
                Expect::Skip => return,
                Expect::Hold { early_bytes } => {
                    *early_bytes = true;
                    return;
                }
                Expect::Head => {
                    self.lose(direction, not_captured(direction, self.role), out);
                    return;
                }
                Expect::Body(body) => {
                    let step = body.gap(left);
                    self.stream(direction).content += step.content;
                    left -= step.used;
                    if step.done {
                        self.finish(direction, at_ns, estimated, out);
                    }
                }
            }
        }
    }

    /// Recognises the end of a body whose chunk framing was lost.
    fn end_operation(
        &mut self,
        direction: Direction,
        parts: &Parts<'_>,
        at_ns: u64,
        out: &mut Vec<Outcome<M>>,
    ) {
        if self.stream(direction).expect == Expect::Body(Body::Blind) && parts.ends_body() {
            self.finish(direction, at_ns, false, out);
        }
    }

    fn finish(&mut self, direction: Direction, at_ns: u64, estimated: bool, out: &mut Vec<Outcome<M>>) {
        if self.is_request(direction) {
            self.finish_request(at_ns, out);
        } else {
            self.finish_response(at_ns, estimated, out);
        }
    }

    /// Gives up the place in one direction. Requests already open keep theirs when it is the requests' direction:
    /// their responses still come first and in order.
    fn lose(&mut self, direction: Direction, cause: DropCause, out: &mut Vec<Outcome<M>>) {
        if self.is_request(direction) {
            self.lose_requests(direction, cause, out);
        } else {
            self.lose_responses(cause, out);
        }
    }

    /// Stops following for good.
    fn abandon(&mut self, phase: Phase) {
        self.phase = phase;
        self.receive.restart(Expect::Skip);
        self.send.restart(Expect::Skip);
        self.open = VecDeque::new();
        self.open_head_bytes = 0;
    }

    fn stream(&mut self, direction: Direction) -> &mut Stream<M> {
        match direction {
            Direction::Receive => &mut self.receive,
            Direction::Send => &mut self.send,
        }
    }

    /// Tells whether requests go in `direction`, which both may until the first one is seen.
    fn is_request(&self, direction: Direction) -> bool {
        match self.role {
            None => true,
            Some(role) => direction == request_direction(role),
        }
    }
}

fn request_direction(role: Role) -> Direction {
    match role {
        Role::Server => Direction::Receive,
        Role::Client => Direction::Send,
    }
}

fn not_captured(direction: Direction, role: Option<Role>) -> DropCause {
    match role {
        Some(role) if direction != request_direction(role) => DropCause::ResponseNotCaptured,
        _ => DropCause::RequestNotCaptured,
    }
}

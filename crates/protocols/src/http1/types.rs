//! What goes into the engine and what comes out of it.

use super::head::{RequestHead, ResponseHead};

/// Which way a socket operation moved bytes, seen from the traced process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Bytes came in.
    Receive,
    /// Bytes went out.
    Send,
}

impl Direction {
    /// Returns the opposite direction.
    pub fn other(self) -> Self {
        match self {
            Direction::Receive => Direction::Send,
            Direction::Send => Direction::Receive,
        }
    }
}

/// What the traced process is on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Requests are received.
    Server,
    /// Requests are sent.
    Client,
}

/// One completed socket operation.
///
/// `head` and `tail` are the captured prefix and suffix of the `total_bytes` moved; whatever lies between them is
/// unknown. A capture longer than the operation is cut to it.
#[derive(Clone, Debug)]
pub struct Op<'a, M> {
    /// Which way the bytes went.
    pub direction: Direction,
    /// Kernel monotonic time at which the operation completed.
    pub at_ns: u64,
    /// Absolute TCP sequence number of the first byte moved; wraps.
    pub seq: u32,
    /// Bytes moved. An operation that moved nothing is ignored.
    pub total_bytes: u32,
    /// Captured prefix.
    pub head: &'a [u8],
    /// Captured suffix, where the middle was not captured.
    pub tail: &'a [u8],
    /// Opaque to the engine; kept from the first operation of the request and of the response.
    pub meta: M,
}

/// Bounds on what one connection may keep in memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest head (start line and header section) that is assembled.
    pub max_head_bytes: usize,
    /// Most requests that may wait for their response at once.
    pub max_pipelined: usize,
    /// Most bytes of heads that the waiting requests may have had together.
    pub max_open_head_bytes: usize,
}

impl Default for Limits {
    /// 64 KiB a head (nginx accepts 32 KiB, Node 16 KiB), 256 waiting requests, 1 MiB of their heads.
    fn default() -> Self {
        Limits { max_head_bytes: 64 * 1024, max_pipelined: 256, max_open_head_bytes: 1024 * 1024 }
    }
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseKind {
    /// Closed in order.
    Fin,
    /// Aborted by either end.
    Reset,
    /// The observer stops watching; how the connection went on is not known.
    Forgotten,
}

/// What is known about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No request has been seen yet.
    Fresh,
    /// Requests and responses are being followed.
    Http,
    /// Another protocol took over (101, or 2xx to CONNECT); everything after is ignored.
    Upgraded,
    /// Not HTTP/1; everything is ignored.
    Foreign,
    /// A direction lost its place and waits for the next point where a request provably begins.
    Lost,
}

/// What became of one request.
///
/// A request whose head was read is `Opened` first; an `Exchange` or a `Dropped` with its sequence number follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<M> {
    /// The head of a request was read.
    Opened(Opened<M>),
    /// A request and, unless it got none, its response.
    Exchange(Box<Exchange<M>>),
    /// A request was seen that cannot be told truthfully.
    Dropped {
        /// Why.
        cause: DropCause,
        /// [`Opened::request_seq`], where it had been opened.
        request_seq: Option<u32>,
    },
}

impl<M> Outcome<M> {
    /// A request that was never opened.
    pub(super) fn unopened(cause: DropCause) -> Self {
        Outcome::Dropped { cause, request_seq: None }
    }
}

/// A request at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<M> {
    /// What the traced process is in it.
    pub role: Role,
    /// Time of the operation that moved the request's first byte.
    pub request_start_ns: u64,
    /// TCP sequence number of the request's first byte.
    pub request_seq: u32,
    /// `meta` of the operation that moved the request's first byte.
    pub request_meta: M,
    /// `traceparent`, raw; `None` when there were several, which is invalid.
    pub traceparent: Option<String>,
    /// `tracestate`, its lines joined by commas.
    pub tracestate: Option<String>,
}

/// Why a request that was seen gave no [`Exchange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropCause {
    /// Part of the request's head was not captured.
    RequestNotCaptured,
    /// The request's head breaks the grammar, or its framing contradicts itself.
    RequestMalformed,
    /// The request's head exceeds the limits.
    RequestTooLarge,
    /// The connection ended inside the request's head.
    RequestCutShort,
    /// Part of a response's head was not captured, so this request's response cannot be told from another's.
    ResponseNotCaptured,
    /// Where a response should begin there is none that could be read.
    ResponseMalformed,
    /// A response's head exceeds the limits.
    ResponseTooLarge,
    /// The request came while it was not known which response comes next.
    Desynchronised,
    /// More requests waited for a response than the limits allow.
    PipelineTooDeep,
    /// The request was sent ahead of a response that changed the protocol.
    AfterUpgrade,
    /// The observer stopped watching before the exchange ended.
    Unfinished,
}

impl DropCause {
    /// Every cause, in the order of [`DropCause::index`].
    pub const ALL: [DropCause; 11] = [
        DropCause::RequestNotCaptured,
        DropCause::RequestMalformed,
        DropCause::RequestTooLarge,
        DropCause::RequestCutShort,
        DropCause::ResponseNotCaptured,
        DropCause::ResponseMalformed,
        DropCause::ResponseTooLarge,
        DropCause::Desynchronised,
        DropCause::PipelineTooDeep,
        DropCause::AfterUpgrade,
        DropCause::Unfinished,
    ];

    /// Position in [`DropCause::ALL`], for arrays of counters.
    pub fn index(self) -> usize {
        self as usize
    }

    /// Stable label for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            DropCause::RequestNotCaptured => "request_not_captured",
            DropCause::RequestMalformed => "request_malformed",
            DropCause::RequestTooLarge => "request_too_large",
            DropCause::RequestCutShort => "request_cut_short",
            DropCause::ResponseNotCaptured => "response_not_captured",
            DropCause::ResponseMalformed => "response_malformed",
            DropCause::ResponseTooLarge => "response_too_large",
            DropCause::Desynchronised => "desynchronised",
            DropCause::PipelineTooDeep => "pipeline_too_deep",
            DropCause::AfterUpgrade => "after_upgrade",
            DropCause::Unfinished => "unfinished",
        }
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeEnd {
    /// The response came whole.
    Complete,
    /// The response came whole, and the connection closed before the request's body did.
    RequestCutShort,
    /// The connection closed inside the response.
    ResponseCutShort,
    /// The connection closed without a byte of a response.
    NoResponse,
    /// The connection was reset before the response ended.
    Reset,
    /// The response handed the connection to another protocol.
    Upgraded,
}

/// One request with its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange<M> {
    /// What the traced process was in it.
    pub role: Role,
    /// Head of the request.
    pub request: RequestHead,
    /// Head of the final response, when it came whole.
    pub response: Option<ResponseHead>,
    /// Time of the operation that moved the request's first byte.
    pub request_start_ns: u64,
    /// Time of the operation that moved the request's last byte, or the last of it that was seen.
    pub request_end_ns: u64,
    /// Time of the operation that moved the final response's first byte.
    pub response_start_ns: Option<u64>,
    /// Time of the operation that moved the final response's last byte, or the last of it that was seen.
    pub response_end_ns: Option<u64>,
    /// The response's end was inferred (idle expiry, the next request, bytes that were not captured), not seen.
    pub end_estimated: bool,
    /// Time at which the connection ended, for exchanges which that ended.
    pub closed_ns: Option<u64>,
    /// Content bytes of the request, without chunk framing; `None` where not known exactly.
    pub request_body_bytes: Option<u64>,
    /// Content bytes of the response, without chunk framing; `None` where not known exactly.
    pub response_body_bytes: Option<u64>,
    /// TCP sequence number of the request's first byte.
    pub request_seq: u32,
    /// TCP sequence number of the final response's first byte.
    pub response_seq: Option<u32>,
    /// `meta` of the operation that moved the request's first byte.
    pub request_meta: M,
    /// `meta` of the operation that moved the final response's first byte.
    pub response_meta: Option<M>,
    /// How it ended.
    pub outcome: ExchangeEnd,
    /// Statuses of the interim responses (100, 103) that came before the final one; at most eight are kept.
    pub interim_statuses: Vec<u16>,
}

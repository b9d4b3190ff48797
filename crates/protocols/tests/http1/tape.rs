//! Plays socket operations to a connection and keeps what comes out.

use otel_ebpf_protocols::http1::{
    CloseKind, Connection, Direction, DropCause, Exchange, Limits, Op, Outcome, Role,
};

/// `meta` of every operation: its position on the tape.
pub type Meta = usize;

/// Plays operations to one connection. Time goes up by 10 ns an operation, starting at 10.
pub struct Tape {
    pub connection: Connection<Meta>,
    pub out: Vec<Outcome<Meta>>,
    pub at_ns: u64,
    next_seq: [u32; 2],
    operations: usize,
}

impl Tape {
    pub fn new() -> Self {
        Tape::with(Connection::new(Limits::default()))
    }

    pub fn with(connection: Connection<Meta>) -> Self {
        Tape {
            connection,
            out: Vec::new(),
            at_ns: 0,
            // Both directions wrap within every test.
            next_seq: [u32::MAX - 20, u32::MAX - 30],
            operations: 0,
        }
    }

    /// Plays an operation of which `head` and `tail` were captured, `missing` bytes apart.
    pub fn op(&mut self, direction: Direction, head: &[u8], missing: u32, tail: &[u8]) -> &mut Self {
        let seq = self.next_seq[direction as usize];
        let total = head.len() as u32 + missing + tail.len() as u32;
        self.next_seq[direction as usize] = seq.wrapping_add(total);
        self.op_at(direction, seq, total, head, tail)
    }

    /// Plays an operation at any place.
    pub fn op_at(
        &mut self,
        direction: Direction,
        seq: u32,
        total_bytes: u32,
        head: &[u8],
        tail: &[u8],
    ) -> &mut Self {
        self.at_ns += 10;
        let op = Op { direction, at_ns: self.at_ns, seq, total_bytes, head, tail, meta: self.operations };
        self.operations += 1;
        self.connection.feed(op, &mut self.out);
        self
    }

    pub fn receive(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.op(Direction::Receive, bytes.as_ref(), 0, b"")
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.op(Direction::Send, bytes.as_ref(), 0, b"")
    }

    /// Moves bytes that no operation shows.
    pub fn lose(&mut self, direction: Direction, length: usize) -> &mut Self {
        let next = &mut self.next_seq[direction as usize];
        *next = next.wrapping_add(length as u32);
        self
    }

    pub fn next_seq(&self, direction: Direction) -> u32 {
        self.next_seq[direction as usize]
    }

    /// Plays requests and responses as the given role moves them.
    pub fn play(&mut self, role: Role, request: bool, bytes: &[u8]) -> &mut Self {
        self.op(direction(role, request), bytes, 0, b"")
    }

    pub fn close(&mut self, how: CloseKind) -> &mut Self {
        self.at_ns += 10;
        self.connection.close(self.at_ns, how, &mut self.out);
        self
    }

    /// Takes what became of requests since the last call.
    pub fn take(&mut self) -> Vec<Outcome<Meta>> {
        let mut out = std::mem::take(&mut self.out);
        out.retain(|outcome| !matches!(outcome, Outcome::Opened(_)));
        out
    }

    /// Takes what came out, which must be exchanges.
    pub fn exchanges(&mut self) -> Vec<Exchange<Meta>> {
        let outcomes = self.take().into_iter();
        outcomes
            .map(|outcome| match outcome {
                Outcome::Exchange(exchange) => *exchange,
                other => panic!("no exchange: {other:?}"),
            })
            .collect()
    }

    /// Takes what came out, which must be one exchange.
    pub fn exchange(&mut self) -> Exchange<Meta> {
        let mut exchanges = self.exchanges();
        assert_eq!(exchanges.len(), 1, "{exchanges:?}");
        exchanges.remove(0)
    }

    /// Takes what came out, which must be drops.
    pub fn drops(&mut self) -> Vec<DropCause> {
        let outcomes = self.take().into_iter();
        outcomes
            .map(|outcome| match outcome {
                Outcome::Dropped { cause, .. } => cause,
                other => panic!("not dropped: {other:?}"),
            })
            .collect()
    }

    /// Takes what came out in short: target and status of exchanges, causes of drops.
    pub fn summary(&mut self) -> Vec<String> {
        self.take().iter().map(summary).collect()
    }
}

/// Tells an outcome in short.
pub fn summary(outcome: &Outcome<Meta>) -> String {
    match outcome {
        Outcome::Exchange(exchange) => {
            let status = exchange.response.as_ref().map(|response| response.status);
            let status = status.map_or("-".to_owned(), |status| status.to_string());
            format!("{} {status}", exchange.request.target)
        }
        Outcome::Dropped { cause, .. } => cause.as_str().to_owned(),
        Outcome::Opened(opened) => format!("opened at {}", opened.request_seq),
    }
}

/// Direction in which requests, or responses, go.
pub fn direction(role: Role, request: bool) -> Direction {
    if (role == Role::Server) == request { Direction::Receive } else { Direction::Send }
}

/// A request without a body.
pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n")
}

/// A response with a body of `x`s.
pub fn ok(length: usize) -> String {
    let body = "x".repeat(length);
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

//! Processes that talk over TCP, as the tap reports them, and what the pipeline makes of it.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod properties;
pub mod run;
mod tasks;
pub mod traffic;

use bytemuck::Zeroable as _;
use otel_ebpf_events::{
    ConnKey, DataEvent, EVENT_VERSION, EventHeader, SocketEvent, TaskEvent, conn::AF_INET, data::direction,
    kind, socket::what, task,
};

pub const US: u64 = 1_000;
pub const MS: u64 = 1_000_000;

/// A thread of a process. Process 0 is not traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    pub tgid: u32,
    pub tid: u32,
    /// Its receives wait.
    pub blocking: bool,
    /// Task that it runs; 0 for none.
    pub task: u64,
}

impl Thread {
    /// The thread while it runs a task.
    pub fn running(self, task: u64) -> Self {
        Self { task, ..self }
    }
}

/// A thread that serves one request at a time.
pub fn waiting(tgid: u32, tid: u32) -> Thread {
    Thread { blocking: true, ..polling(tgid, tid) }
}

/// A thread that serves whatever is there to do.
pub fn polling(tgid: u32, tid: u32) -> Thread {
    Thread { tgid, tid, ..UNTRACED }
}

pub const UNTRACED: Thread = Thread { tgid: 0, tid: 0, blocking: false, task: 0 };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// An event, and when it reaches the pipeline.
#[derive(Clone, Debug)]
pub struct Event {
    pub deliver_ns: u64,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Data(Box<DataEvent>, Vec<u8>),
    Socket(SocketEvent),
    Task(TaskEvent),
}

impl Event {
    /// The connection's end; 0 for what is of none.
    pub fn cookie(&self) -> u64 {
        match &self.what {
            What::Data(event, _) => event.conn.cookie,
            What::Socket(event) => event.conn.cookie,
            What::Task(_) => 0,
        }
    }
}

/// Bytes on their way in one direction.
#[derive(Clone, Debug)]
struct Flow {
    /// Sequence number behind the last byte sent.
    sent: u32,
    /// Sequence number behind the last byte received.
    received: u32,
    pending: Vec<u8>,
    /// When the first pending byte was sent.
    pending_since_ns: u64,
}

impl Flow {
    fn new(isn: u32) -> Self {
        Self { sent: isn, received: isn, pending: Vec::new(), pending_since_ns: 0 }
    }
}

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conn(usize);

/// The world: connections, and what the tap said of them.
#[derive(Clone, Debug, Default)]
pub struct Sim {
    /// By connection: to the server, to the client.
    flows: Vec<[Flow; 2]>,
    pub events: Vec<Event>,
    connects: u64,
    /// The next event reaches the pipeline this much later than the time it tells.
    pub delay_ns: u64,
}

impl Sim {
    /// A connection whose sequence numbers begin anywhere.
    pub fn connect(&mut self) -> Conn {
        let number = self.flows.len() as u32;
        if number == 0 {
            return self.connect_at(u32::MAX - 20, u32::MAX - 10);
        }
        let scattered = number.wrapping_mul(0x9E37_79B1);
        self.connect_at(scattered, scattered.rotate_left(13) ^ 0x5555_5555)
    }

    /// A connection whose sequence numbers begin here.
    pub fn connect_at(&mut self, to_server: u32, to_client: u32) -> Conn {
        self.flows.push([Flow::new(to_server), Flow::new(to_client)]);
        Conn(self.flows.len() - 1)
    }

    /// The process sends.
    pub fn send(&mut self, conn: Conn, side: Side, thread: Thread, at_ns: u64, bytes: &[u8]) {
        let (out, back) = directions(side);
        let received = self.flows[conn.0][back].received;
        let flow = &mut self.flows[conn.0][out];
        let seq = flow.sent;
        if flow.pending.is_empty() {
            flow.pending_since_ns = at_ns;
        }
        flow.sent = seq.wrapping_add(bytes.len() as u32);
        flow.pending.extend_from_slice(bytes);
        let event = DataEvent {
            seq,
            other_seq: received,
            total_bytes: bytes.len() as u32,
            direction: direction::SEND,
            ..DataEvent::zeroed()
        };
        self.tell(conn, side, thread, at_ns, event, bytes);
    }

    /// The process receives all there is, which came at `arrival_ns` (0: not known).
    pub fn receive(&mut self, conn: Conn, side: Side, thread: Thread, at_ns: u64, arrival_ns: u64) {
        let (back, out) = directions(side);
        let sent = self.flows[conn.0][back].sent;
        let flow = &mut self.flows[conn.0][out];
        let bytes = std::mem::take(&mut flow.pending);
        let seq = flow.received;
        flow.received = flow.sent;
        assert_eq!(seq.wrapping_add(bytes.len() as u32), flow.sent);
        let event = DataEvent {
            arrival_ns,
            seq,
            other_seq: sent,
            total_bytes: bytes.len() as u32,
            direction: direction::RECEIVE,
            blocking: u8::from(thread.blocking),
            ..DataEvent::zeroed()
        };
        self.tell(conn, side, thread, at_ns, event, &bytes);
    }

    fn tell(&mut self, conn: Conn, side: Side, thread: Thread, at_ns: u64, event: DataEvent, bytes: &[u8]) {
        if thread.tgid == 0 {
            return;
        }
        let head = &bytes[..bytes.len().min(otel_ebpf_events::PAYLOAD_MAX)];
        let event = DataEvent {
            header: header(kind::DATA, at_ns, thread),
            conn: key(conn, side),
            head_bytes: head.len() as u16,
            task: thread.task,
            ..event
        };
        self.push(at_ns, What::Data(Box::new(event), head.to_vec()));
    }

    /// The task that a thread runs wakes another.
    pub fn wake(&mut self, thread: Thread, to: u64, at_ns: u64) {
        self.task(thread, to, at_ns, task::what::WAKE);
    }

    /// The task that a thread runs makes another.
    pub fn spawn(&mut self, thread: Thread, to: u64, at_ns: u64) {
        self.task(thread, to, at_ns, task::what::SPAWN);
    }

    fn task(&mut self, thread: Thread, to: u64, at_ns: u64, what: u8) {
        let event = TaskEvent {
            header: header(kind::TASK, at_ns, thread),
            from: thread.task,
            to,
            what,
            _pad: [0; 7],
        };
        self.push(at_ns, What::Task(event));
    }

    fn push(&mut self, at_ns: u64, what: What) {
        let deliver_ns = at_ns + std::mem::take(&mut self.delay_ns);
        self.events.push(Event { deliver_ns, what });
    }

    /// A client asks.
    pub fn ask(&mut self, conn: Conn, thread: Thread, at_ns: u64, path: &str) {
        self.ask_with(conn, thread, at_ns, path, "");
    }

    /// A client asks, with header lines of its own.
    pub fn ask_with(&mut self, conn: Conn, thread: Thread, at_ns: u64, path: &str, headers: &str) {
        self.send(conn, Side::Client, thread, at_ns, request(path, headers).as_bytes());
    }

    /// A server reads what it is asked.
    pub fn take(&mut self, conn: Conn, thread: Thread, at_ns: u64) {
        let arrival_ns = self.flows[conn.0][0].pending_since_ns.min(at_ns);
        self.receive(conn, Side::Server, thread, at_ns, arrival_ns);
    }

    /// A server answers.
    pub fn answer(&mut self, conn: Conn, thread: Thread, at_ns: u64) {
        self.send(conn, Side::Server, thread, at_ns, RESPONSE);
    }

    /// A client reads its answer.
    pub fn done(&mut self, conn: Conn, thread: Thread, at_ns: u64) {
        self.receive(conn, Side::Client, thread, at_ns, 0);
    }

    /// A call from end to end: asked at `from_ns`, answered at `until_ns`, and read a tenth from either end.
    pub fn call(&mut self, path: &str, client: Thread, server: Thread, from_ns: u64, until_ns: u64) {
        let conn = self.connect();
        let margin = (until_ns - from_ns) / 10;
        self.ask(conn, client, from_ns, path);
        self.take(conn, server, from_ns + margin);
        self.answer(conn, server, until_ns - margin);
        self.done(conn, client, until_ns);
    }

    /// The socket at one end is gone, aborted if `error` is not 0.
    pub fn close(&mut self, conn: Conn, side: Side, thread: Thread, at_ns: u64, error: u32) {
        let event = SocketEvent {
            header: header(kind::SOCKET, at_ns, thread),
            conn: key(conn, side),
            since_ns: at_ns,
            error,
            what: what::CLOSED,
            _pad: [0; 3],
        };
        self.push(at_ns, What::Socket(event));
    }

    /// A connection that could not be made.
    pub fn fail_to_connect(&mut self, thread: Thread, since_ns: u64, at_ns: u64) {
        self.connects += 1;
        let event = SocketEvent {
            header: header(kind::SOCKET, at_ns, thread),
            conn: ConnKey { cookie: 1 << 40 | self.connects, ..key(Conn(0), Side::Client) },
            since_ns,
            error: 111,
            what: what::CONNECT_FAILED,
            _pad: [0; 3],
        };
        self.push(at_ns, What::Socket(event));
    }
}

pub const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A request without a body.
pub fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: host\r\n{headers}\r\n")
}

/// Indices of the flows that a side sends to and receives from.
fn directions(side: Side) -> (usize, usize) {
    match side {
        Side::Client => (0, 1),
        Side::Server => (1, 0),
    }
}

fn header(kind: u8, ktime_ns: u64, thread: Thread) -> EventHeader {
    EventHeader {
        ktime_ns,
        tgid: thread.tgid,
        tid: thread.tid,
        kind,
        version: EVENT_VERSION,
        ..EventHeader::zeroed()
    }
}

fn key(conn: Conn, side: Side) -> ConnKey {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[127, 0, 0, 1]);
    let (client_port, server_port) = (10_000 + (conn.0 % 50_000) as u16, 80);
    let (local_port, remote_port, end) = match side {
        Side::Client => (client_port, server_port, 1),
        Side::Server => (server_port, client_port, 2),
    };
    ConnKey {
        cookie: conn.0 as u64 * 2 + end,
        local_addr: address,
        remote_addr: address,
        local_port,
        remote_port,
        family: AF_INET,
        _pad: 0,
    }
}

//! A corpus of exchanges that two programs hold by every way to send and to read, and what came of each, byte for byte.
//!
//! The table is the same each time: it goes through sizes, framings and calls in steps that have no common divisor, so
//! that they meet in ever new pairs.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{ChildStdin, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    process::Process,
    services::{self, Service, python_script},
};

/// Exchanges in the table.
pub const EXCHANGES: usize = 200;
/// Conversations that the client holds at a time.
const AT_A_TIME: usize = 4;

/// Lengths of bodies: nothing, around the sizes of pages, socket buffers and captures, and up to what takes long.
pub const SIZES: [usize; 26] = [
    0,
    1,
    2,
    100,
    1_023,
    1_024,
    4_095,
    4_096,
    4_097,
    8_191,
    8_192,
    8_193,
    16_383,
    16_384,
    65_535,
    65_536,
    65_537,
    131_071,
    300_001,
    557_055,
    557_056,
    557_057,
    1 << 20,
    (1 << 20) + 1,
    3_000_001,
    8 << 20,
];
/// Calls by which a response is sent. With `holes` some buffers of a vector are empty, the first among them; with
/// `file` its head never was in memory of the server.
pub const SENDS: [&str; 11] = [
    "write", "writev", "holes", "sendmsg", "more", "cork", "dribble", "sendfile", "splice", "zerocopy",
    "file",
];
/// Calls by which it is read.
pub const READERS: [&str; 7] = ["recv", "poll", "edge", "peek", "readv", "recvmsg", "waitall"];
/// Framings of a response.
pub const FRAMES: [&str; 7] = ["length", "chunked", "trailers", "length", "close", "none", "chunked"];
const UPLOADS: [usize; 7] = [0, 1, 4_096, 8_193, 65_537, 557_056, 1 << 20];

/// Bytes of a header that make a head longer than what is captured of it.
const TOO_LONG: usize = 5_000;
/// Longest response that is sent a few bytes at a time.
const DRIBBLE_MAX: usize = 4_097;
/// Bytes that are captured behind a change of direction (`OTEL_EBPF_BPF_BUFFER_SIZE_HTTP`), less those of the longest
/// ordinary head.
const CAPTURED: usize = 4_096 - 512;

/// A request and how it is answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Its place in the table, which is in its path.
    pub number: usize,
    /// Method of the request.
    pub method: &'static str,
    /// Status of the response.
    pub status: u64,
    /// Length of the body that is announced.
    pub size: usize,
    /// Framing of the response.
    pub frame: &'static str,
    /// How the server sends.
    pub send: &'static str,
    chunk: usize,
    trap: bool,
    interim: bool,
    response_pad: usize,
    request_pad: usize,
    request_send: &'static str,
    upload: Upload,
}

#[derive(Clone, Copy, Debug)]
struct Upload {
    size: usize,
    frame: &'static str,
    expect: bool,
}

impl Exchange {
    /// Its path.
    pub fn path(&self) -> String {
        format!("/x/{}", self.number)
    }

    /// Bytes of the body that come.
    pub fn body(&self) -> usize {
        if self.method == "HEAD" || self.frame == "none" || self.status == 304 { 0 } else { self.size }
    }

    /// All statuses that come, in order.
    fn statuses(&self) -> Vec<u64> {
        let interim = [(self.upload.expect, 100), (self.interim, 103)];
        interim.iter().filter(|(comes, _)| *comes).map(|(_, status)| *status).chain([self.status]).collect()
    }

    /// Bytes of the response behind its head.
    fn on_the_wire(&self) -> usize {
        match self.frame {
            // A chunk's line of size, with its extension, and the line ends.
            "chunked" | "trailers" => self.body() + (self.body() / self.chunk + 2) * 20,
            _ => self.body(),
        }
    }

    /// Whether its end shows by chunk framing, and that is not captured.
    fn hides_its_end(&self) -> bool {
        matches!(self.frame, "chunked" | "trailers") && self.on_the_wire() > CAPTURED
    }

    /// Whether its head is longer than what is captured of one.
    fn is_too_long(&self) -> bool {
        self.response_pad + self.request_pad > 0
    }

    fn target(&self) -> String {
        let mut target = format!(
            "{}?status={}&size={}&frame={}&chunk={}&send={}",
            self.path(),
            self.status,
            self.size,
            self.frame,
            self.chunk,
            self.send
        );
        for (name, is_set) in [("trap", self.trap), ("interim", self.interim)] {
            if is_set {
                target += &format!("&{name}=1");
            }
        }
        if self.response_pad > 0 {
            target += &format!("&pad={}", self.response_pad);
        }
        target
    }

    fn to_json(&self) -> Value {
        let Upload { size, frame, expect } = self.upload;
        json!({
            "number": self.number,
            "method": self.method,
            "target": self.target(),
            "pad": self.request_pad,
            "send": self.request_send,
            "upload": {"size": size, "frame": frame, "chunk": size / 50 + 1, "expect": expect},
        })
    }
}

/// What one connection is used for.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// How the client reads.
    pub reader: &'static str,
    /// `kept`, `pipelined` in pairs, or `half` closed before anything is read.
    pub manner: &'static str,
    /// The exchanges, in order.
    pub exchanges: Vec<Exchange>,
}

/// Whether one end's span of an exchange comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It does.
    Always,
    /// It does not: its head is not captured (`docs/limitations.md`).
    Never,
    /// It depends on how the bytes are cut: a head behind other bytes of the same turn may not be captured.
    Perhaps,
}

impl Conversation {
    /// What the server's side tells of each exchange.
    pub fn told_by_server(&self) -> Vec<(&Exchange, Told)> {
        self.told(|exchange, before| {
            if exchange.is_too_long() || matches!(exchange.send, "file" | "uring") {
                Told::Never
            } else if before.is_some_and(Exchange::hides_its_end) {
                Told::Perhaps
            } else {
                Told::Always
            }
        })
    }

    /// What the client's side tells of each exchange.
    pub fn told_by_client(&self) -> Vec<(&Exchange, Told)> {
        let last = self.exchanges.last().map(|exchange| exchange.number);
        let hides = |exchange: &Exchange| match self.reader {
            "spliced" | "uring" => Some(exchange.number) != last,
            _ => false,
        };
        // The others may read the end of a body together with the next head.
        let reads_exactly = matches!(self.reader, "waitall" | "splice");
        self.told(|exchange, before| {
            if hides(exchange) || exchange.is_too_long() {
                Told::Never
            } else if before.is_some_and(|before| {
                before.hides_its_end() || (before.on_the_wire() > CAPTURED && !reads_exactly)
            }) {
                Told::Perhaps
            } else {
                Told::Always
            }
        })
    }

    /// Judges each exchange by itself and by the one that was asked for together with it and is answered before it. A
    /// connection that pipelines and lost its place stays untold.
    fn told(&self, judge: impl Fn(&Exchange, Option<&Exchange>) -> Told) -> Vec<(&Exchange, Told)> {
        let mut is_doubtful = false;
        let mut told = Vec::new();
        for (place, exchange) in self.exchanges.iter().enumerate() {
            let before = (self.manner == "pipelined" && place % 2 == 1).then(|| &self.exchanges[place - 1]);
            let alone = judge(exchange, before);
            is_doubtful |= alone == Told::Perhaps;
            told.push((exchange, if is_doubtful && alone == Told::Always { Told::Perhaps } else { alone }));
        }
        told
    }

    /// The line that tells the client to hold it.
    pub fn line(&self) -> String {
        let exchanges: Vec<Value> = self.exchanges.iter().map(Exchange::to_json).collect();
        json!({"reader": self.reader, "manner": self.manner, "exchanges": exchanges}).to_string()
    }
}

/// The table.
pub fn conversations() -> Vec<Conversation> {
    let mut all = Vec::new();
    let mut number = 0;
    while number < EXCHANGES {
        let turn = all.len();
        let reader = READERS[turn % READERS.len()];
        let manner = ["kept", "pipelined", "half", "kept", "kept"][turn % 5];
        let length = match manner {
            "pipelined" => 2 + turn / 5 % 2 * 2,
            "half" => 1,
            _ => 1 + turn % 4,
        };
        let length = length.min(EXCHANGES - number);
        let manner = if length % 2 == 1 && manner == "pipelined" { "kept" } else { manner };
        let exchanges: Vec<_> = (number..number + length).map(|number| exchange(number, reader)).collect();
        number += length;
        all.push(conversation(reader, manner, exchanges));
    }
    all
}

fn exchange(number: usize, reader: &str) -> Exchange {
    let frame = FRAMES[number * 5 % FRAMES.len()];
    let size = SIZES[number * 7 % SIZES.len()];
    let mut send = SENDS[number * 7 % SENDS.len()];
    let mut method =
        ["GET", "GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "GET", "POST", "GET"]
            [number % 11];
    if (send == "dribble" && size > DRIBBLE_MAX) || (send == "file" && number % 2 == 1) {
        send = "writev";
    }
    let (status, frame) = match frame {
        "none" if number.is_multiple_of(2) => (204, "none"),
        "none" => (304, "length"),
        frame => (if number.is_multiple_of(13) { 503 } else { 200 }, frame),
    };
    // Splicing takes bodies of known length off the socket.
    let frame = if reader == "splice" && frame != "none" { "length" } else { frame };
    if frame == "close" && method == "HEAD" {
        method = "GET";
    }
    let uploads = matches!(method, "POST" | "PUT" | "PATCH");
    Exchange {
        number,
        method,
        status,
        size,
        frame,
        send,
        // At most some three hundred of them.
        chunk: [977, 1, 4_096, 65_537][number / 6 % 4].max(size / 300 + 1),
        trap: number % 9 == 4,
        interim: number % 23 == 5,
        response_pad: if number % 61 == 30 { TOO_LONG } else { 0 },
        request_pad: if number % 61 == 42 { TOO_LONG } else { 0 },
        request_send: ["send", "writev", "send", "sendmsg", "send"][number % 5],
        upload: Upload {
            size: if uploads { UPLOADS[number / 2 % UPLOADS.len()] } else { 0 },
            frame: match uploads {
                true if number % 4 == 1 => "chunked",
                true => "length",
                false => "",
            },
            expect: uploads && number.is_multiple_of(3),
        },
    }
}

/// Makes exchanges fit on one connection.
fn conversation(reader: &'static str, manner: &'static str, mut exchanges: Vec<Exchange>) -> Conversation {
    let last = exchanges.len() - 1;
    for (place, exchange) in exchanges.iter_mut().enumerate() {
        if exchange.frame == "close" && place != last {
            exchange.frame = "length";
        }
        if manner == "pipelined" {
            // The server reads both before it answers; what is too long for one head would hide the other too.
            (exchange.upload, exchange.response_pad, exchange.request_pad) =
                (Upload { size: 0, frame: "", expect: false }, 0, 0);
            exchange.interim = false;
            if exchange.send == "file" {
                exchange.send = "sendfile";
            }
        } else if exchange.upload.size == 0 && exchange.request_pad == 0 && exchange.number % 4 == 3 {
            exchange.request_send = "dribble";
        }
    }
    Conversation { reader, manner, exchanges }
}

/// A smaller table, of responses that are sent, or read, or both, by io_uring.
pub fn uring_conversations() -> Vec<Conversation> {
    let ends = [("write", "uring"), ("uring", "recv"), ("uring", "uring"), ("uring", "edge")];
    let one = |turn: usize, (send, reader): (&'static str, &'static str)| {
        let exchanges = (0..6).map(|place| {
            let made = exchange(turn * 6 + place, reader);
            // Each connection ends with a response that both ends see.
            Exchange {
                send: if place < 5 { send } else { "write" },
                response_pad: 0,
                request_pad: 0,
                interim: false,
                ..made
            }
        });
        conversation(reader, "kept", exchanges.collect())
    };
    ends.into_iter().cycle().take(8).enumerate().map(|(turn, ends)| one(turn, ends)).collect()
}

/// Conversations of a client that lets bodies, or whole responses, go through a pipe, apart from the last.
pub fn spliced_conversations() -> Vec<Conversation> {
    let one = |turn: usize, reader| {
        let plain = |number| Exchange { response_pad: 0, request_pad: 0, ..exchange(number, reader) };
        conversation(reader, "kept", (turn * 4..turn * 4 + 4).map(plain).collect())
    };
    ["splice", "spliced"]
        .into_iter()
        .cycle()
        .take(12)
        .enumerate()
        .map(|(turn, reader)| one(turn, reader))
        .collect()
}

/// Whether this machine lets programs use io_uring.
pub fn may_use_uring() -> bool {
    let script = services::script("corpus_uring.py");
    let status = Command::new(services::python()).arg("-B").arg(script).stderr(Stdio::null()).status();
    status.expect("run python").success()
}

/// The server of the corpus.
pub fn server(port: u16) -> Service {
    python_script("corpus_server.py", port, &[]).ready()
}

/// A client of the corpus that waits for its conversations.
#[derive(Debug)]
pub struct Client {
    process: Process,
    stdin: ChildStdin,
}

impl Client {
    /// Starts one that is to talk to a port.
    pub fn start(port: u16) -> Self {
        let mut command = Command::new(services::python());
        command.arg(services::script("corpus_client.py")).args([port.to_string(), AT_A_TIME.to_string()]);
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let stdin = process.take_stdin();
        Self { process, stdin }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Has it hold these conversations.
    pub fn hold(&mut self, conversations: &[Conversation]) {
        for conversation in conversations {
            writeln!(self.stdin, "{}", conversation.line()).expect("tell the client");
        }
    }

    /// Lets it come to its end; returns what came of each exchange, by number.
    ///
    /// # Panics
    ///
    /// It failed, or what FIONREAD announced is not what came.
    pub fn finish(self) -> BTreeMap<usize, Value> {
        let Self { process, stdin } = self;
        drop(stdin);
        let (status, output, stderr) = process.output();
        assert!(status.success(), "the client failed: {stderr}");
        let mut came = BTreeMap::new();
        for line in String::from_utf8(output).expect("the client writes text").lines() {
            let said: Value = serde_json::from_str(line).expect("the client writes JSON");
            match said["number"].as_u64() {
                Some(number) => {
                    let before = came.insert(usize::try_from(number).expect("small"), said);
                    assert!(before.is_none(), "exchange {number} came twice");
                }
                None => {
                    assert!(said["announced"].is_null() || said["announced"] == said["total"], "{said}");
                }
            }
        }
        came
    }

    /// Holds conversations from beginning to end.
    pub fn run(mut self, conversations: &[Conversation]) -> BTreeMap<usize, Value> {
        self.hold(conversations);
        self.finish()
    }
}

/// Checks that what came is what was asked for, all bytes apart from their order.
pub fn assert_sound(conversations: &[Conversation], came: &BTreeMap<usize, Value>) {
    let exchanges = conversations.iter().flat_map(|conversation| &conversation.exchanges);
    for exchange in exchanges.clone() {
        let said = came.get(&exchange.number).unwrap_or_else(|| panic!("nothing came of {exchange:?}"));
        assert_eq!(said["body"], exchange.body(), "{exchange:?}: {said}");
        assert_eq!(said["statuses"], json!(exchange.statuses()), "{exchange:?}: {said}");
    }
    assert_eq!(came.len(), exchanges.count());
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_size_framing_and_call_is_in_the_table() {
        let table = conversations();
        let of = |of: fn(&Exchange) -> &str| -> BTreeSet<String> {
            let exchanges = table.iter().flat_map(|conversation| &conversation.exchanges);
            exchanges.map(|exchange| of(exchange).to_owned()).collect()
        };
        let exchanges = || table.iter().flat_map(|conversation| &conversation.exchanges);
        assert_eq!(
            exchanges().map(|exchange| exchange.number).collect::<Vec<_>>(),
            Vec::from_iter(0..EXCHANGES)
        );
        assert_eq!(of(|exchange| exchange.send), SENDS.map(str::to_owned).into());
        assert_eq!(of(|exchange| exchange.frame), FRAMES.map(str::to_owned).into());
        assert_eq!(of(|exchange| exchange.request_send).len(), 4);
        assert_eq!(of(|exchange| exchange.method).len(), 7);
        let bodies: BTreeSet<_> = exchanges().map(Exchange::body).collect();
        assert_eq!(bodies, SIZES.into());
        let met: BTreeSet<_> = table.iter().map(|held| (held.reader, held.manner)).collect();
        assert_eq!(met.len(), READERS.len() * 3);
        type Kind = fn(&Exchange) -> bool;
        let kinds: [(&str, Kind); 8] = [
            ("continue", |exchange| exchange.upload.expect),
            ("chunked upload", |exchange| exchange.upload.frame == "chunked"),
            ("long request head", |exchange| exchange.request_pad > 0),
            ("long response head", |exchange| exchange.response_pad > 0),
            ("trap", |exchange| exchange.trap && exchange.body() > 100),
            ("early hints", |exchange| exchange.interim),
            ("not modified", |exchange| exchange.status == 304),
            ("announced to HEAD", |exchange| exchange.method == "HEAD" && exchange.size > 0),
        ];
        for (name, is) in kinds {
            assert!(exchanges().filter(|exchange| is(exchange)).count() >= 2, "{name}");
        }
    }
}

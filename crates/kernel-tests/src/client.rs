//! Clients: curl as people use it, and a raw connection for what curl does not do.

use std::{
    io::{BufRead, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{
    net,
    process::{OwnProgram, Process},
};

/// What curl got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Status code of the last transfer.
    pub status: u16,
    /// Port that curl used for it.
    pub local_port: u16,
    /// All bodies.
    pub body: Vec<u8>,
}

/// What curl is to print after each transfer, apart from the bodies.
const WRITE_OUT: &str = "%{stderr}\ncurl: %{http_code} %{local_port}\n";

/// Runs curl with these arguments.
pub fn curl(arguments: &[&str]) -> Fetched {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time", "30"])
        .args(["--write-out", WRITE_OUT])
        .args(arguments)
        .output()
        .expect("run curl");
    assert!(output.status.success(), "curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    fetched(output.stdout, &String::from_utf8_lossy(&output.stderr))
}

fn fetched(body: Vec<u8>, stderr: &str) -> Fetched {
    let last = stderr.lines().filter_map(|line| line.strip_prefix("curl: ")).next_back();
    let mut numbers = last.expect("curl tells the end").split(' ').filter_map(|number| number.parse().ok());
    let status = numbers.next().expect("a status");
    let local_port = numbers.next().expect("a port");
    Fetched { status, local_port, body }
}

/// Version of curl as its `User-Agent` says it.
pub fn curl_user_agent() -> String {
    let output = Command::new("curl").arg("--version").output().expect("run curl");
    let text = String::from_utf8(output.stdout).expect("curl's version is text");
    format!("curl/{}", text.split_whitespace().nth(1).expect("curl says its version"))
}

/// curl under a path of its own, so that an agent can tell it from the curls of other tests.
#[derive(Debug)]
pub struct OwnCurl(OwnProgram);

impl Default for OwnCurl {
    fn default() -> Self {
        Self(OwnProgram::copy(&OwnProgram::find("curl")))
    }
}

impl OwnCurl {
    /// Its path.
    pub fn path(&self) -> String {
        self.0.path()
    }

    /// Starts it.
    pub fn start(&self) -> WaitingCurl {
        WaitingCurl::start_in(&mut Command::new(self.path()))
    }
}

/// A curl that runs already and waits to be told what to fetch, so that an agent can find it first.
#[derive(Debug)]
pub struct WaitingCurl(Process);

impl WaitingCurl {
    /// Starts it by a command that is given curl's name already.
    pub fn start_in(command: &mut Command) -> Self {
        Self(Process::start(Self::prepare(command)))
    }

    fn prepare(command: &mut Command) -> &mut Command {
        command
            .args(["--silent", "--show-error", "--globoff", "--noproxy", "*", "--max-time", "30"])
            .args(["--write-out", WRITE_OUT, "--config", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Fetches with these lines of curl's configuration.
    pub fn fetch(mut self, config: &str) -> Fetched {
        self.give(config);
        let (status, output, stderr) = self.0.output();
        assert!(status.success(), "curl failed: {status:?}: {stderr}");
        fetched(output, &stderr)
    }

    /// Tries what is to fail; returns curl's exit code.
    pub fn fail(mut self, config: &str) -> i32 {
        self.give(config);
        let (status, ..) = self.0.output();
        status.code().expect("curl ended by itself")
    }

    fn give(&mut self, config: &str) {
        self.0.take_stdin().write_all(config.as_bytes()).expect("tell curl what to fetch");
    }
}

/// Asks for `/front/NUMBER` for every number below `count`, so many at a time, and checks that the number comes back. Each
/// of them has its connection, for one request or for all of its own.
pub fn ask_in_parallel(port: u16, count: usize, at_a_time: usize, keeps: bool) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                let mut kept = None;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let raw = kept.get_or_insert_with(|| Raw::connect(net::loopback(port)));
                    raw.get(&format!("/front/{number}"));
                    let response = raw.response();
                    assert_eq!(
                        String::from_utf8_lossy(&response.body),
                        number.to_string(),
                        "{}",
                        response.head
                    );
                    if !keeps {
                        kept = None;
                    }
                }
            });
        }
    });
}

/// A connection on which requests are written byte by byte.
#[derive(Debug)]
pub struct Raw(BufReader<TcpStream>);

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status line and headers.
    pub head: String,
    /// Body, without chunk framing.
    pub body: Vec<u8>,
}

impl Response {
    /// Status code.
    pub fn status(&self) -> u16 {
        let code = self.head.split(' ').nth(1).and_then(|code| code.parse().ok());
        code.unwrap_or_else(|| panic!("no status in {:?}", self.head))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then(|| value.trim()))
    }
}

impl Raw {
    /// Connects as soon as somebody listens.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = net::connect(address);
        stream.set_nodelay(true).expect("send at once");
        Self(BufReader::new(stream))
    }

    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    /// Port of this end.
    pub fn local_port(&self) -> u16 {
        self.stream().local_addr().expect("a connection has an address").port()
    }

    /// Sends in one call.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).expect("send");
    }

    /// Sends a GET request for a path.
    pub fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    /// Reads the next response to a request that is no HEAD.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        if response.header("transfer-encoding").is_some() {
            response.body = self.chunks();
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().expect("a length");
            response.body = vec![0; length];
            self.0.read_exact(&mut response.body).expect("read a body");
        } else if !matches!(response.status(), 100..200 | 204 | 304) {
            self.0.read_to_end(&mut response.body).expect("read until the end");
        }
        response
    }

    /// Reads a response's head, which is all of the response to a HEAD request.
    pub fn head(&mut self) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.0.read_line(&mut head).expect("read a head");
            assert!(read > 0, "the connection ended inside {head:?}");
        }
        Response { head, body: Vec::new() }
    }

    /// Reads until the other end closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("read until the end");
        rest
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("read a chunk's size");
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
            let start = body.len();
            body.resize(start + size + 2, 0);
            self.0.read_exact(&mut body[start..]).expect("read a chunk");
            body.truncate(start + size);
            if size == 0 {
                return body;
            }
        }
    }
}

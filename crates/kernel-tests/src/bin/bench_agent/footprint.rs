//! What the agent itself needs: memory, and time to start.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Instant,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::Raw,
    net::{connect, free_port, loopback},
    services::python_script,
    sink::Sink,
    wait::wait_until,
};

use super::{
    Measurement,
    load::{median, range},
    options::Effort,
    programs,
    table::Row,
    usage,
};

/// Connections that are open at a time.
const CONNECTIONS: u16 = 10_000;

/// Most memory, in MiB.
const MEMORY_AT_MOST_MIB: f64 = 40.0;

/// Longest time from the agent's start until it is attached, in milliseconds.
const START_AT_MOST_MS: f64 = 500.0;

/// Processes that live for a moment.
const MOMENTS: usize = 10;

/// The measurements.
pub fn all() -> Vec<Measurement> {
    vec![
        Measurement::new("agent/memory", memory),
        Measurement::new("agent/start", start),
        Measurement::new("agent/moment", moment),
    ]
}

/// Opens the connections, asks twice over each, and reads what the agent holds while they are open.
fn memory(_effort: Effort) -> Vec<Row> {
    may_open(u64::from(CONNECTIONS) + 256);
    let port = free_port();
    // nginx closes idle connections when more than fifteen in sixteen are taken.
    let service = programs::nginx(port, 2 * u32::from(CONNECTIONS));
    let sink = Sink::start();
    let agent = Agent::start(
        &sink,
        &[
            ("OTEL_EBPF_OPEN_PORT", &port.to_string()),
            // As long as it is by default.
            ("OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT", "1s"),
        ],
    );
    agent.wait_until_traces(service.pid());
    let idle = mib(agent.pid(), "VmRSS");
    let mut open: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(loopback(port))).collect();
    for turn in 1..=2 {
        for connection in &mut open {
            ask(connection);
        }
        // All of them were seen, so all of them are known.
        let expected = usize::from(CONNECTIONS) * turn;
        wait_until("every request's span", || sink.len() >= expected);
    }
    let [now, most] = ["VmRSS", "VmHWM"].map(|name| mib(agent.pid(), name));
    drop(open);
    agent.stop();
    vec![Row::held(
        "agent's memory with 10,000 open connections",
        format!("{now:.1} MiB, at most {most:.1} MiB; {idle:.1} MiB without connections"),
        "< 40 MiB",
        now < MEMORY_AT_MOST_MIB,
    )]
}

/// Lets this process have so many files open.
fn may_open(files: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("read the limit of open files");
    if soft < files {
        let done = setrlimit(Resource::RLIMIT_NOFILE, files, hard.max(files));
        done.unwrap_or_else(|error| panic!("raise the limit of open files to {files}: {error}; run as root"));
    }
}

/// One small request and its answer, which comes in one piece.
fn ask(connection: &mut TcpStream) {
    connection.write_all(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n").expect("ask");
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    while !answer.ends_with(b"\r\n\r\nok") {
        let read = connection.read(&mut buffer).expect("read an answer");
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
}

fn mib(pid: u32, name: &str) -> f64 {
    usage::memory_kib(pid, name) as f64 / 1024.0
}

/// Starts agents one after the other beside a running service.
fn start(effort: Effort) -> Vec<Row> {
    let port = free_port();
    let _service = programs::nginx(port, 512);
    let sink = Sink::start();
    let mut took = Vec::new();
    for _ in 0..effort.rounds() {
        let start = Instant::now();
        let agent = Agent::on_port(&sink, port);
        took.push(start.elapsed().as_secs_f64() * 1e3);
        agent.stop();
    }
    let (least, most) = range(&took);
    let median = median(&took);
    vec![Row::held(
        "from the start of the agent's process until it is attached",
        format!("{median:.0} ms ({least:.0} to {most:.0})"),
        "< 500 ms",
        median < START_AT_MOST_MS,
    )]
}

/// Starts processes that answer one request and end.
fn moment(_effort: Effort) -> Vec<Row> {
    let port = free_port();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    let mut lived = Vec::new();
    let mut pids = Vec::new();
    for _ in 0..MOMENTS {
        let start = Instant::now();
        let mut service = python_script("short_life.py", port, &[]);
        let mut connection = Raw::connect(loopback(port));
        connection.get("/only");
        assert_eq!(connection.response().body, b"ok");
        pids.push(service.pid());
        service.process().wait();
        lived.push(start.elapsed().as_secs_f64() * 1e3);
    }
    let counts = agent.stop().counts();
    let traced = pids.iter().filter(|pid| sink.servers().iter().any(|span| span.pid() == **pid)).count();
    let (least, most) = range(&lived);
    // What ends before the agent has looked at it is told of nobody.
    let lacking = match counts.get("unattributed") {
        0 => String::new(),
        spans => format!("; {spans} spans of processes that ended before the agent knew their names"),
    };
    vec![Row::held(
        "processes that live for a moment, whose first request is a span",
        format!("{traced} of {MOMENTS}, which lived {least:.0} to {most:.0} ms{lacking}"),
        "all",
        traced == MOMENTS,
    )]
}

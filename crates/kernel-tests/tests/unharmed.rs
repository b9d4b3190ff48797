//! The agent never harms what it traces: bytes, connections and the kernel are as they would be without it.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;
use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::{Raw, curl},
    kernel, needs_tracing,
    net::{free_port, loopback},
    process::Process,
    services::{Service, nginx, node_script},
    sink::Sink,
    wait::wait_until,
};

const SIZES: [usize; 9] = [0, 1, 100, 4_095, 4_096, 65_536, 1 << 20, 3_000_001, 8 << 20];

/// Bytes that no compression or repetition could stand for.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(size).collect()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

/// Everything that clients get of nginx and Node.js: each file by sendfile and by reading, over one kept connection,
/// and what is made in chunks.
fn everything(files: &Service, node: &Service) -> Vec<(String, u64)> {
    let mut got = Vec::new();
    let mut raw = Raw::connect(loopback(files.port));
    for place in ["sent", "read"] {
        for size in SIZES {
            let path = format!("/{place}/{size}");
            raw.get(&path);
            let response = raw.response();
            assert_eq!((response.status(), response.body.len()), (200, size), "{path}");
            let head: String = response
                .head
                .lines()
                .filter(|line| !line.starts_with("Date:"))
                .collect::<Vec<_>>()
                .join("\n");
            got.push((head + &path, hash(&response.body)));
        }
    }
    for path in ["/chunked", "/", "/broken"] {
        got.push((path.to_owned(), hash(&curl(&[&node.url(path)]).body)));
    }
    got
}

#[test]
fn clients_get_the_same_bytes_with_and_without_the_agent() {
    needs_tracing!();
    let (files_port, node_port) = (free_port(), free_port());
    let directives =
        "location /sent/ { alias files/; sendfile on; } location /read/ { alias files/; sendfile off; }";
    let files = nginx(files_port, directives).ready();
    for size in SIZES {
        files.write(&format!("files/{size}"), &noise(size));
    }
    let node = node_script("server.js", node_port, &[]).ready();
    let without = everything(&files, &node);
    let sink = Sink::start();
    let agent = Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &format!("{files_port},{node_port}"))]);
    let with = everything(&files, &node);
    sink.wait_for_servers(with.len());
    agent.stop().assert_clean();
    let after = everything(&files, &node);
    assert_eq!(without, with);
    assert_eq!(without, after);
    assert_eq!(sink.servers().len(), with.len());
    let mut told: Vec<_> =
        sink.servers().iter().filter_map(|span| span.attribute("http.response.body.size").as_u64()).collect();
    told.sort_unstable();
    // The length of the chunked one is not known exactly.
    let mut sent: Vec<u64> = SIZES.iter().flat_map(|size| [*size as u64; 2]).chain([0, 11]).collect();
    sent.sort_unstable();
    assert_eq!(told, sent);
}

/// Starts load that goes on until it is stopped.
fn load(port: u16) -> Process {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c16", "-d4s", &format!("http://127.0.0.1:{port}/")]);
    Process::start(wrk.stdin(Stdio::null()).stdout(Stdio::piped()))
}

fn ends_without_a_trace(signal: Signal) {
    let port = free_port();
    let _service = nginx(port, "location / { return 200 ok; }").ready();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    let programs = kernel::programs_of(agent.pid());
    assert!(programs.len() >= 6, "{programs:?}");
    assert!(programs.is_subset(&kernel::loaded_programs()));
    let load = load(port);
    // Its spans show that the load has begun.
    sink.wait_for_servers(200);
    if signal == Signal::SIGKILL {
        agent.kill();
    } else {
        agent.stop();
    }
    wait_until("the programs to be gone", || programs.is_disjoint(&kernel::loaded_programs()));
    let (status, output, stderr) = load.output();
    let output = String::from_utf8(output).expect("wrk writes text");
    assert!(status.success(), "{stderr}");
    assert!(!output.contains("Socket errors") && !output.contains("Non-2xx"), "{output}");
    assert!(output.contains("requests in"), "{output}");
}

#[test]
fn a_killed_agent_leaves_the_service_and_the_kernel_as_they_were() {
    needs_tracing!();
    ends_without_a_trace(Signal::SIGKILL);
}

#[test]
fn a_stopped_agent_leaves_the_service_and_the_kernel_as_they_were() {
    needs_tracing!();
    ends_without_a_trace(Signal::SIGTERM);
}

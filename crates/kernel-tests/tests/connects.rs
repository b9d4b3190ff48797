//! Connections that cannot be made.

use std::process::Stdio;

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::{OwnCurl, WaitingCurl},
    needs_tracing,
    net::{Namespace, free_port},
    sink::{Received, Sink},
};
use serde_json::json;

/// Address of nobody, in a network for examples (RFC 5737).
const NOBODY: &str = "198.51.100.9";

struct Traced {
    curl: OwnCurl,
    agent: Agent,
    sink: Sink,
}

impl Traced {
    fn start() -> Self {
        let curl = OwnCurl::default();
        let sink = Sink::start();
        let agent = Agent::start(&sink, &[("OTEL_EBPF_AUTO_TARGET_EXE", &curl.path())]);
        Self { curl, agent, sink }
    }

    /// Lets a curl fail; returns its one span.
    fn fail(self, curl: WaitingCurl, pid: u32, config: &str, code: i32) -> Received {
        self.agent.wait_until_traces(pid);
        assert_eq!(curl.fail(config), code);
        let found = self.sink.wait_for_clients(1);
        self.agent.stop().assert_clean_among_others();
        assert_eq!(self.sink.len(), 1, "{:?}", self.sink.spans());
        found[0].clone()
    }
}

fn assert_told(span: &Received, address: &str, port: u16, error: &str) {
    let expected = json!({
        "server.address": address,
        "server.port": port,
        "network.peer.address": address,
        "network.peer.port": port,
        "error.type": error,
    });
    assert_eq!(json!(span.attributes()), expected);
    assert_eq!(span.span.name, "CONNECT");
    assert_eq!(span.span.status.clone().unwrap_or_default().code, 2);
    assert_eq!(span.service(), "curl");
}

#[test]
fn a_refused_connect_is_a_client_span() {
    needs_tracing!();
    for (address, host) in [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")] {
        let traced = Traced::start();
        let port = free_port();
        let curl = traced.curl.start();
        let pid = curl.pid();
        let span = traced.fail(curl, pid, &format!("url = \"http://{host}:{port}/\"\n"), 7);
        assert_told(&span, address, port, "connection_refused");
        assert_eq!(span.pid(), pid);
    }
}

/// A network whose packets reach nobody: a link with an end that takes them and does not answer.
fn silent_network() -> Namespace {
    let namespace = Namespace::network();
    let run = |arguments: &[&str]| {
        let status = namespace.command("ip").args(arguments).stdin(Stdio::null()).status().expect("run ip");
        assert!(status.success(), "ip {arguments:?}");
    };
    run(&["link", "add", "here", "type", "veth", "peer", "name", "there"]);
    run(&["addr", "add", "198.51.100.1/24", "dev", "here"]);
    run(&["link", "set", "here", "up"]);
    run(&["link", "set", "there", "up"]);
    namespace
}

#[test]
fn a_connect_that_the_client_gives_up_is_a_client_span() {
    needs_tracing!();
    let network = silent_network();
    let neighbour =
        ["neigh", "add", NOBODY, "lladdr", "02:00:00:00:00:09", "dev", "here", "nud", "permanent"];
    assert!(network.command("ip").args(neighbour).status().expect("run ip").success());
    let traced = Traced::start();
    let curl = WaitingCurl::start_in(&mut network.command(&traced.curl.path()));
    let pid = curl.pid();
    let config = format!("url = \"http://{NOBODY}:81/\"\nconnect-timeout = 0.3\n");
    let span = traced.fail(curl, pid, &config, 28);
    assert_told(&span, NOBODY, 81, "cancelled");
    assert!((250..5_000).contains(&span.duration().as_millis()), "{:?}", span.duration());
}

#[test]
fn a_host_that_is_not_there_is_told_as_unreachable() {
    needs_tracing!();
    let network = silent_network();
    let traced = Traced::start();
    let curl = WaitingCurl::start_in(&mut network.command(&traced.curl.path()));
    let pid = curl.pid();
    let span = traced.fail(curl, pid, &format!("url = \"http://{NOBODY}:81/\"\n"), 7);
    assert_told(&span, NOBODY, 81, "host_unreachable");
}

#[test]
fn a_connect_that_the_kernel_gives_up_is_told_as_a_timeout() {
    needs_tracing!();
    let network = silent_network();
    let neighbour =
        ["neigh", "add", NOBODY, "lladdr", "02:00:00:00:00:09", "dev", "here", "nud", "permanent"];
    assert!(network.command("ip").args(neighbour).status().expect("run ip").success());
    let mut sysctl = network.command("sh");
    // Nothing but the first attempt is made.
    sysctl.args([
        "-c",
        "echo 1 > /proc/sys/net/ipv4/tcp_syn_retries; echo 0 > /proc/sys/net/ipv4/tcp_syn_linear_timeouts",
    ]);
    assert!(sysctl.status().expect("run sh").success());
    let traced = Traced::start();
    let curl = WaitingCurl::start_in(&mut network.command(&traced.curl.path()));
    let pid = curl.pid();
    let span = traced.fail(curl, pid, &format!("url = \"http://{NOBODY}:81/\"\n"), 28);
    assert_told(&span, NOBODY, 81, "timeout");
}

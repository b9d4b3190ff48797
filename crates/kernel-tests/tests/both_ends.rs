//! The two ends of a request, joined by TCP sequence numbers, whatever lies between them.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use nix::sys::signal::Signal;
use otel_ebpf_kernel_tests::{
    agent::{Agent, of_port},
    client::curl,
    forest::{Forest, source},
    needs_tracing,
    net::{Namespace, attempt, free_port},
    process::Process,
    services::{self, python_hop},
    sink::Sink,
    skipped,
    wait::wait_until,
};

/// A Python client that is told what to do line by line.
struct Asked {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Asked {
    fn start(name: &str, port: u16) -> Self {
        let mut command = Command::new(services::python());
        Self::start_by(command.arg(services::script(name)).arg(port.to_string()))
    }

    fn start_by(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start the client");
        let requests = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { child, requests, answers }
    }

    fn ask(&mut self, request: &str) -> String {
        writeln!(self.requests, "{request}").expect("ask the client");
        self.answers.next().expect("an answer").expect("text")
    }

    fn finish(mut self) {
        drop(self.requests);
        assert!(self.child.wait().expect("wait for the client").success());
    }
}

#[test]
fn both_ends_of_a_connection_older_than_the_agent_are_joined() {
    needs_tracing!();
    let port = free_port();
    let service = python_hop(port, None);
    let mut clients: Vec<_> = (0..5).map(|_| Asked::start("keep_alive_client.py", port)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("GET /back/0"), "200 1");
    }
    let sink = Sink::start();
    let pids: Vec<_> = clients.iter().map(|client| client.child.id().to_string()).collect();
    let agent = Agent::by_rules(&sink, &[of_port(port), format!("target_pids: [{}]", pids.join(","))]);
    for round in 1..=4 {
        for (client, place) in clients.iter_mut().zip(1..) {
            assert_eq!(client.ask(&format!("GET /back/{place}{round}")), "200 2");
        }
    }
    sink.wait_for_servers(20);
    sink.wait_for_clients(20);
    clients.into_iter().for_each(Asked::finish);
    agent.stop().assert_clean();
    assert_joined(&sink, service.pid(), 20);
}

/// Checks that there are so many calls, each with what it asked a service for.
fn assert_joined(sink: &Sink, server: u32, requests: usize) {
    let forest = Forest::of(sink);
    forest.assert_right();
    assert_eq!((forest.clients().len(), forest.servers(server).len()), (requests, requests));
    for call in forest.clients() {
        assert_eq!((forest.only_child(call, "tcp_seq").pid(), source(call)), (server, None));
    }
}

#[test]
fn pipelined_requests_are_joined_one_by_one() {
    needs_tracing!();
    let port = free_port();
    let service = python_hop(port, None);
    let mut client = Asked::start("pipeline_client.py", port);
    let sink = Sink::start();
    let pid = client.child.id();
    let agent = Agent::by_rules(&sink, &[of_port(port), format!("target_pids: [{pid}]")]);
    let mut first = 0;
    for (how, count) in
        [("together", 5), ("apart", 5), ("apart", 1), ("together", 20), ("apart", 20)].repeat(2)
    {
        let expected: Vec<_> = (first..first + count).map(|number| number.to_string()).collect();
        assert_eq!(client.ask(&format!("{how} {count} {first}")), expected.join(" "));
        first += count;
    }
    let requests = first;
    sink.wait_for_servers(requests);
    sink.wait_for_clients(requests);
    client.finish();
    agent.stop().assert_clean();
    assert_joined(&sink, service.pid(), requests);
}

/// A hop inside a namespace.
struct Contained {
    port: u16,
    server: Process,
}

impl Contained {
    fn start(namespace: &Namespace) -> Self {
        let port = free_port();
        let mut command = namespace.command(services::python());
        command.arg(services::script("hop.py")).args(["0.0.0.0", &port.to_string()]);
        let server = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()));
        wait_until("the server to listen", || {
            let url = format!("http://127.0.0.1:{port}");
            attempt(namespace.command("curl").args(["--silent", "--head", "--noproxy", "*", &url])).is_ok()
        });
        Self { port, server }
    }

    /// Lets a client in each of these namespaces ask through an address and port, and checks that what the hop served
    /// hangs at the calls.
    fn is_joined_to(&self, clients: &[&Namespace], address: &str, port: u16) {
        const EACH: usize = 10;
        let ask_from = |namespace: &&Namespace| {
            let mut command = namespace.command(services::python());
            command.arg(services::script("keep_alive_client.py")).args([&port.to_string(), address]);
            Asked::start_by(&mut command)
        };
        let mut clients: Vec<_> = clients.iter().map(ask_from).collect();
        let pids: Vec<_> = clients.iter().map(|client| client.child.id().to_string()).collect();
        let sink = Sink::start();
        let rules = [of_port(self.port), format!("target_pids: [{}]", pids.join(","))];
        let agent = Agent::by_rules(&sink, &rules);
        for round in 0..EACH {
            for (client, place) in clients.iter_mut().zip(1..) {
                assert_eq!(client.ask(&format!("GET /back/{place}{round}")), "200 2");
            }
        }
        let requests = clients.len() * EACH;
        sink.wait_for_servers(requests);
        sink.wait_for_clients(requests);
        clients.into_iter().for_each(Asked::finish);
        agent.stop().assert_clean();
        assert_joined(&sink, self.server.pid(), requests);
        for call in sink.clients() {
            assert_eq!(call.attribute("network.peer.address"), address);
            assert_eq!(call.attribute("network.peer.port"), port);
        }
    }
}

#[test]
fn both_ends_are_joined_across_network_namespaces() {
    needs_tracing!();
    let (near, far) = (Namespace::network(), Namespace::network());
    if let Err(lack) = Namespace::join((&near, "192.0.2.1/30"), (&far, "192.0.2.2/30")) {
        return skipped(module_path!(), &format!("needs veth: {lack}"));
    }
    let contained = Contained::start(&far);
    contained.is_joined_to(&[&near], "192.0.2.2", contained.port);
}

#[test]
fn both_ends_are_joined_through_a_published_port() {
    needs_tracing!();
    let (outside, host, container) = (Namespace::network(), Namespace::network(), Namespace::network());
    let contained = Contained::start(&container);
    let published = free_port();
    let target = format!("198.51.100.2:{}", contained.port);
    let prepare = || {
        Namespace::join((&outside, "192.0.2.1/30"), (&host, "192.0.2.2/30"))?;
        Namespace::join((&host, "198.51.100.1/30"), (&container, "198.51.100.2/30"))?;
        let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward";
        attempt(host.command("sh").args(["-c", forward]))?;
        // As Docker publishes a port: for those who come from outside, and for the host itself.
        for chain in ["PREROUTING", "OUTPUT"] {
            attempt(
                host.command("iptables")
                    .args([
                        "-t",
                        "nat",
                        "-A",
                        chain,
                        "-p",
                        "tcp",
                        "-d",
                        "192.0.2.2",
                        "--dport",
                        &published.to_string(),
                    ])
                    .args(["-j", "DNAT", "--to-destination", &target]),
            )?;
        }
        attempt(host.command("iptables").args(["-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"]))
    };
    if let Err(lack) = prepare() {
        return skipped(module_path!(), &format!("needs veth and iptables with NAT: {lack}"));
    }
    // The clients talk to the published port, and the server hears of another.
    contained.is_joined_to(&[&outside, &host], "192.0.2.2", published);
}

#[test]
fn a_caller_that_is_not_traced_is_nobodys_parent() {
    needs_tracing!();
    let port = free_port();
    let service = python_hop(port, None);
    let sink = Sink::start();
    // With a rule for programs, every program that starts is traced until it was looked at.
    let agent = Agent::by_rules(&sink, &[of_port(port), "exe_path: /nowhere/*".to_owned()]);
    agent.signal(Signal::SIGSTOP);
    for number in 0..10 {
        curl(&[&service.url(&format!("/back/{number}"))]);
    }
    agent.signal(Signal::SIGCONT);
    sink.wait_for_servers(10);
    let ended = agent.stop();
    eprintln!("{}", ended.log);
    let forest = Forest::of(&sink);
    forest.assert_right();
    assert_eq!((forest.servers(service.pid()).len(), forest.roots().len()), (10, 10));
}

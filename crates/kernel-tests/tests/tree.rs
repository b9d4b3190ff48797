//! Who called whom: every kind of evidence by itself, against a number that each request carries in its path and that
//! every hop passes on.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use otel_ebpf_kernel_tests::{
    agent::{Agent, Counts},
    client::{OwnCurl, ask_in_parallel, curl},
    forest::{Forest, hex, number, source},
    needs_tracing,
    net::{Namespace, attempt, free_port},
    process::Process,
    services::{self, Service, nginx_proxy, node_script},
    sink::{Received, Sink},
    skipped,
    wait::wait_until,
};

const REQUESTS: usize = 200;

fn python_hop(port: u16, next: Option<(u16, &str)>) -> Service {
    let next = next.map(|(port, manner)| [port.to_string(), manner.to_owned()]);
    let arguments: Vec<&str> = next.iter().flatten().map(String::as_str).collect();
    services::listening_script("hop.py", "127.0.0.1", port, &arguments).ready()
}

/// A rule that selects who listens on a port.
fn of_port(port: u16) -> String {
    format!("open_ports: {port}")
}

/// A service in front of another, both traced.
struct Pair {
    front: Service,
    back: Service,
    agent: Agent,
    sink: Sink,
}

impl Pair {
    fn start(make_front: impl FnOnce(u16, u16) -> Service) -> Self {
        let (front, back) = (free_port(), free_port());
        let sink = Sink::start();
        let agent = Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &format!("{front},{back}"))]);
        let back_service = python_hop(back, None);
        let front_service = make_front(front, back).ready();
        agent.wait_until_traces(back_service.pid());
        agent.wait_until_traces(front_service.pid());
        Self { front: front_service, back: back_service, agent, sink }
    }

    /// Waits for the spans of so many requests; checks that they are all there is, that nothing was lost, and that no link
    /// is wrong.
    fn finish(self, requests: usize) -> Chains {
        self.sink.wait_for_servers(2 * requests);
        self.sink.wait_for_clients(requests);
        let counts = self.agent.stop().assert_clean();
        let forest = Forest::of(&self.sink);
        forest.assert_right();
        assert_eq!(
            (self.sink.servers().len(), self.sink.clients().len()),
            (2 * requests, requests),
            "each request is told once at each end"
        );
        Chains { forest, counts, back: self.back.pid() }
    }
}

/// What came of a [`Pair`].
struct Chains {
    forest: Forest,
    counts: Counts,
    back: u32,
}

impl Chains {
    /// Checks that what the back served hangs at the calls that asked for it.
    fn assert_joined_across(&self, requests: usize) {
        let served = self.forest.servers(self.back);
        assert_eq!(served.len(), requests);
        for server in served {
            assert_eq!(source(server).as_deref(), Some("tcp_seq"), "{:?}", server.span);
        }
    }

    /// Checks that each request is one chain: root, call, and what the call asked for.
    fn assert_chains(&self, requests: usize, within: &str) {
        let roots = self.forest.roots();
        assert_eq!(roots.len(), requests, "{:?}\n{}", self.counts, self.forest.tell_first(20));
        for root in roots {
            assert_eq!(root.span.kind(), SpanKind::Server);
            let call = self.forest.only_child(root, within);
            let served = self.forest.only_child(call, "tcp_seq");
            assert_eq!(served.pid(), self.back);
        }
        assert_eq!((self.forest.linked(within), self.forest.linked("tcp_seq")), (requests, requests));
        let counts = ["roots", "ambiguous", "expired"].map(|name| self.counts.get(name));
        assert_eq!(counts, [requests as u64, 0, 0], "{:?}", self.counts);
    }

    /// Says how many calls found their cause where several requests were served at a time.
    fn tell(&self, test: &str) {
        let count = |by| self.forest.linked(by);
        let (across, within, calls) = (count("tcp_seq"), count("sole"), self.forest.clients().len());
        eprintln!(
            "{test}: {across} by tcp_seq, {within} of {calls} calls by sole, {} ambiguous, none wrong",
            self.counts.get("ambiguous")
        );
    }
}

#[test]
fn a_thread_per_request_with_a_connection_for_each_call() {
    needs_tracing!();
    let pair = Pair::start(|port, back| python_hop(port, Some((back, "new"))));
    ask_in_parallel(pair.front.port, REQUESTS, 8, false);
    pair.finish(REQUESTS).assert_chains(REQUESTS, "thread");
}

#[test]
fn a_thread_per_connection_with_a_connection_that_it_keeps() {
    needs_tracing!();
    let pair = Pair::start(|port, back| python_hop(port, Some((back, "kept"))));
    ask_in_parallel(pair.front.port, REQUESTS, 8, true);
    pair.finish(REQUESTS).assert_chains(REQUESTS, "thread");
}

#[test]
fn a_call_that_is_handed_to_another_thread_is_not_taken_for_another_request() {
    needs_tracing!();
    let pair = Pair::start(|port, back| python_hop(port, Some((back, "handed"))));
    ask_in_parallel(pair.front.port, REQUESTS, 8, true);
    let chains = pair.finish(REQUESTS);
    chains.assert_joined_across(REQUESTS);
    assert_eq!(chains.forest.linked("thread"), 0);
    chains.tell("Python with a pool, 8 at a time");
}

#[test]
fn a_call_that_is_handed_to_another_thread_is_the_only_requests() {
    needs_tracing!();
    let pair = Pair::start(|port, back| python_hop(port, Some((back, "handed"))));
    ask_in_parallel(pair.front.port, REQUESTS, 1, true);
    pair.finish(REQUESTS).assert_chains(REQUESTS, "sole");
}

fn late_hop(port: u16, next: u16) -> Service {
    python_hop(port, Some((next, "late")))
}

#[test]
fn a_request_that_was_answered_causes_nothing_more() {
    needs_tracing!();
    let pair = Pair::start(late_hop);
    ask_in_parallel(pair.front.port, REQUESTS, 1, true);
    let chains = pair.finish(REQUESTS);
    chains.assert_joined_across(REQUESTS);
    assert_eq!(["thread", "sole"].map(|by| chains.forest.linked(by)), [0, 0]);
}

#[test]
fn a_request_that_was_answered_leaves_its_calls_to_no_other() {
    needs_tracing!();
    two_at_a_time(Pair::start(late_hop), "Python that calls after it answered");
}

#[test]
fn a_proxy_that_serves_one_request_at_a_time() {
    needs_tracing!();
    let pair = Pair::start(nginx_proxy);
    ask_in_parallel(pair.front.port, REQUESTS, 1, true);
    pair.finish(REQUESTS).assert_chains(REQUESTS, "sole");
}

#[test]
fn a_proxy_that_serves_many_requests_at_a_time() {
    needs_tracing!();
    let pair = Pair::start(nginx_proxy);
    many_at_a_time(pair, "nginx");
}

#[test]
fn an_event_loop_that_serves_one_request_at_a_time() {
    needs_tracing!();
    let pair = Pair::start(node_hop);
    ask_in_parallel(pair.front.port, REQUESTS, 1, true);
    pair.finish(REQUESTS).assert_chains(REQUESTS, "sole");
}

#[test]
fn an_event_loop_that_serves_many_requests_at_a_time() {
    needs_tracing!();
    let pair = Pair::start(node_hop);
    many_at_a_time(pair, "Node");
}

/// Two requests at a time leave some alone for a moment, which is not enough to know whose a call is.
fn two_at_a_time(pair: Pair, what: &str) {
    ask_in_parallel(pair.front.port, REQUESTS, 2, false);
    let chains = pair.finish(REQUESTS);
    chains.assert_joined_across(REQUESTS);
    chains.tell(&format!("{what}, two at a time"));
}

fn many_at_a_time(pair: Pair, what: &str) {
    ask_in_parallel(pair.front.port, REQUESTS, 16, true);
    let chains = pair.finish(REQUESTS);
    chains.assert_joined_across(REQUESTS);
    chains.tell(&format!("{what}, 16 at a time"));
}

#[test]
fn a_proxy_that_serves_two_requests_at_a_time() {
    needs_tracing!();
    two_at_a_time(Pair::start(nginx_proxy), "nginx");
}

#[test]
fn an_event_loop_that_serves_two_requests_at_a_time() {
    needs_tracing!();
    two_at_a_time(Pair::start(node_hop), "Node");
}

fn node_hop(port: u16, next: u16) -> Service {
    node_script("hop.js", port, &[&next.to_string()])
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// What a span says of where it comes from: trace, parent, state, evidence.
fn origin(span: &Received) -> (String, String, &str, Option<String>) {
    (hex(&span.span.trace_id), hex(&span.span.parent_span_id), &span.span.trace_state, source(span))
}

fn carried(state: &str) -> (String, String, &str, Option<String>) {
    (TRACE.to_owned(), PARENT.to_owned(), state, Some("header".to_owned()))
}

fn header(flags: &str) -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-{flags}")
}

#[test]
fn a_header_is_followed_if_it_is_valid() {
    needs_tracing!();
    let port = free_port();
    let service = python_hop(port, None);
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    let state = "tracestate: vendor=1,other=2";
    curl(&["--header", &header("01"), "--header", state, &service.url("/back/0")]);
    curl(&[
        "--header",
        &header("01").to_uppercase().replace("TRACEPARENT", "Traceparent"),
        &service.url("/back/1"),
    ]);
    let invalid = [
        format!("00-{}-{PARENT}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("ff-{TRACE}-{PARENT}-01"),
        format!("00-{TRACE}-{}-01", PARENT.to_uppercase()),
        format!("00-{TRACE}-{}-01", &PARENT[1..]),
        format!("00-{TRACE}-{PARENT}-01-more"),
        "nonsense".to_owned(),
        String::new(),
    ];
    for (value, number) in invalid.iter().zip(2..) {
        // An empty header has to be asked for.
        let header =
            if value.is_empty() { "traceparent;".to_owned() } else { format!("traceparent: {value}") };
        curl(&["--header", &header, "--header", state, &service.url(&format!("/back/{number}"))]);
    }
    curl(&["--header", &format!("traceparent: 01-{TRACE}-{PARENT}-01-more"), &service.url("/back/100")]);
    sink.wait_for_servers(invalid.len() + 3);
    let counts = agent.stop().assert_clean();
    let forest = Forest::of(&sink);
    forest.assert_right();
    let spans = forest.servers(service.pid());
    let (last, others) = spans.split_last().expect("spans");
    assert_eq!(origin(others[0]), carried("vendor=1,other=2"));
    // Of a version to come, what is known is read.
    assert_eq!(origin(last), carried(""));
    for span in &others[1..] {
        let told = origin(span);
        assert_eq!((told.1.as_str(), told.2, &told.3), ("", "", &None), "{}", span.path());
        assert_ne!(told.0, TRACE, "{}", span.path());
    }
    assert_eq!((others.len() - 1, counts.get("roots")), (invalid.len() + 1, invalid.len() as u64 + 1));
}

#[test]
fn a_header_says_whether_a_trace_is_exported() {
    needs_tracing!();
    let pair = Pair::start(|port, back| python_hop(port, Some((back, "new"))));
    let ask = |flags, number| {
        let url = pair.front.url(&format!("/front/{number}"));
        curl(&["--header", &header(flags), &url]);
    };
    for number in 0..5 {
        ask("00", number);
    }
    ask("01", 5);
    pair.sink.wait_for_servers(2);
    pair.sink.wait_for_clients(1);
    let counts = pair.agent.stop().assert_clean();
    let forest = Forest::of(&pair.sink);
    forest.assert_right();
    assert_eq!(counts.get("exchanges"), 6 * 3);
    assert!(counts.get("unsampled") >= 5 * 3, "{counts:?}");
    let told: Vec<_> = pair.sink.spans().iter().filter_map(number).collect();
    assert_eq!(told, ["5"; 3]);
    let front = forest.servers(pair.front.pid());
    assert_eq!(origin(front[0]), carried(""));
    forest.only_child(forest.only_child(front[0], "thread"), "tcp_seq");
}

#[test]
fn a_header_that_a_proxy_passes_on_leaves_no_level_out() {
    needs_tracing!();
    let pair = Pair::start(nginx_proxy);
    let state = "tracestate: vendor=1";
    for number in 0..10 {
        let url = pair.front.url(&format!("/front/{number}"));
        curl(&["--header", &header("01"), "--header", state, &url]);
    }
    let Chains { forest, counts, back } = pair.finish(10);
    assert_eq!(counts.get("roots"), 0);
    for served in forest.servers(back) {
        assert_eq!(source(served).as_deref(), Some("tcp_seq"));
        let call = forest.parent(served).expect("a parent");
        assert_eq!(source(call).as_deref(), Some("sole"));
        let front = forest.parent(call).expect("a parent");
        assert_eq!(origin(front), carried("vendor=1"));
        for span in [served, call] {
            assert_eq!(
                (hex(&span.span.trace_id).as_str(), span.span.trace_state.as_str()),
                (TRACE, "vendor=1")
            );
        }
    }
    assert_eq!((forest.linked("header"), forest.linked("sole"), forest.linked("tcp_seq")), (10, 10, 10));
}

#[test]
fn a_header_of_a_client_that_is_traced_leaves_no_level_out() {
    needs_tracing!();
    let port = free_port();
    let service = python_hop(port, None);
    let own_curl = OwnCurl::default();
    let sink = Sink::start();
    let agent = Agent::by_rules(&sink, &[of_port(port), format!("exe_path: {}", own_curl.path())]);
    for number in 0..10 {
        let client = own_curl.start();
        agent.wait_until_traces(client.pid());
        client.fetch(&format!(
            "url = \"{}\"\nheader = \"{}\"\n",
            service.url(&format!("/back/{number}")),
            header("01")
        ));
    }
    sink.wait_for_servers(10);
    sink.wait_for_clients(10);
    agent.stop().assert_clean_among_others();
    let forest = Forest::of(&sink);
    forest.assert_right();
    for call in forest.clients() {
        assert_eq!(origin(call), carried(""));
        forest.only_child(call, "tcp_seq");
    }
    assert_eq!((forest.clients().len(), forest.servers(service.pid()).len()), (10, 10));
}

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

//! Who called whom: every kind of evidence by itself, against a number that each request carries in its path and that
//! every hop passes on.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use otel_ebpf_kernel_tests::{
    agent::{Agent, Counts, of_port},
    client::{OwnCurl, ask_in_parallel, curl},
    forest::{Forest, hex, number, source},
    needs_tracing,
    net::free_port,
    services::{Service, nginx_proxy, node_script, python_hop},
    sink::{Received, Sink},
};

const REQUESTS: usize = 200;

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
        assert_eq!(source(call).as_deref(), Some("header"));
        let front = forest.parent(call).expect("a parent");
        assert_eq!(origin(front), carried("vendor=1"));
        for span in [served, call] {
            assert_eq!(
                (hex(&span.span.trace_id).as_str(), span.span.trace_state.as_str()),
                (TRACE, "vendor=1")
            );
        }
    }
    assert_eq!((forest.linked("header"), forest.linked("tcp_seq")), (20, 10));
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

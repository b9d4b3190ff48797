//! The same hop in several languages, in front of another: as many spans as requests, what they say, and who called whom,
//! against the number that each request carries in its path.

use std::ops::Range;

use otel_ebpf_kernel_tests::{
    agent::{Agent, Counts},
    client::{Raw, ask_in_parallel, curl},
    forest::{Forest, number, source},
    needs_tracing,
    net::{free_port, loopback},
    services::{
        Service,
        polyglot::{self, GoHop, Made},
        python_hop,
    },
    sink::{Received, Sink},
    skipped,
};
use serde_json::{Value, json};

/// Numbers of the requests that are asked several at a time, so many.
const CONCURRENT: Range<usize> = 0..200;
const AT_A_TIME: usize = 10;
/// Numbers of the requests that are asked one by one.
const SEQUENTIAL: Range<usize> = 1000..1040;
/// What is asked of the hop alone.
const STATUSES: [u16; 3] = [201, 404, 503];

/// How a hop's calls are linked with the requests that caused them.
#[derive(Clone, Copy, Debug)]
enum Links {
    /// All of them, by the thread that serves.
    Thread,
    /// All of them, by the task that serves, whatever runs it.
    Task,
    /// All of them, by being the only request open in the process.
    Sole,
    /// Where one request is open at a time, because it is; else not reliably, but never wrongly.
    Alone,
}

/// A hop and what is known of it.
struct Hop {
    /// `service.name`.
    name: &'static str,
    /// Whether it keeps the connections of its clients.
    keeps: bool,
    links: Links,
}

/// Everything told of the requests to a hop.
struct Told {
    hop: Hop,
    forest: Forest,
    sink: Sink,
    counts: Counts,
    pids: [u32; 2],
    next_port: u16,
}

/// Asks a hop for everything there is, and checks all that holds for each.
fn check(hop: Hop, make: impl FnOnce(u16, u16) -> Made) {
    needs_tracing!();
    let ports = [free_port(), free_port()];
    let [port, next_port] = ports;
    let sink = Sink::start();
    let agent = Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &format!("{port},{next_port}"))]);
    let next = python_hop(next_port, None);
    let service = match make(port, next_port) {
        Ok(service) => service.ready(),
        Err(lack) => return skipped(hop.name, &lack),
    };
    for of_both in [&service, &next] {
        agent.wait_until_traces(of_both.pid());
    }
    ask(&service, hop.keeps);
    let calls = CONCURRENT.len() + SEQUENTIAL.len();
    sink.wait_for_servers(2 * calls + STATUSES.len());
    sink.wait_for_clients(calls);
    let counts = agent.stop().assert_clean();
    let pids = [service.pid(), next.pid()];
    let told = Told { hop, forest: Forest::of(&sink), sink, counts, pids, next_port };
    told.assert_spans();
    told.assert_links();
}

fn ask(service: &Service, keeps: bool) {
    for status in STATUSES {
        assert_eq!(curl(&[&service.url(&format!("/status/{status}"))]).status, status);
    }
    let mut kept = None;
    for number in SEQUENTIAL {
        let raw = kept.get_or_insert_with(|| Raw::connect(loopback(service.port)));
        raw.get(&format!("/front/{number}"));
        assert_eq!(raw.response().body, number.to_string().as_bytes());
        if !keeps {
            kept = None;
        }
    }
    ask_in_parallel(service.port, CONCURRENT.len(), AT_A_TIME, keeps);
}

fn is_in(span: &Received, numbers: &Range<usize>) -> bool {
    number(span).and_then(|number| number.parse().ok()).is_some_and(|number| numbers.contains(&number))
}

impl Told {
    /// What the hop served, its own answers apart from those that it asked for.
    fn served(&self) -> (Vec<Received>, Vec<Received>) {
        let of_hop = self.sink.servers().into_iter().filter(|span| span.service() == self.hop.name);
        of_hop.partition(|span| span.path().starts_with("/status/"))
    }

    fn assert_spans(&self) {
        let (own, passed_on) = self.served();
        let clients = self.sink.clients();
        let back: Vec<_> = self.forest.servers(self.pids[1]);
        let calls = CONCURRENT.len() + SEQUENTIAL.len();
        let told = [own.len(), passed_on.len(), clients.len(), back.len(), self.sink.spans().len()];
        let names: Vec<_> = self.sink.servers().iter().map(Received::service).take(5).collect();
        assert_eq!(told[..4], [STATUSES.len(), calls, calls, calls], "services: {names:?}");
        assert_eq!(self.counts.get("requests_dropped"), 0, "{:?}", self.counts);

        for span in own.iter().chain(&passed_on).chain(&clients) {
            assert_eq!((span.span.name.as_str(), span.service().as_str()), ("GET", self.hop.name));
            assert_eq!(span.attribute("http.request.method"), "GET");
        }
        let mut statuses: Vec<_> = own.iter().map(Received::status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, STATUSES.map(u64::from));
        for span in &own {
            let is_error = span.status() >= 500;
            let (error_type, code) =
                if is_error { (json!(span.status().to_string()), 2) } else { (Value::Null, 0) };
            assert_eq!(span.path(), format!("/status/{}", span.status()));
            assert_eq!((span.attribute("error.type"), status_code(span)), (error_type, code));
        }
        for span in passed_on.iter().chain(&clients) {
            let number = number(span).expect("a number");
            assert_eq!((span.status(), status_code(span)), (200, 0));
            assert_eq!(span.attribute("http.response.body.size"), number.len());
        }
        for span in &clients {
            let number = number(span).expect("a number");
            let url = format!("http://127.0.0.1:{}/back/{number}", self.next_port);
            assert_eq!(span.attribute("url.full"), url);
            assert_eq!(span.attribute("server.port"), self.next_port);
        }
        for (spans, what) in [(&passed_on, "served"), (&clients, "asked")] {
            let mut numbers: Vec<_> = spans.iter().filter_map(number).collect();
            numbers.sort();
            numbers.dedup();
            assert_eq!(numbers.len(), calls, "each number is {what} once");
        }
    }

    fn assert_links(&self) {
        self.forest.assert_right();
        let clients = self.forest.clients();
        let among = |numbers: &Range<usize>, by: Option<&str>| {
            let of_numbers = clients.iter().filter(|call| is_in(call, numbers));
            of_numbers.filter(|call| source(call).as_deref() == by).count()
        };
        let tell = |numbers| {
            let counts = [Some("thread"), Some("task"), Some("sole"), None].map(|by| among(numbers, by));
            format!("{} thread, {} task, {} sole, {} unlinked", counts[0], counts[1], counts[2], counts[3])
        };
        let told = format!(
            "{}: one by one {}; {AT_A_TIME} at a time {}; {} ambiguous",
            self.hop.name,
            tell(&SEQUENTIAL),
            tell(&CONCURRENT),
            self.counts.get("ambiguous")
        );
        eprintln!("{told}");
        for server in self.forest.servers(self.pids[1]) {
            assert_eq!(source(server).as_deref(), Some("tcp_seq"), "{told}\n{:?}", server.span);
        }
        let [alone, together] = [SEQUENTIAL, CONCURRENT].map(|numbers| numbers.len());
        let all_by = |by| {
            let linked = [SEQUENTIAL, CONCURRENT].map(|numbers| among(&numbers, Some(by)));
            assert_eq!(linked, [alone, together], "{told}");
        };
        match self.hop.links {
            Links::Thread => {
                assert_eq!(
                    [among(&SEQUENTIAL, Some("thread")), among(&CONCURRENT, Some("thread"))],
                    [alone, together],
                    "{told}"
                );
            }
            Links::Task => {
                // A caller may find its answer before it is woken for it.
                let is_nearly_all = |linked: usize, all: usize| linked * 100 >= all * 97;
                assert!(is_nearly_all(alone - among(&SEQUENTIAL, None), alone), "{told}");
                assert!(is_nearly_all(among(&CONCURRENT, Some("task")), together), "{told}");
            }
            Links::Sole => all_by("sole"),
            Links::Alone => assert_eq!(among(&SEQUENTIAL, None), 0, "{told}"),
        }
    }
}

fn status_code(span: &Received) -> i32 {
    span.span.status.clone().unwrap_or_default().code
}

#[test]
fn python_with_a_thread_for_each_connection() {
    check(Hop { name: "python_hop", keeps: true, links: Links::Thread }, polyglot::python);
}

#[test]
fn python_with_asyncio() {
    check(Hop { name: "async_hop", keeps: true, links: Links::Alone }, polyglot::python_async);
}

#[test]
fn flask_with_threads() {
    check(Hop { name: "flask_hop", keeps: false, links: Links::Thread }, polyglot::flask);
}

#[test]
fn node_with_its_own_agent() {
    let make = |port, next| polyglot::node(port, next, "agent");
    check(Hop { name: "node_hop", keeps: true, links: Links::Alone }, make);
}

#[test]
fn node_with_fetch() {
    let make = |port, next| polyglot::node(port, next, "fetch");
    check(Hop { name: "node_hop", keeps: true, links: Links::Alone }, make);
}

#[test]
fn go_with_its_symbols() {
    let make = |port, next| polyglot::go(port, next, GoHop::default());
    check(Hop { name: "go_hop", keeps: true, links: Links::Task }, make);
}

#[test]
fn go_without_symbols() {
    let make = |port, next| polyglot::go(port, next, GoHop { stripped: true, ..GoHop::default() });
    check(Hop { name: "go_hop", keeps: true, links: Links::Task }, make);
}

#[test]
fn go_that_asks_from_goroutines_of_its_own() {
    let make = |port, next| polyglot::go(port, next, GoHop { from_another: true, ..GoHop::default() });
    check(Hop { name: "go_hop", keeps: true, links: Links::Task }, make);
}

#[test]
fn java_that_asks_on_the_thread_that_serves() {
    check(Hop { name: "JavaHop", keeps: true, links: Links::Thread }, polyglot::java_source);
}

#[test]
fn java_that_asks_on_threads_of_the_client() {
    check(Hop { name: "orders-1.2", keeps: true, links: Links::Alone }, polyglot::java_archive);
}

#[test]
fn php_with_one_process() {
    let make = |port, next| polyglot::php(port, next, None);
    check(Hop { name: "php_hop", keeps: false, links: Links::Sole }, make);
}

#[test]
fn php_with_several_processes() {
    let make = |port, next| polyglot::php(port, next, Some(4));
    check(Hop { name: "php_hop", keeps: false, links: Links::Sole }, make);
}

#[test]
fn c_with_a_thread_for_each_connection() {
    let make = |port, next| polyglot::c(port, next, "plain");
    check(Hop { name: "c_hop", keeps: true, links: Links::Thread }, make);
}

// libmicrohttpd polls, and reads without waiting, so a thread of its own tells no more than one of a pool.

#[test]
fn libmicrohttpd_with_a_thread_for_each_connection() {
    let make = |port, next| polyglot::c(port, next, "connection");
    check(Hop { name: "c_hop", keeps: true, links: Links::Alone }, make);
}

#[test]
fn libmicrohttpd_with_a_pool_of_threads() {
    let make = |port, next| polyglot::c(port, next, "pool");
    check(Hop { name: "c_hop", keeps: true, links: Links::Alone }, make);
}

#[test]
fn nginx_in_front() {
    check(Hop { name: "nginx", keeps: true, links: Links::Alone }, polyglot::nginx);
}

//! A request between two hosts, each with an agent that sees its own end only: the agents name it alike, and TinyOlly
//! joins what they tell.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Lines, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::Raw,
    needs_tracing,
    net::{Namespace, attempt, free_port},
    process::Process,
    services, skipped,
    wait::{wait_for, wait_until},
};
use serde_json::Value;
use tempfile::TempDir;

/// Requests on one connection, and requests that have a connection each.
const KEPT: usize = 50;
const NEW: usize = 20;

/// Names TinyOlly's binary; without it, cargo builds one.
const BINARY_VARIABLE: &str = "OTEL_TINYOLLY_BIN";

fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os(BINARY_VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => build(),
    })
}

/// Builds TinyOlly as the test itself was built, beside it. No page of it is looked at.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("path of the test");
    let profile_dir = test.ancestors().nth(2).expect("tests lie in deps/ of the profile's directory");
    let target_dir = profile_dir.parent().expect("the profile's directory lies in the target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "tinyolly", "--bin", "tinyolly", "--target-dir"]);
    cargo.arg(target_dir).current_dir(env!("CARGO_MANIFEST_DIR")).env("TINYOLLY_SKIP_WEB", "1");
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("run cargo");
    assert!(status.success(), "tinyolly does not build; {BINARY_VARIABLE} can name one that is built");
    profile_dir.join("tinyolly")
}

/// A running TinyOlly with a store of its own.
struct TinyOlly {
    api: SocketAddr,
    otlp: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

impl TinyOlly {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("make a directory");
        let mut command = Command::new(binary());
        command.args(["--ui-port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0", "--db"]);
        command.arg(directory.path().join("t.db")).stdin(Stdio::null()).stdout(Stdio::null());
        let mut process = Process::start(&mut command);
        let line = wait_for("tinyolly to listen", || {
            let log = process.stderr();
            assert!(process.is_running(), "tinyolly ended: {log}");
            log.split_inclusive('\n')
                .find(|line| line.contains("listening") && line.ends_with('\n'))
                .map(str::to_owned)
        });
        let address = |name: &str| {
            let url = line.split_whitespace().find_map(|word| word.strip_prefix(name)).expect("a field");
            url.trim_start_matches("http://").parse().expect("an address")
        };
        Self { api: address("ui="), otlp: address("otlp_grpc="), _process: process, _directory: directory }
    }

    /// Answers of the API to these paths.
    fn ask(&self, paths: &[String]) -> Vec<Value> {
        let mut connection = Raw::connect(self.api);
        let mut get = |path: &String| {
            connection.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
            let answer = connection.response();
            assert_eq!(answer.status(), 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
            serde_json::from_slice(&answer.body).expect("JSON")
        };
        paths.iter().map(&mut get).collect()
    }

    fn list(&self) -> Vec<Value> {
        let list = self.ask(&["/api/traces?limit=5000".to_owned()]).remove(0);
        list.as_array().expect("a list").clone()
    }
}

/// A Python client that is told what to ask line by line.
struct Asked {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Asked {
    fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start the client");
        let requests = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        Self { child, requests, answers }
    }

    fn pid(&self) -> u32 {
        self.child.id()
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

/// As `keep_alive_client.py`, with a connection for each request.
const RENEWER: &str = "
import http.client, sys
for line in sys.stdin:
    connection = http.client.HTTPConnection(sys.argv[2], int(sys.argv[1]))
    connection.request(*line.split())
    response = connection.getresponse()
    print(response.status, len(response.read()), flush=True)
    connection.close()
";

/// A service in a namespace that is another host to its clients.
fn serve(namespace: &Namespace, port: u16) -> Process {
    let mut command = namespace.command(services::python());
    command.arg(services::script("hop.py")).args(["0.0.0.0", &port.to_string()]);
    let server = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()));
    wait_until("the server to listen", || {
        let url = format!("http://127.0.0.1:{port}");
        attempt(namespace.command("curl").args(["--silent", "--head", "--noproxy", "*", &url])).is_ok()
    });
    server
}

/// Sends requests with numbers from 0 on from the client's host to an address, seen by an agent on each side, and checks
/// that TinyOlly shows every one as one trace.
fn joined(client: &Namespace, server: &Namespace, port: u16, address: &str, asked_port: u16) {
    let service = serve(server, port);
    let arguments = [&asked_port.to_string(), address];
    let kept = services::script("keep_alive_client.py");
    let mut keeper = Asked::start(client.command(services::python()).arg(kept).args(arguments));
    let mut renewer = Asked::start(client.command(services::python()).args(["-c", RENEWER]).args(arguments));

    let tinyolly = TinyOlly::start();
    let pids = format!("{},{}", keeper.pid(), renewer.pid());
    let near = Agent::start_towards(tinyolly.otlp, &[("OTEL_EBPF_TARGET_PID", &pids)]);
    let far = Agent::start_towards(tinyolly.otlp, &[("OTEL_EBPF_OPEN_PORT", &port.to_string())]);
    near.wait_until_traces(keeper.pid());
    near.wait_until_traces(renewer.pid());
    far.wait_until_traces(service.pid());

    for number in 0..KEPT + NEW {
        let client = if number < KEPT { &mut keeper } else { &mut renewer };
        assert_eq!(client.ask(&format!("GET /back/{number}")), format!("200 {}", number.to_string().len()));
    }
    for client in [keeper, renewer] {
        client.finish();
    }
    // What an agent has seen is exported when it ended.
    for agent in [near, far] {
        agent.stop().assert_clean();
    }

    let list = tinyolly.list();
    let stats = tinyolly.ask(&["/api/stats".to_owned()]).remove(0);
    assert_eq!(stats["traces"], 2 * (KEPT + NEW), "each agent told of each request: {stats}");
    assert_eq!(list.len(), KEPT + NEW, "one line for each request: {list:?}");
    let trees: BTreeMap<_, _> = list.iter().map(|line| check(&tinyolly, line)).collect();
    assert_eq!(trees.keys().copied().collect::<Vec<_>>(), (0..KEPT + NEW).collect::<Vec<_>>());
    let mut ids: Vec<_> = trees.into_values().collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), KEPT + NEW, "every request has a name of its own");
}

/// Checks one line of the list and its tree, asked for by either half; returns the request's number and its link id.
fn check(tinyolly: &TinyOlly, line: &Value) -> (usize, String) {
    let top = text(&line["trace_id"]);
    let joined = line["joined_trace_ids"].as_array().expect("a list");
    let [other] = &joined[..] else { panic!("{} traces are joined: {line}", joined.len()) };
    let paths = [&top, &text(other)].map(|id| format!("/api/traces/{id}"));
    let trees = tinyolly.ask(&paths);
    assert_eq!(trees[0]["spans"], trees[1]["spans"], "the halves show one tree");

    let spans = trees[0]["spans"].as_array().expect("a list");
    let only = |kind: u64| {
        let mut of_kind = spans.iter().filter(|span| span["kind"] == kind);
        let found = of_kind.next().unwrap_or_else(|| panic!("no span of kind {kind}: {spans:?}"));
        assert!(of_kind.next().is_none(), "two spans of kind {kind}: {spans:?}");
        found
    };
    let (call, served) = (only(3), only(2));
    assert_eq!((&call["traceId"], &served["traceId"]), (&line["trace_id"], other));
    assert_eq!(served["joinedParent"]["traceId"], call["traceId"]);
    assert_eq!(served["joinedParent"]["spanId"], call["spanId"]);
    assert_eq!(served["joinedParent"]["linkSource"], "link_id");
    assert_eq!((&served["parentSpanId"], &call["parentSpanId"]), (&Value::from(""), &Value::from("")));
    assert_eq!(call.get("joinedParent"), None);

    let number = |span: &Value, key: &str| {
        let url = attribute(span, key);
        url.rsplit_once('/').and_then(|(_, number)| number.parse().ok()).expect("a number")
    };
    let asked: usize = number(call, "url.full");
    assert_eq!(asked, number(served, "url.path"), "joined to another request's span");
    let ids = [call, served].map(|span| attribute(span, "ebpf.link.id"));
    assert_eq!(ids[0], ids[1], "the agents name request {asked} differently");
    let [id, _] = ids;
    assert!(id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    (asked, id)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn attribute(span: &Value, key: &str) -> String {
    let attributes = span["attributes"].as_array().expect("a list");
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    text(&found.unwrap_or_else(|| panic!("no {key}: {span}"))["value"]["stringValue"])
}

#[test]
fn the_agents_of_two_hosts_agree_and_their_halves_are_joined() {
    needs_tracing!();
    let (near, far) = (Namespace::network(), Namespace::network());
    if let Err(lack) = Namespace::join((&near, "192.0.2.1/30"), (&far, "192.0.2.2/30")) {
        return skipped(module_path!(), &format!("needs veth: {lack}"));
    }
    let port = free_port();
    joined(&near, &far, port, "192.0.2.2", port);
}

#[test]
fn the_agents_agree_through_address_translation() {
    needs_tracing!();
    let (near, middle, far) = (Namespace::network(), Namespace::network(), Namespace::network());
    let (port, published) = (free_port(), free_port());
    let prepare = || {
        Namespace::join((&near, "192.0.2.1/30"), (&middle, "192.0.2.2/30"))?;
        Namespace::join((&middle, "198.51.100.1/30"), (&far, "198.51.100.2/30"))?;
        attempt(middle.command("sh").args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))?;
        let rule = |rest: &[&str]| attempt(middle.command("iptables").args(["-t", "nat", "-A"]).args(rest));
        let (from, to) = (published.to_string(), format!("198.51.100.2:{port}"));
        rule(&["PREROUTING", "-p", "tcp", "--dport", &from, "-j", "DNAT", "--to-destination", &to])?;
        rule(&["POSTROUTING", "-j", "MASQUERADE"])
    };
    if let Err(lack) = prepare() {
        return skipped(module_path!(), &format!("needs veth and iptables with NAT: {lack}"));
    }
    joined(&near, &far, port, "192.0.2.2", published);
}

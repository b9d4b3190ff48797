//! nginx as the server: what requests and responses may look like on the wire.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::{Raw, curl},
    needs_tracing,
    net::{free_port, loopback},
    services::{self, Service, nginx},
    sink::{Received, Sink},
};
use serde_json::json;

const MIB: usize = 1 << 20;

/// A small set of locations that behave differently.
fn server(port: u16) -> Service {
    let directives = "
    location = /hello { return 200 \"hello\\n\"; }
    location = /empty { return 204; }
    location = /broken { return 500; }
    location = /close { keepalive_timeout 0; return 200 \"bye\\n\"; }
    location /sent/ { alias files/; sendfile on; }
    location /read/ { alias files/; sendfile off; }
    location = /upload { return 200 \"taken\\n\"; client_max_body_size 64m; }
    location = /proxied { proxy_pass http://127.0.0.1:PORT/sent/large; proxy_http_version 1.1; }
    location = /chunked { ssi on; ssi_types *; alias files/page.shtml; }
"
    .replace("PORT", &port.to_string());
    let service = nginx(port, &directives).ready();
    service.write("files/large", &vec![b'x'; MIB]);
    service.write("files/page.shtml", b"<!--#echo var=\"request_uri\" --> and more");
    service
}

struct Traced {
    service: Service,
    agent: Agent,
    sink: Sink,
}

impl Traced {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(variables: &[(&str, &str)]) -> Self {
        let port = free_port();
        let service = server(port);
        let sink = Sink::start();
        let port = port.to_string();
        let mut all = vec![("OTEL_EBPF_OPEN_PORT", port.as_str())];
        all.extend(variables);
        let agent = Agent::start(&sink, &all);
        Self { service, agent, sink }
    }

    fn raw(&self) -> Raw {
        Raw::connect(loopback(self.service.port))
    }

    /// Waits for the spans, checks that no more come and that nothing was lost, and returns them in order of start.
    fn finish(self, count: usize) -> Vec<Received> {
        self.sink.wait_for_servers(count);
        let counts = self.agent.stop().assert_clean();
        let mut spans = self.sink.servers();
        assert_eq!(spans.len(), count, "{:?}", spans.iter().map(Received::path).collect::<Vec<_>>());
        let exchanges = spans.len() + self.sink.clients().len();
        assert_eq!(
            (counts.get("exchanges"), counts.get("requests_dropped")),
            (exchanges as u64, 0),
            "{counts:?}"
        );
        spans.sort_by_key(|span| span.span.start_time_unix_nano);
        spans
    }
}

fn told(span: &Received) -> (String, u64, Option<u64>) {
    (span.path(), span.status(), span.attribute("http.response.body.size").as_u64())
}

#[test]
fn responses_of_every_framing_are_told_with_their_size() {
    needs_tracing!();
    let traced = Traced::start();
    let chunked = curl(&[&traced.service.url("/chunked")]);
    let expected = [
        ("/hello", 200, 6),
        ("/sent/large", 200, MIB),
        ("/read/large", 200, MIB),
        ("/empty", 204, 0),
        ("/missing", 404, 153),
        ("/broken", 500, 177),
        ("/close", 200, 4),
    ];
    for (path, status, size) in expected {
        let fetched = curl(&[&traced.service.url(path)]);
        assert_eq!((fetched.status, fetched.body.len() / 1024), (status, size / 1024), "{path}");
    }
    let spans = traced.finish(expected.len() + 1);
    assert_eq!(told(&spans[0]), ("/chunked".to_owned(), 200, Some(chunked.body.len() as u64)));
    for (span, (path, status, size)) in spans[1..].iter().zip(expected) {
        let (told_path, told_status, told_size) = told(span);
        assert_eq!((told_path.as_str(), told_status), (path, u64::from(status)));
        // The length of nginx's own error pages names its version.
        if status < 400 {
            assert_eq!(told_size, Some(size as u64), "{path}");
        }
        let is_error = status >= 500;
        let error_type = if is_error { json!(status.to_string()) } else { json!(null) };
        assert_eq!(span.attribute("error.type"), error_type, "{path}");
        assert_eq!(span.span.status.clone().unwrap_or_default().code, if is_error { 2 } else { 0 }, "{path}");
        assert_eq!(span.service(), "nginx");
        assert_eq!(span.attribute("network.protocol.version"), "1.1");
    }
}

#[test]
fn a_proxied_request_is_told_at_both_hops() {
    needs_tracing!();
    let traced = Traced::start();
    assert_eq!(curl(&[&traced.service.url("/proxied")]).body.len(), MIB);
    traced.sink.wait_for_servers(2);
    let clients = traced.sink.wait_for_clients(1);
    let port = traced.service.port;
    assert_eq!(clients[0].attribute("url.full"), format!("http://127.0.0.1:{port}/sent/large"));
    assert_eq!(clients[0].attribute("http.response.body.size"), MIB);
    traced.agent.stop().assert_clean();
    let mut paths: Vec<_> = traced.sink.servers().iter().map(Received::path).collect();
    paths.sort();
    assert_eq!(paths, ["/proxied", "/sent/large"]);
}

#[test]
fn a_kept_alive_python_client_gives_a_span_for_each_request() {
    needs_tracing!();
    let traced = Traced::start();
    let mut client = Command::new(services::python())
        .arg(services::script("keep_alive_client.py"))
        .arg(traced.service.port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the client");
    let mut requests = client.stdin.take().expect("stdin is piped");
    let mut answers = BufReader::new(client.stdout.take().expect("stdout is piped")).lines();
    let asked = [
        ("GET /hello", "200 6"),
        ("HEAD /sent/large", "200 0"),
        ("GET /sent/large", "200 1048576"),
        ("GET /empty", "204 0"),
        ("GET /read/large", "200 1048576"),
        ("HEAD /missing", "404 0"),
    ];
    for (request, answer) in asked.iter().cycle().take(60) {
        writeln!(requests, "{request}").expect("ask the client");
        let got = answers.next().expect("an answer").expect("text");
        assert_eq!(&got, answer, "{request}");
    }
    drop(requests);
    assert!(client.wait().expect("wait for the client").success());
    let spans = traced.finish(60);
    for (span, (request, answer)) in spans.iter().zip(asked.iter().cycle()) {
        let got = format!("{} {}", span.span.name, span.path());
        assert_eq!((got.as_str(), &span.status().to_string()[..]), (*request, &answer[..3]));
        let size = answer[4..].parse::<u64>().expect("a size");
        assert_eq!(span.attribute("http.response.body.size"), size, "{request}");
    }
}

#[test]
fn pipelined_requests_are_told_one_by_one() {
    needs_tracing!();
    let traced = Traced::start();
    let mut raw = traced.raw();
    let paths = ["/hello", "/sent/large", "/empty", "/read/large", "/missing"];
    let requests = paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).concat();
    for _ in 0..3 {
        raw.send(&requests);
        for _ in paths {
            raw.response();
        }
    }
    let spans = traced.finish(15);
    let mut told: Vec<_> = spans.iter().map(told).collect();
    told.sort();
    told.dedup();
    assert_eq!(told.len(), 5, "{told:?}");
    for (path, status, size) in told {
        match path.as_str() {
            "/hello" => assert_eq!((status, size), (200, Some(6))),
            "/sent/large" | "/read/large" => assert_eq!((status, size), (200, Some(MIB as u64))),
            "/empty" => assert_eq!((status, size), (204, Some(0))),
            _ => assert_eq!((path.as_str(), status), ("/missing", 404)),
        }
    }
}

#[test]
fn responses_without_a_body_do_not_shift_those_after_them() {
    needs_tracing!();
    let traced = Traced::start();
    let mut raw = traced.raw();
    raw.send("HEAD /sent/large HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = raw.head();
    let modified = head.head.lines().find_map(|line| line.strip_prefix("Last-Modified: "));
    let modified = modified.expect("files have a time").to_owned();
    raw.send(format!("GET /sent/large HTTP/1.1\r\nHost: test\r\nIf-Modified-Since: {modified}\r\n\r\n"));
    assert_eq!(raw.response().status(), 304);
    raw.get("/empty");
    assert_eq!(raw.response().status(), 204);
    raw.get("/hello");
    assert_eq!(raw.response().body, b"hello\n");
    let told: Vec<_> = traced.finish(4).iter().map(told).collect();
    let large = || "/sent/large".to_owned();
    let expected = [
        (large(), 200, Some(0)),
        (large(), 304, Some(0)),
        ("/empty".to_owned(), 204, Some(0)),
        ("/hello".to_owned(), 200, Some(6)),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_large_upload_is_told_with_its_size() {
    needs_tracing!();
    let traced = Traced::start();
    traced.service.write("upload", &vec![b'u'; 3 * MIB]);
    let file = format!("@{}", traced.service.dir.path().join("upload").display());
    let url = traced.service.url("/proxied");
    let fetched = curl(&["--header", "Expect: 100-continue", "--data-binary", &file, &url]);
    // The file behind the proxy takes no POST.
    assert_eq!(fetched.status, 405);
    traced.sink.wait_for_clients(1);
    let spans = traced.finish(2);
    for span in &spans {
        assert_eq!(span.attribute("http.request.method"), "POST");
        assert_eq!(span.attribute("http.request.body.size"), 3 * MIB, "{}", span.path());
        assert_eq!(span.status(), 405);
    }
}

#[test]
fn a_head_that_comes_in_pieces_is_read_whole() {
    needs_tracing!();
    let traced = Traced::start();
    let mut raw = traced.raw();
    let request = "GET /hello?piece=meal HTTP/1.1\r\nHost: pieces.test:81\r\nUser-Agent: slow\r\n\r\n";
    for at in [1, 2, 7, 25, request.len() - 3, request.len() - 1] {
        let (first, second) = request.split_at(at);
        raw.send(first);
        // nginx has read the first part once it has read something else that came later.
        assert_eq!(curl(&[&traced.service.url("/empty")]).status, 204);
        raw.send(second);
        assert_eq!(raw.response().status(), 200);
    }
    for byte in request.as_bytes() {
        raw.send([*byte]);
    }
    assert_eq!(raw.response().status(), 200);
    let spans = traced.finish(13);
    let pieces: Vec<_> = spans.iter().filter(|span| span.path() == "/hello").collect();
    assert_eq!(pieces.len(), 7);
    for span in pieces {
        assert_eq!(span.attribute("url.query"), "piece=meal");
        assert_eq!(span.attribute("server.address"), "pieces.test");
        assert_eq!(span.attribute("server.port"), 81);
        assert_eq!(span.attribute("user_agent.original"), "slow");
    }
}

#[test]
fn a_head_longer_than_the_capture_is_counted_and_the_next_request_told() {
    needs_tracing!();
    let traced = Traced::start();
    let mut raw = traced.raw();
    raw.send(long_request());
    assert_eq!(raw.response().status(), 200);
    raw.get("/empty");
    assert_eq!(raw.response().status(), 204);
    traced.sink.wait_for_servers(1);
    let counts = traced.agent.stop().assert_clean();
    assert_eq!((counts.get("requests_seen"), counts.get("requests_dropped")), (2, 1));
    let told: Vec<_> = traced.sink.servers().iter().map(told).collect();
    assert_eq!(told, [("/empty".to_owned(), 204, Some(0))]);
}

#[test]
fn a_longer_capture_takes_longer_heads() {
    needs_tracing!();
    let traced = Traced::start_with(&[("OTEL_EBPF_BPF_BUFFER_SIZE_HTTP", "8192")]);
    let mut raw = traced.raw();
    raw.send(long_request());
    assert_eq!(raw.response().status(), 200);
    let told: Vec<_> = traced.finish(1).iter().map(told).collect();
    assert_eq!(told, [("/hello".to_owned(), 200, Some(6))]);
}

/// A request whose head is longer than what is captured by default.
fn long_request() -> String {
    format!("GET /hello HTTP/1.1\r\nHost: test\r\nCookie: {}\r\n\r\n", "c".repeat(6000))
}

//! Python's `http.server` and curl: every attribute of both ends of an exchange.

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::{self, OwnCurl, curl},
    needs_tracing,
    net::free_port,
    services::http_server,
    sink::{Attributes, Received, Sink},
};
use serde_json::{Value, json};

const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/";

fn map(value: Value) -> Attributes {
    match value {
        Value::Object(object) => object.into_iter().collect(),
        _ => panic!("an object is meant"),
    }
}

fn assert_scope(received: &Received) {
    let origin = &received.origin;
    assert_eq!(origin.scope.name, "otel-ebpf-agent");
    assert_eq!(origin.scope.version, env!("CARGO_PKG_VERSION"));
    assert!(origin.scope_schema_url.starts_with(SCHEMA_URL), "{origin:?}");
    assert_eq!(origin.resource_schema_url, origin.scope_schema_url);
    assert_eq!(received.span.trace_id.len(), 16);
    assert_eq!(received.span.span_id.len(), 8);
    assert!(received.span.parent_span_id.is_empty(), "nothing says who the parent is");
    assert!(received.span.end_time_unix_nano >= received.span.start_time_unix_nano);
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").expect("read the host's name").trim().to_owned()
}

fn assert_resource(received: &Received, pid: u32, service: &str, exe: &str) {
    let mut resource = received.origin.resource.clone();
    let path = resource.remove("process.executable.path").expect("a path");
    assert!(path.as_str().is_some_and(|path| path.starts_with('/') && path.ends_with(exe)), "{path}");
    for key in ["telemetry.sdk.version", "telemetry.distro.version"] {
        assert!(resource.remove(key).is_some_and(|version| version.is_string()), "{key}");
    }
    let host = host_name();
    let expected = json!({
        "service.name": service,
        "service.instance.id": format!("{host}:{pid}"),
        "host.name": host,
        "os.type": "linux",
        "process.pid": pid,
        "process.executable.name": exe,
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.language": "rust",
        "telemetry.distro.name": "otel-ebpf-agent",
    });
    assert_eq!(resource, map(expected));
}

fn python_exe_name() -> String {
    let path = std::fs::canonicalize(otel_ebpf_kernel_tests::services::python()).expect("python's path");
    path.file_name().expect("a file").to_string_lossy().into_owned()
}

/// One request with a query that must not leave the machine as it is, by an address of either family.
fn both_ends_are_told_in_full(bind: &str, host: &str) {
    let (server_sink, client_sink) = (Sink::start(), Sink::start());
    let port = free_port();
    let server_agent = Agent::on_port(&server_sink, port);
    let own_curl = OwnCurl::default();
    let client_agent = Agent::start(&client_sink, &[("OTEL_EBPF_AUTO_TARGET_EXE", &own_curl.path())]);
    let service = http_server(port, bind);
    service.write("hello.txt", b"hello, world\n");
    server_agent.wait_until_traces(service.pid());

    let waiting = own_curl.start();
    let curl_pid = waiting.pid();
    client_agent.wait_until_traces(curl_pid);
    let url = format!("http://{host}:{port}/hello.txt?q=a%20b&sig=s3cret&Token=x");
    let config = format!("url = \"{url}\"\nretry = 50\nretry-delay = 1\nretry-connrefused\n");
    let fetched = waiting.fetch(&config);
    assert_eq!((fetched.status, fetched.body.as_slice()), (200, b"hello, world\n".as_slice()));

    let server = server_sink.wait_for_servers(1).remove(0);
    let address = host.trim_matches(['[', ']']);
    let redacted = "q=a%20b&sig=REDACTED&Token=REDACTED";
    let agent = client::curl_user_agent();
    assert_scope(&server);
    assert_eq!(server.span.name, "GET");
    assert_eq!(server.span.status.clone().unwrap_or_default().code, 0);
    assert_resource(&server, service.pid(), "http.server", &python_exe_name());
    // Each agent sees one end, and both name the request alike.
    let link = server.attribute("ebpf.link.id");
    assert!(link.as_str().is_some_and(|link| link.len() == 16), "{link}");
    let expected = json!({
        "ebpf.link.id": link,
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.response.body.size": 13,
        "url.scheme": "http",
        "url.path": "/hello.txt",
        "url.query": redacted,
        "server.address": address,
        "server.port": port,
        "client.address": address,
        "client.port": fetched.local_port,
        "network.peer.address": address,
        "network.peer.port": fetched.local_port,
        "network.protocol.version": "1.0",
        "user_agent.original": agent,
        "ebpf.start.source": "arrival",
    });
    assert_eq!(server.attributes(), map(expected));

    let found = client_sink.wait_for_clients(1);
    let client = found.iter().find(|span| span.attribute("http.response.status_code") == 200);
    let client = client.expect("the exchange");
    assert_scope(client);
    assert_eq!(client.span.name, "GET");
    assert_resource(client, curl_pid, "curl", "curl");
    let expected = json!({
        "ebpf.link.id": link,
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.response.body.size": 13,
        "url.scheme": "http",
        "url.full": format!("http://{host}:{port}/hello.txt?{redacted}"),
        "server.address": address,
        "server.port": port,
        "network.peer.address": address,
        "network.peer.port": port,
        "network.protocol.version": "1.0",
        "user_agent.original": agent,
    });
    assert_eq!(client.attributes(), map(expected));
    assert!(client.span.start_time_unix_nano <= server.span.start_time_unix_nano + 1_000_000);

    assert_eq!(server_agent.stop().assert_clean().get("exchanges"), 1);
    client_agent.stop().assert_clean_among_others();
    assert_eq!(server_sink.servers().len(), 1);
    for spans in [server_sink.spans(), client_sink.spans()] {
        let text = format!("{spans:?}");
        assert!(!text.contains("s3cret"), "a secret left the machine");
    }
}

#[test]
fn both_ends_of_an_exchange_are_told_in_full_over_ipv4() {
    needs_tracing!();
    both_ends_are_told_in_full("127.0.0.1", "127.0.0.1");
}

#[test]
fn both_ends_of_an_exchange_are_told_in_full_over_ipv6() {
    needs_tracing!();
    both_ends_are_told_in_full("::1", "[::1]");
}

#[test]
fn there_are_as_many_spans_as_requests() {
    needs_tracing!();
    let sink = Sink::start();
    let port = free_port();
    let service = http_server(port, "127.0.0.1").ready();
    service.write("index.html", b"<p>");
    let agent = Agent::on_port(&sink, port);
    for number in 0..30 {
        let fetched = curl(&[&service.url(&format!("/?n={number}"))]);
        assert_eq!(fetched.status, 200);
    }
    let spans = sink.wait_for_servers(30);
    let mut queries: Vec<_> = spans.iter().map(|span| span.attribute("url.query").to_string()).collect();
    queries.sort();
    queries.dedup();
    assert_eq!(queries.len(), 30);
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("exchanges"), counts.get("requests_dropped")), (30, 0));
    assert_eq!(sink.servers().len(), 30);
}

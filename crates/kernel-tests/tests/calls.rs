//! Every system call by which a service may receive and send.

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::curl,
    needs_tracing,
    net::free_port,
    services::{node_script, python_script},
    sink::{Received, Sink},
};

/// Larger than a socket's buffers, so that a response takes many calls.
const BODY: usize = 1_500_000;
const UPLOAD: usize = 300_000;

fn is_told(receiving: &str, sending: &str) {
    let port = free_port();
    let service = python_script("calls.py", port, &[receiving, sending, &BODY.to_string()]).ready();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    service.write("upload", &[b'u'; UPLOAD]);
    let upload = format!("@{}", service.dir.path().join("upload").display());
    let url = service.url("/call");
    for _ in 0..3 {
        // Both requests go over one connection.
        let fetched = curl(&["--data-binary", &upload, &url, &url]);
        assert_eq!((fetched.status, fetched.body.len()), (200, 2 * BODY));
    }
    sink.wait_for_servers(6);
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("exchanges"), counts.get("requests_dropped")), (6, 0));
    let spans = sink.servers();
    assert_eq!(spans.len(), 6);
    for span in spans {
        assert_eq!((span.path().as_str(), span.status()), ("/call", 200));
        assert_eq!(span.attribute("http.request.method"), "POST");
        assert_eq!(span.attribute("http.request.body.size"), UPLOAD);
        assert_eq!(span.attribute("http.response.body.size"), BODY);
    }
}

#[test]
fn read_and_write() {
    needs_tracing!();
    is_told("read", "write");
}

#[test]
fn readv_and_writev() {
    needs_tracing!();
    is_told("readv", "writev");
}

#[test]
fn recvfrom_and_sendto() {
    needs_tracing!();
    is_told("recvfrom", "sendto");
}

#[test]
fn recvmsg_and_sendmsg() {
    needs_tracing!();
    is_told("recvmsg", "sendmsg");
}

#[test]
fn sendfile_behind_a_head() {
    needs_tracing!();
    is_told("read", "sendfile");
}

#[test]
fn node_with_known_and_chunked_lengths() {
    needs_tracing!();
    let port = free_port();
    let service = node_script("server.js", port, &[]).ready();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    let (plain, chunked, broken) = (service.url("/"), service.url("/chunked"), service.url("/broken"));
    assert_eq!(curl(&[&chunked]).body.len(), 35_000);
    // One connection for all.
    assert_eq!(curl(&[&plain, &chunked, &broken]).status, 503);
    assert_eq!(curl(&["--data", "12345", &plain, &plain]).body, br#"{"bytes":5}{"bytes":5}"#);
    sink.wait_for_servers(6);
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("exchanges"), counts.get("requests_dropped")), (6, 0));
    let mut spans = sink.servers();
    spans.sort_by_key(|span| span.span.start_time_unix_nano);
    let told: Vec<_> = spans.iter().map(|span| (span.path(), span.status(), body_size(span))).collect();
    let of = |path: &str, status, size| (path.to_owned(), status, size);
    let expected = [
        // Chunks behind the captured head hide how much of them is framing.
        of("/chunked", 200, None),
        of("/", 200, Some(11)),
        of("/chunked", 200, None),
        of("/broken", 503, Some(0)),
        of("/", 200, Some(11)),
        of("/", 200, Some(11)),
    ];
    assert_eq!(told, expected);
    assert!(spans.iter().all(|span| span.service() == "server"), "named after its script");
    assert!(spans.iter().all(|span| span.attribute("ebpf.end.estimated").is_null()), "every end was seen");
}

fn body_size(span: &Received) -> Option<u64> {
    span.attribute("http.response.body.size").as_u64()
}

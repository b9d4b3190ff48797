//! What is not HTTP/1 on a traced port gives no span and no complaint.

use std::io::{Read as _, Write as _};

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::Raw,
    needs_tracing,
    net::{connect, free_port, loopback},
    services::{Service, python_script},
    sink::Sink,
};

fn echo() -> (Service, Agent, Sink) {
    let port = free_port();
    let service = python_script("echo.py", port, &[]).ready();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    (service, agent, sink)
}

/// Sends each piece and reads its echo, each on a connection of its own and then all on one.
fn exchange(port: u16, pieces: &[Vec<u8>]) {
    for several in pieces.iter().map(std::slice::from_ref).chain([pieces]) {
        let mut stream = connect(loopback(port));
        for piece in several {
            stream.write_all(piece).expect("send");
            let mut echo = vec![0; piece.len()];
            stream.read_exact(&mut echo).expect("read the echo");
            assert_eq!(&echo, piece);
        }
    }
}

/// Checks that nothing was told, and that the port's HTTP still is: the agent did not give up on the port.
fn assert_silent(service: &Service, agent: Agent, sink: &Sink) {
    let mut raw = Raw::connect(loopback(service.port));
    raw.get("/http");
    assert_eq!(raw.response().status(), 200);
    drop(raw);
    sink.wait_for_servers(1);
    let counts = agent.stop().assert_clean();
    // A request that waited has children, which are no requests.
    let paths: Vec<_> = sink.servers().iter().map(|span| span.path()).collect();
    assert_eq!(paths, ["/http"]);
    assert!(sink.clients().is_empty(), "{:?}", sink.clients());
    assert_eq!(counts.get("requests_seen"), counts.get("exchanges") + counts.get("requests_dropped"));
}

#[test]
fn random_bytes_are_silent() {
    needs_tracing!();
    let (service, agent, sink) = echo();
    let mut state = 1_u64;
    let mut random = |size: usize| -> Vec<u8> {
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(size).collect()
    };
    let pieces: Vec<_> = [1, 2, 7, 16, 100, 1000, 5000, 20_000].iter().map(|size| random(*size)).collect();
    exchange(service.port, &pieces);
    assert_silent(&service, agent, &sink);
}

#[test]
fn other_protocols_are_silent() {
    needs_tracing!();
    let (service, agent, sink) = echo();
    let pieces: Vec<Vec<u8>> = [
        // TLS ClientHello, its record header and the beginning of the handshake.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x00\x00\x2a\x00\x03\x00\x00user\x00postgres\x00",
        b"EHLO mail.example\r\n",
        b"GET\r\n",
        b"get key\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"GET / HTTP/1.1\"}\n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    exchange(service.port, &pieces);
    assert_silent(&service, agent, &sink);
}

#[test]
fn tls_is_silent() {
    needs_tracing!();
    let port = free_port();
    let service = python_script("tls_server.py", port, &[]).ready();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    for _ in 0..5 {
        let url = format!("https://127.0.0.1:{port}/");
        assert_eq!(otel_ebpf_kernel_tests::client::curl(&["--insecure", &url]).body, b"secret");
    }
    drop(service);
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("requests_seen"), sink.len()), (0, 0));
}

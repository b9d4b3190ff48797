//! What is not HTTP/1 on a traced port gives no span and no complaint.

use std::io::{Read as _, Write as _};

use otel_ebpf_kernel_tests::{
    agent::{Agent, Ended},
    client::{Raw, curl},
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
fn assert_silent(service: &Service, agent: Agent, sink: &Sink) -> Ended {
    let mut raw = Raw::connect(loopback(service.port));
    raw.get("/http");
    assert_eq!(raw.response().status(), 200);
    drop(raw);
    sink.wait_for_servers(1);
    let ended = agent.stop();
    let counts = ended.assert_clean();
    // A request that waited has children, which are no requests.
    let paths: Vec<_> = sink.servers().iter().map(|span| span.path()).collect();
    assert_eq!(paths, ["/http"]);
    assert!(sink.clients().is_empty(), "{:?}", sink.clients());
    assert_eq!(counts.get("requests_seen"), counts.get("exchanges") + counts.get("requests_dropped"));
    ended
}

/// Random bytes, the same each time.
fn noise(seed: u64) -> impl FnMut(usize) -> Vec<u8> {
    let mut state = seed;
    move |size| {
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(size).collect()
    }
}

#[test]
fn random_bytes_are_silent() {
    needs_tracing!();
    let (service, agent, sink) = echo();
    let sizes = (1..=40).chain([100, 1000, 4095, 4096, 4097, 5000, 8191, 8192, 8193, 20_000, 65_537]);
    let pieces: Vec<_> = sizes.map(noise(1)).collect();
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

/// Checks that requests were dropped, each for a cause that fits, and how many in all.
fn assert_dropped(ended: &Ended, causes: &[&str]) {
    let counts = ended.counts();
    let (_, told) = ended.log.rsplit_once("dropped_by_cause={").expect("counts by cause");
    let (told, _) = told.split_once('}').expect("the end of the counts by cause");
    let mut dropped = 0;
    for pair in told.split(", ").filter(|pair| !pair.is_empty()) {
        let (cause, count) = pair.split_once(": ").expect("a cause and a count");
        assert!(causes.contains(&cause.trim_matches('"')), "{told}");
        dropped += count.parse::<u64>().expect("a number");
    }
    assert_eq!(counts.get("requests_dropped"), dropped);
    assert!(dropped > 0, "{}", ended.log);
}

#[test]
fn what_begins_like_http_and_goes_wrong_is_silent() {
    needs_tracing!();
    let (service, agent, sink) = echo();
    let mut noise = noise(3);
    let mut pieces: Vec<Vec<u8>> = [
        "GET /x HTTP/9.9\r\nHost: test\r\n\r\n",
        "GET /x y HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost test\r\n\r\n",
        "GET /x HTTP/1.1\r\nHo\0st: test\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: many\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "POST /x HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\nhello",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
        "POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "GET /x HTTP/1.1\r\nHost: test\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    for size in [1, 100, 5_000] {
        pieces.push([b"GET /x HTTP/1.1\r\nHost: ".as_slice(), &noise(size), b"\r\n\r\n"].concat());
        pieces.push([b"GET ".as_slice(), &noise(size)].concat());
        pieces.push([b"HTTP/1.1 200 OK\r\n".as_slice(), &noise(size)].concat());
    }
    // The echo is no response.
    exchange(service.port, &pieces);
    let ended = assert_silent(&service, agent, &sink);
    let causes = [
        "request_malformed",
        "request_cut_short",
        "request_not_captured",
        "response_malformed",
        "desynchronised",
    ];
    assert_dropped(&ended, &causes);
}

#[test]
fn random_bytes_at_once_in_both_directions_are_silent() {
    needs_tracing!();
    let port = free_port();
    let _service = python_script("corpus_noise.py", port, &[]).ready();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    for seed in 1..=20 {
        let mut stream = connect(loopback(port));
        let mut noise = noise(seed);
        let mut heard = stream.try_clone().expect("read beside writing");
        let hearing = std::thread::spawn(move || {
            let mut all = Vec::new();
            heard.read_to_end(&mut all).expect("read to the end");
            all.len()
        });
        for size in [3, 1, 16, 4_096, 9, 70_000, 8] {
            stream.write_all(&noise(size)).expect("send");
        }
        stream.shutdown(std::net::Shutdown::Write).expect("say that this is all");
        assert!(hearing.join().expect("hear to the end") > 65_537);
    }
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("requests_seen"), sink.len()), (0, 0));
}

#[test]
fn of_an_upgraded_connection_the_first_request_is_told_and_no_frame() {
    needs_tracing!();
    const CONNECTIONS: usize = 8;
    let port = free_port();
    let _service = python_script("said.py", port, &[]).ready();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    let mut noise = noise(5);
    for _ in 0..CONNECTIONS {
        let mut raw = Raw::connect(loopback(port));
        raw.send("GET /upgrade HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        assert_eq!(raw.head().status(), 101);
        let mut stream = raw.stream().try_clone().expect("use the connection itself");
        let trap = b"GET /trap HTTP/1.1\r\nHost: trap\r\n\r\nHTTP/1.1 500 Trap\r\nContent-Length: 0\r\n\r\n";
        for content in [noise(1), noise(125), trap.to_vec(), noise(4_097), noise(60_000), trap.to_vec()] {
            // A masked binary frame (RFC 6455 section 5.2), but for the traps, which begin at once.
            let length = u64::try_from(content.len()).expect("a length").to_be_bytes();
            let frame = match content == trap {
                true => content,
                false => [&[0x82, 0xff], length.as_slice(), &noise(4), &content].concat(),
            };
            let mut echo = vec![0; frame.len()];
            stream.write_all(&frame).expect("send");
            stream.read_exact(&mut echo).expect("read the echo");
            assert!(echo == frame, "the frame came back changed");
        }
    }
    sink.wait_for_servers(CONNECTIONS);
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("requests_seen"), counts.get("requests_dropped")), (CONNECTIONS as u64, 0));
    // A request that waited has children, which are no requests.
    let told: Vec<_> = sink.servers().iter().map(|span| (span.path(), span.status())).collect();
    assert!(sink.clients().is_empty(), "{:?}", sink.clients());
    assert_eq!(told, vec![("/upgrade".to_owned(), 101); CONNECTIONS]);
}

#[test]
fn tls_is_silent() {
    needs_tracing!();
    let port = free_port();
    let service = python_script("tls_server.py", port, &[]).ready();
    let sink = Sink::start();
    let agent = Agent::on_port(&sink, port);
    let url = format!("https://127.0.0.1:{port}/");
    for newest in ["1.2", "1.3"] {
        for _ in 0..3 {
            assert_eq!(curl(&["--insecure", "--tls-max", newest, &url, &url]).body, b"secretsecret");
        }
    }
    drop(service);
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("requests_seen"), sink.len()), (0, 0));
}

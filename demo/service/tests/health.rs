//! `health` against services that answer well, badly, and not at all.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use ebpf_demo_service::{failure::Failure, health};

fn check(address: SocketAddr) -> Result<(), Failure> {
    health::check(&|name: &str| match name {
        "HOST" => Some(address.ip().to_string()),
        "PORT" => Some(address.port().to_string()),
        _ => None,
    })
}

/// Listens on a free port and answers one request with these bytes.
fn answering(answer: &'static [u8]) -> (SocketAddr, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut request = Vec::new();
        let mut part = [0; 1024];
        while !request.ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut part).expect("read");
            assert_ne!(read, 0, "the request broke off");
            request.extend_from_slice(&part[..read]);
        }
        stream.write_all(answer).expect("answer");
        String::from_utf8(request).expect("ASCII")
    });
    (address, served)
}

#[test]
fn a_200_is_healthy() {
    let (address, served) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    check(address).expect("healthy");
    let request = served.join().expect("no panic");
    assert!(request.starts_with("GET /health HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("\r\nhost: localhost\r\n"), "{request}");
}

#[test]
fn other_answers_are_told_with_their_reason() {
    for (answer, said) in [
        (
            &b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 22\r\n\r\n{\"error\": \"no\\nstock\"}\n"[..],
            "503 Service Unavailable: no stock",
        ),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "404 Not Found"),
        (b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", "302 Found"),
        // The body breaks off.
        (b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 90\r\n\r\nso", "500 Internal Server Error"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no usable answer: "),
        (b"", "no usable answer: "),
    ] {
        let (address, served) = answering(answer);
        let failure = check(address).expect_err(said);
        served.join().expect("no panic");
        let text = failure.to_string();
        assert_eq!(failure.exit_code(), 1, "{text}");
        assert!(text.starts_with(&format!("GET http://{address}/health: {said}")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn nobody_listening_is_a_failed_connect() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        listener.local_addr().expect("address")
    };
    let text = check(address).expect_err("nobody listens").to_string();
    assert!(text.starts_with(&format!("GET http://{address}/health: connect: Connection refused")), "{text}");
}

#[test]
fn a_service_that_never_answers_is_given_two_seconds() {
    // The kernel accepts the connection; nobody reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let asked = Instant::now();
    let text = check(silent.local_addr().expect("address")).expect_err("no answer").to_string();
    assert!(text.ends_with("/health: no answer within 2 s"), "{text}");
    let took = asked.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

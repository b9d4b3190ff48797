//! Paths of HTTP/2 requests, in what a well-known client sends and in anything else.

use otel_ebpf_protocols::http2::{PREFACE, RequestPaths};
use proptest::{collection::vec, prelude::*};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The HEADERS frame of a request with this path: `:method: POST`, `:scheme: http`, the path as a literal.
fn request(stream: u32, path: &str) -> Vec<u8> {
    assert!(path.len() < 127, "its length fits one byte");
    let fields = [&[0x83, 0x86, 0x44, path.len() as u8], path.as_bytes()].concat();
    frame(1, 0x4, stream, &fields)
}

fn data(stream: u32, size: usize) -> Vec<u8> {
    frame(0, 0x1, stream, &vec![b'x'; size])
}

/// A connection that begins with SETTINGS and asks for these paths, each with a body.
fn connection(paths: &[&str], body: usize) -> Vec<u8> {
    let requests = paths.iter().enumerate().map(|(index, path)| {
        let stream = 2 * index as u32 + 1;
        [request(stream, path), data(stream, body)].concat()
    });
    [PREFACE.to_vec(), frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])].into_iter().chain(requests).flatten().collect()
}

/// Paths told when the bytes are sent in pieces of these sizes, over and over, each captured up to a limit.
fn told(bytes: &[u8], first_seq: u32, sizes: &[usize], captured: usize) -> Vec<String> {
    let mut paths = RequestPaths::default();
    let mut told = Vec::new();
    let (mut rest, mut seq) = (bytes, first_seq);
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at((*size).clamp(1, rest.len()));
        let head = &piece[..piece.len().min(captured)];
        paths.sent(seq, piece.len() as u32, head, &[], |path| told.push(path.to_owned()));
        seq = seq.wrapping_add(piece.len() as u32);
        rest = after;
    }
    told
}

#[test]
fn paths_are_told_in_order() {
    let bytes = connection(&["/a", EXPORT, "/b"], 100);
    assert_eq!(told(&bytes, 1, &[usize::MAX], usize::MAX), ["/a", EXPORT, "/b"]);
}

#[test]
fn a_body_that_was_not_captured_is_passed_over() {
    let mut paths = RequestPaths::default();
    let mut all = Vec::new();
    let mut seq = u32::MAX - 40;
    let mut send = |paths: &mut RequestPaths, bytes: &[u8], captured: usize| {
        paths.sent(seq, bytes.len() as u32, &bytes[..captured.min(bytes.len())], &[], |path| {
            all.push(path.to_owned())
        });
        seq = seq.wrapping_add(bytes.len() as u32);
    };
    let first = connection(&["/a"], 10_000);
    send(&mut paths, &first, 200);
    send(&mut paths, &request(3, "/b"), 20);
    assert!(paths.is_following());
    assert_eq!(all, ["/a", "/b"]);
}

#[test]
fn a_lost_place_is_found_again_where_a_request_begins_with_a_send() {
    let mut paths = RequestPaths::default();
    let mut all = Vec::new();
    let first = [connection(&["/a"], 16_000), data(1, 16_000)].concat();
    let mut seq = 7_u32;
    paths.sent(seq, first.len() as u32, &first[..4096], &[], |path| all.push(path.to_owned()));
    assert!(!paths.is_following(), "the second frame's header was not captured");
    seq += first.len() as u32;
    let amid = vec![b'x'; 64];
    paths.sent(seq, 64, &amid, &[], |path| all.push(path.to_owned()));
    assert!(!paths.is_following());
    seq += 64;
    let next = request(3, EXPORT);
    paths.sent(seq, next.len() as u32, &next, &[], |path| all.push(path.to_owned()));
    assert!(paths.is_following());
    assert_eq!(all, ["/a", EXPORT]);
}

#[test]
fn a_path_in_a_body_is_no_request() {
    let body = frame(0, 1, 1, &request(3, EXPORT));
    let bytes = [connection(&["/a"], 0), body].concat();
    assert_eq!(told(&bytes, 1, &[usize::MAX], usize::MAX), ["/a"]);
}

#[test]
fn what_does_not_begin_with_the_preface_is_foreign() {
    let mut paths = RequestPaths::default();
    paths.sent(1, 18, b"PRI * HTTP/1.1\r\n\r\n", &[], |path| panic!("{path}"));
    let next = request(1, EXPORT);
    paths.sent(19, next.len() as u32, &next, &[], |path| panic!("{path}"));
    assert!(!paths.is_following());
    assert!(RequestPaths::may_open(b"PRI * H") && RequestPaths::may_open(&connection(&[], 0)));
    assert!(!RequestPaths::may_open(b"") && !RequestPaths::may_open(b"POST / HTTP/1.1"));
}

/// What the client of the `h2` crate sends, Huffman coding and all; its third request names the path by the table.
#[tokio::test]
async fn a_real_client_is_understood() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (client, mut server) = tokio::io::duplex(1 << 16);
    let (mut send, connection) = h2::client::handshake(client).await.expect("a handshake");
    let driven = tokio::spawn(connection);
    // SETTINGS, so that the client may go on.
    server.write_all(&frame(4, 0, 0, &[])).await.expect("write");
    for path in ["/first", EXPORT, EXPORT] {
        let request = http::Request::post(format!("http://collector:4317{path}"))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .body(())
            .expect("a request");
        let (_response, mut body) = send.send_request(request, false).expect("send");
        body.send_data(vec![0; 64].into(), true).expect("send data");
    }
    let mut bytes = Vec::new();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let mut buffer = [0; 4096];
        let read = server.read(&mut buffer).await.expect("read");
        bytes.extend_from_slice(&buffer[..read]);
        seen = told(&bytes, 1, &[usize::MAX], usize::MAX);
    }
    driven.abort();
    assert_eq!(seen[..2], ["/first", EXPORT]);
    assert!(!String::from_utf8_lossy(&bytes).contains(EXPORT), "the client encodes what it sends");
}

proptest! {
    #[test]
    fn however_it_is_cut_the_paths_are_the_same(
        sizes in vec(1_usize..80, 1..8), body in 0_usize..300, first_seq: u32,
    ) {
        let bytes = connection(&["/a", EXPORT, "/b"], body);
        prop_assert_eq!(told(&bytes, first_seq, &sizes, usize::MAX), ["/a", EXPORT, "/b"]);
    }

    #[test]
    fn with_holes_no_path_is_made_up(
        sizes in vec(1_usize..400, 1..8), captured in 0_usize..200, body in 0_usize..3000, first_seq: u32,
    ) {
        let paths = ["/a", EXPORT, "/b"];
        let bytes = connection(&paths, body);
        for path in told(&bytes, first_seq, &sizes, captured) {
            prop_assert!(paths.contains(&path.as_str()), "{path}");
        }
    }

    #[test]
    fn any_bytes_are_taken(
        pieces in vec((any::<u32>(), vec(any::<u8>(), 0..200), vec(any::<u8>(), 0..40), 0_u32..500), 0..20),
        opens: bool,
    ) {
        let mut paths = RequestPaths::default();
        if opens {
            paths.sent(0, PREFACE.len() as u32, PREFACE, &[], |_| {});
        }
        for (seq, head, tail, total) in pieces {
            // What follows each other, and what does not.
            let seq = if seq % 3 == 0 { seq } else { 0 };
            paths.sent(seq, total, &head, &tail, |path| assert!(path.len() <= 2048));
        }
    }

    #[test]
    fn any_fields_are_taken(flags: u8, fields in vec(any::<u8>(), 0..300)) {
        let bytes = [PREFACE.to_vec(), frame(1, flags, 1, &fields)].concat();
        told(&bytes, 0, &[usize::MAX], usize::MAX);
    }
}

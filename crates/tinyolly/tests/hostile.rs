//! Malformed, hostile and oversized input: refused with a reason, and the server goes on.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::io::Write;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use serde_json::json;
use support::{JSON, PROTOBUF, Running, attribute, span, text, trace_request};
use tonic::Code;
use tonic::codec::CompressionEncoding;

/// `google.rpc.Status`, as far as it is looked at here.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// What it is, its headers and its body.
type Case = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>);

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// The most this process has had in memory, in bytes.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

/// The server still takes and shows a good request.
async fn assert_works(server: &Running) {
    let before = server.json("/api/stats").await["spans"].as_u64().unwrap();
    let mut good = span(200, 1, before + 1);
    good.name = "good".into();
    let body = trace_request("s", vec![good]).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    assert_eq!(server.json("/api/stats").await["spans"], before + 1);
}

#[tokio::test]
async fn malformed_bodies_are_answered_400_in_their_own_encoding() {
    let server = Running::start().await;
    let good = trace_request("s", vec![span(1, 1, 5)]).encode_to_vec();
    let mut not_utf8 = trace_request("s", vec![span(1, 1, 5)]);
    not_utf8.resource_spans[0].schema_url = "MARK".into();
    let mut not_utf8 = not_utf8.encode_to_vec();
    let at = not_utf8.windows(4).position(|w| w == b"MARK").unwrap();
    not_utf8[at] = 0xff;
    let gzipped = [PROTOBUF, ("content-encoding", "gzip")];
    let mut cut = gzip(&good);
    cut.truncate(cut.len() / 2);
    let cases: Vec<Case> = vec![
        ("truncated", vec![PROTOBUF], good[..good.len() - 3].to_vec()),
        ("noise", vec![PROTOBUF], vec![0xff; 100]),
        ("not utf-8", vec![PROTOBUF], not_utf8),
        ("plain called gzip", gzipped.to_vec(), good.clone()),
        ("truncated gzip", gzipped.to_vec(), cut),
        ("plain called zstd", vec![PROTOBUF, ("content-encoding", "zstd")], good.clone()),
        ("json called protobuf", vec![PROTOBUF], b"{\"resourceSpans\":[]}".to_vec()),
        ("no json", vec![JSON], b"{\"resourceSpans\":[".to_vec()),
        ("empty json", vec![JSON], Vec::new()),
        ("json array", vec![JSON], b"[]".to_vec()),
        ("json with a tail", vec![JSON], b"{} x".to_vec()),
        ("json of the wrong type", vec![JSON], b"{\"resourceSpans\":{}}".to_vec()),
        ("enum by name", vec![JSON], br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":"SPAN_KIND_SERVER"}]}]}]}"#.to_vec()),
        ("id not hex", vec![JSON], br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"xyz"}]}]}]}"#.to_vec()),
        ("time negative", vec![JSON], br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":"-1"}]}]}]}"#.to_vec()),
        ("int too large", vec![JSON], br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"9223372036854775808"}}]}}]}"#.to_vec()),
    ];
    let count = cases.len();
    for (name, headers, body) in cases {
        let (status, content_type, answer) = server.post("traces", &headers, body).await;
        assert_eq!(status, 400, "{name}");
        assert_eq!(content_type, headers[0].1, "{name}");
        let (code, message) = if headers[0] == JSON {
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            (answer["code"].as_i64().unwrap() as i32, answer["message"].as_str().unwrap().to_owned())
        } else {
            let answer = RpcStatus::decode(answer.as_slice()).unwrap();
            (answer.code, answer.message)
        };
        assert_eq!(code, Code::InvalidArgument as i32, "{name}");
        assert!(!message.is_empty(), "{name}");
    }
    assert_eq!(server.json("/api/stats").await["rejected"]["malformed_requests"], count);
    assert_eq!(server.json("/api/stats").await["spans"], 0);
    assert_works(&server).await;
}

#[tokio::test]
async fn wrong_method_type_encoding_and_path() {
    let server = Running::start().await;
    assert_eq!(server.post("traces", &[("content-type", "text/plain")], Vec::new()).await.0, 415);
    assert_eq!(server.post("traces", &[], Vec::new()).await.0, 415);
    assert_eq!(server.post("traces", &[PROTOBUF, ("content-encoding", "br")], Vec::new()).await.0, 415);
    assert_eq!(server.post("profiles", &[PROTOBUF], Vec::new()).await.0, 404);
    assert_eq!(server.client.get(server.otlp("traces")).send().await.unwrap().status(), 405);
    assert_works(&server).await;
}

#[tokio::test]
async fn oversized_requests_and_bombs_are_refused_at_the_limit() {
    let server = Running::start().await;
    let big = vec![0; (4 << 20) + 1];
    assert_eq!(server.post("traces", &[PROTOBUF], big).await.0, 413);
    let bomb = gzip(&vec![0; 200 << 20]);
    assert!(bomb.len() < 4 << 20);
    assert_eq!(server.post("traces", &[PROTOBUF, ("content-encoding", "gzip")], bomb).await.0, 413);
    let bomb = zstd::encode_all(vec![0; 200 << 20].as_slice(), 1).unwrap();
    assert_eq!(server.post("logs", &[JSON, ("content-encoding", "zstd")], bomb).await.0, 413);

    let mut large = span(1, 1, 5);
    large.attributes = vec![attribute("x", text(&"a".repeat(5 << 20)))];
    for encoding in [None, Some(CompressionEncoding::Gzip), Some(CompressionEncoding::Zstd)] {
        let mut client = TraceServiceClient::connect(server.grpc()).await.unwrap();
        if let Some(encoding) = encoding {
            client = client.send_compressed(encoding);
        }
        let refused = client.export(trace_request("s", vec![large.clone()])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{encoding:?}: {refused:?}");
    }
    assert_works(&server).await;
}

#[tokio::test]
async fn many_empty_parts_are_refused_before_they_are_built() {
    let server = Running::start_with(tempfile::tempdir().unwrap(), |config| {
        config.max_request_bytes = 16 << 20;
    })
    .await;
    let gzipped = [PROTOBUF, ("content-encoding", "gzip")];
    let empty = |tag: u8, count: usize| [tag << 3 | 2, 0].repeat(count);
    let item = |inner: &[u8]| field(1, &field(2, &field(2, inner)));
    let records = field(1, &field(2, &empty(2, 8_000_000)));
    let attributes = item(&empty(9, 8_000_000));
    let values = item(&field(9, &field(2, &field(5, &empty(1, 8_000_000)))));
    let scopes = field(1, &empty(2, 8_000_000));
    let before = peak_memory();
    assert_eq!(server.post("logs", &gzipped, gzip(&records)).await.0, 413);
    for body in [&records, &attributes, &values, &scopes] {
        assert_eq!(server.post("traces", &gzipped, gzip(body)).await.0, 413);
    }
    let objects = format!(
        r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{}{{}}]}}]}}]}}"#,
        "{},".repeat(5_000_000)
    );
    let gzipped = [JSON, ("content-encoding", "gzip")];
    assert_eq!(server.post("logs", &gzipped, gzip(objects.as_bytes())).await.0, 413);
    let grown = peak_memory().saturating_sub(before);
    // Built, the first of them alone would be 1.5 GiB; other tests in this process take some as well.
    assert!(grown < 800 << 20, "{} MiB", grown >> 20);
    // What batches hold at most is taken.
    let many = (0..50_000_u64).map(|n| {
        let mut span = span(1, 1, n);
        span.span_id = (n + 1).to_be_bytes().to_vec();
        span
    });
    let body = trace_request("s", many.collect()).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
    assert_works(&server).await;
}

/// A length-delimited protobuf field around `inner`.
fn field(tag: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag << 3 | 2];
    prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
    bytes.extend(inner);
    bytes
}

/// A trace request with an attribute of `depth` arrays inside each other, written from the inside out: the generated
/// encoder recurses, and this test must not be what overflows.
fn nested(depth: usize) -> Vec<u8> {
    let mut any_value = vec![0x10, 1];
    for _ in 0..depth {
        any_value = field(5, &field(1, &any_value));
    }
    let attribute = [field(1, b"deep"), field(2, &any_value)].concat();
    let mut deep = span(1, 1, 5).encode_to_vec();
    deep.extend(field(9, &attribute));
    field(1, &field(2, &field(2, &deep)))
}

#[tokio::test]
async fn deep_nesting_is_refused_and_what_is_accepted_comes_back() {
    let server = Running::start().await;
    let mut deepest = None;
    for depth in [1, 10, 30, 45, 60, 1000, 20_000] {
        let (status, _, _) = server.post("traces", &[PROTOBUF], nested(depth)).await;
        assert!(status == 200 || status == 400, "{depth}: {status}");
        if status == 200 {
            deepest = Some(depth);
        }
    }
    assert!((10..1000).contains(&deepest.unwrap()), "{deepest:?}");
    for depth in [10_usize, 100_000] {
        let open = r#"{"arrayValue":{"values":["#.repeat(depth);
        let close = "]}}".repeat(depth);
        let body = format!(
            r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{open}{{"intValue":1}}{close}}}]}}]}}]}}"#
        );
        let (status, _, _) = server.post("logs", &[JSON], body.into_bytes()).await;
        assert_eq!(status, if depth == 10 { 200 } else { 400 });
    }
    assert_eq!(server.get(&format!("/api/traces/{}", "01".repeat(16))).await.0, 200);
    assert_eq!(server.get("/api/logs").await.0, 200);
    assert_works(&server).await;
}

#[tokio::test]
async fn malformed_grpc_is_invalid_argument() {
    let server = Running::start().await;
    let framed = |flag: u8, message: &[u8]| {
        let mut body = vec![flag];
        body.extend((message.len() as u32).to_be_bytes());
        body.extend(message);
        body
    };
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let send = async |path: &str, encoding: &str, body: Vec<u8>| {
        let request =
            client.post(format!("{}{path}", server.grpc())).header("content-type", "application/grpc");
        let response = request.header("grpc-encoding", encoding).body(body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.headers().get("grpc-status").map(|v| v.to_str().unwrap().parse::<i32>().unwrap())
    };
    let invalid = Some(Code::InvalidArgument as i32);
    assert_eq!(send(path, "identity", framed(0, &[0xff; 10])).await, invalid, "noise");
    assert_eq!(send(path, "gzip", framed(1, b"no gzip")).await, invalid, "bad gzip");
    assert_eq!(send(path, "identity", framed(7, b"")).await, invalid, "bad flag");
    assert_eq!(send(path, "identity", framed(0, b"")[..3].to_vec()).await, invalid, "cut frame");
    assert_eq!(send(path, "identity", Vec::new()).await, invalid, "no message");
    let unimplemented = Some(Code::Unimplemented as i32);
    assert_eq!(send("/nobody.Here/Export", "identity", framed(0, b"")).await, unimplemented);
    assert_eq!(send(path, "snappy", framed(1, b"x")).await, unimplemented, "unknown encoding");
    assert_eq!(server.json("/api/stats").await["rejected"]["malformed_requests"], 6);
    assert_works(&server).await;
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let directory = tempfile::tempdir().unwrap();
    // A budget of one byte lets one request through at a time.
    let server = Running::start_with(directory, |config| config.store.queue_bytes = 1).await;
    let body = trace_request("s", (1..200).map(|n| span(n, n, 5)).collect()).encode_to_vec();
    let mut sending = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let request =
            server.client.post(server.otlp("traces")).header(PROTOBUF.0, PROTOBUF.1).body(body.clone());
        sending.spawn(async move { request.send().await.unwrap() });
    }
    let (mut accepted, mut refused) = (0, 0);
    while let Some(response) = sending.join_next().await {
        let response = response.unwrap();
        match response.status().as_u16() {
            200 => accepted += 1,
            429 => {
                refused += 1;
                assert_eq!(response.headers()["retry-after"], "1");
            }
            other => panic!("{other}"),
        }
    }
    assert!(accepted > 0);
    assert!(refused > 0);
    assert_eq!(server.json("/api/stats").await["rejected"]["overloaded_requests"], refused);
    assert_works(&server).await;
}

#[tokio::test]
async fn the_api_refuses_what_it_does_not_understand() {
    let server = Running::start().await;
    for path in [
        "/api/traces?limit=0",
        "/api/traces?limit=5001",
        "/api/traces?limit=ten",
        "/api/traces?servise=a",
        "/api/traces/xyz",
        "/api/traces/0102",
        "/api/spans?trace_id=1",
        "/api/logs?severity_min=99",
        "/api/logs?span_id=zz",
        "/api/metrics?limit=-1",
        "/api/metrics/x?start=5&end=4",
        "/api/metrics/x?start=yesterday",
        "/api/traces?limit=1&limit=2",
    ] {
        let response = server.client.get(format!("http://{}{path}", server.at.ui)).send().await.unwrap();
        assert_eq!(response.status(), 400, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!((&body["type"], &body["status"]), (&json!("about:blank"), &json!(400)), "{path}");
        assert!(body["detail"].as_str().is_some_and(|d| !d.is_empty()), "{path}");
    }
    assert_eq!(server.get(&format!("/api/traces/{}", "ab".repeat(16))).await.0, 404);
    assert_eq!(server.get("/api/nothing").await.0, 404);
    assert_eq!(
        server.client.post(format!("http://{}/api/traces", server.at.ui)).send().await.unwrap().status(),
        405
    );
}

#[tokio::test]
async fn foreign_pages_get_nothing() {
    let server = Running::start().await;
    let get = async |path: &str, name: &str, value: &str| {
        let request = server.client.get(format!("http://{}{path}", server.at.ui)).header(name, value);
        request.send().await.unwrap().status().as_u16()
    };
    for path in ["/", "/api/stats", "/health"] {
        assert_eq!(get(path, "host", "evil.example").await, 403, "{path}");
        assert_eq!(get(path, "origin", "http://evil.example").await, 403, "{path}");
        assert_eq!(get(path, "host", "localhost:5005").await, 200, "{path}");
    }
    for (name, value) in [("host", "evil.example"), ("origin", "http://evil.example")] {
        let (status, _, _) = server.post("traces", &[JSON, (name, value)], b"{}".to_vec()).await;
        assert_eq!(status, 403, "{name}");
    }
    assert_works(&server).await;
}

#[tokio::test]
async fn pages_carry_their_protection() {
    let server = Running::start().await;
    let get =
        async |path: &str| server.client.get(format!("http://{}{path}", server.at.ui)).send().await.unwrap();
    for path in ["/", "/traces/anything"] {
        let page = get(path).await;
        assert_eq!(page.status(), 200);
        assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
        assert_eq!(page.headers()["x-content-type-options"], "nosniff");
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("script-src 'self';"), "{policy}");
    }
    assert_eq!(get("/assets/missing.js").await.status(), 404);
    assert_eq!(get("/..%2f..%2fCargo.toml").await.status(), 404);
}

#[tokio::test]
async fn live_pages_hear_of_new_data() {
    let server = Running::start().await;
    let mut stream = server.client.get(format!("http://{}/api/live", server.at.ui)).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: stats\ndata: {"), "{first:?}");
    assert_works(&server).await;
    let second = String::from_utf8(stream.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(second.contains("\"spans\":1"), "{second}");
    // The open stream does not hold up the shutdown.
    let started = std::time::Instant::now();
    server.stop().await;
    assert!(started.elapsed() < std::time::Duration::from_secs(4));
    assert!(stream.chunk().await.unwrap().is_none());
}

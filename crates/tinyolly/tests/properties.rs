//! Arbitrary bytes never bring a receiver down, and are never its fault.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use proptest::prelude::*;
use prost::Message;
use support::{JSON, PROTOBUF, Running, span, trace_request};

/// Noise, and good requests with a few bytes changed, which get further.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let good = trace_request("s", vec![span(1, 1, 5), span(2, 2, 6)]).encode_to_vec();
    let json = br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"a","value":{"intValue":"1"}}]},"scopeSpans":[{"spans":[{"traceId":"01010101010101010101010101010101","spanId":"0101010101010101","startTimeUnixNano":5}]}]}]}"#;
    let changed = |base: Vec<u8>| {
        let length = base.len();
        prop::collection::vec((0..length, any::<u8>()), 0..6).prop_flat_map(move |changes| {
            let mut bytes = base.clone();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            (Just(bytes), 0..=length).prop_map(|(mut bytes, end)| {
                bytes.truncate(end);
                bytes
            })
        })
    };
    prop_oneof![prop::collection::vec(any::<u8>(), 0..300), changed(good), changed(json.to_vec())]
}

#[test]
fn no_body_makes_a_receiver_fail() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(Running::start());
    let h2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let signals = prop::sample::select(vec!["traces", "metrics", "logs"]);
    let headers = prop::sample::select(vec![
        vec![PROTOBUF],
        vec![JSON],
        vec![PROTOBUF, ("content-encoding", "gzip")],
        vec![JSON, ("content-encoding", "zstd")],
    ]);
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(body in hostile(), signal in signals, headers in headers, flag in 0..2_u8)| {
        let (status, _, _) = runtime.block_on(server.post(signal, &headers, body.clone()));
        prop_assert!(status == 200 || status == 400, "HTTP {}", status);

        let service = match signal {
            "traces" => "trace.v1.TraceService",
            "metrics" => "metrics.v1.MetricsService",
            _ => "logs.v1.LogsService",
        };
        let mut framed = vec![flag];
        framed.extend((body.len() as u32).to_be_bytes());
        framed.extend(&body);
        let request = h2
            .post(format!("{}/opentelemetry.proto.collector.{service}/Export", server.grpc()))
            .header("content-type", "application/grpc")
            .header("grpc-encoding", "gzip")
            .body(framed);
        let response = runtime.block_on(request.send()).unwrap();
        let status = response.headers().get("grpc-status").map_or("0", |v| v.to_str().unwrap()).to_owned();
        prop_assert!(status == "0" || status == "3", "gRPC {}", status);
    });
    for path in [
        "/api/traces?limit=5000",
        "/api/spans?limit=5000",
        "/api/logs",
        "/api/metrics",
        "/api/stats",
        "/health",
    ] {
        assert_eq!(runtime.block_on(server.get(path)).0, 200, "{path}");
    }
    runtime.block_on(server.stop());
}

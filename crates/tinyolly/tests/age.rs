//! Retention by age, and what an operator is told.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prost::Message;
use support::{PROTOBUF, Running, span, trace_request};

async fn send(server: &Running, trace: u8, start_ns: u64) {
    let body = trace_request("s", vec![span(trace, 1, start_ns)]).encode_to_vec();
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
}

#[tokio::test]
async fn what_is_too_old_goes_even_while_nothing_arrives() {
    let server = Running::start_with(tempfile::tempdir().unwrap(), |config| {
        config.store.max_age = Some(Duration::from_secs(2));
    })
    .await;
    // By arrival, whatever time the spans tell.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    for (trace, start) in [(1, 5), (2, now), (3, u64::MAX / 2)] {
        send(&server, trace, start).await;
    }
    let begun = Instant::now();
    assert_eq!(server.json("/api/stats").await["spans"], 3);
    loop {
        let stats = server.json("/api/stats").await;
        if stats["spans"] == 0 {
            assert_eq!(stats["traces"], 0);
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{stats}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(1500), "not before its time: {:?}", begun.elapsed());
    let catalog = server.json("/api/service-catalog?start=0&end=18446744073709551615").await;
    assert_eq!(catalog, serde_json::json!([]));
    // What comes next is stored as ever.
    send(&server, 4, now).await;
    assert_eq!(server.json("/api/traces").await[0]["trace_id"], "04".repeat(16));
    server.stop().await;
}

#[tokio::test]
async fn without_an_age_all_stays_and_an_operator_is_told() {
    let server = Running::start().await;
    let admin = server.json("/admin/stats").await;
    assert_eq!(admin["telemetry"]["spans"], 0);
    assert_eq!(admin["db"]["max_age_s"], serde_json::Value::Null);
    send(&server, 1, 5).await;
    let admin = server.json("/admin/stats").await;
    assert_eq!((&admin["telemetry"]["spans"], &admin["cardinality"]["services"]), (&1.into(), &1.into()));
    assert_eq!(admin["db"]["max_size_bytes"], 512 << 20);
    assert!(admin["db"]["oldest_arrival"].is_string());
    assert!(admin["db"]["size_bytes"].as_u64().unwrap() >= admin["db"]["used_bytes"].as_u64().unwrap() / 2);
    assert_eq!(server.get("/admin/nothing").await.0, 404);
    server.stop().await;
}

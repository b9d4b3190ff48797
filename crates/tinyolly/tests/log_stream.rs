//! The log stream leaves nothing out.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::Running;
use tinyolly::store::query::{Budget, LogFilter, logs_after};

/// Events as they come: name, id, data.
struct Reader {
    response: reqwest::Response,
    text: String,
}

impl Reader {
    async fn open(server: &Running, query: &str, last: Option<&str>) -> Self {
        let mut request = server.client.get(format!("http://{}/api/logs/stream{query}", server.at.ui));
        if let Some(id) = last {
            request = request.header("last-event-id", id);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    async fn next(&mut self) -> (String, String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let found = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    found.unwrap_or_default().to_owned()
                };
                let found = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if !found.0.is_empty() {
                    return (found.0, found.1, serde_json::from_str(&found.2).unwrap());
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap().unwrap()).unwrap());
        }
    }

    /// Reads until an id comes without an event, which is what a browser then remembers.
    async fn id_alone(&mut self) -> String {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let id = event.strip_prefix("id: ").filter(|id| !id.contains('\n')).map(str::to_owned);
                self.text = rest.to_owned();
                if let Some(id) = id {
                    return id;
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.response.chunk()).await;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap().unwrap()).unwrap());
        }
    }

    async fn messages(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            let (name, _, data) = self.next().await;
            assert_eq!(name, "log");
            found.push(data["message"].as_str().unwrap().to_owned());
        }
        found
    }
}

async fn send(server: &Running, service: &str, severity: i32, messages: impl Iterator<Item = String>) {
    let record = |message: String| json!({ "timeUnixNano": "1763829600000000000", "severityNumber": severity, "body": { "stringValue": message } });
    let records: Vec<Value> = messages.map(record).collect();
    let name = json!({ "key": "service.name", "value": { "stringValue": service } });
    let logs = json!({ "resource": { "attributes": [name] }, "scopeLogs": [{ "logRecords": records }] });
    server.accept("logs", json!({ "resourceLogs": [logs] })).await;
}

fn numbered(range: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    range.map(|n| format!("m{n}"))
}

#[tokio::test]
async fn every_record_comes_once_and_in_order_while_batches_race() {
    let server = Running::start().await;
    send(&server, "before", 9, numbered(0..3)).await;
    let mut reader = Reader::open(&server, "", None).await;
    for batch in 0..40 {
        send(&server, "s", 9, numbered(batch * 50..(batch + 1) * 50)).await;
    }
    assert_eq!(reader.messages(2000).await, numbered(0..2000).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_comes_back_goes_on_where_it_was() {
    let server = Running::start().await;
    send(&server, "s", 9, numbered(0..10)).await;
    let mut reader = Reader::open(&server, "?backlog=4", None).await;
    assert_eq!(reader.messages(3).await, ["m6", "m7", "m8"]);
    let (_, id, _) = reader.next().await;
    drop(reader);
    send(&server, "s", 9, numbered(10..1300)).await;
    // What the browser saw last counts for more than what the page asked for.
    let mut reader = Reader::open(&server, "?backlog=4", Some(&id)).await;
    assert_eq!(reader.messages(1290).await, numbered(10..1300).collect::<Vec<_>>());
    let mut reader = Reader::open(&server, &format!("?after={id}"), None).await;
    assert_eq!(reader.messages(1).await, ["m10"]);
    // A number of another file's: from now on.
    let mut reader = Reader::open(&server, "", Some("9000000000000000000")).await;
    send(&server, "s", 9, numbered(2000..2001)).await;
    assert_eq!(reader.messages(1).await, ["m2000"]);
    server.stop().await;
}

#[tokio::test]
async fn filters_hold_in_the_stream() {
    let server = Running::start().await;
    let mut errors = Reader::open(&server, "?severity_min=ERROR", None).await;
    let mut later = Reader::open(&server, "?service=new&q=needle", None).await;
    send(&server, "old", 9, numbered(0..5)).await;
    send(&server, "new", 17, numbered(5..6)).await;
    send(&server, "new", 9, ["a Needle".to_owned()].into_iter()).await;
    assert_eq!(errors.messages(1).await, ["m5"]);
    assert_eq!(later.messages(1).await, ["a Needle"]);
    for bad in ["?after=x", "?after=-1", "?backlog=1001", "?limit=5", "?severity=loud"] {
        assert_eq!(server.get(&format!("/api/logs/stream{bad}")).await.0, 400, "{bad}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_was_deleted_meanwhile_is_told() {
    let server = Running::start_with(tempfile::tempdir().unwrap(), |config| {
        config.store.max_bytes = 4 << 20;
    })
    .await;
    let noise = |n: usize| (0..100).map(move |i| format!("{n}-{i}-{}", "x".repeat(1000 + n * 7 + i)));
    let mut sent = 0;
    while sent < 30_000 && server.json("/api/stats").await["logs"] == sent {
        // Bytes that do not compress, so that the file fills.
        let random = |text: String| {
            let digits = (0..1500_u64).map(|at| {
                let mixed = (at + 1)
                    .wrapping_mul(text.len() as u64 ^ 0x9E37_79B9_7F4A_7C15)
                    .rotate_left(at as u32 % 64);
                char::from(b'!' + (mixed.wrapping_mul(0xD134_2543_DE82_EF95) >> 57) as u8 % 90)
            });
            digits.collect::<String>()
        };
        send(&server, "s", 9, noise(sent).map(random)).await;
        sent += 100;
    }
    let mut reader = Reader::open(&server, "?after=0", None).await;
    let (name, _, data) = reader.next().await;
    assert_eq!(name, "gap", "after {sent}");
    let (_, id, _) = reader.next().await;
    assert_eq!(id, (data["deleted"].as_i64().unwrap() + 1).to_string());
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_was_sent_no_record_yet_misses_none() {
    let server = Running::start().await;
    send(&server, "s", 9, numbered(0..3)).await;
    let mut reader = Reader::open(&server, "?service=s", None).await;
    let begun = reader.id_alone().await;
    assert_eq!(begun, "3");
    send(&server, "other", 9, numbered(3..5)).await;
    assert_eq!(reader.id_alone().await, "5", "it is told how far was looked");
    drop(reader);
    send(&server, "s", 9, numbered(5..7)).await;
    for last in [begun.as_str(), "5"] {
        let mut reader = Reader::open(&server, "?service=s", Some(last)).await;
        assert_eq!(reader.messages(2).await, ["m5", "m6"]);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_number_of_another_file_hides_nothing_of_an_empty_one() {
    let server = Running::start().await;
    let mut reader = Reader::open(&server, "", Some("1000")).await;
    assert_eq!(reader.id_alone().await, "0");
    send(&server, "s", 9, numbered(0..10)).await;
    assert_eq!(reader.messages(10).await, numbered(0..10).collect::<Vec<_>>());
    server.stop().await;
}

#[tokio::test]
async fn a_look_ends_with_its_time_and_the_next_goes_on() {
    let server = Running::start().await;
    send(&server, "s", 9, numbered(0..1200)).await;
    let directory = server.stop().await;
    let db = rusqlite::Connection::open(directory.path().join("t.db")).unwrap();
    let filter = LogFilter::default();
    let look = |after| logs_after(&db, &filter, after, 5000, Budget::of(Duration::ZERO)).unwrap();
    let (mut seen, mut found, mut looks) = (0, Vec::new(), 0);
    loop {
        let tail = look(seen);
        found.extend(tail.logs.iter().map(|log| log.id));
        (seen, looks) = (tail.seen, looks + 1);
        if !tail.more {
            break;
        }
    }
    assert!(looks > 1, "one look read all");
    assert_eq!(found, (1..=1200).collect::<Vec<i64>>());
}

#[tokio::test]
async fn too_many_streams_are_refused_until_some_end() {
    let server = Running::start().await;
    let mut open = Vec::new();
    for at in 0..64 {
        let path = if at % 2 == 0 { "/api/live" } else { "/api/logs/stream" };
        open.push(server.client.get(format!("http://{}{path}", server.at.ui)).send().await.unwrap());
        assert_eq!(open[at].status(), 200);
    }
    for path in ["/api/live", "/api/logs/stream"] {
        let (status, body) = server.get(path).await;
        assert_eq!((status, &body["status"]), (503, &json!(503)), "{path}");
    }
    open.clear();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while server.client.get(format!("http://{}/api/live", server.at.ui)).send().await.unwrap().status() != 200
    {
        assert!(std::time::Instant::now() < deadline, "the streams did not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}

//! What was acknowledged is there after a restart, a SIGTERM and a SIGKILL; and old data goes at the limit.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use prost::Message;
use serde_json::json;
use support::{PROTOBUF, Running, attribute, file_size, span, text, trace_request};

/// The real program on free ports.
struct Program {
    child: Child,
    ui: String,
    http: String,
}

impl Program {
    fn start(database: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tinyolly"))
            .args(["--ui-port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0", "--db"])
            .arg(database)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.find_map(|line| line.ok().filter(|l| l.contains("listening"))).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let field = |name: &str| {
            let rest = line.split_once(&format!(" {name}=")).unwrap().1;
            rest.split(' ').next().unwrap().to_owned()
        };
        Self { ui: field("ui"), http: field("otlp_http"), child }
    }

    fn signal(&mut self, name: &str) -> std::process::ExitStatus {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn stats(ui: &str) -> serde_json::Value {
    reqwest::get(format!("{ui}/api/stats")).await.unwrap().json().await.unwrap()
}

fn body(trace: u32) -> Vec<u8> {
    let mut spans: Vec<_> =
        (1..=20).map(|n| span(1, n, 1_763_829_600_000_000_000 + u64::from(trace))).collect();
    for span in &mut spans {
        span.trace_id[..4].copy_from_slice(&trace.to_be_bytes());
    }
    trace_request("s", spans).encode_to_vec()
}

#[tokio::test]
async fn everything_acknowledged_survives_sigkill_under_load() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    let mut program = Program::start(&database);
    let client = reqwest::Client::new();
    let acknowledged = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..4_u32 {
        let (client, url, acknowledged) =
            (client.clone(), format!("{}/v1/traces", program.http), acknowledged.clone());
        senders.spawn(async move {
            let mut kept = Vec::new();
            for n in 0.. {
                let trace = sender << 24 | n;
                let sent = client.post(&url).header(PROTOBUF.0, PROTOBUF.1).body(body(trace)).send().await;
                match sent {
                    Ok(response) if response.status() == 200 => kept.push(trace),
                    _ => break,
                }
                acknowledged.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            kept
        });
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while acknowledged.load(std::sync::atomic::Ordering::Relaxed) < 200 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    program.signal("KILL");
    let kept = senders.join_all().await.concat();
    assert!(kept.len() >= 200);

    let program = Program::start(&database);
    for trace in &kept {
        let mut id = [1; 16];
        id[..4].copy_from_slice(&trace.to_be_bytes());
        let hex: String = id.iter().map(|b| format!("{b:02x}")).collect();
        let found: serde_json::Value =
            reqwest::get(format!("{}/api/traces/{hex}", program.ui)).await.unwrap().json().await.unwrap();
        assert_eq!(found["span_count"], 20, "{hex}");
    }
    let after = stats(&program.ui).await;
    assert!(after["traces"].as_u64().unwrap() >= kept.len() as u64);
    assert_eq!(after["spans"].as_u64().unwrap(), after["traces"].as_u64().unwrap() * 20);
}

#[tokio::test]
async fn sigterm_ends_in_order_and_leaves_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    let mut program = Program::start(&database);
    let post =
        reqwest::Client::new().post(format!("{}/v1/traces", program.http)).header(PROTOBUF.0, PROTOBUF.1);
    assert_eq!(post.body(body(1)).send().await.unwrap().status(), 200);
    assert_eq!(program.signal("TERM").code(), Some(0));
    assert_eq!(file_size(&directory.path().join("t.db-wal")), 0);
    let mut program = Program::start(&database);
    assert_eq!(stats(&program.ui).await["spans"], 20);
    assert_eq!(program.signal("INT").code(), Some(0));
}

#[test]
fn a_taken_port_is_one_line_and_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let run = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_tinyolly")).args(args).output().unwrap();
    let output = run(&[
        "--ui-port",
        &port,
        "--otlp-grpc-port",
        "0",
        "--otlp-http-port",
        "0",
        "--db",
        "/nonexistent/x",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(&port) && said.contains("in use"), "{said}");
    assert_eq!(run(&["--max-db-size", "none"]).status.code(), Some(2));
    assert_eq!(run(&["--log", "=="]).status.code(), Some(2));
}

#[tokio::test]
async fn a_database_in_use_is_one_line_and_exit_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    let mut program = Program::start(&database);
    let other_name = directory.path().join("link.db");
    std::os::unix::fs::symlink(&database, &other_name).unwrap();
    for name in [&database, &other_name] {
        let output = Command::new(env!("CARGO_BIN_EXE_tinyolly"))
            .args(["--ui-port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0", "--db"])
            .arg(name)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("in use by another tinyolly"), "{said}");
    }
    program.signal("KILL");
    let mut program = Program::start(&database);
    assert_eq!(program.signal("TERM").code(), Some(0));
}

#[tokio::test]
async fn health_says_when_nothing_is_stored() {
    let server = Running::start().await;
    let database = rusqlite::Connection::open(server.directory.path().join("t.db")).unwrap();
    assert_eq!(server.get("/health").await.0, 200);
    database.execute_batch("ALTER TABLE span RENAME TO elsewhere").unwrap();
    assert_eq!(server.post("traces", &[PROTOBUF], body(1)).await.0, 503);
    let (status, said) = server.get("/health").await;
    assert_eq!((status, &said["status"]), (503, &json!("unavailable")));
    assert!(said["detail"].as_str().unwrap().contains("could not write"), "{said}");
    database.execute_batch("ALTER TABLE elsewhere RENAME TO span").unwrap();
    assert_eq!(server.post("traces", &[PROTOBUF], body(1)).await.0, 200);
    assert_eq!(server.get("/health").await.0, 200);
}

#[tokio::test]
async fn a_restart_goes_on_where_it_ended() {
    let server = Running::start().await;
    let late = |name: &str| {
        json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": name, "gauge": {"dataPoints": [
            {"timeUnixNano": "1763829600000000000", "asInt": 1}]}}]}]}]})
    };
    assert_eq!(server.post("traces", &[PROTOBUF], body(1)).await.0, 200);
    server.accept("metrics", late("m")).await;
    let directory = server.stop().await;
    let server = Running::start_with(directory, |_| {}).await;
    assert_eq!(server.post("traces", &[PROTOBUF], body(1)).await.0, 200, "the same again");
    assert_eq!(server.post("traces", &[PROTOBUF], body(2)).await.0, 200);
    server.accept("metrics", late("m")).await;
    let stats = server.json("/api/stats").await;
    assert_eq!((&stats["traces"], &stats["spans"]), (&json!(2), &json!(40)));
    assert_eq!((&stats["metrics"], &stats["metric_points"]), (&json!(1), &json!(2)));
    let list = server.json("/api/metrics").await;
    assert_eq!((&list[0]["series_count"], &list[0]["point_count"]), (&json!(1), &json!(2)));
    assert_eq!(list[0]["services"], json!(["unknown_service"]));
}

#[tokio::test]
async fn at_the_limit_the_oldest_go_from_all_tables_and_the_file_stays_small() {
    const LIMIT: u64 = 4 << 20;
    let directory = tempfile::tempdir().unwrap();
    let server = Running::start_with(directory, |config| config.store.max_bytes = LIMIT).await;
    // Random text does not compress, so every round adds about 400 KiB.
    let mut state = 1_u32;
    let mut noise = move || {
        let mut letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'!' + (state >> 24) as u8 % 90)
        };
        (0..1500).map(|_| letter()).collect::<String>()
    };
    for round in 0..40_u32 {
        let spans = (0..200_u32).map(|n| {
            let mut span = span(1, 1, 1_763_829_600_000_000_000 + u64::from(round));
            span.trace_id[..4].copy_from_slice(&(round << 16 | n).to_be_bytes());
            span.attributes = vec![attribute("noise", text(&noise()))];
            span
        });
        let body = trace_request(&format!("service {round}"), spans.collect()).encode_to_vec();
        assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 200);
        let point = json!({"timeUnixNano": "1763829600000000000", "asInt": round.to_string()});
        let metric = json!({"name": format!("m{round}"), "gauge": {"dataPoints": vec![point; 4096]}});
        server
            .accept("metrics", json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}))
            .await;
        let record = json!({"body": {"stringValue": format!("round {round}")}});
        server.accept("logs", json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})).await;
    }
    let file = server.directory.path().join("t.db");
    // Retention runs after the acknowledgement, so it may be a moment behind.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while file_size(&file) > LIMIT {
        assert!(std::time::Instant::now() < deadline, "{} bytes", file_size(&file));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let stats = server.json("/api/stats").await;
    let traces = server.json("/api/traces?limit=5000").await;
    let traces = traces.as_array().unwrap();
    assert_eq!(stats["traces"].as_u64().unwrap(), traces.len() as u64, "totals follow");
    assert!((200..8000).contains(&traces.len()), "{}", traces.len());
    assert_eq!(traces[0]["service_name"], "service 39", "the newest are there");
    let logs = server.json("/api/logs?limit=5000").await;
    let logs = logs.as_array().unwrap();
    assert!(logs.len() < 40);
    assert_eq!(logs[0]["message"], "round 39");
    let metrics = server.json("/api/metrics?limit=5000").await;
    let metrics = metrics.as_array().unwrap();
    assert!(metrics.len() < 40 && metrics.iter().any(|m| m["name"] == "m39"));
    assert_eq!(server.json("/api/traces?service=service%200").await, json!([]));
}

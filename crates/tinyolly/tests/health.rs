//! `tinyolly health`, the program, against servers that are well, not well, and not there.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

mod support;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{PROTOBUF, Running, file_size, span, trace_request};

fn tinyolly(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinyolly"));
    command.env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command
}

/// The server as a program on free ports.
struct Program {
    child: Child,
    ui: SocketAddr,
}

impl Program {
    fn start(database: &std::path::Path, variables: &[(&str, &str)]) -> Self {
        let mut child = tinyolly(variables)
            .args(["--ui-port", "0", "--otlp-grpc-port", "0", "--otlp-http-port", "0", "--db"])
            .arg(database)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.find_map(|line| line.ok().filter(|l| l.contains("listening"))).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let ui = line.split_once(" ui=http://").unwrap().1.split(' ').next().unwrap();
        Self { ui: ui.parse().unwrap(), child }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Exit code and what was said; nothing is said on stdout.
fn health(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = tinyolly(variables).arg("health").args(arguments).output().unwrap();
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

const HEALTHY: (Option<i32>, String) = (Some(0), String::new());

#[test]
fn a_server_is_healthy_until_it_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("t.db");
    let program = Program::start(&database, &[]);
    let port = program.ui.port().to_string();
    let size = file_size(&database);
    assert_eq!(health(&["--ui-port", &port], &[]), HEALTHY);
    // Beside the server, with all of its variables; a proxy of the environment is not asked.
    let all = [
        ("TINYOLLY_HOST", "127.0.0.1"),
        ("TINYOLLY_UI_PORT", port.as_str()),
        ("TINYOLLY_DB", database.to_str().unwrap()),
        ("http_proxy", "http://127.0.0.1:1"),
    ];
    assert_eq!(health(&[], &all), HEALTHY);
    assert_eq!(file_size(&database), size);
    drop(program);
    let (code, said) = health(&[], &all);
    assert_eq!(code, Some(1), "{said}");
    let refused = format!("tinyolly: GET http://127.0.0.1:{port}/health: connect: Connection refused");
    assert!(said.starts_with(&refused), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_server_for_all_addresses_with_an_allowed_host_is_asked_on_loopback() {
    let directory = tempfile::tempdir().unwrap();
    let variables = [("TINYOLLY_HOST", "0.0.0.0"), ("TINYOLLY_ALLOWED_HOST", "olly.example")];
    let program = Program::start(&directory.path().join("t.db"), &variables);
    assert_eq!(health(&["--ui-port", &program.ui.port().to_string()], &variables), HEALTHY);
}

#[tokio::test]
async fn a_server_that_cannot_store_says_why() {
    let server = Running::start().await;
    let database = rusqlite::Connection::open(server.directory.path().join("t.db")).unwrap();
    database.execute_batch("ALTER TABLE span RENAME TO elsewhere").unwrap();
    let body =
        prost::Message::encode_to_vec(&trace_request("s", vec![span(1, 1, 1_763_829_600_000_000_000)]));
    assert_eq!(server.post("traces", &[PROTOBUF], body).await.0, 503);
    let port = server.at.ui.port().to_string();
    let asked = tokio::task::spawn_blocking({
        let port = port.clone();
        move || health(&["--ui-port", &port], &[])
    });
    let (code, said) = asked.await.unwrap();
    assert_eq!(code, Some(1), "{said}");
    let start = format!("tinyolly: GET http://127.0.0.1:{port}/health: 503 Service Unavailable: ");
    assert!(said.starts_with(&start) && said.contains("could not write"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_server_that_never_answers_is_given_two_seconds() {
    // The kernel accepts the connection; nobody reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let asked = Instant::now();
    let (code, said) = health(&["--ui-port", &at.port().to_string()], &[]);
    assert_eq!((code, said), (Some(1), format!("tinyolly: GET http://{at}/health: no answer within 2 s\n")));
    let took = asked.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
}

#[test]
fn what_cannot_be_asked_is_refused() {
    for (arguments, part) in [
        (&["--ui-port", "0"][..], "--ui-port 0"),
        (&["--host", "localhost"], "--host <IP>"),
        (&["--db", "x.db"], "--db"),
        (&["now"], "now"),
    ] {
        let (code, said) = health(arguments, &[]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(part), "{said}");
    }
    let help = tinyolly(&[]).args(["health", "--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    for part in ["GET /health", "TINYOLLY_HOST", "TINYOLLY_UI_PORT", "Exit codes"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

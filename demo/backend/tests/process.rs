//! The program itself: settings, log lines, signals.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

fn backend() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebpf-backend"));
    command.env_clear().stdin(Stdio::null());
    command
}

fn run(name: &str, value: &str) -> Output {
    backend().env(name, value).output().expect("run ebpf-backend")
}

/// Starts the program on a free port and reads its first log line.
fn start() -> (Child, BufReader<ChildStdout>, SocketAddr) {
    let mut child = backend().env("PORT", "0").stdout(Stdio::piped()).spawn().expect("start");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let first = read_line(&mut lines);
    assert_eq!(first["message"], "Starting demo backend service");
    let address = first["address"].as_str().expect("address").parse().expect("socket address");
    (child, lines, address)
}

fn read_line(lines: &mut impl BufRead) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).expect("read stdout");
    serde_json::from_str(&line).expect("one JSON object a line")
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("run kill");
    assert!(status.success());
}

/// Waits for the end of a process, which has to come within ten seconds.
fn wait(child: &mut Child) -> i32 {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status.code().expect("an exit code, not a signal");
        }
        assert!(Instant::now() < deadline, "still running");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn bad_settings_are_one_line_and_exit_code_two() {
    for (name, value) in [("PORT", "abc"), ("HOST", "example"), ("RUST_LOG", "a=b=c")] {
        let output = run(name, value);
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with(&format!("ebpf-backend: {name}={value:?}: expected ")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_one() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = holder.local_addr().expect("address").port();
    let output = run("PORT", &port.to_string());
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text,
        format!("ebpf-backend: port {port} on 127.0.0.1 is in use (choose another with PORT)\n")
    );
}

#[test]
fn a_request_open_at_the_signal_is_answered_and_logged() {
    for name in ["-TERM", "-INT"] {
        let (mut child, mut lines, address) = start();
        let body = r#"{"amount": 20}"#;
        let mut stream = TcpStream::connect(address).expect("connect");
        write!(
            stream,
            "POST /process-payment HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("send");
        let processing = read_line(&mut lines);
        assert_eq!(
            (&processing["message"], &processing["level"]),
            (&"Processing payment".into(), &"INFO".into())
        );
        assert_eq!(processing["amount"], 20.0);
        let timestamp = processing["timestamp"].as_str().expect("timestamp");
        assert!(timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T', "{timestamp}");

        signal(&child, name);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 402"), "{answer}");
        assert_eq!(wait(&mut child), 0);
        let rest: Vec<_> = lines.lines().map(|line| line.expect("read")).collect();
        assert!(
            rest.iter().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()))
        );
        assert!(rest.last().expect("a last line").contains("Stopped"));
    }
}

fn health(host: &str, port: u16) -> (Option<i32>, String) {
    let mut command = backend();
    // A proxy of the environment is not asked.
    command.args(["health"]).envs([("HOST", host), ("http_proxy", "http://127.0.0.1:1")]);
    let output = command.env("PORT", port.to_string()).output().expect("run ebpf-backend health");
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

#[test]
fn health_tells_a_service_that_runs_from_one_that_does_not() {
    let (mut child, _lines, address) = start();
    for host in ["127.0.0.1", "0.0.0.0"] {
        assert_eq!(health(host, address.port()), (Some(0), String::new()));
    }
    signal(&child, "-TERM");
    assert_eq!(wait(&mut child), 0);
    let (code, text) = health("127.0.0.1", address.port());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with(&format!("ebpf-backend: GET http://{address}/health: connect: ")), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn health_says_why_a_service_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut request = [0; 1024];
        assert_ne!(stream.read(&mut request).expect("read"), 0);
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 17\r\n\r\n{\"error\": \"full\"}";
        stream.write_all(answer.as_bytes()).expect("answer");
    });
    let expected = format!("ebpf-backend: GET http://{address}/health: 503 Service Unavailable: full\n");
    assert_eq!(health("127.0.0.1", address.port()), (Some(1), expected));
    served.join().expect("no panic");
}

#[test]
fn other_arguments_are_one_line_and_exit_code_two() {
    for arguments in [&["serve"][..], &["--port=1"], &["health", "now"]] {
        let output = backend().args(arguments).output().expect("run ebpf-backend");
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with("ebpf-backend: unexpected argument "), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

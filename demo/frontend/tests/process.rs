//! The program itself: settings, ports, signals.

mod support;

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use support::process::{Running, frontend, run};

#[test]
fn bad_settings_are_one_line_and_exit_code_two() {
    for (name, value) in [
        ("PORT", "5000x"),
        ("HOST", "nowhere"),
        ("BACKEND_URL", "backend:5000"),
        ("AUTO_TRAFFIC", "maybe"),
        ("TRAFFIC_INTERVAL_MIN", "-1"),
        ("RUST_LOG", "a=b=c"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "lzw"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "5s"),
    ] {
        let output = run(name, value);
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.starts_with(&format!("ebpf-frontend: {name}={value:?}: expected ")), "{text}");
        assert_eq!((text.lines().count(), output.stdout.len()), (1, 0), "{text}");
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
        format!("ebpf-frontend: port {port} on 127.0.0.1 is in use (choose another with PORT)\n")
    );
}

#[test]
fn a_request_open_at_the_signal_is_answered() {
    for name in ["TERM", "INT"] {
        let mut running = Running::start(frontend().envs([
            ("PORT", "0"),
            ("AUTO_TRAFFIC", "false"),
            ("OTEL_SDK_DISABLED", "true"),
        ]));
        let mut stream = TcpStream::connect(running.address()).expect("connect");
        stream.write_all(b"GET /calculate HTTP/1.1\r\nhost: x\r\n\r\n").expect("send");
        running.line_with("Calculating sum");
        running.signal(name);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"addition\""), "{answer}");
        assert_eq!(running.exit_code(), Some(0));
        running.line_with("Stopped");
    }
}

#[test]
fn a_collector_that_never_answers_does_not_hold_up_the_end() {
    // Connections are accepted by the kernel and never read.
    let silent = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = silent.local_addr().expect("address").port();
    for endpoint in ["grpc", "http/protobuf"] {
        let mut running = Running::start(
            frontend()
                .envs([("PORT", "0"), ("AUTO_TRAFFIC", "false"), ("OTEL_EXPORTER_OTLP_PROTOCOL", endpoint)])
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{port}")),
        );
        running.address();
        let asked = Instant::now();
        running.signal("TERM");
        assert_eq!(running.exit_code(), Some(0));
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    }
}

#[test]
fn health_tells_a_service_that_runs_from_one_that_does_not() {
    let mut running = Running::start(frontend().envs([
        ("PORT", "0"),
        ("AUTO_TRAFFIC", "false"),
        ("OTEL_SDK_DISABLED", "true"),
    ]));
    let address = running.address();
    // What only serving needs may be wrong; a proxy of the environment is not asked.
    let health = || {
        let mut command = frontend();
        command.arg("health").envs([("BACKEND_URL", "nowhere"), ("http_proxy", "http://127.0.0.1:1")]);
        let output = command.env("PORT", address.port().to_string()).output().expect("run");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    assert_eq!(health(), (Some(0), String::new()));
    running.signal("TERM");
    assert_eq!(running.exit_code(), Some(0));
    let (code, text) = health();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with(&format!("ebpf-frontend: GET http://{address}/health: connect: ")), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn an_unknown_argument_is_one_line_and_exit_code_two() {
    let output = frontend().arg("serve").output().expect("run ebpf-frontend");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.starts_with("ebpf-frontend: unexpected argument \"serve\": "), "{text}");
    assert_eq!((text.lines().count(), output.stdout.len()), (1, 0), "{text}");
}

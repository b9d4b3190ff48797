//! Services with an OpenTelemetry SDK of their own: who exports traces tells its own spans.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::curl,
    forest::{hex, source},
    needs_tracing,
    net::free_port,
    services::{Service, python_hop, python_script, script},
    sink::Sink,
    skipped,
    wait::wait_until,
};

/// Names a Python interpreter that has the SDK; without it, the one that `scripts/test.sh otlp` installs is taken.
const PYTHON_VARIABLE: &str = "OTEL_SDK_PYTHON";

/// A Python interpreter with the SDK and its exporters.
fn sdk_python(test: &str) -> Option<PathBuf> {
    let installed = || {
        let test = std::env::current_exe().expect("path of the test");
        let target = test.ancestors().nth(3).expect("tests lie in PROFILE/deps of the target directory");
        target.join("otlp-venv/bin/python")
    };
    let python = std::env::var_os(PYTHON_VARIABLE).map_or_else(installed, PathBuf::from);
    let import = "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.grpc, opentelemetry.exporter.otlp.proto.http";
    let imported =
        Command::new(&python).args(["-c", import]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if imported.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    skipped(
        test,
        &format!("no OpenTelemetry SDK for Python: run scripts/test.sh otlp, or set {PYTHON_VARIABLE}"),
    );
    None
}

macro_rules! sdk_python_or_skip {
    () => {
        match sdk_python(module_path!()) {
            Some(python) => python,
            None => return,
        }
    };
}

/// Starts the service with an SDK.
fn service(
    python: &PathBuf,
    port: u16,
    collector: &str,
    protocol: &str,
    signal: &str,
    next: Option<u16>,
) -> Service {
    Service::start(port, |_| {
        let mut command = Command::new(python);
        command.arg(script("sdk_service.py")).args([&port.to_string(), collector, protocol, signal]);
        command.args(next.map(|next| next.to_string())).env("NO_PROXY", "*");
        command
    })
    .ready()
}

/// How many spans of a process the agent told.
fn told(sink: &Sink, pid: u32) -> usize {
    sink.spans().iter().filter(|span| span.pid() == pid && span.service() != "by-sdk").count()
}

/// The service's spans are its own from its first export on; another service's are still told.
fn assert_left(python: &PathBuf, protocol: &str, collector: &str, sink: &Sink) {
    let (port, other_port) = (free_port(), free_port());
    let other = python_hop(other_port, None);
    let ports = format!("{port},{other_port}");
    let agent = Agent::start(sink, &[("OTEL_EBPF_OPEN_PORT", &ports)]);
    let service = service(python, port, collector, protocol, "traces", None);
    curl(&[&service.url("/1")]);
    let needle = format!("its spans are left to its SDK pid={} ", service.pid());
    wait_until(&needle, || agent.log().contains(&needle));
    for number in 2..=10 {
        curl(&[&service.url(&format!("/{number}"))]);
    }
    curl(&[&other.url("/back/1")]);
    wait_until("the other service's span", || told(sink, other.pid()) > 0);
    let pid = service.pid();
    let counts = agent.stop().assert_clean();
    assert!(counts.get("left_to_sdk") >= 10, "{}", counts.get("left_to_sdk"));
    // The first request was over only after its export.
    assert_eq!(told(sink, pid), 0);
}

#[test]
fn who_exports_traces_over_grpc_is_left_to_its_sdk() {
    needs_tracing!();
    let python = sdk_python_or_skip!();
    let sink = Sink::start();
    assert_left(&python, "grpc", &format!("http://{}", sink.address()), &sink);
    assert!(sink.spans().iter().any(|span| span.service() == "by-sdk"), "the SDK told its own");
}

#[test]
fn who_exports_traces_over_http_is_left_to_its_sdk() {
    needs_tracing!();
    let python = sdk_python_or_skip!();
    let collector = python_script("otlp_http.py", free_port(), &[]).ready();
    let sink = Sink::start();
    assert_left(&python, "http", collector.url("").trim_end_matches('/'), &sink);
}

#[test]
fn who_exports_metrics_alone_is_traced() {
    needs_tracing!();
    let python = sdk_python_or_skip!();
    for protocol in ["grpc", "http"] {
        let collector = python_script("otlp_http.py", free_port(), &[]).ready();
        let sink = Sink::start();
        let endpoint = match protocol {
            "grpc" => format!("http://{}", sink.address()),
            _ => collector.url(""),
        };
        let port = free_port();
        let agent = Agent::on_port(&sink, port);
        let service = service(&python, port, &endpoint, protocol, "metrics", None);
        for number in 1..=5 {
            curl(&[&service.url(&format!("/{number}"))]);
        }
        sink.wait_for_servers(5);
        let counts = agent.stop().assert_clean();
        assert_eq!((counts.get("left_to_sdk"), sink.servers().len()), (0, 5), "{protocol}");
    }
}

#[test]
fn both_kinds_are_in_one_trace_where_the_agent_is_told_to_trace_all() {
    needs_tracing!();
    let python = sdk_python_or_skip!();
    let sink = Sink::start();
    let (port, next_port) = (free_port(), free_port());
    let next = python_hop(next_port, None);
    let ports = format!("{port},{next_port}");
    let variables =
        [("OTEL_EBPF_OPEN_PORT", ports.as_str()), ("OTEL_EBPF_EXCLUDE_OTEL_INSTRUMENTED_SERVICES", "false")];
    let agent = Agent::start(&sink, &variables);
    let endpoint = format!("http://{}", sink.address());
    let service = service(&python, port, &endpoint, "grpc", "traces", Some(next_port));
    curl(&[&service.url("/7")]);
    let find = |what: &dyn Fn(&otel_ebpf_kernel_tests::sink::Received) -> bool| {
        sink.spans().into_iter().find(|span| what(span))
    };
    wait_until("all spans", || {
        find(&|span| span.span.name == "call").is_some()
            && find(&|span| span.pid() == next.pid() && span.span.kind() == SpanKind::Server).is_some()
            && find(&|span| span.pid() == service.pid() && source(span).as_deref() == Some("header"))
                .is_some()
    });
    agent.stop().assert_clean();
    let by_sdk = find(&|span| span.span.name == "call").expect("the SDK's call");
    let call = find(&|span| span.pid() == service.pid() && source(span).as_deref() == Some("header"));
    let call = call.expect("the agent's call");
    // A request that waited has parts of its own.
    let served = find(&|span| span.pid() == next.pid() && span.span.kind() == SpanKind::Server);
    let served = served.expect("the next hop's request");
    assert_eq!(
        hex(&call.span.parent_span_id),
        hex(&by_sdk.span.span_id),
        "the agent's call is the SDK's child"
    );
    assert_eq!(hex(&served.span.parent_span_id), hex(&call.span.span_id));
    assert_eq!(source(&served).as_deref(), Some("tcp_seq"));
    for span in [&call, &served] {
        assert_eq!(hex(&span.span.trace_id), hex(&by_sdk.span.trace_id));
    }
}

//! What the agent says when it cannot start, and what it loads when it does.

use std::{
    path::Path,
    process::{Command, Output},
};

use otel_ebpf_kernel_tests::{
    agent::{self, Agent},
    needs_tracing,
    net::free_port,
    sink::Sink,
    wait::{wait_for, wait_until},
};

/// Most instructions that the verifier may walk through, by program. A kernel allows a million; a program that doubles
/// without anybody's wish shows here first.
const BUDGETS: [(&str, u32); 12] = [
    ("process_exec", 1_000),
    ("process_fork", 1_000),
    ("process_exit", 1_000),
    ("socket_state", 5_000),
    ("socket_destroy", 2_000),
    // Kernels that tap by fexit have a verifier that looks at more ways through a loop, again and again.
    ("tap_recv_fexit", 400_000),
    ("tap_send_fexit", 400_000),
    ("tap_page_fexit", 400_000),
    ("tap_recv", 100_000),
    ("tap_send", 100_000),
    ("arrival_ready", 1_500),
    ("arrival_probe", 1_500),
];

fn run(variables: &[(&str, &str)]) -> (Output, String) {
    let output = agent::command(variables).output().expect("run the agent");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

#[test]
fn a_bad_value_is_named_with_its_variable_and_the_accepted_form() {
    for (variable, value, accepted) in [
        ("OTEL_EBPF_OPEN_PORT", "80,http", "port"),
        ("OTEL_EBPF_AUTO_TARGET_EXE", "[", "glob"),
        ("OTEL_EBPF_TARGET_PID", "-1", "process"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon", "grpc"),
        ("OTEL_EBPF_TRACE_PRINTER", "loud", "json_indent"),
        ("OTEL_EBPF_SHUTDOWN_TIMEOUT", "soon", "10s"),
    ] {
        let mut variables = vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")];
        if variable != "OTEL_EBPF_OPEN_PORT" {
            variables.push(("OTEL_EBPF_OPEN_PORT", "1"));
        }
        variables.push((variable, value));
        let (output, said) = run(&variables);
        assert_eq!(output.status.code(), Some(2), "{variable}: {said}");
        for part in [variable, &format!("{value:?}"), "expected", accepted] {
            assert!(said.contains(part), "{part} is missing in: {said}");
        }
    }
}

#[test]
fn without_a_selector_or_an_exporter_it_says_what_to_set() {
    let (output, said) = run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("OTEL_EBPF_OPEN_PORT"), "{said}");
    let (output, said) = run(&[("OTEL_EBPF_OPEN_PORT", "1")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{said}");
}

#[test]
fn without_privileges_it_says_which_are_missing() {
    needs_tracing!();
    // Only for the owner: a directory on the way to the binary may be closed to others.
    let program = tempfile::Builder::new().permissions(public()).tempdir().expect("make a directory");
    let copy = program.path().join("otel-ebpf-agent");
    std::fs::copy(agent::binary(), &copy).expect("copy the agent");
    let mut setpriv = Command::new("setpriv");
    setpriv.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    ]);
    let variables = [("OTEL_EBPF_OPEN_PORT", "1"), ("OTEL_EBPF_TRACE_PRINTER", "text")];
    let output = setpriv
        .arg(copy)
        .envs(variables)
        .env_remove("RUST_BACKTRACE")
        .env_remove("OTEL_EBPF_AGENT_BIN")
        .output()
        .expect("run setpriv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let errors: Vec<_> = said.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].contains("CAP_BPF") && errors[0].contains("root"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

fn public() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

#[test]
fn every_program_stays_within_its_verification_budget() {
    needs_tracing!();
    let sink = Sink::start();
    let port = free_port().to_string();
    let agent = Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &port), ("OTEL_EBPF_LOG_LEVEL", "DEBUG")]);
    let log = agent.stop().log;
    let mut seen = 0;
    for line in log.lines().filter(|line| line.contains("attached program=")) {
        let field = |name: &str| {
            let (_, rest) = line.split_once(name).unwrap_or_else(|| panic!("{name} in {line}"));
            rest.split_whitespace().next().expect("a value").trim_matches('"').to_owned()
        };
        let program = field("program=");
        let verified: u32 = field("verified=").parse().unwrap_or_else(|_| panic!("a number in {line}"));
        let budget = BUDGETS.iter().find(|(name, _)| program.starts_with(name));
        let (_, budget) = budget.unwrap_or_else(|| panic!("{program} has no budget"));
        eprintln!("{program}: {verified} of {budget}");
        assert!(verified <= *budget, "{program} takes {verified} of {budget} instructions");
        seen += 1;
    }
    assert!(seen >= 7, "{log}");
}

/// What `otel-ebpf-agent health` exits with and says, for a sign of life of at most so many seconds.
fn health(file: &Path, max_age: &str) -> (Option<i32>, String) {
    let path = file.to_str().expect("UTF-8");
    let mut command = agent::command(&[("OTEL_EBPF_HEALTH_FILE", path)]);
    let output = command.args(["health", "--max-age", max_age]).output().expect("run the agent");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_health_file_lives_and_ends_with_the_agent() {
    needs_tracing!();
    let directory = tempfile::tempdir().expect("make a directory");
    let file = directory.path().join("health");
    let (sink, port) = (Sink::start(), free_port().to_string());
    let path = file.to_str().expect("UTF-8");
    let start = || Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &port), ("OTEL_EBPF_HEALTH_FILE", path)]);
    let (code, said) = health(&file, "15");
    assert_eq!(code, Some(1));
    assert!(said.contains("not attached yet or stopped: ") && said.contains(path), "{said}");

    let agent = start();
    wait_until("a sign of life", || health(&file, "15").0 == Some(0));
    let read = || -> serde_json::Value {
        let text = std::fs::read_to_string(&file).expect("read the health file");
        serde_json::from_str(&text).expect("one JSON object")
    };
    let first = read();
    assert_eq!(first["pid"], agent.pid());
    assert!(["tracepoint", "fexit"].contains(&first["tap"].as_str().expect("a word")), "{first}");
    // Nothing is sent, so the reader sleeps, and the file is renewed all the same.
    let at = |sign: &serde_json::Value| sign["monotonic_ns"].as_u64().expect("nanoseconds");
    let second = wait_for("the next sign of life", || Some(read()).filter(|now| at(now) > at(&first)));
    let apart_ms = (at(&second) - at(&first)) / 1_000_000;
    assert!(apart_ms >= 5_000, "written again after {apart_ms} ms");
    agent.stop().assert_clean();
    let left = std::fs::read_dir(directory.path()).expect("list").count();
    assert_eq!((left, health(&file, "15").0), (0, Some(1)));

    let agent = start();
    wait_until("a sign of life", || health(&file, "15").0 == Some(0));
    agent.kill();
    wait_until("the sign of life to be old", || health(&file, "1").0 == Some(1));
    let (_, said) = health(&file, "1");
    assert!(said.contains("last sign of life ") && said.lines().count() == 1, "{said}");
    assert_eq!(health(&file, "86400"), (Some(0), String::new()), "the file was left as it was");
}

#[test]
fn a_health_file_that_cannot_be_written_stops_nothing() {
    needs_tracing!();
    let (sink, port) = (Sink::start(), free_port().to_string());
    let file = "/proc/nowhere/health";
    let agent = Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &port), ("OTEL_EBPF_HEALTH_FILE", file)]);
    wait_until("a warning", || agent.log().contains("cannot write the health file"));
    let ended = agent.stop();
    assert!(ended.status.success(), "{}", ended.log);
    let warnings = ended.log.lines().filter(|line| line.contains("cannot write the health file")).count();
    assert_eq!(warnings, 1, "{}", ended.log);
}

//! `otel-ebpf-agent health`, the program, with files that an agent may have left and others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use otel_ebpf_agent::{
    agent::clock::monotonic_ns,
    health::{SignOfLife, encode},
};
use tempfile::TempDir;

fn sign(monotonic_ns: u64) -> String {
    encode(&SignOfLife {
        pid: 1,
        monotonic_ns,
        tap: "fexit".to_owned(),
        targets: 0,
        records: 0,
        spans_exported: 0,
        spans_dropped: 0,
    })
}

/// Exit code and what was said; nothing is said on stdout.
fn health(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otel-ebpf-agent"));
    command.arg("health").args(arguments).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    let output = command.output().expect("run otel-ebpf-agent health");
    assert!(output.stdout.is_empty());
    (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
}

fn of(path: &Path) -> (Option<i32>, String) {
    health(&[], &[("OTEL_EBPF_HEALTH_FILE", path.to_str().expect("UTF-8"))])
}

fn place() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("make a directory");
    let path = directory.path().join("health");
    (directory, path)
}

const HEALTHY: (Option<i32>, String) = (Some(0), String::new());

#[test]
fn a_fresh_file_is_healthy_wherever_it_is_named() {
    let (directory, path) = place();
    fs::write(&path, sign(monotonic_ns())).expect("write");
    let path = path.to_str().expect("UTF-8");
    assert_eq!(health(&["--health-file", path, "--max-age", "600"], &[]), HEALTHY);
    // What only a running agent needs may be missing or wrong.
    let variables = [("OTEL_EBPF_HEALTH_FILE", path), ("OTEL_EBPF_OPEN_PORT", "http")];
    assert_eq!(health(&["--max-age", "600"], &variables), HEALTHY);
    let yaml = directory.path().join("agent.yaml");
    fs::write(&yaml, "health_file: ${HERE}\nlog_level: loud\n").expect("write");
    let yaml = yaml.to_str().expect("UTF-8");
    assert_eq!(health(&["--config", yaml, "--max-age", "600"], &[("HERE", path)]), HEALTHY);
    let variables = [("OTEL_EBPF_CONFIG_PATH", yaml), ("HERE", path)];
    assert_eq!(health(&["--max-age", "600"], &variables), HEALTHY);
}

#[test]
fn an_old_file_tells_its_age() {
    let (_directory, path) = place();
    let long_ago = monotonic_ns().checked_sub(100_000_000_000).expect("a machine that runs for 100 s");
    fs::write(&path, sign(long_ago)).expect("write");
    let (code, said) = of(&path);
    assert_eq!(code, Some(1), "{said}");
    let age = said.strip_prefix("otel-ebpf-agent: last sign of life 1");
    assert!(age.is_some_and(|rest| rest.ends_with(" s ago (limit 15 s)\n")), "{said}");
    assert_eq!(health(&["--health-file", path.to_str().expect("UTF-8"), "--max-age", "86400"], &[]), HEALTHY);
    fs::write(&path, sign(u64::MAX)).expect("write");
    let expected = "otel-ebpf-agent: last sign of life is from before the machine started\n";
    assert_eq!(of(&path), (Some(1), expected.to_owned()));
}

#[test]
fn what_is_no_sign_of_life_is_told_apart() {
    let (directory, path) = place();
    let expect = |path: &Path, start: &str| {
        let asked = Instant::now();
        let (code, said) = of(path);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with(&format!("otel-ebpf-agent: {start}")), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(asked.elapsed() < Duration::from_secs(20), "{said}");
    };
    expect(&path, &format!("not attached yet or stopped: {}: No such file", path.display()));
    let garbage = format!("{} is not a health file of this agent: ", path.display());
    for text in [b"".to_vec(), b"healthy\n".to_vec(), vec![0xff; 64], vec![b'['; 4096], vec![b' '; 1 << 20]] {
        fs::write(&path, text).expect("write");
        expect(&path, &garbage);
    }
    expect(&path.join("below"), "read ");
    expect(directory.path(), &format!("{} is not", directory.path().display()));
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("run mkfifo").success());
    expect(&pipe, &format!("{} is not", pipe.display()));
    expect(Path::new("/dev/zero"), "/dev/zero is not");
}

#[test]
fn without_a_name_it_says_what_to_set() {
    for (variables, part) in [
        (&[][..], "OTEL_EBPF_HEALTH_FILE"),
        (&[("OTEL_EBPF_HEALTH_FILE", "")], "OTEL_EBPF_HEALTH_FILE"),
        (&[("OTEL_EBPF_CONFIG_PATH", "/nowhere/agent.yaml")], "/nowhere/agent.yaml"),
    ] {
        let (code, said) = health(&[], variables);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.starts_with("error: configuration cannot be used\n") && said.contains(part), "{said}");
    }
}

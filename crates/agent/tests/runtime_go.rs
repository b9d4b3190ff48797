//! Where goroutines are, in programs of the Go that is installed, told by the programs themselves while they run.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use otel_ebpf_agent::runtime::{Hook, Runtime, Tasks, examine};
use otel_ebpf_events::task::runtime;

#[test]
fn ordinary() {
    tells_the_truth("ordinary", &[]);
}

#[test]
fn stripped() {
    tells_the_truth("stripped", &["-ldflags", "-s -w"]);
}

#[test]
fn position_independent() {
    tells_the_truth("pie", &["-buildmode=pie"]);
}

/// Builds the program in `runtime_programs/go`, and compares what is found in it with what its goroutines see.
fn tells_the_truth(name: &str, flags: &[&str]) {
    let Some((go, version)) = toolchain() else {
        eprintln!(
            "SKIPPED: Go is not installed; `scripts/setup.sh` does it, or OTEL_TEST_GO says where it is"
        );
        return;
    };
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtime_programs/go");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("runtime_go_{name}"));
    let mut build = Command::new(&go);
    build.current_dir(sources).args(["build", "-trimpath", "-o"]).arg(&program).args(flags).arg(".");
    // No C compiler, no other toolchain from the network, no flags of others.
    build.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOWORK", "off");
    let output = build.output().expect("run go");
    assert!(output.status.success(), "{build:?}: {}", String::from_utf8_lossy(&output.stderr));

    let found = examine(&fs::read(&program).expect("read"));
    let Runtime::Tasks(tasks) = found else { panic!("{}: {found:?}", program.display()) };
    check(&tasks, &version);
    let layout = tasks.layout;
    let mut run = Command::new(&program);
    let arguments = [i64::from(layout.current), layout.goid.into(), layout.parent_goid.into()];
    let output = run.args(arguments.map(|argument| argument.to_string())).output().expect("run");
    let is_right = output.status.success() && output.stdout == b"right\n";
    assert!(is_right, "{}: {tasks:?}: {output:?}", program.display());
}

fn check(tasks: &Tasks, version: &str) {
    assert_eq!(tasks.name, format!("Go {version}"));
    assert_eq!((tasks.layout.runtime, tasks.lacks), (runtime::GO, None));
    assert!(!tasks.sites.is_empty(), "{tasks:?}");
    assert!(tasks.sites.iter().all(|(_, site)| site.is_cheap), "{tasks:?}");
    let count = |hook| tasks.sites.iter().filter(|(of, _)| *of == hook).count();
    assert!(count(Hook::GoReady) > 0, "{tasks:?}");
    assert_eq!(count(Hook::GoSpawn), 1, "{tasks:?}");
    // src/runtime/runtime2.go of each version, once more, so that a slip in the agent's table shows.
    let minor = version.split('.').nth(1).and_then(|minor| minor.parse().ok()).expect("a version");
    let expected: Option<(u32, u32)> = match minor {
        21 | 22 | 25 => Some((0x98, 0x110)),
        23 | 24 => Some((0xa0, 0x118)),
        26 | 27 => Some((0x98, 0x118)),
        _ => None,
    };
    let found = (tasks.layout.goid, tasks.layout.parent_goid);
    assert!(expected.is_none_or(|expected| expected == found), "{tasks:?}");
    println!("{tasks:?}");
}

/// Go and its version: `$OTEL_TEST_GO`, of the path, or where `scripts/setup.sh` puts it.
fn toolchain() -> Option<(PathBuf, String)> {
    let told = env::var_os("OTEL_TEST_GO").map(PathBuf::from);
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let of_repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let of_setup = [target, Some(of_repository)].into_iter().flatten();
    let of_setup = of_setup.map(|target| target.join("polyglot-venv/bin/go"));
    let candidates = match &told {
        Some(told) => vec![told.clone()],
        None => [PathBuf::from("go")].into_iter().chain(of_setup).collect(),
    };
    let found = candidates.into_iter().find_map(|go| {
        // "go version go1.27.3 linux/amd64"
        let mut command = Command::new(&go);
        let output = command.arg("version").env("GOTOOLCHAIN", "local").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let version = text.strip_prefix("go version go")?.split_whitespace().next()?.to_owned();
        Some((go, version))
    });
    assert!(told.is_none() || found.is_some(), "OTEL_TEST_GO is not Go: {told:?}");
    found
}

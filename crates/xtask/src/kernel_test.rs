//! `cargo xtask kernel-test`: the tests of `crates/kernel-tests`, on this kernel or in guests with others.

mod archive;
mod choice;
mod guest;
pub(crate) mod init;
mod kernels;
mod plan;
mod programs;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    cargo,
    cli::{KernelTest, Local, Vm},
    kernel_test::{guest::Guest, kernels::Kernel},
    step::{Tally, is_installed},
    target_dir,
};

const PACKAGE: &str = "otel-ebpf-kernel-tests";
/// Names the agent under test; `crates/kernel-tests` reads it.
const AGENT_VARIABLE: &str = "OTEL_EBPF_AGENT_BIN";
/// One selection for clippy and all tests: another one would unify features differently and build most of it anew.
const SELECTION: [&str; 3] = ["--workspace", "--exclude", "otel-ebpf-programs"];

/// Runs the tests where the arguments say.
pub(crate) fn run(root: &Path, arguments: &KernelTest) -> Result<ExitCode> {
    match arguments {
        KernelTest::Local(arguments) => local(root, arguments),
        KernelTest::Vm(arguments) => vm(root, arguments),
    }
}

/// Runs them on this kernel, one at a time: they watch the same kernel.
fn local(root: &Path, arguments: &Local) -> Result<ExitCode> {
    let agent = agent(root)?;
    let mut command = cargo(root);
    if is_installed("cargo-nextest", None) {
        command.args(["nextest", "run"]).args(SELECTION).args(["--no-fail-fast", "--test-threads", "1"]);
        command.args(["--filterset", &format!("package({PACKAGE})")]).args(&arguments.filters);
    } else {
        command.args(["test", "--package", PACKAGE, "--no-fail-fast", "--", "--test-threads", "1"]);
        command.args(&arguments.filters);
    }
    let status = command.env(AGENT_VARIABLE, agent).status().context("run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs them in guests, as many at once as there are cores; the last line printed is
/// `guests: N passed, N failed[, N skipped]`.
fn vm(root: &Path, arguments: &Vm) -> Result<ExitCode> {
    let mut tally = Tally::default();
    if let Some(lack) = lack() {
        for version in &arguments.versions {
            tally.skip(&format!("guest {version}"), &lack);
        }
    } else {
        let agent = agent(root)?;
        println!("==> programs of {PACKAGE}");
        let tests = programs::tests(root, arguments.alone)?;
        let chosen = choice::choose(tests, arguments)?;
        if chosen.is_empty() {
            bail!("no test is left to run in a guest");
        }
        for part in in_guests(root, arguments, &agent, &chosen) {
            tally.add(&part);
        }
    }
    println!("guests: {tally}");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_guests(root: &Path, arguments: &Vm, agent: &Path, tests: &[plan::Test]) -> Vec<Tally> {
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from).min(arguments.versions.len());
    // One thread for each guest: the guest ends with the thread that started it.
    let work = || {
        let mut tallies = Vec::new();
        while let Some(version) = arguments.versions.get(next.fetch_add(1, Ordering::Relaxed)) {
            tallies.push(in_guest(root, version, arguments, agent, tests));
        }
        tallies
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no guest's thread panics")).collect()
    })
}

/// Runs the tests in one guest. What keeps it from running is one failure.
fn in_guest(root: &Path, version: &str, arguments: &Vm, agent: &Path, tests: &[plan::Test]) -> Tally {
    let start = Instant::now();
    let ran = Kernel::get(&target_dir(root).join("guests"), version).and_then(|kernel| {
        println!("==> guest {version}: {}, {} tests", kernel.release, tests.len());
        let logs = target_dir(root).join("test-logs/guests").join(version);
        Guest::new(root, &kernel, version, agent, &logs)?.run(tests, arguments.deadline)
    });
    let tally = ran.unwrap_or_else(|error| {
        println!("    guest {version}: FAILED ({error:#})");
        Tally { failed: 1, ..Tally::default() }
    });
    println!("    guest {version}: {tally}, {:.0} s", start.elapsed().as_secs_f64());
    tally
}

/// What this machine lacks to run guests; nothing when it can.
fn lack() -> Option<String> {
    if env::consts::ARCH != "x86_64" {
        return Some(format!("guests are of x86_64, and this machine is of {}", env::consts::ARCH));
    }
    for (program, package) in
        [(guest::QEMU, "qemu-system-x86"), ("setpriv", "util-linux"), ("xz", "xz-utils"), ("ldd", "libc-bin")]
    {
        if !is_installed(program, None) {
            return Some(format!("{program} is not installed (Debian's package {package})"));
        }
    }
    None
}

/// The agent under test: the one named, or a release build.
fn agent(root: &Path) -> Result<PathBuf> {
    if let Some(path) = env::var_os(AGENT_VARIABLE) {
        let path = PathBuf::from(path);
        return path.canonicalize().with_context(|| format!("{AGENT_VARIABLE}: find {}", path.display()));
    }
    let name = "otel-ebpf-agent";
    let status = cargo(root).args(["build", "--release", "--package", name, "--bin", name]).status();
    if !status.context("run cargo")?.success() {
        bail!("the agent does not build; {AGENT_VARIABLE} can name one that is built");
    }
    target_dir(root).join("release").join(name).canonicalize().context("find the agent")
}

/// Runs a program; what it writes to stderr is shown, and what it writes to stdout returned.
fn output_of(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", output.status);
    }
    Ok(output.stdout)
}

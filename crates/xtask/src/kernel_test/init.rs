//! The first program of a guest: makes it look like the machine it runs on, runs the tests, and powers off.

use std::{
    convert::Infallible,
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, chdir, chroot, sethostname},
};

use super::{
    AGENT_VARIABLE,
    plan::{LOGS_TAG, Line, Outcome, PLAN, Plan, RESULTS, ROOT_TAG, Test},
};

/// The machine's root, until it is the guest's.
const ROOT: &str = "/machine";
/// Where the shared directory to write to lies.
const LOGS: &str = "/run/logs";
/// Makes the tests wait longer than usual (`crates/kernel-tests/src/wait.rs`), and how many times as long.
const PATIENCE: (&str, &str) = ("KERNEL_TEST_PATIENCE", "4");
/// Options of shared directories. What the machine's root holds does not change meanwhile, so it may be kept.
const SHARE: &str = "trans=virtio,version=9p2000.L,msize=512000";
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What a test says that could not run, before the reason.
const SKIPPED: &str = "SKIPPED: ";

/// What the guest has of its own: type, options, place.
const OWN: &[(&str, &str, &str)] = &[
    ("proc", "", "/proc"),
    ("sysfs", "", "/sys"),
    ("tracefs", "", "/sys/kernel/tracing"),
    ("bpf", "", "/sys/fs/bpf"),
    ("cgroup2", "", "/sys/fs/cgroup"),
    ("devtmpfs", "", "/dev"),
    ("tmpfs", "mode=1777", "/dev/shm"),
    ("devpts", "", "/dev/pts"),
    ("tmpfs", "mode=1777", "/tmp"),
    ("tmpfs", "mode=755", "/run"),
    ("tmpfs", "mode=755", "/var/log"),
];

/// Runs the plan and powers off; does not return.
///
/// # Errors
///
/// Never returns well. An error that ends the first program makes the kernel panic, which the machine notices.
pub(crate) fn run() -> Result<Infallible> {
    if std::process::id() != 1 {
        bail!("this is the first program of a guest (see `cargo xtask kernel-test vm`)");
    }
    let plan: Plan =
        serde_json::from_slice(&fs::read(PLAN).context("read the plan")?).context("read the plan")?;
    for module in &plan.modules {
        load(module).with_context(|| format!("load {module}"))?;
    }
    enter_machine(&plan.keep)?;
    sethostname("guest").context("set the host's name")?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).env("PATH", &plan.path).status();
    if !up.context("start ip")?.success() {
        bail!("ip cannot bring loopback up");
    }
    let results = Path::new(LOGS).join(RESULTS);
    let mut results = OpenOptions::new().append(true).open(results).context("open the results")?;
    let uptime = fs::read_to_string("/proc/uptime").context("read the uptime")?;
    let seconds = uptime.split(' ').next().unwrap_or_default().parse().context("the uptime")?;
    tell(&mut results, &Line::Ready { seconds })?;
    for test in &plan.tests {
        let id = test.id();
        tell(&mut results, &Line::Begins { id: id.clone() })?;
        println!("guest: {id}");
        let start = Instant::now();
        let outcome = run_test(&plan, test).with_context(|| format!("run {id}"))?;
        let seconds = start.elapsed().as_secs_f64();
        tell(&mut results, &Line::Ended { id, seconds, outcome })?;
    }
    tell(&mut results, &Line::End)?;
    Ok(reboot(RebootMode::RB_POWER_OFF)?)
}

fn load(module: &str) -> Result<()> {
    Ok(finit_module(File::open(module)?, c"", ModuleInitFlags::empty())?)
}

fn tell(results: &mut File, line: &Line) -> Result<()> {
    let mut line = serde_json::to_string(line).context("write a result")?;
    line.push('\n');
    results.write_all(line.as_bytes()).context("write a result")
}

/// Mounts the machine's root and what the guest has of its own in it, and makes it the root.
fn enter_machine(keep: &[PathBuf]) -> Result<()> {
    fs::create_dir_all(ROOT)?;
    attach(ROOT_TAG, "9p", ROOT, MsFlags::MS_RDONLY, &format!("{SHARE},cache=loose"))?;
    // They may lie in the machine's /tmp, which goes out of sight.
    let kept: Vec<_> = (0..keep.len()).map(|number| format!("/kept/{number}")).collect();
    for (dir, place) in keep.iter().zip(&kept) {
        fs::create_dir_all(place)?;
        let from = inside(dir);
        mount(Some(&from), place.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("keep {}", dir.display()))?;
    }
    for (kind, options, place) in OWN {
        let place = inside(Path::new(place));
        if !place.is_dir() {
            // A machine need not have a place for each.
            continue;
        }
        attach(kind, kind, &place.to_string_lossy(), MsFlags::empty(), options)?;
    }
    for (dir, place) in keep.iter().zip(&kept) {
        let back = inside(dir);
        if !back.is_dir() {
            fs::create_dir_all(&back).with_context(|| format!("make {}", back.display()))?;
            mount(Some(place.as_str()), &back, None::<&str>, MsFlags::MS_MOVE, None::<&str>)
                .with_context(|| format!("put {} back", dir.display()))?;
        }
    }
    let logs = inside(Path::new(LOGS));
    fs::create_dir_all(&logs)?;
    attach(LOGS_TAG, "9p", &logs.to_string_lossy(), MsFlags::empty(), SHARE)?;
    chdir(ROOT).context("go to the machine's root")?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("make the machine's root the root")?;
    chroot(".").context("make the machine's root the root")?;
    chdir("/").context("go to the root")
}

/// A path below the machine's root.
fn inside(path: &Path) -> PathBuf {
    Path::new(ROOT).join(path.strip_prefix("/").unwrap_or(path))
}

fn attach(source: &str, kind: &str, place: &str, flags: MsFlags, options: &str) -> Result<()> {
    mount(Some(source), place, Some(kind), flags, Some(options))
        .with_context(|| format!("mount {kind} on {place}"))
}

/// Runs one test in a process of its own; everything that it started ends with it.
fn run_test(plan: &Plan, test: &Test) -> Result<Outcome> {
    let path = Path::new(LOGS).join(Test::log_of(&test.id()));
    let log = File::create(&path).context("make the test's log")?;
    let child = Command::new(&test.program)
        .args(["--exact", &test.name, "--nocapture", "--test-threads", "1"])
        .env_clear()
        .envs([("PATH", plan.path.as_str()), ("HOME", "/tmp"), ("LANG", "C.UTF-8"), ("RUST_BACKTRACE", "1")])
        .env(AGENT_VARIABLE, &plan.agent)
        .envs([PATIENCE])
        .current_dir("/tmp")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the test's log")?)
        .stderr(log)
        .spawn()
        .context("start the test")?;
    let child = Pid::from_raw(i32::try_from(child.id()).context("a process id")?);
    let deadline = Instant::now() + Duration::from_secs(plan.test_deadline_s);
    let ended = loop {
        match reap(child)? {
            Reaped::Child(status) => break Some(status),
            Reaped::Nothing if Instant::now() > deadline => break None,
            Reaped::Nothing => thread::sleep(LOOK_EVERY),
            Reaped::Other => {}
        }
    };
    // All but this one.
    let _: nix::Result<()> = kill(Pid::from_raw(-1), Signal::SIGKILL);
    while nix::sys::wait::wait().is_ok() {}
    let said = fs::read(&path).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    Ok(match ended {
        None => Outcome::Failed(format!("not done after {} s", plan.test_deadline_s)),
        Some(WaitStatus::Exited(_, 0)) => match said.lines().find_map(|line| line.split_once(SKIPPED)) {
            Some((_, why)) => Outcome::Skipped(why.to_owned()),
            None if said.contains("1 passed") => Outcome::Passed,
            None => Outcome::Failed("no test ran".to_owned()),
        },
        Some(WaitStatus::Exited(_, code)) => Outcome::Failed(format!("exit code {code}")),
        Some(status) => Outcome::Failed(format!("{status:?}")),
    })
}

enum Reaped {
    Child(WaitStatus),
    /// An orphan, which only the first program can take.
    Other,
    Nothing,
}

fn reap(child: Pid) -> Result<Reaped> {
    Ok(match waitpid(None, Some(WaitPidFlag::WNOHANG)).context("wait for processes")? {
        WaitStatus::StillAlive => Reaped::Nothing,
        status if status.pid() == Some(child) => Reaped::Child(status),
        _ => Reaped::Other,
    })
}

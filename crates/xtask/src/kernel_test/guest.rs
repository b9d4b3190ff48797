//! A guest: a kernel in QEMU, with this machine's files to read and one directory to write to.
//!
//! The guest finds the same programs, libraries and sources under the same paths as this machine, so that tests run
//! there as they are. Its first program is this one (`init`).

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    archive::Archive,
    kernels::Kernel,
    output_of,
    plan::{LOGS_TAG, Line, Outcome, PLAN, Plan, RESULTS, ROOT_TAG, Test},
};
use crate::{step::Tally, target_dir};

pub(super) const QEMU: &str = "qemu-system-x86_64";
const CONSOLE: &str = "console.log";
const MEMORY: &str = "2048";
/// The longest that one test may take: emulated, everything takes ten to twenty times as long.
const TEST_DEADLINE_S: u64 = 180;
/// How often a guest is started: emulated processors crash now and then.
const STARTS: usize = 2;
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Lines of a failed test's output that are shown.
const SHOWN_LINES: usize = 60;

/// A guest that is not started yet.
pub(super) struct Guest<'a> {
    root: &'a Path,
    kernel: &'a Kernel,
    version: &'a str,
    agent: &'a Path,
    logs: &'a Path,
    /// How each test went.
    outcomes: BTreeMap<String, Outcome>,
}

/// Why a start is over.
enum Over {
    Done,
    Died(String),
    DeadlinePassed,
}

impl<'a> Guest<'a> {
    /// Prepares a guest whose logs go to a directory, which is emptied.
    pub(super) fn new(
        root: &'a Path,
        kernel: &'a Kernel,
        version: &'a str,
        agent: &'a Path,
        logs: &'a Path,
    ) -> Result<Self> {
        if logs.exists() {
            fs::remove_dir_all(logs).with_context(|| format!("empty {}", logs.display()))?;
        }
        fs::create_dir_all(logs).with_context(|| format!("make {}", logs.display()))?;
        Ok(Self { root, kernel, version, agent, logs, outcomes: BTreeMap::new() })
    }

    /// Runs the tests. Where the guest dies, those that have not ended run in a second one.
    pub(super) fn run(mut self, tests: &[Test], deadline_s: u64) -> Result<Tally> {
        let deadline = Instant::now() + Duration::from_secs(deadline_s);
        let mut why = String::new();
        for start in 1..=STARTS {
            let left: Vec<_> =
                tests.iter().filter(|test| !self.outcomes.contains_key(&test.id())).cloned().collect();
            match self.start(left, start, deadline)? {
                Over::Done => break,
                Over::Died(reason) => {
                    self.say(&format!("the guest died: {reason}; {}", self.console(start).display()));
                    why = format!("the guest died ({reason})");
                }
                Over::DeadlinePassed => {
                    why = format!("the guest's {deadline_s} s were over");
                    break;
                }
            }
        }
        let mut tally = Tally::default();
        for test in tests {
            match self.outcomes.get(&test.id()) {
                Some(Outcome::Passed) => tally.passed += 1,
                Some(Outcome::Skipped(_)) => tally.skipped += 1,
                Some(Outcome::Failed(_)) => tally.failed += 1,
                None => {
                    tally.failed += 1;
                    self.say(&format!("{}: FAILED, not run to its end: {why}", test.id()));
                }
            }
        }
        Ok(tally)
    }

    fn say(&self, what: &str) {
        println!("    {:<5}{what}", self.version);
    }

    /// Where the console of a start is kept.
    fn console(&self, start: usize) -> PathBuf {
        self.logs.join(if start == 1 { CONSOLE.to_owned() } else { format!("{start}-{CONSOLE}") })
    }

    fn start(&mut self, tests: Vec<Test>, start: usize, deadline: Instant) -> Result<Over> {
        let archive = self.logs.join("initramfs.cpio");
        fs::write(&archive, self.archive(tests)?).with_context(|| format!("write {}", archive.display()))?;
        let results = self.logs.join(RESULTS);
        fs::write(&results, "").with_context(|| format!("write {}", results.display()))?;
        let mut qemu = self.qemu(&archive, &self.console(start))?;
        let mut read = 0;
        let over = loop {
            let ended = qemu.try_wait().context("wait for QEMU")?;
            let mut done = false;
            let text = fs::read_to_string(&results).with_context(|| format!("read {}", results.display()))?;
            let whole = text.rfind('\n').map_or(0, |at| at + 1);
            for line in text.get(read..whole).unwrap_or_default().lines() {
                let line = serde_json::from_str(line).with_context(|| format!("a result: {line}"))?;
                done |= line == Line::End;
                self.take(line);
            }
            read = whole;
            if done {
                break Over::Done;
            }
            if let Some(status) = ended {
                break Over::Died(format!("QEMU: {status}"));
            }
            if Instant::now() > deadline {
                break Over::DeadlinePassed;
            }
            thread::sleep(LOOK_EVERY);
        };
        // It powers itself off, but nothing of it is needed any more.
        qemu.kill().context("end QEMU")?;
        qemu.wait().context("wait for QEMU")?;
        fs::remove_file(&archive).with_context(|| format!("remove {}", archive.display()))?;
        Ok(over)
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Ready { seconds } => self.say(&format!("ready after {seconds:.1} s")),
            Line::Begins { .. } | Line::End => {}
            Line::Ended { id, seconds, outcome } => {
                match &outcome {
                    Outcome::Passed => self.say(&format!("{id}: ok, {seconds:.1} s")),
                    Outcome::Skipped(why) => self.say(&format!("{id}: SKIPPED, {why}")),
                    Outcome::Failed(why) => {
                        self.say(&format!("{id}: FAILED ({why}), {seconds:.1} s"));
                        self.show_log(&id);
                    }
                }
                self.outcomes.insert(id, outcome);
            }
        }
    }

    /// Shows the end of what a test wrote.
    fn show_log(&self, id: &str) {
        let path = self.logs.join(Test::log_of(id));
        let log = fs::read(&path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
            println!("         | {line}");
        }
        println!("         | all of it: {}", path.display());
    }

    /// The guest's first file system: this program, the libraries that it needs, modules and the plan.
    fn archive(&self, tests: Vec<Test>) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        let mut add = |name: &str, from: &Path| -> Result<()> {
            archive
                .file(Path::new(name), &fs::read(from).with_context(|| format!("read {}", from.display()))?);
            Ok(())
        };
        let program = env::current_exe().context("find this program")?;
        add("/init", &program)?;
        for library in libraries(&program)? {
            add(&library, Path::new(&library))?;
        }
        let mut modules = Vec::new();
        for module in &self.kernel.modules {
            let name = module.file_name().context("a module has a name")?.to_string_lossy();
            let name = format!("/modules/{name}");
            add(&name, module)?;
            modules.push(name);
        }
        let target = target_dir(self.root);
        let dirs = [self.root, &target, self.agent.parent().context("the agent lies in a directory")?];
        let mut keep = BTreeSet::new();
        for dir in dirs.into_iter().chain(tests.iter().filter_map(|test| test.program.parent())) {
            keep.insert(dir.canonicalize().with_context(|| format!("find {}", dir.display()))?);
        }
        let plan = Plan {
            modules,
            keep: keep.into_iter().collect(),
            path: env::var("PATH").context("there is no PATH")?,
            agent: self.agent.to_owned(),
            test_deadline_s: TEST_DEADLINE_S,
            tests,
        };
        archive.file(Path::new(PLAN), &serde_json::to_vec(&plan).context("write the plan")?);
        Ok(archive.finish())
    }

    fn qemu(&self, archive: &Path, console: &Path) -> Result<Child> {
        // It ends when this program does, however that happens.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", QEMU]);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        // Emulated, so that it runs where machines are themselves virtual. With cmpxchg16b one start in four of 6.12
        // ended in a double fault (QEMU 7.2); without it none did.
        command.args(["-accel", "tcg", "-cpu", "max,-cx16", "-smp", "1", "-m", MEMORY]);
        command.arg("-kernel").arg(&self.kernel.image).arg("-initrd").arg(archive);
        command.arg("-append").arg(
            "console=ttyS0 panic=-1 oops=panic mitigations=off nokaslr audit=0 tsc=reliable rdinit=/init -- guest-init",
        );
        command.arg("-serial").arg(format!("file:{}", plain(console)?));
        share(&mut command, ROOT_TAG, Path::new("/"), ",readonly=on")?;
        share(&mut command, LOGS_TAG, self.logs, "")?;
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().with_context(|| format!("start {QEMU}"))
    }
}

/// Shares a directory with the guest.
fn share(command: &mut Command, tag: &str, dir: &Path, more: &str) -> Result<()> {
    let dir = plain(dir)?;
    let backend = format!("local,id={tag},path={dir},security_model=none,multidevs=remap{more}");
    command.args(["-fsdev", &backend]);
    command.args(["-device", &format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}")]);
    Ok(())
}

/// A path as QEMU takes it inside an option.
fn plain(path: &Path) -> Result<&str> {
    match path.to_str() {
        Some(path) if !path.contains(',') => Ok(path),
        _ => bail!("QEMU takes no comma in a path: {}", path.display()),
    }
}

/// The shared libraries that a program is started with, its loader among them.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let list = output_of(Command::new("ldd").arg(program))?;
    let list = String::from_utf8(list).context("ldd's list")?;
    Ok(list.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

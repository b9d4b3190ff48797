//! Processes that end with the test that started them.

use std::{
    io::Read,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use tempfile::TempDir;

use crate::wait::{wait_for, wait_until};

/// How long a process may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a process has written to stderr so far.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<Written>>);

#[derive(Debug, Default)]
struct Written {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    fn follow(mut from: impl Read + Send + 'static) -> Self {
        let output = Self::default();
        let into = output.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                into.written().bytes.extend_from_slice(&buffer[..read]);
            }
            into.written().ended = true;
        });
        output
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.lock().expect("nothing panics while it holds the output")
    }
}

/// A running process with its children, in a process group of its own; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stderr: Output,
}

impl Process {
    /// Starts a program. Its stderr is kept.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("start {name}: {error}"));
        let stderr = Output::follow(child.stderr.take().expect("stderr is piped"));
        Self { name, child, stderr }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stderr.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.written().bytes).into_owned()
    }

    /// The other end of its stdin, where that is piped.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("stdin is piped and still there")
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.as_pid(), signal).unwrap_or_else(|error| panic!("signal {}: {error}", self.name));
    }

    /// Waits until it ends by itself and all it wrote was read.
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        let status = wait_for(&what, || self.child.try_wait().expect("wait for a process"));
        wait_until(&what, || self.stderr.written().ended);
        status
    }

    /// Reads all of stdout, which ends with the process; returns how it ended and what it wrote to both.
    pub fn output(mut self) -> (ExitStatus, Vec<u8>, String) {
        let mut output = Vec::new();
        let mut stdout = self.child.stdout.take().expect("stdout is piped");
        stdout.read_to_end(&mut output).expect("read stdout");
        let status = self.wait();
        (status, output, self.stderr())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn as_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("process ids are positive"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A service that is asked to end waits for its workers; one that is killed leaves them to others.
        let _: nix::Result<()> = kill(self.as_pid(), Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
        // Its children too; the group is gone already where everything ended by itself.
        let _: nix::Result<()> = killpg(self.as_pid(), Signal::SIGKILL);
        let _: std::io::Result<ExitStatus> = self.child.wait();
    }
}

/// A copy of a program under a path that no other test knows.
#[derive(Debug)]
pub struct OwnProgram {
    dir: TempDir,
    name: String,
}

impl OwnProgram {
    /// Copies a program.
    pub fn copy(program: &Path) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let name = program.file_name().expect("a program has a name").to_string_lossy().into_owned();
        std::fs::copy(program, dir.path().join(&name)).expect("copy a program");
        Self { dir, name }
    }

    /// Finds a program in the search path.
    pub fn find(name: &str) -> PathBuf {
        let path = std::env::var("PATH").expect("a search path");
        let mut places = path.split(':').chain(["/usr/sbin", "/sbin"]).map(|dir| Path::new(dir).join(name));
        places.find(|place| place.is_file()).unwrap_or_else(|| panic!("{name} is not installed"))
    }

    /// Its path.
    pub fn path(&self) -> String {
        self.dir.path().join(&self.name).display().to_string()
    }
}

//! `ebpf-frontend` as a process.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(20);

/// Prepares the program with nothing in its environment but what the test adds.
pub fn frontend() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebpf-frontend"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// Runs the program with one variable that keeps it from running, and gives what it said.
pub fn run(name: &str, value: &str) -> Output {
    let mut command = frontend();
    let command = command.env(name, value).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running { child: command.spawn().expect("start ebpf-frontend"), lines: Arc::default() };
    let status =
        eventually(&format!("the end with {name}={value}"), || running.child.try_wait().expect("wait"));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    running.child.stdout.take().expect("piped").read_to_end(&mut stdout).expect("read stdout");
    running.child.stderr.take().expect("piped").read_to_end(&mut stderr).expect("read stderr");
    Output { status, stdout, stderr }
}

/// A running program and what it wrote so far; killed when dropped.
pub struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("start ebpf-frontend");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&lines);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                written.lock().expect("no panic").push(line);
            }
        });
        Self { child, lines }
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }

    /// Waits for a line that contains `text`.
    pub fn line_with(&self, text: &str) -> String {
        eventually(&format!("a line with {text:?}"), || {
            self.lines().into_iter().find(|line| line.contains(text))
        })
    }

    /// Gives the address that the program says it listens on.
    pub fn address(&self) -> SocketAddr {
        let line = self.line_with("Starting demo frontend application");
        let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
        address.expect("an address").parse().expect("a socket address")
    }

    /// Sends a signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let status = kill.args(["-s", name, &self.child.id().to_string()]).status().expect("run kill");
        assert!(status.success());
    }

    /// Waits for the end and gives the exit code; a death by signal is none.
    pub fn exit_code(&mut self) -> Option<i32> {
        eventually("the end of the program", || self.child.try_wait().expect("wait")).code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only where the program has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until there is an answer, for at most [`LIMIT`].
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

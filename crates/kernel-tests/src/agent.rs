//! The agent under test: the program that is shipped, started as people start it.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
};

use nix::sys::signal::Signal;

use crate::{process::Process, sink::Sink, wait::wait_until};

/// Names the agent's binary; without it, cargo builds one.
const BINARY_VARIABLE: &str = "OTEL_EBPF_AGENT_BIN";

/// The agent's binary.
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os(BINARY_VARIABLE) {
        Some(path) => PathBuf::from(path),
        None => build("otel-ebpf-agent", "otel-ebpf-agent", !cfg!(debug_assertions)),
    })
}

/// The services of `src/bin/patterns.rs`, optimized as what people run is: tasks are found in such code.
pub fn patterns() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build("otel-ebpf-kernel-tests", "patterns", true))
}

/// Whether the binary is a release build, which is what keeps up with full speed.
pub fn is_optimised() -> bool {
    binary().components().any(|part| part.as_os_str() == "release")
}

/// Builds a program in the target directory that the test itself lies in.
fn build(package: &str, program: &str, is_release: bool) -> PathBuf {
    let test = std::env::current_exe().expect("path of the test");
    let profile_dir = test.ancestors().nth(2).expect("tests lie in deps/ of the profile's directory");
    let target_dir = profile_dir.parent().expect("the profile's directory lies in the target directory");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", package, "--bin", program]);
    cargo.arg("--target-dir").arg(target_dir).current_dir(env!("CARGO_MANIFEST_DIR"));
    if is_release {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("run cargo");
    assert!(status.success(), "{program} does not build; {BINARY_VARIABLE} can name an agent that is built");
    target_dir.join(if is_release { "release" } else { "debug" }).join(program)
}

/// The agent with these variables and no others of its own.
pub fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A running agent.
#[derive(Debug)]
pub struct Agent(Process);

impl Agent {
    /// Starts an agent that exports to `sink`, and waits until it is attached.
    pub fn start(sink: &Sink, variables: &[(&str, &str)]) -> Self {
        Self::start_towards(sink.address(), variables)
    }

    /// Starts an agent that exports to an address, and waits until it is attached.
    pub fn start_towards(collector: SocketAddr, variables: &[(&str, &str)]) -> Self {
        let endpoint = format!("http://{collector}");
        let mut all = vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT", "20ms"),
        ];
        all.extend(variables);
        let mut agent = Self(Process::start(&mut command(&all)));
        wait_until("the agent to be attached", || {
            let log = agent.log();
            assert!(agent.0.is_running(), "the agent ended: {log}");
            log.contains(": attached tap=")
        });
        agent
    }

    /// An agent that traces whoever listens on a port.
    pub fn on_port(sink: &Sink, port: u16) -> Self {
        Self::start(sink, &[("OTEL_EBPF_OPEN_PORT", &port.to_string())])
    }

    /// An agent that traces whoever one of these rules selects, each an entry of `discovery.instrument`.
    pub fn by_rules(sink: &Sink, rules: &[String]) -> Self {
        let rules: String = rules.iter().map(|rule| format!("    - {{{rule}}}\n")).collect();
        let mut file = tempfile::NamedTempFile::new().expect("make a file");
        write!(file, "discovery:\n  instrument:\n{rules}").expect("write the configuration");
        Self::start(sink, &[("OTEL_EBPF_CONFIG_PATH", &file.path().display().to_string())])
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.0.signal(signal);
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.0.stderr()
    }

    /// Waits until it says that it traces a process.
    pub fn wait_until_traces(&self, pid: u32) {
        let needle = format!("tracing process pid={pid} ");
        wait_until(&needle, || self.log().contains(&needle));
    }

    /// Waits until it has looked at how the threads of a process run tasks.
    pub fn wait_until_knows_runtime(&self, pid: u32) {
        let needle = format!("runtime pid={pid} ");
        wait_until(&needle, || self.log().contains(&needle));
    }

    /// Ends it with SIGTERM, after which everything it has seen was exported.
    pub fn stop(mut self) -> Ended {
        self.0.signal(Signal::SIGTERM);
        let status = self.0.wait();
        let log = self.log();
        Ended { status, log }
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) {
        self.0.signal(Signal::SIGKILL);
        self.0.wait();
    }
}

/// An agent that ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// Everything it logged.
    pub log: String,
}

impl Ended {
    /// What it counted, by name.
    pub fn counts(&self) -> Counts {
        let line = self.log.lines().find(|line| line.contains("final counts"));
        let line = line.unwrap_or_else(|| panic!("no final counts: {}", self.log));
        let numbers = line
            .split_whitespace()
            .filter_map(|word| word.split_once('='))
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)));
        Counts { numbers: numbers.collect(), line: line.to_owned() }
    }

    /// Events that the kernel side could not deliver.
    pub fn kernel_losses(&self) -> u64 {
        let lines = self.log.lines().filter(|line| line.contains("kernel side lost"));
        let lost =
            lines.filter_map(|line| line.split_once(" lost=")?.1.split(' ').next()?.parse::<u64>().ok());
        lost.sum()
    }

    /// Checks that it ended well, had nothing to complain of, lost nothing, and that its counts add up.
    pub fn assert_clean(&self) -> Counts {
        let counts = self.assert_clean_among_others();
        assert_eq!(counts.get("unattributed"), 0, "{}", self.log);
        counts
    }

    /// As [`Ended::assert_clean`], for an agent that goes by programs: one of another test may have ended before the
    /// agent could look at it, and what it sent is told of nobody.
    pub fn assert_clean_among_others(&self) -> Counts {
        assert!(self.status.success(), "{:?}: {}", self.status, self.log);
        for line in self.log.lines() {
            assert!(!line.contains(" WARN ") && !line.contains(" ERROR "), "{line}\nin: {}", self.log);
        }
        let counts = self.counts();
        counts.assert_balanced();
        for name in ["undecodable", "export_dropped"] {
            assert_eq!(counts.get(name), 0, "{name}: {}", self.log);
        }
        counts
    }
}

/// The agent's own counts.
#[derive(Clone, Debug)]
pub struct Counts {
    numbers: BTreeMap<String, u64>,
    /// The line that they stood in, for messages.
    line: String,
}

impl Counts {
    /// One count.
    pub fn get(&self, name: &str) -> u64 {
        *self.numbers.get(name).unwrap_or_else(|| panic!("{name} is not counted: {}", self.line))
    }

    /// Checks that everything seen is accounted for.
    pub fn assert_balanced(&self) {
        let exchanges = self.get("exchanges");
        assert_eq!(self.get("requests_seen"), exchanges + self.get("requests_dropped"), "{}", self.line);
        let left_out = self.get("unsampled") + self.get("unattributed");
        let exported = self.get("exported") + self.get("export_dropped");
        assert_eq!(self.get("spans"), exported + left_out, "{}", self.line);
    }
}

/// A rule that selects who listens on a port.
pub fn of_port(port: u16) -> String {
    format!("open_ports: {port}")
}

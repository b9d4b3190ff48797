//! The command line: raw flags, turned into checked settings by [`crate::config`].

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flags, Override};
use crate::health::MAX_AGE;

const AFTER_HELP: &str = "\
Environment (flags win over it, it wins over the file; full list in docs/configuration.md):
  what to trace   OTEL_EBPF_OPEN_PORT, OTEL_EBPF_AUTO_TARGET_EXE, OTEL_EBPF_TARGET_PID
  where to send   OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_HEADERS
  what to print   OTEL_EBPF_TRACE_PRINTER, OTEL_EBPF_LOG_LEVEL
  names           OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES of each service; of the agent as a fallback

Examples:
  otel-ebpf-agent --open-port 8080 --trace-printer text
  otel-ebpf-agent --open-port 5001,5004 --endpoint http://localhost:4317
  otel-ebpf-agent --exe '*/nginx' --endpoint http://localhost:4318
  otel-ebpf-agent --config agent.yaml
  otel-ebpf-agent doctor
  otel-ebpf-agent health --health-file /run/otel-ebpf-agent/health

Exit codes: 0 stopped by a signal, 1 failed, 2 the configuration cannot be used.";

/// Traces HTTP services from the kernel, without touching them, and exports OpenTelemetry spans.
#[derive(Debug, Parser)]
#[command(name = "otel-ebpf-agent", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; `run` when left out.
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

/// What the agent is asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Trace until stopped by SIGINT or SIGTERM (the default).
    Run(Box<RunArgs>),
    /// Say what this kernel offers, which tap would be used, and what would not work and why.
    Doctor,
    /// Ask whether the running agent is alive: a health check for containers.
    #[command(long_about = ABOUT_HEALTH)]
    Health(HealthArgs),
}

const ABOUT_HEALTH: &str = "\
Judges the agent by the health file that it renews every 5 seconds: OTEL_EBPF_HEALTH_FILE, --health-file or the key
health_file of the configuration file, given to the agent and to this command.

Exit codes: 0 the last sign of life is young enough; 1 it is not, or there is none (one line on standard error says
which); 2 no file is named, or the configuration cannot be used.";

/// Flags of `health`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct HealthArgs {
    /// YAML file in OBI's shape [env: OTEL_EBPF_CONFIG_PATH] [default: none]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file that the agent renews [env: OTEL_EBPF_HEALTH_FILE] [default: none]
    #[arg(long, value_name = "FILE")]
    health_file: Option<String>,
    /// Age from which a sign of life no longer counts
    #[arg(long, value_name = "SECONDS", default_value_t = MAX_AGE.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    max_age: u64,
}

/// Flags of `run`. Each takes the place of an environment variable, except `--config`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    /// YAML file in OBI's shape [env: OTEL_EBPF_CONFIG_PATH] [default: none]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Trace processes that listen on these ports, such as 80,8000-8999 [env: OTEL_EBPF_OPEN_PORT] [default: none]
    #[arg(short = 'p', long, value_name = "PORTS")]
    open_port: Option<String>,
    /// Trace processes whose executable path matches, such as '*/nginx' [env: OTEL_EBPF_AUTO_TARGET_EXE]
    /// [default: none]
    #[arg(long, value_name = "GLOB")]
    exe: Option<String>,
    /// Trace these processes, such as 4711,4712 [env: OTEL_EBPF_TARGET_PID] [default: none]
    #[arg(long, value_name = "PIDS")]
    pid: Option<String>,
    /// Export to this collector, such as http://localhost:4317 [env: OTEL_EXPORTER_OTLP_ENDPOINT]
    /// [default: none]
    #[arg(short, long, value_name = "URL")]
    endpoint: Option<String>,
    /// grpc or http/protobuf [env: OTEL_EXPORTER_OTLP_PROTOCOL] [default: by port, 4317 is grpc]
    #[arg(long, value_name = "PROTOCOL")]
    protocol: Option<String>,
    /// Print spans: disabled, text, json, json_indent or counter [env: OTEL_EBPF_TRACE_PRINTER]
    /// [default: disabled]
    #[arg(long, value_name = "FORMAT")]
    trace_printer: Option<String>,
    /// DEBUG, INFO, WARN or ERROR [env: OTEL_EBPF_LOG_LEVEL] [default: INFO]
    #[arg(short, long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How to attach to the kernel: auto, tracepoint or fexit [env: OTEL_EBPF_TAP] [default: auto]
    #[arg(long, value_name = "TAP")]
    tap: Option<String>,
    /// Renew this file every 5 seconds, for `otel-ebpf-agent health` [env: OTEL_EBPF_HEALTH_FILE] [default: none]
    #[arg(long, value_name = "FILE")]
    health_file: Option<String>,
}

impl Cli {
    /// The command, with `run` put in when none was given.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Run(Box::new(self.run)))
    }
}

impl RunArgs {
    /// The raw values, for [`crate::config::load`].
    pub fn into_flags(self) -> Flags {
        let overrides = [
            ("--open-port", "OTEL_EBPF_OPEN_PORT", self.open_port),
            ("--exe", "OTEL_EBPF_AUTO_TARGET_EXE", self.exe),
            ("--pid", "OTEL_EBPF_TARGET_PID", self.pid),
            ("--endpoint", "OTEL_EXPORTER_OTLP_ENDPOINT", self.endpoint),
            ("--protocol", "OTEL_EXPORTER_OTLP_PROTOCOL", self.protocol),
            ("--trace-printer", "OTEL_EBPF_TRACE_PRINTER", self.trace_printer),
            ("--log-level", "OTEL_EBPF_LOG_LEVEL", self.log_level),
            ("--tap", "OTEL_EBPF_TAP", self.tap),
            health_file(self.health_file),
        ];
        flags(self.config, overrides)
    }
}

impl HealthArgs {
    /// The age limit.
    pub fn max_age(&self) -> Duration {
        Duration::from_secs(self.max_age)
    }

    /// The raw values, for [`crate::config::load_health_file`].
    pub fn into_flags(self) -> Flags {
        flags(self.config, [health_file(self.health_file)])
    }
}

/// A flag as written, the variable that it takes the place of, and its value.
type Raw = (&'static str, &'static str, Option<String>);

fn health_file(value: Option<String>) -> Raw {
    ("--health-file", "OTEL_EBPF_HEALTH_FILE", value)
}

fn flags(config_path: Option<PathBuf>, overrides: impl IntoIterator<Item = Raw>) -> Flags {
    let given = |(flag, variable, value)| Some(Override { flag, variable, value: value? });
    Flags { config_path, overrides: overrides.into_iter().filter_map(given).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn flags(arguments: &[&str]) -> Flags {
        let cli = Cli::try_parse_from(std::iter::once(&"otel-ebpf-agent").chain(arguments)).expect("valid");
        match cli.into_command() {
            Command::Run(run) => run.into_flags(),
            other => panic!("expected run, not {other:?}"),
        }
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default_command() {
        assert_eq!(flags(&["--open-port", "80"]), flags(&["run", "--open-port", "80"]));
        assert_eq!(flags(&[]), Flags::default());
        let doctor = Cli::try_parse_from(["otel-ebpf-agent", "doctor"]).expect("valid");
        assert!(matches!(doctor.into_command(), Command::Doctor));
    }

    #[test]
    fn health_has_flags_of_its_own() {
        let health = |arguments: &[&str]| {
            let all = ["otel-ebpf-agent", "health"].iter().chain(arguments);
            match Cli::try_parse_from(all).map(Cli::into_command) {
                Ok(Command::Health(health)) => Some((health.max_age(), health.into_flags())),
                _ => None,
            }
        };
        assert_eq!(health(&[]), Some((Duration::from_secs(15), Flags::default())));
        let (max_age, flags) = health(&["--health-file", "f", "--max-age", "1"]).expect("valid");
        let expected =
            Override { flag: "--health-file", variable: "OTEL_EBPF_HEALTH_FILE", value: "f".to_owned() };
        assert_eq!((max_age, flags.overrides), (Duration::from_secs(1), vec![expected]));
        for wrong in [["--max-age", "0"], ["--max-age", "1s"], ["--tap", "fexit"]] {
            assert_eq!(health(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn flags_stand_for_variables() {
        let flags = flags(&["-c", "a.yaml", "--tap", "fexit"]);
        assert_eq!(flags.config_path, Some(PathBuf::from("a.yaml")));
        assert_eq!(
            flags.overrides,
            [Override { flag: "--tap", variable: "OTEL_EBPF_TAP", value: "fexit".to_owned() }]
        );
    }
}

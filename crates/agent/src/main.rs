//! Entry point of the agent: reads the configuration, starts logging, runs.

use std::{path::Path, process::ExitCode, time::Instant};

use clap::Parser as _;
use otel_ebpf_agent::{
    agent,
    cli::{Cli, Command, HealthArgs},
    config::{self, Environment, LogLevel},
    doctor, health,
};
use tracing::{error, level_filters::LevelFilter, warn};

/// The configuration cannot be used.
const EXIT_CONFIGURATION: u8 = 2;

fn main() -> ExitCode {
    let started = Instant::now();
    match Cli::parse().into_command() {
        Command::Doctor => {
            start_logging(LogLevel::Error);
            if doctor::run() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Command::Health(arguments) => ask_for_health(arguments),
        Command::Run(arguments) => {
            match config::load(&arguments.into_flags(), &Environment::of_process(), read_file) {
                Ok(loaded) => run(loaded, started),
                Err(error) => refuse(&error),
            }
        }
    }
}

fn read_file(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}

/// Says what is wrong with the configuration.
fn refuse(error: &config::ConfigError) -> ExitCode {
    for warning in &error.warnings {
        eprintln!("warning: {warning}");
    }
    eprintln!("error: {error}");
    ExitCode::from(EXIT_CONFIGURATION)
}

/// Says nothing of a healthy agent, and one line of any other.
fn ask_for_health(arguments: HealthArgs) -> ExitCode {
    let max_age = arguments.max_age();
    let path = match config::load_health_file(&arguments.into_flags(), &Environment::of_process(), read_file)
    {
        Ok(path) => path,
        Err(error) => return refuse(&error),
    };
    match health::check(&path, agent::clock::monotonic_ns(), max_age) {
        Ok(_) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("otel-ebpf-agent: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(loaded: config::Loaded, started: Instant) -> ExitCode {
    start_logging(loaded.settings.log_level);
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    // One thread exports; reading the kernel's events has its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let result = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let result = runtime.block_on(agent::run(loaded.settings, started));
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start_logging(level: LogLevel) {
    let level = match level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    // Libraries speak up only when they degrade: their debug output would drown the agent's own.
    let filter = tracing_subscriber::EnvFilter::new(format!("warn,otel_ebpf_agent={level}"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

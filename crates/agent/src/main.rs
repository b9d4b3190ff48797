//! Entry point of the agent: reads the configuration, starts logging, runs.

use std::{process::ExitCode, time::Instant};

use clap::Parser as _;
use otel_ebpf_agent::{
    agent,
    cli::{Cli, Command},
    config::{self, Environment, LogLevel},
    doctor,
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
        Command::Run(arguments) => {
            let read_file = |path: &std::path::Path| std::fs::read_to_string(path);
            match config::load(&arguments.into_flags(), &Environment::of_process(), read_file) {
                Ok(loaded) => run(loaded, started),
                Err(error) => {
                    for warning in &error.warnings {
                        eprintln!("warning: {warning}");
                    }
                    eprintln!("error: {error}");
                    ExitCode::from(EXIT_CONFIGURATION)
                }
            }
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

//! The `tinyolly` program.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tinyolly::config::{self, Cli};
use tinyolly::server::Server;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Threads for network work; storing has a thread of its own.
const WORKER_THREADS: usize = 2;
/// Threads for queries and for large requests.
const BLOCKING_THREADS: usize = 8;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = match EnvFilter::try_new(&cli.log) {
        Ok(filter) => filter,
        Err(error) => {
            eprintln!(
                "tinyolly: --log {:?} is not a log filter such as `info` or `tinyolly=debug`: {error}",
                cli.log
            );
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tinyolly: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let config = cli.config(config::data_dir(|name| std::env::var_os(name)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("watch SIGINT")?;
        let server = Server::bind(&config).await?;
        let at = server.addresses();
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            ui = format_args!("http://{}", at.ui),
            otlp_grpc = %at.grpc,
            otlp_http = format_args!("http://{}", at.http),
            db = %config.store.path.display(),
            "listening"
        );
        server
            .run(async {
                tokio::select! {
                    _ = terminate.recv() => tracing::info!("SIGTERM, shutting down"),
                    _ = interrupt.recv() => tracing::info!("SIGINT, shutting down"),
                }
            })
            .await
    })
}

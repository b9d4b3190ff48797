//! The `tinyolly` program.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tinyolly::config::{self, Cli, Command};
use tinyolly::health;
use tinyolly::server::Server;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Threads for network work; storing has a thread of its own.
const WORKER_THREADS: usize = 2;
/// Threads for queries and for large requests.
const BLOCKING_THREADS: usize = 8;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.command == Some(Command::Health) {
        return ask_for_health(&cli);
    }
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

/// Says nothing of a healthy server, and one line of any other.
fn ask_for_health(cli: &Cli) -> ExitCode {
    if cli.ui_port == 0 {
        eprintln!("tinyolly: --ui-port 0 takes a free port; health needs the port that the log names");
        return ExitCode::from(2);
    }
    let address = health::reachable(SocketAddr::new(cli.host, cli.ui_port));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime
        .context("start the runtime")
        .and_then(|runtime| Ok(runtime.block_on(health::ask(address))?))
        .with_context(|| format!("GET http://{address}/health"));
    match asked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tinyolly: {error:#}");
            ExitCode::FAILURE
        }
    }
}

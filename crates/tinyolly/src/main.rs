//! The `tinyolly` program.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tinyolly::client::{self, Client};
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
    match &cli.command {
        Some(Command::Health) => return ask_for_health(&cli),
        Some(command @ (Command::Export { .. } | Command::Import { .. } | Command::Stats)) => {
            return ask(&cli, command);
        }
        Some(Command::Serve) | None => {}
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

/// Runs a command that asks a running server.
fn ask(cli: &Cli, command: &Command) -> ExitCode {
    if cli.ui_port == 0 {
        eprintln!("tinyolly: --ui-port 0 takes a free port; this command needs the port that the log names");
        return ExitCode::from(2);
    }
    let client = Client::new(health::reachable(SocketAddr::new(cli.host, cli.ui_port)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.context("start the runtime").and_then(|runtime| {
        runtime.block_on(async {
            match command {
                Command::Export { signal, filter, output } => {
                    export(client, signal, filter, output.as_deref()).await
                }
                Command::Import { files } => import(client, files).await,
                _ => {
                    client.get("/api/stats", &mut std::io::stdout().lock()).await?;
                    println!();
                    Ok(())
                }
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tinyolly: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn export(
    client: Client,
    signal: &str,
    filter: &[(String, String)],
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let path = client::export_path(signal, filter);
    let Some(output) = output else { return client.get(&path, &mut std::io::stdout().lock()).await };
    // Beside the file, so that it can take its name in one step when it is whole.
    let mut part = output.as_os_str().to_owned();
    part.push(".part");
    let mut file = std::fs::File::create(&part).with_context(|| format!("create {}", part.display()))?;
    let written = client.get(&path, &mut file).await;
    let moved = written.and_then(|()| Ok(std::fs::rename(&part, output)?));
    if moved.is_err() {
        // What there is of it is of no use; the first error is told.
        std::fs::remove_file(&part).ok();
    }
    moved.with_context(|| format!("write {}", output.display()))
}

async fn import(client: Client, files: &[PathBuf]) -> anyhow::Result<()> {
    for path in files {
        let text = if path.as_os_str() == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(path)
        };
        let text = text.with_context(|| format!("read {}", path.display()))?;
        let sum = client.import(&text).await.with_context(|| format!("import {}", path.display()))?;
        println!(
            "{}: {} spans, {} logs, {} metric points, {} rejected",
            path.display(),
            sum.spans,
            sum.logs,
            sum.metric_points,
            sum.rejected
        );
    }
    Ok(())
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

//! `ebpf-frontend`: serves the frontend of the demo until SIGTERM or SIGINT; `ebpf-frontend health` asks one that runs.
#![forbid(unsafe_code)]

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use ebpf_demo_service::{
    command::{self, Command},
    dice::Dice,
    env,
    failure::{Failure, report},
    health,
    listen::listen,
    serve::{DRAIN, StopSignals, log_end, serve},
};
use ebpf_frontend::{
    app::{App, Chances},
    backend::Backend,
    config::Config,
    metrics::Metrics,
    routes,
    telemetry::{Telemetry, logs, settings::TelemetrySettings},
    traffic::{Traffic, own_url},
};
use tokio::{net::TcpListener, runtime::Runtime, sync::watch};
use tracing::info;

/// How long the last export may take after the last request.
const FLUSH: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let result = match command::read(std::env::args_os()) {
        Ok(Command::Serve) => run(),
        Ok(Command::Health) => health::check(&env::process),
        Err(failure) => Err(failure),
    };
    report("ebpf-frontend", result)
}

fn run() -> Result<(), Failure> {
    let config = Config::read(&env::process)?;
    let settings = TelemetrySettings::read(&env::process)?;
    let filter = logs::stdout_filter(&env::process)?;
    let runtime = Runtime::new().map_err(|source| Failure::Io { what: "start the runtime", source })?;

    let (door, telemetry) = runtime.block_on(async {
        let door = Door::open(config.listen).await?;
        Ok::<_, Failure>((door, Telemetry::start(&settings)?))
    })?;
    logs::install(filter, telemetry.log_provider());
    info!(address = %door.address, backend = %config.backend_url, "Starting demo frontend application");
    let result = runtime.block_on(serve_requests(&config, &telemetry, door));
    // The flush needs the runtime, which carries the connections to the collector, and blocks, so it runs outside it.
    telemetry.shutdown(FLUSH);
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Where requests come in, and the signals that close it.
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    signals: StopSignals,
}

impl Door {
    async fn open(wanted: SocketAddr) -> Result<Self, Failure> {
        let signals = StopSignals::install()?;
        let (listener, address) = listen(wanted).await?;
        Ok(Self { listener, address, signals })
    }
}

async fn serve_requests(config: &Config, telemetry: &Telemetry, door: Door) -> Result<(), Failure> {
    let Door { listener, address, mut signals } = door;
    let dice = Arc::new(Dice::fair());
    let app = Arc::new(App {
        metrics: Metrics::new(&telemetry.meter(), Arc::clone(&dice)),
        dice,
        backend: Backend::new(config.backend_url.clone()).map_err(client_failed)?,
        chances: Chances::default(),
        auto_traffic: config.traffic.is_some(),
    });

    let (stop, stopped) = watch::channel(false);
    let traffic = match config.traffic {
        Some(pace) => {
            let traffic = Traffic::new(Arc::clone(&app), own_url(address), pace).map_err(client_failed)?;
            Some(tokio::spawn(traffic.run(stopped)))
        }
        None => {
            info!("Auto-traffic generation disabled");
            None
        }
    };
    let stopping = async move {
        let signal = signals.received().await;
        info!(signal, "Stopping: finishing open requests");
        // Nobody listens where auto-traffic is off.
        let _ = stop.send(true);
    };
    let ended = serve(listener, routes::router(app), stopping, DRAIN).await?;
    if let Some(traffic) = traffic {
        // Its last request was answered or cut with the server; a call that still waits has nothing to wait for.
        traffic.abort();
    }
    log_end(ended);
    Ok(())
}

fn client_failed(error: reqwest::Error) -> Failure {
    Failure::Setting(format!("build an HTTP client: {error}"))
}

//! `ebpf-backend`: serves the backend of the demo until SIGTERM or SIGINT; `ebpf-backend health` asks one that runs.
#![forbid(unsafe_code)]

use std::{process::ExitCode, sync::Arc};

use ebpf_backend::{logs, routes, shop::Shop};
use ebpf_demo_service::{
    command::{self, Command},
    env,
    failure::{Failure, report},
    health,
    listen::listen,
    serve::{DRAIN, StopSignals, log_end, serve},
};
use tracing::info;

fn main() -> ExitCode {
    let result = match command::read(std::env::args_os()) {
        Ok(Command::Serve) => run(),
        Ok(Command::Health) => health::check(&env::process),
        Err(failure) => Err(failure),
    };
    report("ebpf-backend", result)
}

#[tokio::main]
async fn run() -> Result<(), Failure> {
    let wanted = env::listen_address(&env::process)?;
    let filter = logs::filter(&env::process)?;
    let mut signals = StopSignals::install()?;
    let (listener, address) = listen(wanted).await?;
    logs::to_stdout(filter);

    info!(address = %address, "Starting demo backend service");
    let stop = async move {
        let signal = signals.received().await;
        info!(signal, "Stopping: finishing open requests");
    };
    let ended = serve(listener, routes::router(Arc::new(Shop::open())), stop, DRAIN).await?;
    log_end(ended);
    Ok(())
}

//! `ebpf-backend`: serves the backend of the demo until SIGTERM or SIGINT.
#![forbid(unsafe_code)]

use std::{process::ExitCode, sync::Arc};

use ebpf_backend::{logs, routes, shop::Shop};
use ebpf_demo_service::{
    env,
    failure::{Failure, report},
    listen::listen,
    serve::{DRAIN, StopSignals, log_end, serve},
};
use tracing::info;

fn main() -> ExitCode {
    report("ebpf-backend", run())
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

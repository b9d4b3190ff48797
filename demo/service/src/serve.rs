//! Serving until a signal asks to stop, then finishing what is open.

use std::{future::Future, io, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use tracing::{info, warn};

use crate::failure::Failure;

/// How long requests that are open when the signal comes may take to finish.
pub const DRAIN: Duration = Duration::from_secs(10);

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every open request was answered.
    Drained,
    /// The deadline came first; the connections left were cut.
    Cut,
}

/// The signals that ask a service to stop.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Takes over SIGTERM and SIGINT; from here on neither ends the process by itself.
    ///
    /// # Errors
    /// The operating system refuses the handlers.
    pub fn install() -> Result<Self, Failure> {
        let handler =
            |kind| signal(kind).map_err(|source| Failure::Io { what: "install signal handlers", source });
        Ok(Self {
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
        })
    }

    /// Waits for the first of the two and names it.
    pub async fn received(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Serves `router` until `stop` is ready, then takes no more connections and finishes open requests within `drain`.
///
/// # Errors
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) -> Result<Ended, Failure> {
    let listener = listener.tap_io(|stream| {
        // Small answers should not wait for an acknowledgement; where the option is refused they merely come later.
        let _ = stream.set_nodelay(true);
    });
    let (stopping, stopped) = oneshot::channel();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        stop.await;
        // The receiver is gone only when serving has ended anyway.
        let _ = stopping.send(());
    });
    let deadline = async {
        if stopped.await.is_ok() {
            tokio::time::sleep(drain).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        result = server.into_future() => result.map(|()| Ended::Drained).map_err(failed),
        () = deadline => Ok(Ended::Cut),
    }
}

/// Logs how serving ended.
pub fn log_end(ended: Ended) {
    match ended {
        Ended::Drained => info!("Stopped"),
        Ended::Cut => warn!(deadline_s = DRAIN.as_secs(), "Stopped with requests unfinished"),
    }
}

fn failed(source: io::Error) -> Failure {
    Failure::Io { what: "serve requests", source }
}

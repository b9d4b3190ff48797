//! The running server: three listeners, one store, an orderly end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::counters::Counters;
use crate::receive::{Receiver, grpc, http};
use crate::store::{Store, WriterHandle};
use crate::{api, assets};

/// How long open connections may take to finish at shutdown.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// A server whose listeners are bound.
#[derive(Debug)]
pub struct Server {
    listeners: [(TcpListener, Router); 3],
    addresses: Addresses,
    stop: watch::Sender<bool>,
    writer: WriterHandle,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// User interface and REST API.
    pub ui: SocketAddr,
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// OTLP/HTTP.
    pub http: SocketAddr,
}

impl Server {
    /// Binds the listeners and opens the store.
    ///
    /// # Errors
    /// When a port is taken or the database cannot be opened.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let ui = listen(config.ui, "the user interface").await?;
        let grpc = listen(config.grpc, "OTLP/gRPC").await?;
        let http = listen(config.http, "OTLP/HTTP").await?;
        let path = &config.store.path;
        if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        }
        let counters = Arc::new(Counters::default());
        let (store, writer) = open(path, config, &counters)?;
        let receiver = Receiver::new(store.clone(), Arc::clone(&counters), config.max_request_bytes);
        let (stop, stopping) = watch::channel(false);
        let hosts = Arc::new(api::host::HostCheck::new(config.allowed_hosts.clone()));
        let checked = |router: Router| {
            router.layer(axum::middleware::from_fn_with_state(Arc::clone(&hosts), api::host::check))
        };
        let streams = Arc::new(tokio::sync::Semaphore::new(api::MOST_STREAMS));
        let site = checked(
            api::router(api::Context { store, receiver: receiver.clone(), counters, stopping, streams })
                .merge(assets::router()),
        );
        // A page that rebound its name could send as well as read. It cannot speak gRPC.
        let otlp = checked(http::router(receiver.clone()));
        let addresses =
            Addresses { ui: ui.local_addr()?, grpc: grpc.local_addr()?, http: http.local_addr()? };
        let listeners = [(ui, site), (grpc, grpc::router(receiver)), (http, otlp)];
        Ok(Self { listeners, addresses, stop, writer })
    }

    /// Where the server listens.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `shutdown` resolves; then stops accepting, lets requests finish, and writes what is queued.
    ///
    /// # Errors
    /// When a listener fails.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listeners, stop, writer, .. } = self;
        let mut serving = JoinSet::new();
        for (listener, router) in listeners {
            let mut stopping = stop.subscribe();
            let stopped = async move {
                // An error means that the sender is gone, which is a reason to stop as well.
                stopping.wait_for(|stop| *stop).await.ok();
            };
            serving.spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        }
        tokio::select! {
            () = shutdown => {}
            Some(ended) = serving.join_next() => ended.context("a listener panicked")?.context("a listener failed")?,
        }
        stop.send_replace(true);
        let drained = async { while serving.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_DEADLINE, drained).await.is_err() {
            tracing::warn!("some connections were still open at the shutdown deadline");
            serving.shutdown().await;
        }
        drop(serving);
        // Connections that outlived the deadline hold the store; what they were acknowledged is written all the same.
        let joined = tokio::task::spawn_blocking(move || writer.join());
        if tokio::time::timeout(DRAIN_DEADLINE, joined).await.is_err() {
            tracing::warn!("the store was still in use at the shutdown deadline");
        }
        Ok(())
    }
}

async fn listen(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address} for {what}"))
}

fn open(path: &Path, config: &Config, counters: &Arc<Counters>) -> anyhow::Result<(Store, WriterHandle)> {
    Store::open(&config.store, Arc::clone(counters))
        .with_context(|| format!("open database {}", path.display()))
}

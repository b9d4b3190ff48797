//! What the tests share: a real backend on a free port, and the program under test as a process.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

pub mod process;
pub mod sink;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::Request, http::HeaderMap, middleware};
use ebpf_backend::shop::{Chances, Shop};
use ebpf_demo_service::{dice::Dice, listen::listen};
use reqwest::Url;

/// A running backend that keeps the headers of what it was asked.
pub struct RunningBackend {
    pub address: SocketAddr,
    pub headers: Arc<Mutex<Vec<HeaderMap>>>,
}

impl RunningBackend {
    /// Starts a backend that works without waits.
    pub async fn start(in_stock: f64, payment_accepted: f64) -> Self {
        let shop =
            Shop { dice: Dice::seeded(1).with_pace(0.0), chances: Chances { in_stock, payment_accepted } };
        let headers = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&headers);
        let record = move |request: Request| {
            seen.lock().expect("no panic").push(request.headers().clone());
            async { request }
        };
        let router = ebpf_backend::routes::router(Arc::new(shop)).layer(middleware::map_request(record));
        Self { address: serve(router).await, headers }
    }

    pub fn url(&self) -> Url {
        url(self.address)
    }
}

/// Serves a router on a free port for the rest of the test.
pub async fn serve(router: Router) -> SocketAddr {
    let (listener, address) = listen(([127, 0, 0, 1], 0).into()).await.expect("listen");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

pub fn url(address: SocketAddr) -> Url {
    format!("http://{address}/").parse().expect("an address makes a URL")
}

/// Gives an address that nothing listens on.
pub async fn unused_address() -> SocketAddr {
    listen(([127, 0, 0, 1], 0).into()).await.expect("listen").1
}

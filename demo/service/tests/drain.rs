//! Shutdown: open requests finish, stuck ones are cut at the deadline.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use ebpf_demo_service::{
    listen::listen,
    serve::{Ended, serve},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(10);

struct Running {
    address: SocketAddr,
    entered: Arc<Notify>,
    release: Arc<Notify>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Ended>,
}

/// Starts a server whose one route says when it was entered and answers when it is released.
async fn start(drain: Duration) -> Running {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, gate) = (Arc::clone(&entered), Arc::clone(&release));
    let handler = move || async move {
        inside.notify_one();
        gate.notified().await;
        "done"
    };
    let (listener, address) = listen(([127, 0, 0, 1], 0).into()).await.expect("listen");
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        stopped.await.expect("stop is sent");
    };
    let router = Router::new().route("/", get(handler));
    let ended = tokio::spawn(async move { serve(listener, router, stopped, drain).await.expect("serve") });
    Running { address, entered, release, stop, ended }
}

async fn open_request(running: &Running) -> TcpStream {
    let mut stream = TcpStream::connect(running.address).await.expect("connect");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("send");
    timeout(LIMIT, running.entered.notified()).await.expect("request arrives");
    stream
}

#[tokio::test]
async fn an_open_request_is_answered_before_the_end() {
    let running = start(LIMIT).await;
    let mut stream = open_request(&running).await;
    running.stop.send(()).expect("server runs");
    running.release.notify_one();
    let mut answer = String::new();
    timeout(LIMIT, stream.read_to_string(&mut answer)).await.expect("in time").expect("read");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");
    assert_eq!(timeout(LIMIT, running.ended).await.expect("in time").expect("join"), Ended::Drained);
}

#[tokio::test]
async fn a_stuck_request_is_cut_at_the_deadline() {
    let running = start(Duration::from_millis(50)).await;
    let _stream = open_request(&running).await;
    running.stop.send(()).expect("server runs");
    assert_eq!(timeout(LIMIT, running.ended).await.expect("in time").expect("join"), Ended::Cut);
}

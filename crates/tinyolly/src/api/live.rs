//! `GET /api/live`: tells pages that something new is stored.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::Context;
use super::problem::Problem;
use super::stats::Stats;

/// The shortest time between two events.
const PACE: Duration = Duration::from_millis(200);

/// Events as a task produces them.
struct Events(mpsc::Receiver<Event>);

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.poll_recv(cx).map(|event| event.map(Ok))
    }
}

pub(super) async fn stream(State(context): State<Context>) -> Result<Response, Problem> {
    let slot = context.stream_slot()?;
    let (events, receiver) = mpsc::channel(1);
    let commits = context.store.commits();
    tokio::spawn(produce(context, commits, events, slot));
    let stream = Sse::new(Events(receiver)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok(stream.into_response())
}

/// Sends the statistics at once and after commits, until the page leaves or the server stops.
async fn produce(
    context: Context,
    mut commits: watch::Receiver<u64>,
    events: mpsc::Sender<Event>,
    _slot: OwnedSemaphorePermit,
) {
    let mut stopping = context.stopping.clone();
    loop {
        commits.mark_unchanged();
        match Stats::read(&context).await.map(|stats| Event::default().event("stats").json_data(stats)) {
            Ok(Ok(event)) => {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "statistics as JSON"),
            Err(error) => tracing::warn!(%error, "statistics for a live page"),
        }
        let next = async {
            tokio::time::sleep(PACE).await;
            commits.changed().await.is_ok()
        };
        tokio::select! {
            more = next => if !more { return },
            _ = stopping.wait_for(|stop| *stop) => return,
            () = events.closed() => return,
        }
    }
}

//! `GET /api/logs/stream`: log records as they arrive, none left out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};

use super::logs::LogLine;
use super::params::Params;
use super::problem::Problem;
use super::{Context, filters};
use crate::store::StoreError;
use crate::store::query::{self, Budget, LogFilter, Tail};

/// Records of one look into the store.
const LOOK: usize = 500;
/// Events that wait for a slow reader; behind them the store is not asked for more.
const WAITING: usize = 64;
/// The shortest time between two looks that find all there is.
const PACE: Duration = Duration::from_millis(50);
/// What one look spends on matching, so that a stream leaves the readers of the store to others.
const LOOK_TIME: Duration = Duration::from_millis(45);
/// What is spent on the records before now, once.
const BACKLOG_TIME: Duration = Duration::from_millis(250);
/// Records before now that may be asked for.
const MOST_BACKLOG: usize = 1000;

/// Events as a task produces them.
struct Events(mpsc::Receiver<Event>);

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.poll_recv(cx).map(|event| event.map(Ok))
    }
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug)]
enum Begin {
    /// Behind the record with this number.
    After(i64),
    /// With so many of the newest.
    Backlog(usize),
}

pub(super) async fn stream(
    State(context): State<Context>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let filter = filters::logs(&mut params)?;
    let number = |value: &str| value.parse().ok().filter(|number| *number >= 0);
    let after = params.choice("after", "a log_id", number)?;
    let backlog = params.choice("backlog", "a number from 0 to 1000", |value| {
        value.parse().ok().filter(|number| *number <= MOST_BACKLOG)
    })?;
    params.finish()?;
    // What a reader saw last, which its browser sends when it comes back, is newer than what its page asked for.
    let resumed = match headers.get("last-event-id").filter(|id| !id.is_empty()) {
        None => None,
        Some(id) => match id.to_str().ok().and_then(number) {
            Some(id) => Some(id),
            None => return Err(Problem::bad_request(format!("Last-Event-ID {id:?} is not a log_id"))),
        },
    };
    let begin = match resumed.or(after) {
        Some(id) => Begin::After(id),
        None => Begin::Backlog(backlog.unwrap_or(0)),
    };
    let slot = context.stream_slot()?;
    let commits = context.store.commits();
    // The place is taken before the answer begins: from then on nothing is missed.
    let first = look(&context, &filter, begin).await?;
    let (events, receiver) = mpsc::channel(WAITING);
    tokio::spawn(produce(context, filter, commits, first, events, slot));
    let stream = Sse::new(Events(receiver)).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)));
    Ok(stream.into_response())
}

async fn look(context: &Context, filter: &LogFilter, begin: Begin) -> Result<Tail, StoreError> {
    let filter = filter.clone();
    let look = move |db: &_| match begin {
        Begin::After(id) => query::logs_after(db, &filter, id, LOOK, Budget::of(LOOK_TIME)),
        Begin::Backlog(count) => query::last_logs(db, &filter, count, Budget::of(BACKLOG_TIME)),
    };
    context.store.read(look).await
}

/// Sends what arrives, until the reader leaves or the server stops.
async fn produce(
    context: Context,
    filter: LogFilter,
    mut commits: watch::Receiver<u64>,
    first: Tail,
    events: mpsc::Sender<Event>,
    _slot: OwnedSemaphorePermit,
) {
    let mut stopping = context.stopping.clone();
    let mut tail = first;
    let opened = Event::default().comment("from here on nothing is left out");
    if events.send(opened).await.is_err() {
        return;
    }
    loop {
        // With nothing to send, and more to look at, nothing below would find out.
        if events.is_closed() || *stopping.borrow() {
            return;
        }
        for event in told(&tail) {
            // A reader that is slow is waited for; what arrives meanwhile stays in the store.
            tokio::select! {
                sent = events.send(event) => if sent.is_err() { return },
                _ = stopping.wait_for(|stop| *stop) => return,
            }
        }
        if !tail.more {
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
        // Marked before the look, so that a commit during it leads to another.
        commits.mark_unchanged();
        tail = match look(&context, &filter, Begin::After(tail.seen)).await {
            Ok(tail) => tail,
            Err(error) => {
                // The reader comes back with the number of the last record it has.
                tracing::warn!(%error, "log stream ends");
                return;
            }
        };
    }
}

fn told(tail: &Tail) -> VecDeque<Event> {
    let mut events = VecDeque::new();
    if tail.deleted > 0 {
        let gap = json!({ "deleted": tail.deleted });
        events.extend(Event::default().event("gap").json_data(gap).ok());
    }
    for log in &tail.logs {
        match Event::default().id(log.id.to_string()).event("log").json_data(LogLine::of(log)) {
            Ok(event) => events.push_back(event),
            Err(error) => tracing::error!(%error, "log record as JSON"),
        }
    }
    // Only after the records: a reader that comes back goes on from here, also where none of them was for it. Without
    // data it is no event to a page, which only remembers the id.
    if tail.logs.last().is_none_or(|last| last.id != tail.seen) {
        events.push_back(Event::default().id(tail.seen.to_string()));
    }
    events
}

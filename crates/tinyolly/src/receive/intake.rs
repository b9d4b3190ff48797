//! Reading a request: every byte takes room in the queue before it is kept, and a body has a deadline.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::time::Sleep;

use super::{Receiver, Refusal};
use crate::store::Room;

/// Time a client has to send a whole request.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// The room one request has taken so far, and why it was refused, if it was.
#[derive(Clone, Debug)]
pub(super) struct Intake {
    receiver: Receiver,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// `None` once the request went on to be stored.
    room: Option<Room>,
    refusal: Option<Refusal>,
}

impl Intake {
    pub(super) fn new(receiver: &Receiver) -> Self {
        let state = State { room: Some(receiver.store.room()), refusal: None };
        Self { receiver: receiver.clone(), state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for `bytes` more.
    pub(super) fn take(&self, bytes: usize) -> Result<(), Refusal> {
        let grown = match &mut self.state().room {
            Some(room) => room.grow(bytes),
            None => Ok(()),
        };
        grown.map_err(|error| self.refuse(self.receiver.refuse(error)))
    }

    /// Remembers and hands back why the request is refused.
    pub(super) fn refuse(&self, refusal: Refusal) -> Refusal {
        self.state().refusal.get_or_insert(refusal).clone()
    }

    /// Why the request was refused.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.state().refusal.clone()
    }

    /// Hands over the room, when the request has been read.
    pub(super) fn finish(&self) -> Room {
        self.state().room.take().unwrap_or_else(|| self.receiver.store.room())
    }
}

/// A body whose bytes take room.
pub(super) struct Metered {
    body: Body,
    intake: Intake,
    deadline: Pin<Box<Sleep>>,
}

impl Metered {
    pub(super) fn new(body: Body, intake: &Intake) -> Self {
        Self { body, intake: intake.clone(), deadline: Box::pin(tokio::time::sleep(BODY_DEADLINE)) }
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = Refusal;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        if self.deadline.as_mut().poll(context).is_ready() {
            let late = Refusal::Malformed("the body did not arrive in time".into());
            return Poll::Ready(Some(Err(self.intake.refuse(late))));
        }
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            None => None,
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                Some(self.intake.take(bytes).map(|()| frame))
            }
            Some(Err(error)) => {
                let broken = Refusal::Malformed(format!("the body could not be read: {error}"));
                Some(Err(self.intake.refuse(broken)))
            }
        })
    }
}

//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112) from the socket operations of one end of one connection.
//!
//! [`Connection`] is fed with [`Op`]s: how many bytes a send or receive moved, where they sit in the TCP stream, and
//! whatever part of them was captured. It pairs requests with responses and yields, for every request whose beginning was
//! seen, an [`Exchange`], or a [`DropCause`] where the truth can no longer be known; and before that, once its head was
//! read, an [`Opened`].
//!
//! Pairing rests on two facts alone: responses come in the order of their requests, and TCP sequence numbers show
//! every byte that was not captured. A gap inside a body of known length only counts down; a gap where a head should
//! be loses that direction until the next point where a request provably begins.

mod body;
mod connection;
mod detect;
mod fields;
mod head;
mod stream;
mod types;

pub use connection::Connection;
pub use head::{RequestHead, ResponseHead, Version};
pub use types::{
    CloseKind, Direction, DropCause, Exchange, ExchangeEnd, Limits, Op, Opened, Outcome, Role, State,
};

//! The HTTP/1 engine, fed as the socket tap feeds it.

#![allow(clippy::unwrap_used, reason = "a test that finds nothing fails there")]

mod ends;
mod foreign;
mod gaps;
mod heads;
mod memory;
mod messages;
mod pairing;
mod properties;
mod tape;

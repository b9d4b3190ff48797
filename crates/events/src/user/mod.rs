//! User-space half: total decoding of events, and the marker traits aya wants of map values.

mod decode;
mod pod;

pub use decode::{DecodeError, Event, decode};

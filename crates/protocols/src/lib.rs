//! Pure protocol parsers fed by what the socket tap saw.
//!
//! Nothing here reads a clock, opens a file or spawns a task: bytes and times come in as arguments, and
//! whatever arrives from the wire is data, never a panic.

#![forbid(unsafe_code)]

pub mod http1;
pub mod http2;
pub mod method;
pub mod redact;
pub mod url;

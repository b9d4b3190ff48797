//! Zero-code OpenTelemetry agent: traces HTTP services from the kernel, in any language, without touching them.
//!
//! ```text
//! probes ──records──► agent ──events──► pipeline ──spans──► agent ──► export ──► collector, stdout
//!                       └──process events──► discover ──targets──► probes
//! ```
//!
//! `probes` is the only module that loads programs, `pipeline` is pure, `export` knows nothing of kernels, and `agent`
//! holds the one thread in which they meet.

pub mod agent;
pub mod cli;
pub mod config;
pub mod discover;
pub mod doctor;
pub mod export;
pub mod health;
pub mod pipeline;
pub mod probes;
pub mod runtime;
pub mod semconv;

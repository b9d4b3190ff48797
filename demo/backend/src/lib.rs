//! The backend of the demo: inventory, prices and payments, with simulated work and simulated failures.
//!
//! Deliberately absent: OpenTelemetry, in this crate and in everything it depends on (`tests/dependencies.rs`).
//! What is known about this service from outside comes from the kernel, or from the JSON lines on its stdout.
#![forbid(unsafe_code)]

pub mod logs;
pub mod order_body;
pub mod routes;
pub mod shop;

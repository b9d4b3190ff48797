//! The frontend of the demo: a shop that calls the backend, makes its own traffic, and exports metrics and logs
//! through the OpenTelemetry SDK.
//!
//! Deliberately absent: traces. There is no tracer provider and no propagator, outgoing calls carry no `traceparent`,
//! and the trace and span ids of the log records are empty. The spans of this service come from the kernel.
#![forbid(unsafe_code)]

pub mod app;
pub mod backend;
pub mod config;
pub mod metrics;
pub mod routes;
pub mod telemetry;
pub mod traffic;

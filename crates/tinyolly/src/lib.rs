//! Desktop OpenTelemetry viewer: receives OTLP, stores it in one SQLite file, shows it on localhost:5005.
//!
//! Data flows one way. [`receive`] speaks OTLP over gRPC and HTTP and refuses what is malformed; [`store`] keeps
//! what was accepted and answers queries; [`api`] turns answers into the JSON that `docs/api.md` describes and
//! [`assets`] serves the embedded user interface.
//!
//! What is absent: nothing here knows the eBPF agent, OTLP is the only thing between the two. Only [`receive`] knows
//! the wire protocol, only [`store`] knows SQL, only [`api`] knows routes and JSON shapes. The message types of
//! `opentelemetry-proto` are the one data model that all three share: a second model would be the same fields again.
#![forbid(unsafe_code)]

pub mod api;
pub mod assets;
pub mod client;
pub mod config;
pub mod counters;
pub mod health;
pub mod receive;
pub mod server;
pub mod store;
pub mod timeseries;

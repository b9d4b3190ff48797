//! What the two demo services share: settings from the environment, JSON answers, health check, graceful
//! shutdown and chance.
//!
//! Deliberately absent: OpenTelemetry. The backend depends on this crate and must stay free of it.
#![forbid(unsafe_code)]

pub mod command;
pub mod dice;
pub mod env;
pub mod failure;
pub mod health;
pub mod json;
pub mod listen;
pub mod reply;
pub mod serve;

//! State shared by all requests.

use std::sync::Arc;

use ebpf_demo_service::dice::Dice;

use crate::{backend::Backend, metrics::Metrics};

/// Probabilities of the outcomes, from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub struct Chances {
    /// `/error` fails by an error nobody handles, rather than by an answer that says so.
    pub unhandled_error: f64,
}

impl Default for Chances {
    fn default() -> Self {
        Self { unhandled_error: 0.5 }
    }
}

/// What every handler has.
#[derive(Debug)]
pub struct App {
    /// The service's instruments.
    pub metrics: Metrics,
    /// Decides outcomes and the length of work.
    pub dice: Arc<Dice>,
    /// The service behind this one.
    pub backend: Backend,
    /// How likely each outcome is.
    pub chances: Chances,
    /// Whether the service calls itself; shown on `/`.
    pub auto_traffic: bool,
}

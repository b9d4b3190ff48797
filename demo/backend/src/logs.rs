//! Logs: one JSON object a line on stdout, each written at once.

use std::io;

use ebpf_demo_service::env::{self, Lookup, VarError};
use tracing::Subscriber;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

/// Reads what is logged from `RUST_LOG`; by default everything from `info` up.
///
/// # Errors
/// A value that is no list of filter directives.
pub fn filter(lookup: Lookup<'_>) -> Result<EnvFilter, VarError> {
    let accepted = "filter directives such as info or ebpf_backend=debug";
    let filter = env::read(lookup, "RUST_LOG", accepted, |value| EnvFilter::try_new(value).ok())?;
    Ok(filter.unwrap_or_else(|| EnvFilter::new("info")))
}

/// Sends the process's logs to stdout; only the first call in a process has an effect.
pub fn to_stdout(filter: EnvFilter) {
    // Fails only where a subscriber is set already, which then stays.
    let _ = tracing::subscriber::set_global_default(json_lines(filter, io::stdout));
}

/// Builds a subscriber that writes `timestamp` (RFC 3339, UTC), `level`, `message` and the event's fields.
pub fn json_lines<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .finish()
}

//! Where log events go: as readable lines to stdout and as log records to the SDK.

use std::io::{self, IsTerminal};

use ebpf_demo_service::env::{self, Lookup, VarError};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use tracing::{Level, Metadata};
use tracing_subscriber::{EnvFilter, Layer, filter::filter_fn, fmt, layer::SubscriberExt};

/// The demo's own crates, by the prefix of their events' targets.
const OWN_TARGETS: [&str; 2] = ["ebpf_frontend", "ebpf_demo_service"];

/// Reads what is written to stdout from `RUST_LOG`; by default the demo's own events from `info` up. What the SDK and
/// the HTTP libraries say about a collector that is away is left out; [`super::watch`] says it once.
///
/// # Errors
/// A value that is no list of filter directives.
pub fn stdout_filter(lookup: Lookup<'_>) -> Result<EnvFilter, VarError> {
    let accepted = "filter directives such as info or ebpf_frontend=debug";
    let filter = env::read(lookup, "RUST_LOG", accepted, |value| EnvFilter::try_new(value).ok())?;
    Ok(filter.unwrap_or_else(|| EnvFilter::new(OWN_TARGETS.map(|target| format!("{target}=info")).join(","))))
}

/// Sends the process's events to stdout and to `provider`; only the first call in a process has an effect.
pub fn install(stdout: EnvFilter, provider: &SdkLoggerProvider) {
    let lines = fmt::layer().with_ansi(io::stdout().is_terminal()).with_target(false).with_filter(stdout);
    let records = OpenTelemetryTracingBridge::new(provider).with_filter(filter_fn(is_exported));
    let subscriber = tracing_subscriber::registry().with(lines).with(records);
    // Fails only where a subscriber is set already, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Whether an event becomes a log record. Only the demo's own do: a record made of what the exporter's HTTP stack
/// says about sending a record would never end.
fn is_exported(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO && OWN_TARGETS.contains(&root)
}

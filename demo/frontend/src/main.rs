//! Demo service: metrics and logs through the OpenTelemetry SDK, no traces.

fn main() {}

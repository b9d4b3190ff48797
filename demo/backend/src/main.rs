//! Demo service with no OpenTelemetry at all.

fn main() {}

//! Zero-code OpenTelemetry agent: traces HTTP services from the kernel.

fn main() {}

//! Desktop OpenTelemetry viewer: receives OTLP, stores it embedded, shows it on localhost:5005.

fn main() {}

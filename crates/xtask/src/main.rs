//! Developer commands: lint, kernel tests, benchmarks.

fn main() {}

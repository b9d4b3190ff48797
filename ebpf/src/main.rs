//! BPF programs of the agent.

fn main() {}

//! Tests of the agent against the running kernel and real services; they need root.
//!
//! Every test starts the real agent, which exports to a real OTLP receiver inside the test, and lets programs that know
//! nothing of it talk to each other. Each test has ports of its own and selects by them, so that tests, and other agents
//! on the machine, do not see each other's traffic.
#![forbid(unsafe_code)]

pub mod agent;
pub mod client;
pub mod corpus;
pub mod forest;
pub mod kernel;
pub mod net;
pub mod process;
pub mod services;
pub mod sink;
pub mod wait;

/// Whether this process may load programs into this kernel. Says loudly that a test is skipped where it may not.
pub fn may_trace(test: &str) -> bool {
    let lack = if !nix::unistd::geteuid().is_root() {
        "needs root"
    } else if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        "needs a kernel with BTF (/sys/kernel/btf/vmlinux)"
    } else {
        return true;
    };
    skipped(test, lack);
    false
}

/// Says loudly that a test is skipped.
pub fn skipped(test: &str, lack: &str) {
    eprintln!("SKIPPED: {test}: {lack}");
}

/// Ends the test here, loudly, where programs cannot be loaded.
#[macro_export]
macro_rules! needs_tracing {
    () => {
        if !$crate::may_trace(module_path!()) {
            return;
        }
    };
}

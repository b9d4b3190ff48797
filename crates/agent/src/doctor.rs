//! `otel-ebpf-agent doctor`: what this kernel offers, found by trying.

use std::{fs, path::Path};

use crate::{
    config::TapChoice,
    discover::proc,
    probes::{
        self, TapSettings,
        offsets::{KERNEL_BTF, resolve},
    },
};

/// Prints the findings to stdout, one a line; returns whether the agent can trace here.
pub fn run() -> bool {
    line("kernel", &read("/proc/sys/kernel/osrelease"));
    line("lockdown", &read("/sys/kernel/security/lockdown"));
    line(
        "pid namespace",
        if proc::in_initial_pid_namespace() { "initial" } else { "not initial: run with the host's" },
    );
    match resolve(Path::new(KERNEL_BTF)) {
        Ok(types) => {
            line("kernel types (BTF)", "present, every field found");
            for name in ["sock_recv_length", "sock_send_length", "sk_data_ready", "tcp_probe"] {
                line(
                    &format!("tracepoint {name}"),
                    if types.has_tracepoint(name) { "present" } else { "absent" },
                );
            }
        }
        Err(error) => line("kernel types (BTF)", &format!("unusable: {error}")),
    }
    let tracepoint = attempt(TapChoice::Tracepoint);
    let fexit = attempt(TapChoice::Fexit);
    line("tap by tracepoints", &tracepoint.clone().unwrap_or_else(|error| format!("refused: {error}")));
    line("tap by fexit", &fexit.clone().unwrap_or_else(|error| format!("refused: {error}")));
    let chosen = match (&tracepoint, &fexit) {
        (Ok(_), _) => "tracepoints",
        (Err(_), Ok(_)) => "fexit",
        (Err(_), Err(_)) => "none: nothing can be traced here",
    };
    line("chosen tap", chosen);
    tracepoint.is_ok() || fexit.is_ok()
}

/// Loads and attaches with one kind of tap, for a moment; without targets it sees nothing.
fn attempt(choice: TapChoice) -> Result<String, String> {
    const PAGE: u32 = 4096;
    let settings = TapSettings { choice, head_max: 1024, ring_bytes: 16 * PAGE };
    let tap = probes::load(settings).and_then(probes::Loader::attach).map_err(|error| chain(&error))?;
    let lacks =
        if tap.degraded.is_empty() { String::new() } else { format!(" ({})", tap.degraded.join("; ")) };
    Ok(format!("works, {} programs{lacks}", tap.attached.len()))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path)
        .map_or_else(|error| format!("unknown ({path}: {error})"), |text| text.trim().to_owned())
}

fn line(what: &str, finding: &str) {
    println!("{what:<28} {finding}");
}

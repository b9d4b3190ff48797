//! What becomes of requests at full speed, and what they cost the agent.

use std::{
    thread,
    time::{Duration, Instant},
};

use otel_ebpf_kernel_tests::{
    agent::{Agent, Counts, Ended},
    net::free_port,
    sink::Sink,
};

use super::{
    Measurement,
    load::{Load, wrk},
    options::Effort,
    programs,
    table::{Row, grouped},
    usage,
};

/// Length of the load.
const LOAD: Duration = Duration::from_secs(5);

/// Connections of the load.
const CONNECTIONS: u32 = 32;

/// Requests in a second for which the bar was set.
const RATE: f64 = 50_000.0;

/// How long the receiver may get nothing before the agent counts as done.
const QUIET: Duration = Duration::from_secs(4);

/// Longest wait for the agent to be done.
const PATIENCE: Duration = Duration::from_secs(60);

/// The measurement.
pub fn all() -> Vec<Measurement> {
    vec![Measurement::new("loss", measure)]
}

fn measure(_effort: Effort) -> Vec<Row> {
    let port = free_port();
    let service = programs::nginx(port, 512);
    let sink = Sink::counting();
    let variables = [
        ("OTEL_EBPF_OPEN_PORT", port.to_string()),
        // As long as it is by default.
        ("OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT", "1s".to_owned()),
    ];
    let agent = Agent::start(&sink, &variables.each_ref().map(|(name, value)| (*name, value.as_str())));
    agent.wait_until_traces(service.pid());
    let before = usage::cpu(agent.pid());
    let load = wrk(&service.url("/"), CONNECTIONS, LOAD);
    wait_until_quiet(&sink);
    let used = usage::cpu(agent.pid()) - before;
    let ended = agent.stop();
    let mut rows = rows(load, &ended, sink.len() as u64);
    let per_thousand = used.as_secs_f64() * 1e3 / (load.requests as f64 / 1e3);
    rows.push(Row::told("agent's processor time for 1,000 requests", format!("{per_thousand:.1} ms")));
    rows
}

/// Waits until no span has come for a while.
fn wait_until_quiet(sink: &Sink) {
    let (start, mut changed, mut count) = (Instant::now(), Instant::now(), sink.len());
    while changed.elapsed() < QUIET && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(20));
        if sink.len() != count {
            (changed, count) = (Instant::now(), sink.len());
        }
    }
}

fn rows(load: Load, ended: &Ended, received: u64) -> Vec<Row> {
    let counts = ended.counts();
    let count = |name: &str| grouped(counts.get(name));
    let lost = ended.kernel_losses();
    let offered = format!("{} requests/s for {} s", grouped(load.rate.round() as u64), LOAD.as_secs());
    let told = format!(
        "wrk had {} answers; {} requests seen = {} exchanges + {} dropped; {} spans = {} exported + {} dropped; {} \
         received",
        grouped(load.requests),
        count("requests_seen"),
        count("exchanges"),
        count("requests_dropped"),
        count("spans"),
        count("exported"),
        count("export_dropped"),
        grouped(received),
    );
    let dropped = format!(
        "{} events before the agent, {} requests in it, {} spans on the way out",
        grouped(lost),
        count("requests_dropped"),
        count("export_dropped")
    );
    let none = lost + counts.get("requests_dropped") + counts.get("export_dropped") == 0;
    vec![
        Row::held(
            "load that this machine's wrk and one nginx worker made",
            offered,
            "≥ 50,000 requests/s",
            load.rate >= RATE,
        ),
        Row::held(
            "seen at full speed",
            told,
            "seen = exported + dropped",
            adds_up(&counts, load.requests, lost, received),
        ),
        Row::held("dropped at full speed, buffers as by default", dropped, "0", none),
    ]
}

/// Whether all is accounted for. wrk leaves when its time is over, so some more were answered than it counts.
fn adds_up(counts: &Counts, requests: u64, lost: u64, received: u64) -> bool {
    let get = |name: &str| counts.get(name);
    get("requests_seen") == get("exchanges") + get("requests_dropped")
        && get("spans") == get("exported") + get("export_dropped") + get("unsampled") + get("unattributed")
        && get("exported") == received
        && get("requests_seen") + lost >= requests
        && get("requests_seen") <= requests + u64::from(CONNECTIONS)
}

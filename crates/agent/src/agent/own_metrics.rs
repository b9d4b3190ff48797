//! What the agent tells of itself: the same counts as in its log, over OTLP, to where its spans go.

use std::{
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    time::{Duration, SystemTime},
};

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use opentelemetry::KeyValue;
use opentelemetry_sdk::{
    Resource,
    resource::{ResourceDetector as _, TelemetryResourceDetector},
};
use otel_ebpf_events::KernelDrop;
use tokio::sync::watch;

use crate::{
    config::{OwnMetricsSettings, TapChoice},
    discover::DISTRO,
    export::{
        DropCounters, ExportCounts, SCHEMA_URL, StartError,
        metrics::{Kind, Metric, MetricsExporter, Number, Point},
    },
    pipeline::Counters,
    probes::tasks::SharedTap,
    semconv,
};

/// What the reader thread knows, as of a moment ago.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Counts of the pipeline.
    pub counters: Counters,
    /// Losses of the kernel side.
    pub kernel_drops: Vec<(KernelDrop, u64)>,
    /// Traced processes.
    pub targets: u64,
    /// Connections that are followed.
    pub connections: u64,
}

/// Shared by the reader thread, which renews it, and whoever sends it.
pub type SharedObserved = Arc<Mutex<Observed>>;

/// Locks what was observed; a thread that panicked while it held it has left it whole.
pub fn lock(observed: &SharedObserved) -> MutexGuard<'_, Observed> {
    observed.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a running program of the kernel side has used.
#[derive(Clone, Debug, PartialEq)]
struct ProgramUse {
    name: &'static str,
    run_time: Duration,
    runs: u64,
}

/// What the operating system tells of the agent.
#[derive(Clone, Debug, Default, PartialEq)]
struct Usage {
    user: Duration,
    system: Duration,
    rss_bytes: Option<u64>,
    /// Where the kernel keeps count (`kernel.bpf_stats_enabled`).
    programs: Vec<ProgramUse>,
    /// Attached programs, and probes in the programs of targets.
    probes: (u64, u64),
}

/// Sends the agent's metrics until told to stop.
pub struct OwnMetrics {
    exporter: MetricsExporter,
    interval: Duration,
    observed: SharedObserved,
    exports: Arc<DropCounters>,
    tap: SharedTap,
    usage: Usage,
}

impl OwnMetrics {
    /// Metrics of the agent on this host.
    ///
    /// # Errors
    /// The endpoint or a header cannot be used.
    pub fn new(
        settings: &OwnMetricsSettings,
        host_name: &str,
        tap_choice: TapChoice,
        tap: SharedTap,
        exports: Arc<DropCounters>,
    ) -> Result<Self, StartError> {
        let resource = resource(host_name, tap_choice);
        let exporter = MetricsExporter::new(&settings.otlp, &resource, SystemTime::now())?;
        Ok(Self {
            exporter,
            interval: settings.interval,
            observed: Arc::default(),
            exports,
            tap,
            usage: Usage::default(),
        })
    }

    /// Where the reader thread puts what it knows.
    pub fn observed(&self) -> SharedObserved {
        Arc::clone(&self.observed)
    }

    /// Sends at each interval until `stop` holds true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Self {
        let mut interval = tokio::time::interval(self.interval);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let is_over = tokio::select! {
                // An error means that nobody can tell any more.
                _ = stop.wait_for(|stop| *stop) => true,
                _ = interval.tick() => false,
            };
            if is_over {
                return self;
            }
            self.export().await;
        }
    }

    /// Sends what is known now.
    pub async fn export(&mut self) {
        if self.exporter.is_unwanted() {
            return;
        }
        self.usage = usage(&self.tap, &self.usage);
        let metrics = metrics(&lock(&self.observed), &self.exports.read(), &self.usage);
        self.exporter.export(&metrics, SystemTime::now()).await;
    }
}

/// What the agent says of itself.
fn resource(host_name: &str, tap: TapChoice) -> Resource {
    let mut attributes = vec![
        KeyValue::new(semconv::SERVICE_NAME, DISTRO),
        KeyValue::new(semconv::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
        KeyValue::new(semconv::SERVICE_INSTANCE_ID, format!("{host_name}:{}", std::process::id())),
        KeyValue::new(semconv::HOST_NAME, host_name.to_owned()),
        KeyValue::new(semconv::PROCESS_PID, i64::from(std::process::id())),
        KeyValue::new(semconv::EBPF_AGENT_TAP, tap.to_string()),
    ];
    let sdk = TelemetryResourceDetector.detect();
    attributes.extend(sdk.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    Resource::builder_empty().with_schema_url(attributes, SCHEMA_URL).build()
}

/// What the agent takes now. While probes are attached or detached, which takes a while, that of the tap is as `before`.
fn usage(tap: &SharedTap, before: &Usage) -> Usage {
    let mut told = Usage { rss_bytes: resident_bytes(), ..before.clone() };
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        told.user = duration(usage.user_time());
        told.system = duration(usage.system_time());
    }
    // The descriptors are valid while the programs are attached, and those stay while the lock is held.
    let tap = match tap.try_lock() {
        Ok(tap) => tap,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return told,
    };
    if let Some(tap) = tap.as_ref() {
        told.probes = (tap.attached.len() as u64, tap.task_probes as u64);
        if are_programs_timed() {
            let of = |(name, descriptor): (&'static str, i32)| program_use(name, descriptor);
            told.programs = tap.program_fds().into_iter().filter_map(of).collect();
        }
    }
    told
}

fn duration(time: TimeVal) -> Duration {
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec())) + Duration::from_micros(part(time.tv_usec()))
}

/// `VmRSS` of proc_pid_status(5).
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Whether the kernel measures how long programs run, which costs each run a little.
fn are_programs_timed() -> bool {
    fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() == "1")
}

/// `run_time_ns` and `run_cnt` of a program's descriptor (`bpf_prog_show_fdinfo`, kernel/bpf/syscall.c).
fn program_use(name: &'static str, descriptor: i32) -> Option<ProgramUse> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).ok()?;
    let number = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse::<u64>().ok())
    };
    Some(ProgramUse {
        name,
        run_time: Duration::from_nanos(number("run_time_ns")?),
        runs: number("run_cnt")?,
    })
}

/// All metrics of this moment. For spans `seen = exported + dropped`, but for those that still wait.
fn metrics(observed: &Observed, export: &ExportCounts, usage: &Usage) -> Vec<Metric> {
    let Observed { counters, kernel_drops, targets, connections } = observed;
    let links = &counters.links;
    let real = |time: Duration| Number::Real(time.as_secs_f64());
    let linked = links
        .linked
        .iter()
        .map(|(source, count)| series(&[("source", source), ("outcome", "linked")], Number::Count(*count)));
    let roots = [("root", links.roots.saturating_sub(links.ambiguous)), ("ambiguous", links.ambiguous)];
    let roots = roots
        .map(|(outcome, count)| series(&[("source", "none"), ("outcome", outcome)], Number::Count(count)));
    vec![
        counter("ebpf.agent.spans.seen", "Spans made.", "{span}", vec![plain(counters.spans)]),
        counter(
            "ebpf.agent.spans.exported",
            "Spans that the collector took.",
            "{span}",
            vec![plain(export.exported)],
        ),
        counter(
            "ebpf.agent.spans.dropped",
            "Spans that were not exported, by cause.",
            "{span}",
            by(
                "cause",
                [
                    ("queue_full", export.queue_full),
                    ("rejected", export.rejected),
                    ("shutdown", export.shutdown),
                    ("unsampled", counters.unsampled),
                    ("unattributed", counters.unattributed),
                ],
            ),
        ),
        counter("ebpf.agent.requests.seen", "Requests seen.", "{request}", vec![plain(counters.seen)]),
        counter(
            "ebpf.agent.requests.dropped",
            "Requests that gave no span, by cause.",
            "{request}",
            by("cause", counters.dropped.iter().map(|(cause, count)| (*cause, *count))),
        ),
        counter(
            "ebpf.agent.links",
            "Places of spans in their traces, by the evidence for a parent and by what came of it.",
            "{span}",
            linked.chain(roots).collect(),
        ),
        up_down("ebpf.agent.targets", "Processes that are traced.", "{process}", vec![plain(*targets)]),
        up_down(
            "ebpf.agent.connections",
            "Connections that are followed.",
            "{connection}",
            vec![plain(*connections)],
        ),
        counter(
            "ebpf.agent.events",
            "Events read from the kernel side, by kind.",
            "{event}",
            by(
                "kind",
                [
                    ("data", counters.operations),
                    ("socket", counters.socket_events),
                    ("process", counters.process_events),
                    ("task", counters.task_events),
                    ("not_traced", counters.operations_not_traced),
                    ("undecodable", counters.undecodable),
                ],
            ),
        ),
        counter(
            "ebpf.agent.events.lost",
            "What the kernel side could not record, by cause.",
            "{event}",
            by("cause", kernel_drops.iter().map(|(cause, count)| (cause.name(), *count))),
        ),
        counter(
            "ebpf.agent.bpf.run_time",
            "Time that programs of the kernel side ran, where kernel.bpf_stats_enabled is 1.",
            "s",
            usage.programs.iter().map(|of| series(&[("program", of.name)], real(of.run_time))).collect(),
        ),
        counter(
            "ebpf.agent.bpf.run_count",
            "Runs of programs of the kernel side, where kernel.bpf_stats_enabled is 1.",
            "{run}",
            by("program", usage.programs.iter().map(|of| (of.name, of.runs))),
        ),
        counter(
            "ebpf.agent.cpu.time",
            "Processor time of the agent's process.",
            "s",
            vec![
                series(&[("cpu.mode", "user")], real(usage.user)),
                series(&[("cpu.mode", "system")], real(usage.system)),
            ],
        ),
        up_down(
            "ebpf.agent.memory.rss",
            "Resident memory of the agent's process.",
            "By",
            usage.rss_bytes.map(plain).into_iter().collect(),
        ),
        up_down(
            "ebpf.agent.probes",
            "Attached programs, and probes in the programs of traced processes.",
            "{probe}",
            by("kind", [("program", usage.probes.0), ("task", usage.probes.1)]),
        ),
    ]
}

fn counter(name: &'static str, description: &'static str, unit: &'static str, points: Vec<Point>) -> Metric {
    Metric { name, description, unit, kind: Kind::Counter, points }
}

fn up_down(name: &'static str, description: &'static str, unit: &'static str, points: Vec<Point>) -> Metric {
    Metric { name, description, unit, kind: Kind::UpDownCounter, points }
}

fn plain(count: u64) -> Point {
    series(&[], Number::Count(count))
}

fn by(key: &'static str, counts: impl IntoIterator<Item = (&'static str, u64)>) -> Vec<Point> {
    counts.into_iter().map(|(value, count)| series(&[(key, value)], Number::Count(count))).collect()
}

fn series(attributes: &[(&'static str, &'static str)], value: Number) -> Point {
    let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
    Point { attributes, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(metrics: &[Metric], name: &str) -> Vec<(String, u64)> {
        let metric = metrics.iter().find(|metric| metric.name == name).expect("it is there");
        let told = |point: &Point| {
            let Number::Count(count) = point.value else { panic!("{name} is whole") };
            let values: Vec<_> = point.attributes.iter().map(|pair| pair.value.to_string()).collect();
            (values.join("/"), count)
        };
        metric.points.iter().map(told).collect()
    }

    #[test]
    fn what_was_seen_is_exported_or_dropped() {
        let mut counters = Counters { spans: 100, unsampled: 7, unattributed: 3, ..Counters::default() };
        counters.links.linked.insert("tcp_seq", 40);
        (counters.links.roots, counters.links.ambiguous) = (20, 5);
        let export = ExportCounts {
            offered: 90,
            exported: 80,
            queue_full: 6,
            rejected: 3,
            shutdown: 1,
            ..Default::default()
        };
        let observed = Observed { counters, targets: 2, ..Observed::default() };
        let metrics = metrics(&observed, &export, &Usage::default());
        let sum = |name| counts(&metrics, name).iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(
            sum("ebpf.agent.spans.seen"),
            sum("ebpf.agent.spans.exported") + sum("ebpf.agent.spans.dropped")
        );
        let links = counts(&metrics, "ebpf.agent.links");
        let expected = [("tcp_seq/linked", 40), ("none/root", 15), ("none/ambiguous", 5)];
        assert_eq!(links, expected.map(|(name, count)| (name.to_owned(), count)));
        assert_eq!(sum("ebpf.agent.targets"), 2);
        assert!(counts(&metrics, "ebpf.agent.bpf.run_count").is_empty(), "the kernel keeps no count");
    }

    #[test]
    fn this_process_uses_memory_and_time() {
        let usage = usage(&SharedTap::default(), &Usage::default());
        assert!(usage.rss_bytes.is_some_and(|bytes| bytes > 1 << 20), "{usage:?}");
        assert_eq!((usage.probes, usage.programs), ((0, 0), Vec::new()));
    }

    #[test]
    fn names_are_given_once() {
        let metrics = metrics(&Observed::default(), &ExportCounts::default(), &Usage::default());
        let mut names: Vec<_> = metrics.iter().map(|metric| metric.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), metrics.len());
        assert!(names.iter().all(|name| name.starts_with("ebpf.agent.")));
    }
}

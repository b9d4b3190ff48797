//! The running agent: one thread reads the kernel's events and makes spans, another exports them.

pub mod clock;
mod health_file;
mod own_metrics;
mod report;

use std::{
    collections::HashMap,
    sync::{
        Arc, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::maps::{HashMap as BpfHashMap, MapData, MapError};
use otel_ebpf_events::{
    ConnState, EventHeader, TaskEvent, process,
    socket::what,
    user::{Event, decode},
};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::{
    config::{Settings, TapChoice},
    discover::{TargetMaps, Targets, container, host, proc, runtimes::Runtimes},
    export::{DropCounters, Exporter, SpanBatchItem, SpanSink, instrumentation_scope},
    health::SignOfLife,
    pipeline::{Clock, Pipeline, RootDecision, Sampled, samples},
    probes::{
        self, KernelMaps, Tap, reader,
        tasks::{SharedTap, TaskProbes},
    },
};
use health_file::HealthFile;
use own_metrics::{Observed, OwnMetrics, SharedObserved};
use report::Reporter;

/// Runs until SIGINT or SIGTERM, then drains within the shutdown timeout.
///
/// # Errors
///
/// Nothing can be attached, the exporter cannot be started, or the kernel refuses a map update.
pub async fn run(settings: Settings, started: Instant) -> Result<()> {
    if !proc::in_initial_pid_namespace() {
        bail!(
            "not in the initial pid namespace, where one process would be taken for another: run with the host's \
             (docker run --pid=host, pid: host, hostPID: true)"
        );
    }
    let health_file = settings.health_file.clone().map(HealthFile::new);
    let drops = Arc::new(DropCounters::default());
    let (sink, export) = Exporter::start(&settings.export, Arc::clone(&drops)).context("start exporter")?;

    let mut loader = probes::load(probes::TapSettings {
        choice: settings.tap.attach,
        head_max: settings.tap.capture_bytes,
        ring_bytes: settings.tap.ring_buffer_bytes,
    })?;
    let (maps, mut events) = KernelMaps::take(loader.ebpf())?;
    let KernelMaps {
        targets,
        rule_ports,
        served_ports,
        conns,
        task_layouts,
        new_programs,
        mut wake,
        drops: kernel_drops,
    } = maps;
    let shared_tap: SharedTap = Arc::default();
    let runtimes = Runtimes::start(TaskProbes::new(Arc::clone(&shared_tap), task_layouts))?;
    let host_name =
        settings.naming.hostname.clone().or_else(host::name).unwrap_or_else(|| "unknown".to_owned());
    let mut targets = Targets::new(
        settings.selection.clone(),
        settings.naming.clone(),
        settings.sampler,
        host_name.clone(),
        TargetMaps { targets, rule_ports, served_ports, new_programs },
        runtimes,
        container::Containers::start().context("start the thread that looks at containers")?,
    )
    .context("tell the kernel side what selects")?;
    // Events first, then the look at what is there: a process that starts in between is seen twice, never missed.
    let tap = loader.attach()?;
    let attached_after = started.elapsed();
    let (tap_choice, program_count, program_fds) = (tap.choice, tap.attached.len(), tap.program_fds());
    let degraded = tap.degraded.clone();
    *lock(&shared_tap) = Some(tap);
    targets.scan();
    for lack in &degraded {
        warn!("{lack}");
    }
    info!(
        tap = ?tap_choice,
        programs = program_count,
        attached_ms = attached_after.as_millis() as u64,
        ready_ms = started.elapsed().as_millis() as u64,
        targets = targets.len(),
        "attached"
    );
    release_start_up_memory();

    let stop = Arc::new(AtomicBool::new(false));
    let (unix_ns, monotonic_ns) = clock::both();
    let mut pipeline =
        Pipeline::new(&settings.http, instrumentation_scope(), Clock::new(unix_ns, monotonic_ns));
    if settings.exclude_otel_instrumented_services {
        pipeline.leave_exporters();
    }
    let reporter = Reporter::new(kernel_drops, program_fds);
    let own_metrics = match &settings.own_metrics {
        Some(own) => {
            let made =
                OwnMetrics::new(own, &host_name, tap_choice, Arc::clone(&shared_tap), Arc::clone(&drops));
            Some(made.context("start exporter of the agent's own metrics")?)
        }
        None => None,
    };
    let observed = own_metrics.as_ref().map(OwnMetrics::observed);
    let health = Health { file: health_file, tap: tap_choice, drops: Arc::clone(&drops) };
    let mut work = Work {
        pipeline,
        targets,
        conns,
        sink,
        reporter,
        health,
        looked_for_lost_ns: monotonic_ns,
        task_events: HashMap::new(),
        observed,
        observed_ns: 0,
    };
    let reader = thread::Builder::new().name("reader".to_owned()).spawn({
        let stop = Arc::clone(&stop);
        move || {
            let result = reader::run(&mut events, &mut wake, &mut work, &stop);
            work.finish();
            (result, work.pipeline.counters().clone())
        }
    })?;

    let (stop_metrics, metrics_stopped) = watch::channel(false);
    let own_metrics = own_metrics.map(|own| tokio::spawn(own.run(metrics_stopped)));

    wait_for_stop(&reader).await?;
    info!("stopping");
    // Detaches every program first: then the ring buffer empties by itself, whatever the load.
    drop(lock(&shared_tap).take());
    stop.store(true, Ordering::Release);
    let (result, counters) = tokio::task::spawn_blocking(|| reader.join())
        .await?
        .map_err(|_| anyhow!("the reader thread panicked"))?;
    export.shutdown(settings.shutdown_timeout).await;
    stop_metrics.send_replace(true);
    if let Some(own_metrics) = own_metrics {
        // The last values, if the collector takes them at once: spans had the time that there was.
        let last = async {
            if let Ok(mut own_metrics) = own_metrics.await {
                own_metrics.export().await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(LAST_METRICS, last).await;
    }
    report::summary(&counters, drops.read());
    result.context("read events")
}

/// The attached programs; a thread that panicked while it held them has left them whole.
fn lock(tap: &SharedTap) -> MutexGuard<'_, Option<Tap>> {
    tap.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for a signal, or for the reader to end by itself, which it does only on an error.
async fn wait_for_stop<T>(reader: &thread::JoinHandle<T>) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut look = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = look.tick() => if reader.is_finished() { return Ok(()) },
        }
    }
}

/// Gives back what parsing the kernel's type information took, which is most of the agent's memory until then.
fn release_start_up_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: `malloc_trim` may be called at any time (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Longest wait at the end for the agent's own metrics to be taken.
const LAST_METRICS: std::time::Duration = std::time::Duration::from_millis(500);

/// Update an entry, never make one (include/uapi/linux/bpf.h).
const BPF_EXIST: u64 = 2;

/// Everything the reader thread drives.
struct Work {
    pipeline: Pipeline,
    targets: Targets,
    conns: BpfHashMap<MapData, u64, ConnState>,
    sink: SpanSink,
    reporter: Reporter,
    health: Health,
    looked_for_lost_ns: u64,
    /// Events of tasks by process, since when.
    task_events: HashMap<u32, (u64, u32)>,
    /// Where the agent's own metrics find the counts, and when they were last put there.
    observed: Option<SharedObserved>,
    observed_ns: u64,
}

/// What the sign of life is made of, besides what the pipeline and the targets know.
struct Health {
    file: Option<HealthFile>,
    tap: TapChoice,
    drops: Arc<DropCounters>,
}

/// Time over which the events of a process's tasks are counted.
const WEIGH_EVERY_NS: u64 = 1_000_000_000;
/// Most events of a process's tasks in that time. Each costs the process about a microsecond, and room in the ring buffer
/// that all processes share.
const MOST_TASK_EVENTS: u32 = 200_000;
/// Time between two times that the agent's own metrics are given the counts.
const OBSERVE_EVERY_NS: u64 = 1_000_000_000;
/// Silence after which an open exchange is suspected to have lost its connection.
const SUSPICIOUS_NS: u64 = 120_000_000_000;

impl reader::Handler for Work {
    fn record(&mut self, record: &[u8]) {
        self.pipeline.counters_mut().records += 1;
        match decode(record) {
            Ok(Event::Data { event, .. }) if !self.targets.knows(event.header.tgid) => {
                self.pipeline.counters_mut().operations_not_traced += 1;
            }
            Ok(Event::Data { event, head, tail }) => self.pipeline.data(&event, head, tail),
            Ok(Event::Socket(event))
                if event.what == what::CONNECT_FAILED && !self.targets.knows(event.header.tgid) =>
            {
                self.pipeline.counters_mut().operations_not_traced += 1;
            }
            Ok(Event::Socket(event)) => {
                self.pipeline.counters_mut().socket_events += 1;
                self.pipeline.socket(&event);
            }
            Ok(Event::Process(event)) => {
                self.pipeline.counters_mut().process_events += 1;
                if matches!(event.what, process::what::FORK | process::what::EXEC) {
                    self.pipeline.process_begins(event.header.tgid);
                }
                self.targets.process(&event);
            }
            Ok(Event::Task(event)) => {
                self.pipeline.task(&event);
                self.weigh(&event);
            }
            Err(error) => {
                self.pipeline.counters_mut().undecodable += 1;
                debug!(%error, "undecodable record");
            }
        }
        self.hand_over();
    }

    fn tick(&mut self) {
        let (unix_ns, monotonic_ns) = clock::both();
        self.pipeline.clock_mut().adjust(unix_ns, monotonic_ns);
        if self.reporter.lost_events() {
            self.pipeline.lost_events(monotonic_ns);
        }
        self.pipeline.tick(monotonic_ns);
        self.look_for_lost(monotonic_ns);
        self.targets.tick();
        let targets = &self.targets;
        self.pipeline.keep_processes(|pid| targets.knows(pid));
        self.task_events.retain(|pid, _| targets.knows(*pid));
        self.hand_over();
        self.reporter.tick(self.pipeline.counters(), self.pipeline.open_connections());
        self.show_life(monotonic_ns);
        if monotonic_ns >= self.observed_ns.saturating_add(OBSERVE_EVERY_NS) {
            self.observed_ns = monotonic_ns;
            self.observe();
        }
    }
}

impl Work {
    /// Gives up the tasks of a process that are woken more often than is good for it, and for the events of others.
    fn weigh(&mut self, event: &TaskEvent) {
        let EventHeader { tgid, ktime_ns, .. } = event.header;
        let (since_ns, count) = self.task_events.entry(tgid).or_insert((ktime_ns, 0));
        if ktime_ns >= since_ns.saturating_add(WEIGH_EVERY_NS) {
            (*since_ns, *count) = (ktime_ns, 0);
        }
        *count += 1;
        if *count == MOST_TASK_EVENTS {
            self.targets.leave_tasks(tgid);
        }
    }

    /// Passes finished spans on, and tells the kernel side which connections it need not report any more.
    fn hand_over(&mut self) {
        for cookie in self.pipeline.take_ignorable() {
            let ignored = ConnState { ignored: 1, seen: 1, ..ConnState::default() };
            // Only where the kernel side still knows it: a socket may have closed in the meantime.
            if let Err(error) = self.conns.insert(cookie, ignored, BPF_EXIST) {
                debug!(cookie, %error, "cannot silence connection");
            }
        }
        while let Some(pid) = self.pipeline.next_exporter() {
            let service = self.targets.traced(pid).map(|traced| traced.service);
            let service = service.as_ref().map(|service| service.name.as_str());
            info!(pid, service, "exports traces by itself: its spans are left to its SDK");
        }
        let (mut unsampled, mut unattributed) = (0, 0);
        for finished in self.pipeline.take_finished() {
            match self.targets.traced(finished.tgid) {
                None => unattributed += 1,
                Some(traced) => {
                    let trace_id = finished.span.span_context.trace_id();
                    let root = match finished.sampled {
                        Sampled::By(tgid) => RootDecision::Sampler(
                            self.targets.traced(tgid).map_or(traced.sampler, |root| root.sampler),
                        ),
                        Sampled::Header(sampled) => RootDecision::Made(sampled),
                    };
                    if samples(&traced.sampler, root, trace_id) {
                        self.sink.offer(SpanBatchItem { service: traced.service, span: finished.span });
                    } else {
                        unsampled += 1;
                    }
                }
            }
        }
        let counters = self.pipeline.counters_mut();
        counters.unsampled += unsampled;
        counters.unattributed += unattributed;
    }

    /// Gives up exchanges that have been silent for long on connections that the kernel side does not know any more: the
    /// event of their end was lost.
    fn look_for_lost(&mut self, now_ns: u64) {
        if now_ns < self.looked_for_lost_ns.saturating_add(SUSPICIOUS_NS / 2) {
            return;
        }
        self.looked_for_lost_ns = now_ns;
        for cookie in self.pipeline.silent_since(now_ns.saturating_sub(SUSPICIOUS_NS)) {
            if matches!(self.conns.get(&cookie, 0), Err(MapError::KeyNotFound)) {
                self.pipeline.forget(cookie, now_ns);
            }
        }
    }

    /// Renews the health file, when there is one and it is time to.
    fn show_life(&mut self, monotonic_ns: u64) {
        let Some(file) = &mut self.health.file else { return };
        file.tick(monotonic_ns, || {
            let export = self.health.drops.read();
            SignOfLife {
                pid: std::process::id(),
                monotonic_ns,
                tap: self.health.tap.to_string(),
                targets: self.targets.len() as u64,
                records: self.pipeline.counters().records,
                spans_exported: export.exported,
                spans_dropped: export.dropped(),
            }
        });
    }

    /// Gives the agent's own metrics the counts of this moment.
    fn observe(&self) {
        let Some(observed) = &self.observed else { return };
        let now = Observed {
            counters: self.pipeline.counters().clone(),
            kernel_drops: self.reporter.kernel_drops(),
            targets: self.targets.len() as u64,
            connections: self.pipeline.open_connections() as u64,
        };
        *own_metrics::lock(observed) = now;
    }

    /// Ends what is open.
    fn finish(&mut self) {
        if let Some(file) = &self.health.file {
            file.remove();
        }
        self.pipeline.finish(clock::monotonic_ns());
        self.hand_over();
        self.observe();
        self.reporter.finish();
    }
}

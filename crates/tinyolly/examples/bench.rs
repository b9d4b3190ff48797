//! `cargo xtask bench tinyolly`: what a running tinyolly costs and how fast it answers, each figure with its bar.
//!
//! The server is a process of its own (`TINYOLLY_BIN`), its processor time and memory are the kernel's (`/proc`), and
//! everything goes over loopback as from any sender. See docs/benchmarks.md.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use tonic::transport::Channel;

/// Items of a large export.
const BATCH: u64 = 512;
/// Connections that send at the same time.
const SENDERS: u64 = 4;
/// Spans of a trace.
const SPANS_PER_TRACE: u64 = 8;
const SERVICES: [&str; 5] = ["frontend", "cart", "payment", "shipping", "catalog"];
const ROUTES: [&str; 6] = ["/", "/cart", "/checkout", "/orders/{id}", "/items/{id}", "/health"];
/// Ticks of a processor's time in a second, as Linux gives them to user space.
const TICKS: f64 = 100.0;

/// Measures a tinyolly.
#[derive(Parser)]
struct Arguments {
    /// Spans stored before queries are measured
    #[arg(long, default_value_t = 100_000)]
    spans: u64,
    /// Requests for each query
    #[arg(long, default_value_t = 40)]
    requests: usize,
}

/// One line of the table.
struct Figure {
    name: String,
    measured: String,
    bar: String,
    met: bool,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{} spans, {processors} processors, load average {}\n", arguments.spans, load.trim());
    let mut table = Vec::new();
    with_spans(&arguments, &mut table).await?;
    with_logs_and_metrics(&arguments, &mut table).await?;
    println!("| figure | measured | bar | met |\n|---|---|---|---|");
    for Figure { name, measured, bar, met } in table {
        let met = if met { "yes" } else { "**no**" };
        println!("| {name} | {measured} | {bar} | {met} |");
    }
    Ok(())
}

/// Ingest of spans, and queries over them.
async fn with_spans(arguments: &Arguments, table: &mut Vec<Figure>) -> Result<()> {
    let server = Server::start()?;
    let idle = server.memory_mib("VmRSS:")?;
    at_most(table, "memory, idle", idle, "MiB", 30.0);
    let spans = arguments.spans;
    let (cpu, wall) = server.load(Signal::Traces, spans).await?;
    at_most(
        table,
        &format!("processor time for a span, {BATCH} in an export"),
        cpu * 1e3 / spans as f64,
        "ms",
        0.02,
    );
    eprintln!("{spans} spans in {wall:.1} s, {:.0}/s", spans as f64 / wall);
    server.until_stored("spans", spans).await?;
    let stored = server.memory_mib("VmRSS:")?;
    at_most(table, &format!("memory, {spans} spans"), stored, "MiB", 150.0);

    let bar = if spans > 100_000 { 150.0 } else { 50.0 };
    let trace = hex(&trace_id(spans / SPANS_PER_TRACE / 2));
    let hour = format!("start={}", now_ns() - 3_600_000_000_000);
    for path in [
        "/api/traces".to_owned(),
        "/api/traces?limit=1000".to_owned(),
        "/api/traces?service=payment".to_owned(),
        "/api/traces?errors=1".to_owned(),
        "/api/traces?sort=duration".to_owned(),
        "/api/traces?q=checkout".to_owned(),
        "/api/traces?attr=user.id%3D77".to_owned(),
        format!("/api/traces/{trace}"),
        "/api/spans".to_owned(),
        "/api/spans?service=payment".to_owned(),
        "/api/spans?min_duration=20ms".to_owned(),
        "/api/spans?attr=user.id%3D77".to_owned(),
        format!("/api/histogram?signal=traces&{hour}"),
        format!("/api/histogram?signal=spans&service=payment&{hour}"),
        "/api/facets?signal=spans&fields=service,name,kind,status".to_owned(),
        format!("/api/service-catalog?{hour}"),
        format!("/api/service-catalog/payment?{hour}"),
        format!("/api/service-map?{hour}"),
        "/api/stats".to_owned(),
    ] {
        server.query(&path, arguments.requests, bar, table).await?;
    }
    let most = server.memory_mib("VmHWM:")?;
    at_most(table, &format!("memory at most, {spans} spans and all queries"), most, "MiB", 150.0);

    let mut delays = Vec::new();
    for number in 0..50 {
        delays.push(server.delay(spans / SPANS_PER_TRACE + 1_000 + number).await?);
    }
    let (p50, p95) = percentiles(&mut delays);
    let name = format!("from the acknowledgement to a query's answer, p50 {p50:.1} ms; p95");
    at_most(table, &name, p95, "ms", 100.0);
    let bytes = server.stop()?;
    at_most(table, "bytes for a stored span", bytes as f64 / (spans + 50) as f64, "bytes", 300.0);
    Ok(())
}

/// Ingest of the other signals, of single spans, and queries over logs and metrics.
async fn with_logs_and_metrics(arguments: &Arguments, table: &mut Vec<Figure>) -> Result<()> {
    let server = Server::start()?;
    let items = (arguments.spans / 2).clamp(BATCH, 100_000);
    let (cpu, _) = server.load(Signal::Logs, items).await?;
    at_most(
        table,
        &format!("processor time for a log record, {BATCH} in an export"),
        cpu * 1e3 / items as f64,
        "ms",
        0.01,
    );
    let (cpu, _) = server.load(Signal::Metrics, items).await?;
    at_most(
        table,
        &format!("processor time for a metric point, {BATCH} in an export"),
        cpu * 1e3 / items as f64,
        "ms",
        0.02,
    );
    let singles = 5_000;
    let before = server.cpu_seconds()?;
    let mut client = TraceServiceClient::new(server.channel().await?);
    for number in 0..singles {
        client.export(traces(number, 1)).await.context("export")?;
    }
    let cpu = server.cpu_seconds()? - before;
    at_most(table, "processor time for an export of one span", cpu * 1e3 / singles as f64, "ms", 0.2);
    server.until_stored("logs", items).await?;
    let hour = format!("start={}", now_ns() - 3_600_000_000_000);
    for path in [
        "/api/logs".to_owned(),
        "/api/logs?limit=1000".to_owned(),
        "/api/logs?severity_min=ERROR".to_owned(),
        "/api/logs?q=order%204".to_owned(),
        "/api/metrics".to_owned(),
        format!("/api/metrics/query?name=requests.0&{hour}"),
        format!("/api/metrics/query?name=requests.0&group_by=route&{hour}"),
    ] {
        server.query(&path, arguments.requests, 50.0, table).await?;
    }
    server.stop()?;
    Ok(())
}

fn at_most(table: &mut Vec<Figure>, name: &str, value: f64, unit: &str, bar: f64) {
    let digits = if value < 1.0 { 4 } else { 1 };
    let measured = format!("{value:.digits$} {unit}");
    table.push(Figure {
        name: name.to_owned(), measured, bar: format!("≤ {bar} {unit}"), met: value <= bar
    });
}

/// The middle and the 95th of a hundred, in the unit of the values.
fn percentiles(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let place = (share * values.len() as f64).ceil() as usize;
        values.get(place.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    };
    (at(0.5), at(0.95))
}

#[derive(Clone, Copy)]
enum Signal {
    Traces,
    Logs,
    Metrics,
}

/// A tinyolly with a database of its own.
struct Server {
    process: Child,
    directory: tempfile::TempDir,
    ui: String,
    grpc: String,
    client: reqwest::Client,
}

impl Server {
    fn start() -> Result<Self> {
        let program: PathBuf =
            std::env::var_os("TINYOLLY_BIN").context("TINYOLLY_BIN names the server")?.into();
        let directory = tempfile::tempdir()?;
        let mut process = Command::new(&program)
            .args([
                "--ui-port",
                "0",
                "--otlp-grpc-port",
                "0",
                "--otlp-http-port",
                "0",
                "--max-db-size",
                "8192",
            ])
            .arg("--db")
            .arg(directory.path().join("bench.db"))
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        let mut log = BufReader::new(process.stderr.take().context("standard error")?).lines();
        let line = log.by_ref().map_while(|line| line.ok()).find(|line| line.contains("listening"));
        let line = line.context("the server ended before it listened")?;
        // Somebody must read what it logs, or it stops.
        std::thread::spawn(move || log.for_each(drop));
        let field = |name: &str| {
            let value = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            value.map(str::to_owned).with_context(|| format!("no {name} in {line:?}"))
        };
        let (ui, grpc) = (field("ui=")?, field("otlp_grpc=")?);
        Ok(Self { process, directory, ui, grpc: format!("http://{grpc}"), client: reqwest::Client::new() })
    }

    async fn channel(&self) -> Result<Channel> {
        Channel::from_shared(self.grpc.clone())?.connect().await.context("connect")
    }

    /// Processor time so far: user and system, all threads.
    fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The name in parentheses may hold blanks; utime and stime are fields 14 and 15.
        let after = stat.rsplit_once(')').context("stat")?.1;
        let ticks: Vec<f64> =
            after.split_whitespace().skip(11).take(2).filter_map(|t| t.parse().ok()).collect();
        Ok(ticks.iter().sum::<f64>() / TICKS)
    }

    fn memory_mib(&self, field: &str) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)).context("status")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }

    /// Sends `items` in exports of [`BATCH`], several at a time; processor time and wall time.
    async fn load(&self, signal: Signal, items: u64) -> Result<(f64, f64)> {
        let (before, started) = (self.cpu_seconds()?, Instant::now());
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..SENDERS {
            let channel = self.channel().await?;
            senders.spawn(async move {
                let mut first = sender * BATCH;
                while first < items {
                    send(signal, channel.clone(), first, BATCH.min(items - first)).await?;
                    first += SENDERS * BATCH;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = senders.join_next().await {
            done??;
        }
        let wall = started.elapsed().as_secs_f64();
        Ok((self.cpu_seconds()? - before, wall))
    }

    async fn until_stored(&self, what: &str, wanted: u64) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let stats: serde_json::Value =
                self.client.get(format!("{}/api/stats", self.ui)).send().await?.json().await?;
            if stats[what].as_u64() >= Some(wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} of {wanted} {what} are stored", stats[what]);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Times a query; one that this server does not have is left out, which is said.
    async fn query(&self, path: &str, requests: usize, bar: f64, table: &mut Vec<Figure>) -> Result<()> {
        let mut times = Vec::new();
        for number in 0..requests + 2 {
            let started = Instant::now();
            let response = self.client.get(format!("{}{path}", self.ui)).send().await?;
            let status = response.status();
            response.bytes().await?;
            if !status.is_success() {
                eprintln!("{path}: {status}, left out");
                return Ok(());
            }
            // The first two fill caches.
            if number >= 2 {
                times.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        let (p50, p95) = percentiles(&mut times);
        let shown = path.split("start=").next().unwrap_or(path).trim_end_matches(['?', '&']);
        at_most(table, &format!("`{shown}`, p50 {p50:.1} ms; p95"), p95, "ms", bar);
        Ok(())
    }

    /// Milliseconds from the acknowledgement of a span until its trace is answered.
    async fn delay(&self, trace: u64) -> Result<f64> {
        let mut client = TraceServiceClient::new(self.channel().await?);
        client.export(traces(trace * SPANS_PER_TRACE, 1)).await?;
        let acknowledged = Instant::now();
        let path = format!("{}/api/traces/{}", self.ui, hex(&trace_id(trace)));
        while !self.client.get(&path).send().await?.status().is_success() {
            if acknowledged.elapsed() > Duration::from_secs(10) {
                bail!("a span was not to be seen for 10 s");
            }
        }
        Ok(acknowledged.elapsed().as_secs_f64() * 1e3)
    }

    /// Stops the server in order; the size of its file then.
    fn stop(mut self) -> Result<u64> {
        let ended = Command::new("kill").arg(self.process.id().to_string()).status().context("kill")?;
        if !ended.success() {
            bail!("the server was gone already");
        }
        self.process.wait()?;
        Ok(std::fs::metadata(self.directory.path().join("bench.db"))?.len())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is gone already unless something failed.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

async fn send(signal: Signal, channel: Channel, first: u64, items: u64) -> Result<()> {
    match signal {
        Signal::Traces => drop(TraceServiceClient::new(channel).export(traces(first, items)).await?),
        Signal::Logs => drop(LogsServiceClient::new(channel).export(logs(first, items)).await?),
        Signal::Metrics => drop(MetricsServiceClient::new(channel).export(metrics(first, items)).await?),
    }
    Ok(())
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Spreads numbers over all values, the same each time (the finalizer of splitmix64).
fn mixed(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn trace_id(trace: u64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&mixed(trace).to_be_bytes());
    id[8..].copy_from_slice(&mixed(trace ^ u64::MAX).to_be_bytes());
    id
}

fn span_id(span: u64) -> Vec<u8> {
    (mixed(span.wrapping_mul(3)) | 1).to_be_bytes().to_vec()
}

fn text(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }),
        ..Default::default()
    }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(Value::IntValue(value)) }),
        ..Default::default()
    }
}

fn pick<'a>(from: &[&'a str], number: u64) -> &'a str {
    from.get((mixed(number) % from.len() as u64) as usize).copied().unwrap_or_default()
}

fn resource(service: &str) -> Option<Resource> {
    let attributes = vec![
        text("service.name", service),
        text("service.version", "1.4.2"),
        text("service.instance.id", format!("{service}-7d9f")),
        text("host.name", "bench"),
        text("telemetry.sdk.language", "rust"),
    ];
    Some(Resource { attributes, ..Default::default() })
}

/// Spans as an SDK sends them: twelve attributes, one service in a request.
fn traces(first: u64, items: u64) -> ExportTraceServiceRequest {
    let service = pick(&SERVICES, first / BATCH);
    let now = now_ns();
    let span = |at: u64| {
        let (trace, place) = (at / SPANS_PER_TRACE, at % SPANS_PER_TRACE);
        let route = pick(&ROUTES, at);
        let start = now - 60_000_000_000 + place * 1_000_000;
        let failed = mixed(at).is_multiple_of(50);
        Span {
            trace_id: trace_id(trace).to_vec(),
            span_id: span_id(at),
            parent_span_id: if place == 0 { Vec::new() } else { span_id(at - place) },
            name: format!("GET {route}"),
            kind: if place == 0 { 2 } else { 3 },
            start_time_unix_nano: start,
            end_time_unix_nano: start + 500_000 + mixed(at) % 40_000_000,
            attributes: vec![
                text("http.request.method", "GET"),
                text("http.route", route),
                text("url.path", format!("/api{route}/{}", mixed(at) % 10_000)),
                text("url.scheme", "http"),
                text("server.address", format!("{service}.local")),
                number("server.port", 8080),
                number("http.response.status_code", if failed { 500 } else { 200 }),
                text("network.protocol.version", "1.1"),
                text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"),
                text("client.address", format!("10.0.{}.{}", mixed(at) % 16, mixed(at) % 251)),
                text("user.id", (mixed(trace) % 5_000).to_string()),
                number("thread.id", (mixed(at) % 16) as i64),
            ],
            status: Some(Status { code: if failed { 2 } else { 0 }, message: String::new() }),
            ..Default::default()
        }
    };
    let spans = (first..first + items).map(span).collect();
    let scope_spans = vec![ScopeSpans { spans, ..Default::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: resource(service),
            scope_spans,
            ..Default::default()
        }],
    }
}

fn logs(first: u64, items: u64) -> ExportLogsServiceRequest {
    let now = now_ns();
    let record = |at: u64| LogRecord {
        time_unix_nano: now - (items - at % items) * 1_000,
        severity_number: if mixed(at).is_multiple_of(20) { 17 } else { 9 },
        severity_text: if mixed(at).is_multiple_of(20) { "ERROR" } else { "INFO" }.into(),
        body: Some(AnyValue {
            value: Some(Value::StringValue(format!("order {} was processed", mixed(at) % 100_000))),
        }),
        attributes: vec![text("code.function.name", "process_order"), number("order.items", (at % 7) as i64)],
        trace_id: trace_id(at / 4).to_vec(),
        span_id: span_id(at / 4),
        ..Default::default()
    };
    let log_records = (first..first + items).map(record).collect();
    let scope_logs = vec![ScopeLogs { log_records, ..Default::default() }];
    let resource = resource(pick(&SERVICES, first / BATCH));
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..Default::default() }],
    }
}

/// Counters of a few names with a few attributes, as a process exports them again and again.
fn metrics(first: u64, items: u64) -> ExportMetricsServiceRequest {
    let now = now_ns();
    let point = |at: u64| NumberDataPoint {
        attributes: vec![text("route", pick(&ROUTES, at)), number("code", 200 + (at % 3) as i64)],
        start_time_unix_nano: now - 1_800_000_000_000,
        time_unix_nano: now - 600_000_000_000 + first * 1_000_000 + at,
        value: Some(number_data_point::Value::AsInt(at as i64)),
        ..Default::default()
    };
    let metric = |name: u64| Metric {
        name: format!("requests.{name}"),
        unit: "1".into(),
        data: Some(metric::Data::Sum(Sum {
            aggregation_temporality: 2,
            is_monotonic: true,
            data_points: (first..first + items).filter(|at| at % 8 == name).map(point).collect(),
        })),
        ..Default::default()
    };
    let scope_metrics = vec![ScopeMetrics { metrics: (0..8).map(metric).collect(), ..Default::default() }];
    let resource = resource(pick(&SERVICES, first / BATCH));
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, ..Default::default() }],
    }
}

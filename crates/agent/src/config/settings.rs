//! The checked settings of the agent.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use super::otlp::{ExportSettings, OwnMetricsSettings};
use super::sampler::SamplerSettings;
use super::selection::Selection;
use super::values::{IgnoreMode, LogLevel, TapChoice, Unmatched};

/// Everything the agent can be told. Made by [`super::load`], which checks it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which processes are traced.
    pub selection: Selection,
    /// Whether processes that export traces with an SDK of their own are left out.
    pub exclude_otel_instrumented_services: bool,
    /// What the services and the host are called.
    pub naming: Naming,
    /// How the kernel side works.
    pub tap: TapSettings,
    /// How HTTP becomes spans.
    pub http: HttpSettings,
    /// What happens to finished spans.
    pub export: ExportSettings,
    /// Which traces are exported.
    pub sampler: SamplerSettings,
    /// Where the agent's own metrics go; nowhere when they are switched off or spans are only printed.
    pub own_metrics: Option<OwnMetricsSettings>,
    /// Metrics of services, which this version reads and does not produce.
    pub metrics: MetricsSettings,
    /// How much is logged.
    pub log_level: LogLevel,
    /// The file that the running agent renews, for `otel-ebpf-agent health`.
    pub health_file: Option<PathBuf>,
    /// How long the agent may take to export what it has when it is told to stop.
    pub shutdown_timeout: Duration,
}

/// Names that apply to all services, after what a service says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Naming {
    /// `service.name` of every service that does not name itself: `OTEL_SERVICE_NAME` or the deprecated
    /// `OTEL_EBPF_SERVICE_NAME`.
    pub service_name: Option<String>,
    /// `service.namespace` of every service that does not name its own.
    pub service_namespace: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES` of the agent, in the order given; `service.name` is not among them.
    pub resource_attributes: Vec<(String, String)>,
    /// `host.name`; taken from the kernel when unset.
    pub hostname: Option<String>,
}

/// The kernel side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapSettings {
    /// How the tap attaches.
    pub attach: TapChoice,
    /// Size of the ring buffer; a power of two and a multiple of the page size.
    pub ring_buffer_bytes: u32,
    /// How much of the head of a message is captured.
    pub capture_bytes: u32,
}

impl Default for TapSettings {
    fn default() -> Self {
        Self { attach: TapChoice::Auto, ring_buffer_bytes: 8 << 20, capture_bytes: 4096 }
    }
}

/// How HTTP becomes spans.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpSettings {
    /// Route patterns.
    pub routes: Routes,
    /// Query parameters whose values never leave the agent, on top of the built-in list.
    pub sensitive_query_add: Vec<String>,
    /// Query parameters of the built-in list whose values may leave the agent.
    pub sensitive_query_remove: Vec<String>,
    /// Methods that are reported by name in place of the conventions' list, separated by commas.
    pub known_methods: Option<String>,
    /// How long a request must wait before the wait is worth the spans `in queue` and `processing`.
    pub queue_threshold: QueueThreshold,
}

/// The shortest wait that makes `in queue` and `processing` spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueThreshold(pub Duration);

impl Default for QueueThreshold {
    /// One millisecond: a wake-up on a busy machine stays below, a worker pool that is full does not.
    fn default() -> Self {
        Self(Duration::from_millis(1))
    }
}

/// OBI's `routes` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes {
    /// Patterns such as `/users/{id}`, in order of preference.
    pub patterns: Vec<String>,
    /// Requests whose path matches one of these are ignored.
    pub ignored_patterns: Vec<String>,
    /// What ignoring means.
    pub ignore_mode: IgnoreMode,
    /// What happens when no pattern matches.
    pub unmatched: Unmatched,
    /// Replaces a segment in guessed routes.
    pub wildcard_char: char,
    /// Values a segment may have before `low-cardinality` replaces it.
    pub max_path_segment_cardinality: u32,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            patterns: Vec::new(),
            ignored_patterns: Vec::new(),
            ignore_mode: IgnoreMode::All,
            unmatched: Unmatched::Unset,
            wildcard_char: '*',
            max_path_segment_cardinality: 10,
        }
    }
}

/// Metrics: read and checked, so that a configuration written for OBI is understood; without effect here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Feature names such as `application`.
    pub features: Vec<String>,
    /// How often metrics are exported.
    pub interval: Duration,
    /// The Prometheus listener, when asked for.
    pub prometheus: Option<PrometheusSettings>,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { features: Vec::new(), interval: Duration::from_secs(60), prometheus: None }
    }
}

/// A listener for Prometheus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrometheusSettings {
    /// Listens here; loopback, as every listener of the agent.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
    /// Path of the metrics.
    pub path: String,
}

impl PrometheusSettings {
    pub(crate) fn new(port: u16, path: Option<String>) -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port,
            path: path.unwrap_or_else(|| "/metrics".to_owned()),
        }
    }
}

impl Default for Settings {
    /// The defaults. They select no process and export nowhere, so [`super::load`] asks for both.
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            exclude_otel_instrumented_services: true,
            naming: Naming::default(),
            tap: TapSettings::default(),
            http: HttpSettings::default(),
            export: ExportSettings::default(),
            sampler: SamplerSettings::default(),
            own_metrics: None,
            metrics: MetricsSettings::default(),
            log_level: LogLevel::Info,
            health_file: None,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

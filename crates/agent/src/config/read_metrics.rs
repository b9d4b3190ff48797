//! Reads the settings for metrics, which this version checks and does not use.

use super::read::{Reader, split_list};
use super::settings::{MetricsSettings, PrometheusSettings};

/// Names of features (OBI, `pkg/export/feature.go`).
const FEATURES: &[&str] = &[
    "*",
    "all",
    "application",
    "application_host",
    "application_process",
    "application_runtime",
    "application_service_graph",
    "application_span",
    "application_span_otel",
    "application_span_sizes",
    "ebpf",
    "network",
    "network_flow_packets",
    "network_inter_zone",
    "stats",
    "stats_tcp_failed_connections",
    "stats_tcp_io",
    "stats_tcp_retransmits",
    "stats_tcp_rtt",
];

/// Reads the settings for metrics and says that they have no effect.
pub(crate) fn read(reader: &mut Reader<'_>) -> MetricsSettings {
    let features = reader.parsed(
        &["OTEL_EBPF_METRICS_FEATURES"],
        "metrics.features",
        "features separated by commas, such as application,application_span",
        |text| {
            let words = split_list(text);
            words.iter().all(|word| FEATURES.contains(&word.as_str())).then_some(words)
        },
    );
    let interval = reader.duration(&["OTEL_EBPF_METRICS_INTERVAL"], "otel_metrics_export.interval");
    let port = reader.number(&["OTEL_EBPF_PROMETHEUS_PORT"], "prometheus_export.port", 0, 65_535);
    let path = reader.parsed(
        &["OTEL_EBPF_PROMETHEUS_PATH"],
        "prometheus_export.path",
        "a path such as /metrics",
        |text| text.starts_with('/').then(|| text.to_owned()),
    );
    if features.is_some() || interval.is_some() || port.is_some_and(|port| port != 0) || path.is_some() {
        reader.findings.warn("this version produces no metrics: the settings for them have no effect");
    }
    MetricsSettings {
        features: features.unwrap_or_default(),
        interval: interval.unwrap_or(MetricsSettings::default().interval),
        prometheus: port
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port != 0)
            .map(|port| PrometheusSettings::new(port, path)),
    }
}

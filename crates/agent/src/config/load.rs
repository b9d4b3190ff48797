//! From raw layers to checked settings.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layers::{Environment, Flags, Layers};
use super::otlp::{
    ENDPOINT_ACCEPTED, Endpoint, ExportSettings, HEADERS_ACCEPTED, OtlpProtocol, OtlpSettings,
    PROTOCOL_ACCEPTED, parse_pairs, valid_header,
};
use super::problem::{ConfigError, Findings};
use super::read::Reader;
use super::sampler::{self, SamplerSettings};
use super::settings::{
    HttpSettings, MetricsSettings, Naming, PrometheusSettings, QueueThreshold, Routes, Settings, TapSettings,
};
use super::values::{IgnoreMode, LogLevel, TapChoice, TracePrinter, Unmatched};
use super::yaml::Document;
use super::{names, targets};

/// Paths of the file that are read; anything else is warned of.
const HANDLED_KEYS: &[&str] = &[
    "attributes.instance_id.override_hostname",
    "discovery.default_exclude_instrument",
    "discovery.exclude_instrument",
    "discovery.exclude_otel_instrumented_services",
    "discovery.instrument",
    "ebpf.buffer_sizes.http",
    "ebpf.context_propagation",
    "log_level",
    "metrics.features",
    "open_port",
    "otel_metrics_export.interval",
    "otel_traces_export.batch_max_size",
    "otel_traces_export.batch_timeout",
    "otel_traces_export.endpoint",
    "otel_traces_export.protocol",
    "otel_traces_export.queue_size",
    "otel_traces_export.sampler.arg",
    "otel_traces_export.sampler.name",
    "prometheus_export.path",
    "prometheus_export.port",
    "routes.ignore_mode",
    "routes.ignored_patterns",
    "routes.max_path_segment_cardinality",
    "routes.patterns",
    "routes.unmatched",
    "routes.wildcard_char",
    "service_name",
    "service_namespace",
    "shutdown_timeout",
    "target_pids",
    "trace_printer",
];

/// Sections of OBI's file; what is not read of them has no effect here.
const OBI_SECTIONS: &[&str] = &[
    "attributes",
    "channel_buffer_len",
    "channel_send_timeout",
    "discovery",
    "ebpf",
    "enforce_sys_caps",
    "executable_path",
    "filter",
    "health_check",
    "internal_metrics",
    "javaagent",
    "log_config",
    "log_format",
    "metrics",
    "name_resolver",
    "network",
    "nodejs",
    "otel_metrics_export",
    "otel_traces_export",
    "profile_port",
    "prometheus_export",
    "routes",
    "stats",
];

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

/// Settings that can be used, and remarks on them that a person should see.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The checked settings.
    pub settings: Settings,
    /// Names without effect, deprecated settings; one line each.
    pub warnings: Vec<String>,
}

/// Reads and checks the configuration. `read_file` gets the path of the configuration file, if there is one.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(
    flags: &Flags,
    environment: &Environment,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
) -> Result<Loaded, ConfigError> {
    let mut findings = Findings::default();
    names::check(environment, &mut findings);
    let path =
        flags.config_path.clone().or_else(|| environment.get("OTEL_EBPF_CONFIG_PATH").map(PathBuf::from));
    let document = path.and_then(|path| read_document(&path, read_file, &mut findings));
    if let Some(document) = &document {
        document.check_keys(HANDLED_KEYS, OBI_SECTIONS, &mut findings);
    }
    let layers = Layers { flags, environment, file: document.as_ref() };
    let mut reader = Reader { layers, findings };
    let settings = read_settings(&mut reader);
    let Findings { problems, warnings } = reader.findings;
    if problems.is_empty() {
        Ok(Loaded { settings, warnings })
    } else {
        Err(ConfigError { problems, warnings })
    }
}

fn read_document(
    path: &Path,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
    findings: &mut Findings,
) -> Option<Document> {
    let text = match read_file(path) {
        Ok(text) => text,
        Err(error) => {
            findings.invalid(format!("read configuration file {}: {error}", path.display()));
            return None;
        }
    };
    match Document::parse(&path.display().to_string(), &text) {
        Ok(document) => Some(document),
        Err(error) => {
            findings.invalid(format!("parse configuration file {}: {error}", path.display()));
            None
        }
    }
}

fn read_settings(reader: &mut Reader<'_>) -> Settings {
    let defaults = Settings::default();
    Settings {
        selection: targets::read(reader),
        exclude_otel_instrumented_services: reader
            .boolean(
                &["OTEL_EBPF_EXCLUDE_OTEL_INSTRUMENTED_SERVICES"],
                "discovery.exclude_otel_instrumented_services",
            )
            .unwrap_or(defaults.exclude_otel_instrumented_services),
        naming: read_naming(reader),
        tap: read_tap(reader),
        http: read_http(reader),
        export: read_export(reader),
        sampler: read_sampler(reader),
        metrics: read_metrics(reader),
        log_level: reader
            .parsed(&["OTEL_EBPF_LOG_LEVEL"], "log_level", LogLevel::ACCEPTED, |text| text.parse().ok())
            .unwrap_or(defaults.log_level),
        shutdown_timeout: reader
            .duration(&["OTEL_EBPF_SHUTDOWN_TIMEOUT"], "shutdown_timeout")
            .unwrap_or(defaults.shutdown_timeout),
    }
}

fn read_naming(reader: &mut Reader<'_>) -> Naming {
    let accepted = "key=value pairs separated by commas, values percent-encoded, such as deployment.environment.name=dev";
    let mut resource_attributes =
        reader.parsed(&["OTEL_RESOURCE_ATTRIBUTES"], "", accepted, parse_pairs).unwrap_or_default();
    let mut take = |key: &str| {
        let value = resource_attributes.iter().rfind(|(name, _)| name == key).map(|(_, value)| value.clone());
        resource_attributes.retain(|(name, _)| name != key);
        value
    };
    let attribute_name = take("service.name");
    let attribute_namespace = take("service.namespace");
    let deprecated = targets::deprecated_service_name(&reader.layers);
    if let Some(given) = &deprecated {
        reader.findings.warn(format!(
            "{} is deprecated: it merges all services that do not name themselves into {:?}; \
             set OTEL_SERVICE_NAME in the environment of each service instead",
            given.name, given.value
        ));
    }
    Naming {
        service_name: reader
            .text(&["OTEL_SERVICE_NAME"], "")
            .or(attribute_name)
            .or(deprecated.map(|given| given.value)),
        service_namespace: reader
            .text(&["OTEL_EBPF_SERVICE_NAMESPACE"], "service_namespace")
            .or(attribute_namespace),
        resource_attributes,
        hostname: reader.text(&["OTEL_EBPF_HOSTNAME"], "attributes.instance_id.override_hostname"),
    }
}

fn read_tap(reader: &mut Reader<'_>) -> TapSettings {
    let defaults = TapSettings::default();
    read_context_propagation(reader);
    let ring_accepted = "a power of two from 1 to 1024 (MiB)";
    let capture_accepted = "a number of bytes from 256 to 8192, or 0 for the default of 4096";
    TapSettings {
        attach: reader
            .parsed(&["OTEL_EBPF_TAP"], "", TapChoice::ACCEPTED, |text| text.parse().ok())
            .unwrap_or(defaults.attach),
        ring_buffer_bytes: reader
            .parsed(&["OTEL_EBPF_RING_BUFFER_SIZE"], "", ring_accepted, |text| {
                text.parse().ok().filter(|mib: &u32| mib.is_power_of_two() && *mib <= 1024)
            })
            .map_or(defaults.ring_buffer_bytes, |mib| mib << 20),
        capture_bytes: reader
            .parsed(&["OTEL_EBPF_BPF_BUFFER_SIZE_HTTP"], "ebpf.buffer_sizes.http", capture_accepted, |text| {
                text.parse().ok().filter(|bytes| *bytes == 0 || (256..=8192).contains(bytes))
            })
            .filter(|bytes| *bytes != 0)
            .unwrap_or(defaults.capture_bytes),
    }
}

/// Accepts OBI's values and says that nothing is injected: this agent links spans without touching the stream.
fn read_context_propagation(reader: &mut Reader<'_>) {
    let variables = ["OTEL_EBPF_BPF_CONTEXT_PROPAGATION", "OTEL_EBPF_CONTEXT_PROPAGATION"];
    let accepted = "disabled, all, headers, tcp or headers,tcp";
    let Some(given) = reader.layers.find(&variables, "ebpf.context_propagation") else { return };
    let name = given.name.clone();
    let enabled = reader.parse_given(given, accepted, |text| {
        let words: Vec<_> = text.split(',').map(str::trim).collect();
        let known = |word: &&str| ["headers", "tcp", "ip"].contains(word);
        match words.as_slice() {
            ["disabled"] => Some(false),
            ["all"] => Some(true),
            words if words.iter().all(known) => Some(true),
            _ => None,
        }
    });
    if enabled == Some(true) {
        reader.findings.warn(format!(
            "{name}: nothing is injected into requests; this agent links the spans of services it traces by \
             connection and sequence number, without touching the stream"
        ));
    }
}

fn read_http(reader: &mut Reader<'_>) -> HttpSettings {
    let defaults = Routes::default();
    let routes = Routes {
        patterns: read_patterns(reader, "routes.patterns"),
        ignored_patterns: read_patterns(reader, "routes.ignored_patterns"),
        ignore_mode: reader
            .parsed(&[], "routes.ignore_mode", IgnoreMode::ACCEPTED, |text| text.parse().ok())
            .unwrap_or(defaults.ignore_mode),
        unmatched: reader
            .parsed(&[], "routes.unmatched", Unmatched::ACCEPTED, |text| text.parse().ok())
            .unwrap_or(defaults.unmatched),
        wildcard_char: reader
            .parsed(&[], "routes.wildcard_char", "a single character", |text| {
                let mut chars = text.chars();
                chars.next().filter(|_| chars.next().is_none())
            })
            .unwrap_or(defaults.wildcard_char),
        max_path_segment_cardinality: reader
            .number(&[], "routes.max_path_segment_cardinality", 1, u64::from(u32::MAX))
            .map_or(defaults.max_path_segment_cardinality, |number| number as u32),
    };
    HttpSettings {
        routes,
        sensitive_query_add: reader.words(&["OTEL_EBPF_SENSITIVE_QUERY_PARAMS_ADD"], ""),
        sensitive_query_remove: reader.words(&["OTEL_EBPF_SENSITIVE_QUERY_PARAMS_REMOVE"], ""),
        queue_threshold: reader
            .duration(&["OTEL_EBPF_QUEUE_THRESHOLD"], "")
            .map_or_else(QueueThreshold::default, QueueThreshold),
    }
}

/// Reads route patterns, which may contain commas and must start with a slash.
fn read_patterns(reader: &mut Reader<'_>, path: &str) -> Vec<String> {
    let Some(document) = reader.layers.file else { return Vec::new() };
    let Some(value) = document.value(path) else { return Vec::new() };
    let patterns: Option<Vec<String>> = value.as_array().and_then(|list| {
        list.iter()
            .map(|pattern| pattern.as_str().filter(|text| text.starts_with('/')).map(str::to_owned))
            .collect()
    });
    patterns.unwrap_or_else(|| {
        let text = super::yaml::text_of(value);
        reader.findings.bad_value(document.name_of(path), text, "a list of patterns such as /users/{id}");
        Vec::new()
    })
}

fn read_export(reader: &mut Reader<'_>) -> ExportSettings {
    let defaults = ExportSettings::default();
    let printer =
        reader.parsed(&["OTEL_EBPF_TRACE_PRINTER"], "trace_printer", TracePrinter::ACCEPTED, |text| {
            text.parse().ok()
        });
    let problems_before = reader.findings.problems.len();
    let otlp = read_otlp(reader);
    let printer_given = reader.layers.find(&["OTEL_EBPF_TRACE_PRINTER"], "trace_printer").is_some();
    let prints = printer.is_some_and(|printer| printer != TracePrinter::Disabled);
    // A printer that was given wrongly is a problem already.
    let printer_wrong = printer_given && printer.is_none();
    if otlp.is_none() && !prints && !printer_wrong && reader.findings.problems.len() == problems_before {
        reader.findings.invalid(
            "spans would go nowhere: set OTEL_EXPORTER_OTLP_ENDPOINT (such as http://localhost:4317), \
             or OTEL_EBPF_TRACE_PRINTER=text to print them",
        );
    }
    let most = 1 << 20;
    ExportSettings {
        otlp,
        printer: printer.unwrap_or(defaults.printer),
        batch_max_size: reader
            .number(
                &["OTEL_EBPF_OTLP_TRACES_BATCH_MAX_SIZE", "OTEL_EBPF_OTLP_TRACES_MAX_EXPORT_BATCH_SIZE"],
                "otel_traces_export.batch_max_size",
                1,
                most,
            )
            .map_or(defaults.batch_max_size, |number| number as usize),
        batch_timeout: reader
            .duration(&["OTEL_EBPF_OTLP_TRACES_BATCH_TIMEOUT"], "otel_traces_export.batch_timeout")
            .unwrap_or(defaults.batch_timeout),
        queue_size: reader
            .number(
                &["OTEL_EBPF_OTLP_TRACES_QUEUE_SIZE", "OTEL_EBPF_OTLP_TRACES_MAX_QUEUE_SIZE"],
                "otel_traces_export.queue_size",
                1,
                most,
            )
            .map_or(defaults.queue_size, |number| number as usize),
    }
}

fn read_otlp(reader: &mut Reader<'_>) -> Option<OtlpSettings> {
    const SIGNAL: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const BASE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let protocol = reader.parsed(
        &["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
        "otel_traces_export.protocol",
        PROTOCOL_ACCEPTED,
        OtlpProtocol::parse,
    );
    let headers = read_headers(reader);
    let timeout_names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let timeout = reader.parsed(&timeout_names, "", "a number of milliseconds such as 10000", |text| {
        text.parse().ok().filter(|millis| (1..=3_600_000).contains(millis)).map(Duration::from_millis)
    });
    let compression_names = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
    let gzip = reader.parsed(&compression_names, "", "gzip or none", |text| match text {
        "gzip" => Some(true),
        "none" => Some(false),
        _ => None,
    });
    let given = reader.layers.find(&[SIGNAL, BASE], "otel_traces_export.endpoint")?;
    // The file's key belongs to traces, so it is used as it is; only the shared endpoint gets a path.
    let is_base = given.name == BASE || given.name.starts_with("--");
    let name = given.name.clone();
    let endpoint = reader.parse_given(given, ENDPOINT_ACCEPTED, Endpoint::parse)?;
    let protocol = protocol.unwrap_or_else(|| OtlpProtocol::guess(&endpoint));
    if protocol == OtlpProtocol::Grpc && endpoint.has_path() {
        reader.findings.warn(format!("{name}: the path of the URL is not used over gRPC"));
    }
    Some(OtlpSettings {
        endpoint: if is_base { endpoint.base(protocol) } else { endpoint.per_signal() },
        protocol,
        headers,
        timeout: timeout.unwrap_or(Duration::from_secs(10)),
        gzip: gzip.unwrap_or(false),
    })
}

/// Reads headers. Their values may be secrets, so a problem does not show them.
fn read_headers(reader: &mut Reader<'_>) -> Vec<(String, String)> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
    let Some(given) = reader.layers.find(&names, "") else { return Vec::new() };
    let headers = parse_pairs(&given.value)
        .filter(|headers| headers.iter().all(|(name, value)| valid_header(name, value)));
    headers.unwrap_or_else(|| {
        reader.findings.bad_value(given.name, "(not shown)", HEADERS_ACCEPTED);
        Vec::new()
    })
}

fn read_sampler(reader: &mut Reader<'_>) -> SamplerSettings {
    let ratio = reader.parsed(
        &["OTEL_TRACES_SAMPLER_ARG"],
        "otel_traces_export.sampler.arg",
        "a number from 0 to 1",
        sampler::parse_ratio,
    );
    reader
        .parsed(&["OTEL_TRACES_SAMPLER"], "otel_traces_export.sampler.name", sampler::ACCEPTED, |text| {
            SamplerSettings::from_name(text, ratio.unwrap_or(1.0))
        })
        .unwrap_or_default()
}

fn read_metrics(reader: &mut Reader<'_>) -> MetricsSettings {
    let features = reader.parsed(
        &["OTEL_EBPF_METRICS_FEATURES"],
        "metrics.features",
        "features separated by commas, such as application,application_span",
        |text| {
            let words = super::read::split_list(text);
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

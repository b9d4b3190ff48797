//! From raw layers to checked settings.

use std::io;
use std::path::{Path, PathBuf};

use super::keys::{HANDLED_KEYS, OBI_SECTIONS};
use super::layers::{Environment, Flags, Layers};
use super::otlp::parse_pairs;
use super::problem::{ConfigError, Findings};
use super::read::Reader;
use super::sampler::{self, SamplerSettings};
use super::settings::{HttpSettings, Naming, QueueThreshold, Routes, Settings, TapSettings};
use super::values::{IgnoreMode, LogLevel, TapChoice, Unmatched};
use super::yaml::{Document, text_of};
use super::{names, read_export, read_metrics, targets};

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
    let document = find_document(flags, read_file, environment, &mut findings);
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

/// Reads the path of the health file alone, and nothing that only a running agent needs.
///
/// # Errors
/// The configuration file cannot be read, or no health file is named anywhere.
pub fn load_health_file(
    flags: &Flags,
    environment: &Environment,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
) -> Result<PathBuf, ConfigError> {
    let mut findings = Findings::default();
    let document = find_document(flags, read_file, environment, &mut findings);
    let layers = Layers { flags, environment, file: document.as_ref() };
    let mut reader = Reader { layers, findings };
    let path = read_health_file(&reader);
    if path.is_none() && reader.findings.problems.is_empty() {
        reader.findings.invalid(
            "no health file is named: set OTEL_EBPF_HEALTH_FILE for the agent and for this command, \
             or --health-file of both",
        );
    }
    let Findings { problems, warnings } = reader.findings;
    path.filter(|_| problems.is_empty()).ok_or(ConfigError { problems, warnings })
}

fn find_document(
    flags: &Flags,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
    environment: &Environment,
    findings: &mut Findings,
) -> Option<Document> {
    let path =
        flags.config_path.clone().or_else(|| environment.get("OTEL_EBPF_CONFIG_PATH").map(PathBuf::from))?;
    read_document(&path, read_file, environment, findings)
}

fn read_document(
    path: &Path,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
    environment: &Environment,
    findings: &mut Findings,
) -> Option<Document> {
    let text = match read_file(path) {
        Ok(text) => text,
        Err(error) => {
            findings.invalid(format!("read configuration file {}: {error}", path.display()));
            return None;
        }
    };
    match Document::parse(&path.display().to_string(), &environment.expand(&text)) {
        Ok(document) => Some(document),
        Err(error) => {
            findings.invalid(format!("parse configuration file {}: {error}", path.display()));
            None
        }
    }
}

fn read_settings(reader: &mut Reader<'_>) -> Settings {
    let defaults = Settings::default();
    // Problems are told in the order in which they are found.
    let selection = targets::read(reader);
    let export = read_export::read(reader);
    let own_metrics = read_export::read_own_metrics(reader, &export);
    Settings {
        selection,
        exclude_otel_instrumented_services: reader
            .boolean(
                &["OTEL_EBPF_EXCLUDE_OTEL_INSTRUMENTED_SERVICES"],
                "discovery.exclude_otel_instrumented_services",
            )
            .unwrap_or(defaults.exclude_otel_instrumented_services),
        naming: read_naming(reader),
        tap: read_tap(reader),
        http: read_http(reader),
        export,
        own_metrics,
        sampler: read_sampler(reader),
        metrics: read_metrics::read(reader),
        log_level: reader
            .parsed(&["OTEL_EBPF_LOG_LEVEL"], "log_level", LogLevel::ACCEPTED, |text| text.parse().ok())
            .unwrap_or(defaults.log_level),
        health_file: read_health_file(reader),
        shutdown_timeout: reader
            .duration(&["OTEL_EBPF_SHUTDOWN_TIMEOUT"], "shutdown_timeout")
            .unwrap_or(defaults.shutdown_timeout),
    }
}

fn read_health_file(reader: &Reader<'_>) -> Option<PathBuf> {
    reader.text(&["OTEL_EBPF_HEALTH_FILE"], "health_file").map(PathBuf::from)
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
        known_methods: reader
            .layers
            .environment
            .get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS")
            .map(str::to_owned),
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
        let text = text_of(value);
        reader.findings.bad_value(document.name_of(path), text, "a list of patterns such as /users/{id}");
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

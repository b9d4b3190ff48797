//! The standard `OTEL_*` variables, as far as this service has to know them; the SDK reads the others itself.
//!
//! The SDK ignores a value it does not understand, which leaves a workshop without metrics and without a reason.
//! So the values that matter are checked here first.

use std::time::Duration;

use ebpf_demo_service::env::{self, Lookup, VarError};
use reqwest::Url;

/// How often metrics are exported where `OTEL_METRIC_EXPORT_INTERVAL` is unset, as in the original walkthrough.
const METRIC_INTERVAL: Duration = Duration::from_secs(5);
/// The specification's default of `OTEL_EXPORTER_OTLP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is exported, how, and in whose name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetrySettings {
    /// Where telemetry goes; `None` where `OTEL_SDK_DISABLED` is true.
    pub destination: Option<Destination>,
    /// The service's name where neither `OTEL_SERVICE_NAME` nor `OTEL_RESOURCE_ATTRIBUTES` gives one.
    pub default_service_name: Option<&'static str>,
}

/// Where telemetry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// How metrics are sent.
    pub metrics: Transport,
    /// How logs are sent.
    pub logs: Transport,
    /// `OTEL_METRIC_EXPORT_INTERVAL`.
    pub metric_interval: Duration,
}

/// How one signal is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transport {
    /// gRPC or HTTP.
    pub protocol: Protocol,
    /// How long one export may take.
    pub timeout: Duration,
}

/// The two forms of OTLP that the service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP with protobuf.
    Http,
}

impl TelemetrySettings {
    /// Reads the settings.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, VarError> {
        let destination = Destination::read(lookup)?;
        let disabled = env::switch(lookup, "OTEL_SDK_DISABLED", false)?;
        let named = lookup("OTEL_SERVICE_NAME").is_some_and(|name| !name.is_empty())
            || lookup("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|list| names_service(&list));
        Ok(Self {
            destination: (!disabled).then_some(destination),
            default_service_name: (!named).then_some("ebpf-frontend"),
        })
    }
}

impl Destination {
    fn read(lookup: Lookup<'_>) -> Result<Self, VarError> {
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        let interval = env::read(lookup, name, "milliseconds, a whole number above 0", milliseconds)?;
        Ok(Self {
            metrics: Transport::read(lookup, "METRICS")?,
            logs: Transport::read(lookup, "LOGS")?,
            metric_interval: interval.unwrap_or(METRIC_INTERVAL),
        })
    }
}

impl Transport {
    fn read(lookup: Lookup<'_>, signal: &str) -> Result<Self, VarError> {
        let endpoint_form = "a URL such as http://localhost:4317 (http only)";
        let endpoint = first(lookup, signal, "ENDPOINT", endpoint_form, endpoint)?;
        let protocol = first(lookup, signal, "PROTOCOL", "grpc or http/protobuf", protocol)?;
        let timeout = first(lookup, signal, "TIMEOUT", "milliseconds, a whole number above 0", milliseconds)?;
        first(lookup, signal, "COMPRESSION", "gzip or none", compression)?;
        let implied = match endpoint.and_then(|url| url.port()) {
            Some(4318) => Protocol::Http,
            _ => Protocol::Grpc,
        };
        Ok(Self { protocol: protocol.unwrap_or(implied), timeout: timeout.unwrap_or(TIMEOUT) })
    }
}

/// Reads the signal's own variable, then the one for all signals; both have to be usable.
fn first<T>(
    lookup: Lookup<'_>,
    signal: &str,
    setting: &str,
    accepted: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, VarError> {
    let own = env::read(lookup, &format!("OTEL_EXPORTER_OTLP_{signal}_{setting}"), accepted, &parse)?;
    let shared = env::read(lookup, &format!("OTEL_EXPORTER_OTLP_{setting}"), accepted, &parse)?;
    Ok(own.or(shared))
}

fn endpoint(value: &str) -> Option<Url> {
    Url::parse(value).ok().filter(|url| url.scheme() == "http" && url.has_host())
}

/// Checks the name of a compression, which the exporter then reads by itself.
fn compression(value: &str) -> Option<()> {
    ["gzip", "none"].contains(&value).then_some(())
}

fn protocol(value: &str) -> Option<Protocol> {
    match value {
        "grpc" => Some(Protocol::Grpc),
        "http/protobuf" => Some(Protocol::Http),
        _ => None,
    }
}

fn milliseconds(value: &str) -> Option<Duration> {
    value.parse().ok().filter(|&value: &u64| value > 0).map(Duration::from_millis)
}

/// Whether a list of resource attributes (`key=value`, separated by commas) has a service name.
fn names_service(list: &str) -> bool {
    list.split(',').filter_map(|pair| pair.split_once('=')).any(|(key, _)| key.trim() == "service.name")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<TelemetrySettings, String> {
        let lookup = |name: &str| {
            let pair = pairs.iter().find(|(key, _)| *key == name);
            pair.map(|(_, value)| (*value).to_owned())
        };
        TelemetrySettings::read(&lookup).map_err(|error| error.to_string())
    }

    fn protocols(pairs: &[(&str, &str)]) -> (Protocol, Protocol) {
        let destination = read(pairs).expect("valid").destination.expect("enabled");
        (destination.metrics.protocol, destination.logs.protocol)
    }

    #[test]
    fn the_defaults_are_grpc_every_five_seconds() {
        let transport = Transport { protocol: Protocol::Grpc, timeout: Duration::from_secs(10) };
        let expected = TelemetrySettings {
            destination: Some(Destination {
                metrics: transport,
                logs: transport,
                metric_interval: Duration::from_secs(5),
            }),
            default_service_name: Some("ebpf-frontend"),
        };
        assert_eq!(read(&[]), Ok(expected));
    }

    #[test]
    fn the_protocol_comes_from_its_variable_or_from_the_port() {
        use Protocol::{Grpc, Http};
        for (pairs, expected) in [
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318")][..], (Http, Http)),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317")], (Grpc, Grpc)),
            (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], (Http, Http)),
            (&[("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf")], (Grpc, Http)),
            (
                &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
                    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
                ],
                (Grpc, Http),
            ),
        ] {
            assert_eq!(protocols(pairs), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_name_from_outside_replaces_the_default() {
        for (name, value, expected) in [
            ("OTEL_SERVICE_NAME", "shop", None),
            ("OTEL_SERVICE_NAME", "", Some("ebpf-frontend")),
            ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=shop", None),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=demo", Some("ebpf-frontend")),
        ] {
            assert_eq!(
                read(&[(name, value)]).expect("valid").default_service_name,
                expected,
                "{name}={value}"
            );
        }
    }

    #[test]
    fn the_sdk_can_be_disabled() {
        assert_eq!(read(&[("OTEL_SDK_DISABLED", "true")]).expect("valid").destination, None);
    }

    #[test]
    fn bad_values_name_variable_value_and_form() {
        let url = "a URL such as http://localhost:4317 (http only)";
        let time = "milliseconds, a whole number above 0";
        for (name, value, form) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", url),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://collector", url),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc or http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", time),
            ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "zstd", "gzip or none"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0", time),
            ("OTEL_SDK_DISABLED", "perhaps", "true or false"),
        ] {
            assert_eq!(read(&[(name, value)]), Err(format!("{name}={value:?}: expected {form}")));
        }
    }
}

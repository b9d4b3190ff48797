//! Exporters: OTLP over gRPC or HTTP. Endpoint, headers, compression and certificates come from the SDK's variables.

use std::{thread, time::Duration};

use ebpf_demo_service::failure::Failure;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, MetricExporter, Protocol as OtlpProtocol, WithExportConfig,
    WithHttpConfig,
};

use super::settings::{Protocol, Transport};

pub(super) fn metrics(transport: Transport) -> Result<MetricExporter, Failure> {
    let builder = MetricExporter::builder();
    match transport.protocol {
        Protocol::Grpc => builder.with_tonic().with_protocol(OtlpProtocol::Grpc).build(),
        Protocol::Http => builder
            .with_http()
            .with_protocol(OtlpProtocol::HttpBinary)
            .with_http_client(blocking_client(transport.timeout)?)
            .build(),
    }
    .map_err(refused)
}

pub(super) fn logs(transport: Transport) -> Result<LogExporter, Failure> {
    let builder = LogExporter::builder();
    match transport.protocol {
        Protocol::Grpc => builder.with_tonic().with_protocol(OtlpProtocol::Grpc).build(),
        Protocol::Http => builder
            .with_http()
            .with_protocol(OtlpProtocol::HttpBinary)
            .with_http_client(blocking_client(transport.timeout)?)
            .build(),
    }
    .map_err(refused)
}

/// Builds the HTTP client explicitly: left to itself the exporter takes an asynchronous one where any crate of the
/// build enables it, and the SDK's export threads cannot drive that.
fn blocking_client(timeout: Duration) -> Result<reqwest::blocking::Client, Failure> {
    // On a thread of its own, because a blocking client must not be built inside a runtime.
    let build = move || reqwest::blocking::Client::builder().no_proxy().timeout(timeout).build();
    let built = thread::spawn(build).join().expect("building a client does not panic");
    built.map_err(|error| Failure::Setting(format!("build an HTTP client: {error}")))
}

fn refused(error: ExporterBuildError) -> Failure {
    Failure::Setting(format!("set up OTLP export: {error}"))
}

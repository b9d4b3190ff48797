//! The OTLP exporter for the configured protocol.

use std::collections::HashMap;
use std::time::Duration;

use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    Compression, Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};

use tonic::transport::Endpoint;

use crate::config::{OtlpProtocol, OtlpSettings};

use super::pipeline::StartError;

/// Attempts the library makes by itself, before the worker's own back-off. They are what honours a delay that the
/// collector asks for, by `RetryInfo` over gRPC or `Retry-After` over HTTP.
const INNER_RETRIES: usize = 2;

/// Longest wait for a connection. The timeout of an export does not end one: to an address that nobody has any more, such
/// as that of a container made anew, the kernel tries for over two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Builds the exporter. It connects when first used, so an absent collector is no error.
///
/// # Errors
/// The endpoint or a header cannot be used.
pub(super) fn build(settings: &OtlpSettings) -> Result<SpanExporter, StartError> {
    let retries = RetryPolicy::recommended()
        .with_max_retries(INNER_RETRIES)
        .with_initial_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(1));
    let exporter = match settings.protocol {
        OtlpProtocol::Grpc => {
            let channel = Endpoint::from_shared(settings.endpoint.clone())
                .map_err(|source| StartError::Endpoint { endpoint: settings.endpoint.clone(), source })?
                .timeout(settings.timeout)
                .connect_timeout(CONNECT_TIMEOUT)
                .connect_lazy();
            let mut builder = SpanExporter::builder()
                .with_tonic()
                .with_channel(channel)
                .with_timeout(settings.timeout)
                .with_metadata(metadata(&settings.headers)?)
                .with_retry_policy(retries);
            if settings.gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            builder.build()
        }
        OtlpProtocol::HttpProtobuf => {
            let mut builder = SpanExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(&settings.endpoint)
                .with_timeout(settings.timeout)
                .with_headers(settings.headers.iter().cloned().collect::<HashMap<_, _>>())
                .with_retry_policy(retries);
            if settings.gzip {
                builder = builder.with_compression(Compression::Gzip);
            }
            builder.build()
        }
    };
    exporter.map_err(|source| StartError::Exporter { endpoint: settings.endpoint.clone(), source })
}

fn metadata(headers: &[(String, String)]) -> Result<MetadataMap, StartError> {
    let mut map = http::HeaderMap::new();
    for (name, value) in headers {
        let bad = || StartError::Header(name.clone());
        let key: http::HeaderName = name.parse().map_err(|_| bad())?;
        map.append(key, http::HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(MetadataMap::from_headers(map))
}

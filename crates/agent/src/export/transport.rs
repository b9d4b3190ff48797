//! Sends encoded requests over the configured protocol.

use std::io::Write as _;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Extensions, Request, Status};

use crate::config::{OtlpProtocol, OtlpSettings};

use super::answer;
use super::outcome::{Failure, SendError, of_grpc, of_http};
use super::pipeline::StartError;

/// Longest wait for a connection. The timeout of an export does not end one: to an address that nobody has any more, such
/// as that of a container made anew, the kernel tries for over two minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Who sends (OTLP specification, "User Agent").
const USER_AGENT: &str = concat!("otel-ebpf-agent/", env!("CARGO_PKG_VERSION"));
/// Most of an answer over HTTP that is read; a partial success fits many times.
const ANSWER_MAX: usize = 64 * 1024;

/// What a request carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportMetricsServiceRequest`.
    Metrics,
}

impl Signal {
    fn grpc_path(self) -> PathAndQuery {
        PathAndQuery::from_static(match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        })
    }
}

/// A collector for one signal. Cheap to clone; requests may be under way at the same time, over one connection with gRPC.
#[derive(Clone)]
pub(super) struct Client {
    wire: Wire,
    endpoint: String,
    /// Longest wait for an answer, over gRPC.
    timeout: Duration,
}

#[derive(Clone)]
enum Wire {
    Grpc { grpc: Box<tonic::client::Grpc<Channel>>, path: PathAndQuery, metadata: MetadataMap },
    Http { client: reqwest::Client, headers: http::HeaderMap, gzip: bool },
}

impl Client {
    /// It connects when first used, so an absent collector is no error.
    ///
    /// # Errors
    /// The endpoint or a header cannot be used.
    pub(super) fn new(settings: &OtlpSettings, signal: Signal) -> Result<Self, StartError> {
        let headers = headers(&settings.headers)?;
        let endpoint = settings.endpoint.clone();
        let wire = match settings.protocol {
            OtlpProtocol::Grpc => {
                let channel = Endpoint::from_shared(endpoint.clone())
                    .map_err(|source| StartError::Endpoint { endpoint: endpoint.clone(), source })?
                    .user_agent(USER_AGENT)
                    .map_err(|source| StartError::Endpoint { endpoint: endpoint.clone(), source })?
                    .timeout(settings.timeout)
                    .connect_timeout(CONNECT_TIMEOUT)
                    .connect_lazy();
                let mut grpc = tonic::client::Grpc::new(channel);
                if settings.gzip {
                    grpc = grpc.send_compressed(CompressionEncoding::Gzip);
                }
                let metadata = MetadataMap::from_headers(headers);
                Wire::Grpc { grpc: Box::new(grpc), path: signal.grpc_path(), metadata }
            }
            OtlpProtocol::HttpProtobuf => {
                // Who follows a redirect asks for a page where it was to deliver spans, and takes the headers elsewhere.
                let client = reqwest::Client::builder()
                    .user_agent(USER_AGENT)
                    .redirect(reqwest::redirect::Policy::none())
                    .timeout(settings.timeout)
                    .connect_timeout(CONNECT_TIMEOUT);
                let client = client
                    .build()
                    .map_err(|source| StartError::Client { endpoint: endpoint.clone(), source })?;
                Wire::Http { client, headers, gzip: settings.gzip }
            }
        };
        Ok(Self { wire, endpoint, timeout: settings.timeout })
    }

    /// Where it sends to.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sends a request once; returns how many of its items the collector refused.
    ///
    /// # Errors
    /// The collector did not take it.
    pub(super) async fn send(&self, body: Bytes) -> Result<u64, SendError> {
        match &self.wire {
            Wire::Grpc { grpc, path, metadata } => {
                let request = Request::from_parts(metadata.clone(), Extensions::default(), body);
                let mut grpc = grpc.as_ref().clone();
                let exchange = async {
                    grpc.ready().await.map_err(|error| unreachable(&error))?;
                    grpc.unary(request, path.clone(), Raw).await.map_err(|status| refusal(&status))
                };
                // The channel's own timeout ends with the head of the answer.
                let answer = tokio::time::timeout(self.timeout, exchange);
                let answer = answer.await.map_err(|elapsed| unreachable(&elapsed))??;
                Ok(answer::refused(answer.get_ref()))
            }
            Wire::Http { client, headers, gzip } => {
                let mut request = client
                    .post(&self.endpoint)
                    .headers(headers.clone())
                    .header(http::header::CONTENT_TYPE, "application/x-protobuf");
                let mut body = body;
                if *gzip {
                    body = compressed(&body).map_err(|error| permanent(&error))?;
                    request = request.header(http::header::CONTENT_ENCODING, "gzip");
                }
                let response = request.body(body).send().await.map_err(|error| unreachable(&error))?;
                read_answer(response).await
            }
        }
    }
}

async fn read_answer(mut response: reqwest::Response) -> Result<u64, SendError> {
    let status = response.status();
    if !status.is_success() {
        let delay = response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let delay = delay.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs);
        let message = format!("the collector answered {status}");
        return Err(SendError { failure: of_http(status.as_u16()), message, delay });
    }
    let mut answer = Vec::new();
    // It took the request; an answer that breaks off cannot undo that.
    while let Ok(Some(chunk)) = response.chunk().await {
        if answer.len() + chunk.len() > ANSWER_MAX {
            break;
        }
        answer.extend_from_slice(&chunk);
    }
    Ok(answer::refused(&answer))
}

/// What a gRPC status means. One with a cause was made on this side: no answer came.
fn refusal(status: &Status) -> SendError {
    match std::error::Error::source(status) {
        Some(cause) => unreachable(cause),
        None => SendError {
            failure: of_grpc(status.code()),
            message: format!("the collector answered {:?}: {}", status.code(), status.message()),
            delay: answer::retry_info(status.details()),
        },
    }
}

fn unreachable(error: &dyn std::error::Error) -> SendError {
    SendError { failure: Failure::Unreachable, message: with_causes(error), delay: None }
}

fn permanent(error: &dyn std::error::Error) -> SendError {
    SendError { failure: Failure::Permanent, message: with_causes(error), delay: None }
}

/// An error with its causes, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some repeat what is below them.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

fn compressed(body: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

fn headers(pairs: &[(String, String)]) -> Result<http::HeaderMap, StartError> {
    let mut map = http::HeaderMap::new();
    for (name, value) in pairs {
        let bad = || StartError::Header(name.clone());
        let key: http::HeaderName = name.parse().map_err(|_| bad())?;
        map.append(key, http::HeaderValue::from_str(value).map_err(|_| bad())?);
    }
    Ok(map)
}

/// Passes messages that are encoded already.
#[derive(Clone, Copy, Debug, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        Self
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.len());
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

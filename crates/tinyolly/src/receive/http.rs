//! OTLP/HTTP: protobuf and JSON, plain, gzip or zstd.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::json;
use tower_http::compression::CompressionLayer;

use super::decompress::decompress;
use super::status::RETRY_SECONDS;
use super::{Receiver, Refusal, Signal, json};

/// Time a client has to send a whole request.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// The HTTP side as a router.
pub fn router(receiver: Receiver) -> Router {
    Router::new()
        .route(ExportTraceServiceRequest::HTTP_PATH, any(export::<ExportTraceServiceRequest>))
        .route(ExportMetricsServiceRequest::HTTP_PATH, any(export::<ExportMetricsServiceRequest>))
        .route(ExportLogsServiceRequest::HTTP_PATH, any(export::<ExportLogsServiceRequest>))
        .layer(CompressionLayer::new())
        .with_state(receiver)
}

/// The two encodings of OTLP/HTTP; an answer is in the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        let media_type = value.split(';').next().unwrap_or_default().trim();
        if media_type.eq_ignore_ascii_case("application/x-protobuf") {
            Some(Self::Protobuf)
        } else if media_type.eq_ignore_ascii_case("application/json") {
            Some(Self::Json)
        } else {
            None
        }
    }

    fn media_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        })
    }
}

async fn export<S: Signal>(State(receiver): State<Receiver>, request: Request) -> Response {
    if request.method() != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    let Some(format) = Format::of(request.headers()) else {
        receiver.counters.malformed_requests.add(1);
        let refusal =
            Refusal::Unsupported("content type: use application/x-protobuf or application/json".into());
        return refuse(&refusal, Format::Json);
    };
    match handle::<S>(&receiver, request, format).await {
        Ok(response) => success::<S>(&response, format),
        Err(refusal) => refuse(&refusal, format),
    }
}

async fn handle<S: Signal>(
    receiver: &Receiver,
    request: Request,
    format: Format,
) -> Result<S::Response, Refusal> {
    let limit = receiver.max_request_bytes;
    let encoding = match request.headers().get(header::CONTENT_ENCODING) {
        None => String::new(),
        Some(value) => value.to_str().unwrap_or("?").trim().to_ascii_lowercase(),
    };
    let body = read(request.into_body(), limit).await;
    let message = body.and_then(|body| decompress(&encoding, body, limit)).and_then(|body| {
        let decoded = match format {
            Format::Protobuf => S::decode(body.as_ref()).map_err(|e| e.to_string()),
            Format::Json => json::decode(&body).map_err(|e| e.to_string()),
        };
        Ok((decoded.map_err(|e| Refusal::Malformed(format!("not a valid request: {e}")))?, body.len()))
    });
    match message {
        Ok((message, bytes)) => receiver.accept(message, bytes).await,
        Err(Refusal::Malformed(reason)) => Err(receiver.malformed(reason)),
        Err(other) => {
            receiver.counters.malformed_requests.add(1);
            Err(other)
        }
    }
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_DEADLINE, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge(limit)),
        Ok(Err(error)) => Err(Refusal::Malformed(format!("the body could not be read: {error}"))),
        Err(_) => Err(Refusal::Malformed("the body did not arrive in time".into())),
    }
}

fn success<S: Signal>(response: &S::Response, format: Format) -> Response {
    let body = match format {
        Format::Protobuf => response.encode_to_vec(),
        Format::Json => match S::partial_success(response) {
            None => b"{}".to_vec(),
            Some((count, message)) => {
                let partial = json!({ S::REJECTED_JSON: count.to_string(), "errorMessage": message });
                json!({ "partialSuccess": partial }).to_string().into_bytes()
            }
        },
    };
    ([(header::CONTENT_TYPE, format.media_type())], body).into_response()
}

fn refuse(refusal: &Refusal, format: Format) -> Response {
    let status = refusal.rpc_status();
    let body = match format {
        Format::Protobuf => status.encode_to_vec(),
        Format::Json => json!({ "code": status.code, "message": status.message }).to_string().into_bytes(),
    };
    let code = StatusCode::from_u16(refusal.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (code, [(header::CONTENT_TYPE, format.media_type())], body).into_response();
    if refusal.retryable() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    }
    response
}

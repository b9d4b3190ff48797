//! OTLP/HTTP: protobuf and JSON, plain, gzip or zstd.

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use http_body_util::{BodyExt, Limited};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::json;
use tower_http::compression::CompressionLayer;

use super::census::Census;
use super::decompress::decompress;
use super::intake::{Intake, Metered};
use super::status::RETRY_SECONDS;
use super::{Read, Receiver, Refusal, Signal, json};

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
    let intake = Intake::new(receiver);
    match read::<S>(request.into_body(), &encoding, format, limit, &intake).await {
        Ok(message) => receiver.accept(message, &intake).await,
        Err(Refusal::Malformed(reason)) => Err(receiver.malformed(reason)),
        // Counted where it was noticed.
        Err(retry) if retry.retryable() => Err(retry),
        Err(other) => {
            receiver.counters.malformed_requests.add(1);
            Err(other)
        }
    }
}

async fn read<S: Signal>(
    body: Body,
    encoding: &str,
    format: Format,
    limit: usize,
    intake: &Intake,
) -> Result<Read<S>, Refusal> {
    let body =
        Limited::new(Metered::new(body, intake), limit).collect().await.map_err(|error| {
            match error.downcast::<Refusal>() {
                Ok(refusal) => *refusal,
                Err(_) => Refusal::TooLarge(limit),
            }
        })?;
    let packed = body.to_bytes();
    let packed_bytes = packed.len();
    let body = decompress(encoding, packed, limit)?;
    let census = match format {
        Format::Protobuf => Census::of_protobuf(&body, S::SHAPE),
        Format::Json => Census::of_json(&body, S::SHAPE),
    };
    let census = census.check(limit)?;
    intake.take(body.len().saturating_sub(packed_bytes) + census.bytes)?;
    let decoded = match format {
        Format::Protobuf => S::decode(body.as_ref()).map_err(|e| e.to_string()),
        Format::Json => json::decode(&body).map_err(|e| e.to_string()),
    };
    let message = decoded.map_err(|e| Refusal::Malformed(format!("not a valid request: {e}")))?;
    Ok(Read { message, bytes: body.len(), items: census.items })
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

//! OTLP/gRPC.
//!
//! The three `Export` methods are served by hand instead of through generated servers, for two reasons: those answer
//! a message that cannot be decoded with INTERNAL, where OTLP wants INVALID_ARGUMENT, and they do not tell the size
//! of a request, which the queue's budget needs.

use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::response::IntoResponse;
use bytes::Buf;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tower::Service;

use super::census::Census;
use super::intake::{Intake, Metered};
use super::{Read, Receiver, Refusal, Signal};

/// The gRPC side as a router; an unknown method is answered UNIMPLEMENTED.
pub fn router(receiver: Receiver) -> Router {
    Router::new()
        .route_service(
            ExportTraceServiceRequest::GRPC_PATH,
            Export::<ExportTraceServiceRequest>::new(&receiver),
        )
        .route_service(
            ExportMetricsServiceRequest::GRPC_PATH,
            Export::<ExportMetricsServiceRequest>::new(&receiver),
        )
        .route_service(
            ExportLogsServiceRequest::GRPC_PATH,
            Export::<ExportLogsServiceRequest>::new(&receiver),
        )
        .fallback(async || Status::unimplemented("not an OTLP method").into_http::<axum::body::Body>())
}

/// One signal's `Export`.
struct Export<S> {
    receiver: Receiver,
    signal: PhantomData<fn() -> S>,
}

impl<S> Export<S> {
    fn new(receiver: &Receiver) -> Self {
        Self { receiver: receiver.clone(), signal: PhantomData }
    }
}

impl<S> Clone for Export<S> {
    fn clone(&self) -> Self {
        Self::new(&self.receiver)
    }
}

impl<S: Signal> Service<axum::extract::Request> for Export<S> {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::extract::Request) -> Self::Future {
        let receiver = self.receiver.clone();
        Box::pin(async move {
            let intake = Intake::new(&receiver);
            let decoded = Arc::new(AtomicBool::new(false));
            let handler =
                Handler { receiver: receiver.clone(), intake: intake.clone(), decoded: Arc::clone(&decoded) };
            let codec = WholeMessage::<S> {
                intake: intake.clone(),
                limit: receiver.max_request_bytes,
                signal: PhantomData,
            };
            let mut grpc = Grpc::new(codec)
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .send_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Zstd)
                .max_decoding_message_size(receiver.max_request_bytes);
            let request = request.map(|body| axum::body::Body::new(Metered::new(body, &intake)));
            let response = grpc.unary(handler, request).await;
            if decoded.load(Ordering::Relaxed) {
                return Ok(response.into_response());
            }
            let refusal = intake.refusal();
            if !refusal.as_ref().is_some_and(Refusal::retryable) {
                receiver.counters.malformed_requests.add(1);
            }
            Ok(match refusal {
                Some(refusal) => Status::from(refusal).into_http::<axum::body::Body>(),
                None => blame_the_request(response).into_response(),
            })
        })
    }
}

/// A request that never reached the handler failed in tonic's framing or decompression. The codes tonic uses for that
/// blame this side, or tell the client to try again; OTLP's code for a request that will never do is INVALID_ARGUMENT.
fn blame_the_request<B>(mut response: axum::http::Response<B>) -> axum::http::Response<B> {
    const STATUS: &str = "grpc-status";
    let codes = [Code::Internal, Code::OutOfRange, Code::ResourceExhausted].map(|code| code as i32);
    let status = response.headers().get(STATUS).and_then(|v| v.to_str().ok()?.parse().ok());
    if status.is_some_and(|status: i32| codes.contains(&status)) {
        response.headers_mut().insert(STATUS, axum::http::HeaderValue::from(Code::InvalidArgument as i32));
    }
    response
}

struct Handler {
    receiver: Receiver,
    intake: Intake,
    decoded: Arc<AtomicBool>,
}

impl<S: Signal> UnaryService<Read<S>> for Handler {
    type Response = S::Response;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<S::Response>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Read<S>>) -> Self::Future {
        self.decoded.store(true, Ordering::Relaxed);
        let (receiver, intake) = (self.receiver.clone(), self.intake.clone());
        Box::pin(async move {
            let response = receiver.accept(request.into_inner(), &intake).await?;
            Ok(tonic::Response::new(response))
        })
    }
}

/// Codec of one signal and one request.
struct WholeMessage<S> {
    intake: Intake,
    limit: usize,
    signal: PhantomData<fn() -> S>,
}

impl<S> Clone for WholeMessage<S> {
    fn clone(&self) -> Self {
        Self { intake: self.intake.clone(), limit: self.limit, signal: PhantomData }
    }
}

impl<S: Signal> Codec for WholeMessage<S> {
    type Encode = S::Response;
    type Decode = Read<S>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl<S: Signal> Encoder for WholeMessage<S> {
    type Item = S::Response;
    type Error = Status;

    fn encode(&mut self, item: S::Response, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(into).map_err(|e| Status::internal(e.to_string()))
    }
}

impl<S: Signal> Decoder for WholeMessage<S> {
    type Item = Read<S>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Read<S>>, Status> {
        let body = from.copy_to_bytes(from.remaining());
        let refuse = |refusal| Status::from(self.intake.refuse(refusal));
        let census = Census::of_protobuf(&body, S::SHAPE).check(self.limit).map_err(refuse)?;
        self.intake.take(body.len() + census.bytes).map_err(refuse)?;
        let bytes = body.len();
        let message =
            S::decode(body).map_err(|e| refuse(Refusal::Malformed(format!("not a valid request: {e}"))))?;
        Ok(Some(Read { message, bytes, items: census.items }))
    }
}

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

use super::{Receiver, Signal};

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
            let decoded = Arc::new(AtomicBool::new(false));
            let handler = Handler { receiver: receiver.clone(), decoded: Arc::clone(&decoded) };
            let mut grpc = Grpc::new(WholeMessage::<S>(PhantomData))
                .accept_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Zstd)
                .send_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Zstd)
                .max_decoding_message_size(receiver.max_request_bytes);
            let mut response = grpc.unary(handler, request).await;
            if !decoded.load(Ordering::Relaxed) {
                receiver.counters.malformed_requests.add(1);
                blame_the_request(response.headers_mut());
            }
            Ok(response.into_response())
        })
    }
}

/// A request that never reached the handler failed in tonic's framing or decompression, which calls it INTERNAL.
fn blame_the_request(headers: &mut axum::http::HeaderMap) {
    const STATUS: &str = "grpc-status";
    let internal =
        headers.get(STATUS).is_some_and(|v| v.as_bytes() == (Code::Internal as i32).to_string().as_bytes());
    if internal {
        headers.insert(STATUS, axum::http::HeaderValue::from(Code::InvalidArgument as i32));
    }
}

struct Handler {
    receiver: Receiver,
    decoded: Arc<AtomicBool>,
}

impl<S: Signal> UnaryService<Sized<S>> for Handler {
    type Response = S::Response;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<S::Response>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Sized<S>>) -> Self::Future {
        self.decoded.store(true, Ordering::Relaxed);
        let receiver = self.receiver.clone();
        Box::pin(async move {
            let Sized { message, bytes } = request.into_inner();
            let response = receiver.accept(message, bytes).await?;
            Ok(tonic::Response::new(response))
        })
    }
}

/// A message and its size on the wire, unpacked.
struct Sized<S> {
    message: S,
    bytes: usize,
}

/// Codec of one signal.
struct WholeMessage<S>(PhantomData<fn() -> S>);

impl<S: Signal> Codec for WholeMessage<S> {
    type Encode = S::Response;
    type Decode = Sized<S>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self(PhantomData)
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
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
    type Item = Sized<S>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Sized<S>>, Status> {
        let bytes = from.remaining();
        let message =
            S::decode(from).map_err(|e| Status::invalid_argument(format!("not a valid request: {e}")))?;
        Ok(Some(Sized { message, bytes }))
    }
}

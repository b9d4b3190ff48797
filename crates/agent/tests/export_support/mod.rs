//! Collectors for the export tests: real servers of both protocols that record what they get and answer as told.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{KeyValue, Value};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otel_ebpf_agent::config::{ExportSettings, OtlpProtocol, OtlpSettings, TracePrinter};
use otel_ebpf_agent::export::{DropCounters, SCHEMA_URL, Service, SpanBatchItem, instrumentation_scope};
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::codec::CompressionEncoding;

/// Both protocols, for tests that must hold for each.
pub const PROTOCOLS: [OtlpProtocol; 2] = [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf];

/// What the collector answers to one request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Takes everything.
    Accept,
    /// Takes all but some spans.
    Partial(i64),
    /// A gRPC status, or over HTTP the status code that means the same.
    Grpc(tonic::Code),
    /// An HTTP status code, with a Retry-After in seconds.
    Http(u16, Option<u64>),
}

#[derive(Debug, Default)]
struct State {
    accepted: Vec<ExportTraceServiceRequest>,
    attempts: Vec<Instant>,
    header: Option<String>,
    replies: VecDeque<Reply>,
}

/// A running collector. It has a runtime of its own, so that dropping it ends its connections too.
#[derive(Debug)]
pub struct Collector {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    runtime: Option<Runtime>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[derive(Clone)]
struct Sink(Arc<Mutex<State>>);

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no test thread panics while it holds the state")
}

impl Sink {
    fn receive(&self, request: ExportTraceServiceRequest, header: Option<&str>) -> Reply {
        let mut state = locked(&self.0);
        state.attempts.push(Instant::now());
        state.header = header.map(str::to_owned);
        let reply = state.replies.pop_front().unwrap_or(Reply::Accept);
        if matches!(reply, Reply::Accept | Reply::Partial(_)) {
            state.accepted.push(request);
        }
        reply
    }
}

fn response(rejected_spans: i64) -> ExportTraceServiceResponse {
    let partial_success = (rejected_spans > 0)
        .then(|| ExportTracePartialSuccess { rejected_spans, error_message: "some were bad".to_owned() });
    ExportTraceServiceResponse { partial_success }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let header =
            request.metadata().get("x-test").and_then(|value| value.to_str().ok()).map(str::to_owned);
        match self.receive(request.into_inner(), header.as_deref()) {
            Reply::Accept => Ok(tonic::Response::new(response(0))),
            Reply::Partial(rejected) => Ok(tonic::Response::new(response(rejected))),
            Reply::Grpc(code) => Err(tonic::Status::new(code, "as told")),
            Reply::Http(..) => panic!("an HTTP reply was given to a gRPC collector"),
        }
    }
}

async fn http_export(sink: Sink, headers: HeaderMap, body: Bytes) -> axum::response::Response {
    assert_eq!(
        headers.get("content-type").map(|value| value.as_bytes()),
        Some(b"application/x-protobuf".as_slice())
    );
    assert!(headers.get("content-encoding").is_none(), "compression is tested over gRPC");
    let request = ExportTraceServiceRequest::decode(body).expect("valid protobuf");
    let header = headers.get("x-test").and_then(|value| value.to_str().ok());
    match sink.receive(request, header) {
        Reply::Accept => response(0).encode_to_vec().into_response(),
        Reply::Partial(rejected) => response(rejected).encode_to_vec().into_response(),
        Reply::Http(code, retry_after) => {
            let status = StatusCode::from_u16(code).expect("valid status");
            let seconds = retry_after.map(|seconds| seconds.to_string());
            let headers = seconds.map(|seconds| [("retry-after", seconds)]);
            match headers {
                Some(headers) => (status, headers).into_response(),
                None => status.into_response(),
            }
        }
        Reply::Grpc(_) => panic!("a gRPC reply was given to an HTTP collector"),
    }
}

impl Collector {
    /// Starts a collector on a free port.
    pub async fn start(protocol: OtlpProtocol) -> Self {
        Self::start_at(protocol, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts a collector on a given address.
    pub async fn start_at(protocol: OtlpProtocol, address: SocketAddr) -> Self {
        let mut bound = None;
        eventually("the collector's port is free", || {
            bound = std::net::TcpListener::bind(address).ok();
            bound.is_some()
        })
        .await;
        let listener = bound.expect("bound above");
        listener.set_nonblocking(true).expect("set the listener non-blocking");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let sink = Sink(Arc::clone(&state));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("build the collector's runtime");
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("register the listener");
            match protocol {
                OtlpProtocol::Grpc => {
                    let service = TraceServiceServer::new(sink).accept_compressed(CompressionEncoding::Gzip);
                    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
                    let server = tonic::transport::Server::builder().add_service(service);
                    server.serve_with_incoming(incoming).await.expect("serve gRPC");
                }
                OtlpProtocol::HttpProtobuf => {
                    let export = move |headers, body| http_export(sink.clone(), headers, body);
                    let router = axum::Router::new().route("/v1/traces", axum::routing::post(export));
                    axum::serve(listener, router).await.expect("serve HTTP");
                }
            }
        });
        Self { address, state, runtime: Some(runtime) }
    }

    /// Tells what to answer to the next requests; afterwards everything is accepted.
    pub fn reply_with(&self, replies: impl IntoIterator<Item = Reply>) {
        locked(&self.state).replies.extend(replies);
    }

    /// How often an export was tried.
    pub fn attempts(&self) -> Vec<Instant> {
        locked(&self.state).attempts.clone()
    }

    /// The value of `x-test` in the last request.
    pub fn header(&self) -> Option<String> {
        locked(&self.state).header.clone()
    }

    /// Everything accepted so far.
    pub fn resource_spans(&self) -> Vec<ResourceSpans> {
        let state = locked(&self.state);
        state.accepted.iter().flat_map(|request| request.resource_spans.clone()).collect()
    }

    /// Names of all spans accepted so far.
    pub fn span_names(&self) -> Vec<String> {
        let spans = self.resource_spans().into_iter().flat_map(|resource| resource.scope_spans);
        spans.flat_map(|scope| scope.spans).map(|span| span.name).collect()
    }
}

/// A free loopback port: nothing listens there until a test does.
pub async fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bind a free port");
    listener.local_addr().expect("a bound listener has an address")
}

/// Settings for a collector at an address, with small batches so that tests are quick.
pub fn settings(protocol: OtlpProtocol, address: SocketAddr) -> ExportSettings {
    let endpoint = match protocol {
        OtlpProtocol::Grpc => format!("http://{address}"),
        OtlpProtocol::HttpProtobuf => format!("http://{address}/v1/traces"),
    };
    ExportSettings {
        otlp: Some(OtlpSettings {
            endpoint,
            protocol,
            headers: vec![("x-test".to_owned(), "secret".to_owned())],
            timeout: Duration::from_secs(5),
            gzip: false,
        }),
        printer: TracePrinter::Disabled,
        batch_max_size: 64,
        batch_timeout: Duration::from_millis(20),
        queue_size: 4096,
        queue_bytes: 64 << 20,
    }
}

/// A service with a name and a schema URL.
pub fn service(name: &'static str) -> Arc<Service> {
    let resource = Resource::builder_empty()
        .with_schema_url(
            [KeyValue::new("service.name", name), KeyValue::new("process.pid", 4711)],
            SCHEMA_URL,
        )
        .build();
    Arc::new(Service::new(resource))
}

/// A server span of 19.066625 ms that answers `GET /path` with 200.
pub fn span(service: &Arc<Service>, name: impl Into<String>) -> SpanBatchItem {
    let start = SystemTime::UNIX_EPOCH + Duration::new(1_779_458_633, 522_235_300);
    let attributes: [(&'static str, Value); 8] = [
        ("http.request.method", "GET".into()),
        ("url.path", "/path".into()),
        ("http.response.status_code", 200.into()),
        ("client.address", "172.17.0.1".into()),
        ("server.address", "localhost".into()),
        ("server.port", 18443.into()),
        ("http.request.body.size", 0.into()),
        ("network.protocol.version", "1.1".into()),
    ];
    let span = SpanData {
        span_context: SpanContext::new(
            TraceId::from(0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c),
            SpanId::from(0xb7ad_6b71_6920_3331),
            TraceFlags::SAMPLED,
            false,
            TraceState::default(),
        ),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Server,
        name: name.into().into(),
        start_time: start,
        end_time: start + Duration::from_nanos(19_066_625),
        attributes: attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: instrumentation_scope(),
    };
    SpanBatchItem { service: Arc::clone(service), span }
}

/// Waits until a condition holds, for at most 30 seconds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Checks that every span offered is accounted for.
pub fn assert_balanced(counters: &DropCounters) {
    let counts = counters.read();
    assert_eq!(counts.offered, counts.exported + counts.dropped(), "{counts:?}");
}

//! A real OTLP/gRPC receiver that keeps every span.

use std::{
    collections::{BTreeMap, HashSet},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{InstrumentationScope, KeyValue, any_value},
    metrics::v1::ResourceMetrics,
    trace::v1::{Span, span::SpanKind},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::wait::wait_for;

/// Attributes by key.
pub type Attributes = BTreeMap<String, Value>;

/// What a span's service told of itself.
#[derive(Debug)]
pub struct Origin {
    /// Resource attributes.
    pub resource: Attributes,
    /// Schema URL of the resource.
    pub resource_schema_url: String,
    /// Instrumentation scope.
    pub scope: InstrumentationScope,
    /// Schema URL of the scope.
    pub scope_schema_url: String,
}

/// A span as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// Resource and scope.
    pub origin: Arc<Origin>,
    /// The span.
    pub span: Span,
}

impl Received {
    /// Its attributes.
    pub fn attributes(&self) -> Attributes {
        attributes(&self.span.attributes)
    }

    /// One attribute; `Null` where it is missing.
    pub fn attribute(&self, key: &str) -> Value {
        self.attributes().remove(key).unwrap_or(Value::Null)
    }

    /// Its path, from `url.path`.
    pub fn path(&self) -> String {
        self.attribute("url.path").as_str().unwrap_or_default().to_owned()
    }

    /// Its status code; 0 where there is none.
    pub fn status(&self) -> u64 {
        self.attribute("http.response.status_code").as_u64().unwrap_or(0)
    }

    /// The process it happened in.
    pub fn pid(&self) -> u32 {
        let pid = self.origin.resource.get("process.pid").and_then(Value::as_u64).unwrap_or(0);
        u32::try_from(pid).unwrap_or(0)
    }

    /// `service.name`.
    pub fn service(&self) -> String {
        let name = self.origin.resource.get("service.name").and_then(Value::as_str);
        name.unwrap_or_default().to_owned()
    }

    /// Its length.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.span.end_time_unix_nano.saturating_sub(self.span.start_time_unix_nano))
    }
}

fn attributes(pairs: &[KeyValue]) -> Attributes {
    let value = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => Value::from(text.clone()),
        Some(any_value::Value::IntValue(number)) => Value::from(*number),
        Some(any_value::Value::BoolValue(truth)) => Value::from(*truth),
        other => Value::from(format!("{other:?}")),
    };
    let all: Attributes = pairs.iter().map(|pair| (pair.key.clone(), value(pair))).collect();
    assert_eq!(all.len(), pairs.len(), "a key occurs twice: {pairs:?}");
    all
}

/// A running receiver. It has a runtime of its own, so that dropping it ends its connections too.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    spans: Arc<Mutex<Spans>>,
    runtime: Option<Runtime>,
}

/// What has come.
#[derive(Debug, Default)]
struct Spans {
    received: Vec<Received>,
    /// Spans that were counted and not kept.
    counted: usize,
    /// Metrics, as they came.
    metrics: Vec<ResourceMetrics>,
    ids: HashSet<Vec<u8>>,
    repeated: usize,
}

impl Spans {
    fn add(&mut self, span: Received) {
        if self.ids.insert(span.span.span_id.clone()) {
            self.received.push(span);
        } else {
            self.repeated += 1;
        }
    }
}

#[derive(Clone)]
struct Service {
    spans: Arc<Mutex<Spans>>,
    delay: Duration,
    keeps: bool,
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        locked(&self.spans).metrics.extend(request.into_inner().resource_metrics);
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        if !self.keeps {
            let request = request.get_ref();
            let of_scopes = request.resource_spans.iter().flat_map(|of_resource| &of_resource.scope_spans);
            locked(&self.spans).counted += of_scopes.map(|of_scope| of_scope.spans.len()).sum::<usize>();
            return Ok(tonic::Response::new(ExportTraceServiceResponse::default()));
        }
        let mut received = Vec::new();
        for of_resource in request.into_inner().resource_spans {
            let resource = of_resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            for of_scope in of_resource.scope_spans {
                let origin = Arc::new(Origin {
                    resource: attributes(&resource),
                    resource_schema_url: of_resource.schema_url.clone(),
                    scope: of_scope.scope.unwrap_or_default(),
                    scope_schema_url: of_scope.schema_url,
                });
                received.extend(
                    of_scope.spans.into_iter().map(|span| Received { origin: Arc::clone(&origin), span }),
                );
            }
        }
        for span in received {
            locked(&self.spans).add(span);
        }
        tokio::time::sleep(self.delay).await;
        Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}

fn locked(spans: &Mutex<Spans>) -> MutexGuard<'_, Spans> {
    spans.lock().expect("nothing panics while it holds the spans")
}

impl Default for Sink {
    fn default() -> Self {
        Self::start()
    }
}

impl Sink {
    /// Starts a receiver on a free port.
    pub fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts a receiver on a given address.
    pub fn start_at(address: SocketAddr) -> Self {
        Self::run(address, Duration::ZERO, true)
    }

    /// Starts a receiver that takes its time to answer.
    pub fn slow(delay: Duration) -> Self {
        Self::run(SocketAddr::from(([127, 0, 0, 1], 0)), delay, true)
    }

    /// Starts a receiver that counts spans and does not keep them: one that keeps up with full speed.
    pub fn counting() -> Self {
        Self::run(SocketAddr::from(([127, 0, 0, 1], 0)), Duration::ZERO, false)
    }

    fn run(address: SocketAddr, delay: Duration, keeps: bool) -> Self {
        let listener = wait_for("the receiver's port to be free", || TcpListener::bind(address).ok());
        let address = listener.local_addr().expect("a bound listener has an address");
        listener.set_nonblocking(true).expect("make the listener non-blocking");
        let spans = Arc::new(Mutex::new(Spans::default()));
        let service = Service { spans: Arc::clone(&spans), delay, keeps };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("build the receiver's runtime");
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("register the listener");
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let server = tonic::transport::Server::builder()
                .add_service(MetricsServiceServer::new(service.clone()))
                .add_service(TraceServiceServer::new(service));
            server.serve_with_incoming(incoming).await.expect("serve gRPC");
        });
        Self { address, spans, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many spans came.
    pub fn len(&self) -> usize {
        let spans = locked(&self.spans);
        spans.received.len() + spans.counted
    }

    /// How many spans came again.
    pub fn repeated(&self) -> usize {
        locked(&self.spans).repeated
    }

    /// Whether none came.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All metrics, in the order received, by what sent them.
    pub fn metrics(&self) -> Vec<ResourceMetrics> {
        locked(&self.spans).metrics.clone()
    }

    /// Every span, in the order received.
    pub fn spans(&self) -> Vec<Received> {
        locked(&self.spans).received.clone()
    }

    /// The server spans.
    pub fn servers(&self) -> Vec<Received> {
        self.of_kind(SpanKind::Server)
    }

    /// The client spans.
    pub fn clients(&self) -> Vec<Received> {
        self.of_kind(SpanKind::Client)
    }

    fn of_kind(&self, kind: SpanKind) -> Vec<Received> {
        let spans = locked(&self.spans);
        spans.received.iter().filter(|received| received.span.kind() == kind).cloned().collect()
    }

    /// Waits until there are `count` server spans at least.
    pub fn wait_for_servers(&self, count: usize) -> Vec<Received> {
        self.wait_for_kind(SpanKind::Server, count)
    }

    /// Waits until there are `count` client spans at least.
    pub fn wait_for_clients(&self, count: usize) -> Vec<Received> {
        self.wait_for_kind(SpanKind::Client, count)
    }

    fn wait_for_kind(&self, kind: SpanKind, count: usize) -> Vec<Received> {
        let what = format!("{count} spans of kind {kind:?}");
        wait_for(&what, || Some(self.of_kind(kind)).filter(|spans| spans.len() >= count))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

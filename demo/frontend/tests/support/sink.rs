//! A collector that keeps what it receives.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    logs::v1::LogRecord,
    metrics::v1::Metric,
    resource::v1::Resource,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, codec::CompressionEncoding::Gzip, transport::Server};

/// What has arrived.
#[derive(Debug, Default)]
pub struct Received {
    pub metrics: Vec<Metric>,
    pub logs: Vec<LogRecord>,
    pub resources: Vec<Resource>,
    pub trace_exports: usize,
}

/// The collector; clones share what they received.
#[derive(Debug, Clone, Default)]
pub struct Sink(Arc<Mutex<Received>>);

impl Sink {
    /// Starts a collector on `address` for the rest of the test and gives the address taken.
    pub async fn start(address: SocketAddr) -> (Self, SocketAddr) {
        let listener = TcpListener::bind(address).await.expect("bind");
        let taken = listener.local_addr().expect("address");
        let sink = Self::default();
        let server = Server::builder()
            .add_service(LogsServiceServer::new(sink.clone()).accept_compressed(Gzip))
            .add_service(MetricsServiceServer::new(sink.clone()).accept_compressed(Gzip))
            .add_service(TraceServiceServer::new(sink.clone()).accept_compressed(Gzip));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (sink, taken)
    }

    pub fn received(&self) -> MutexGuard<'_, Received> {
        self.0.lock().expect("no panic")
    }
}

#[tonic::async_trait]
impl LogsService for Sink {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut received = self.received();
        for logs in request.into_inner().resource_logs {
            received.resources.extend(logs.resource);
            received.logs.extend(logs.scope_logs.into_iter().flat_map(|scope| scope.log_records));
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let mut received = self.received();
        for metrics in request.into_inner().resource_metrics {
            received.resources.extend(metrics.resource);
            received.metrics.extend(metrics.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.received().trace_exports += 1;
        Ok(Response::new(Default::default()))
    }
}

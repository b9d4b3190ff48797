//! OTLP over gRPC and HTTP: decodes, bounds, refuses what is malformed, and answers after the data is on file.

mod census;
mod decompress;
pub mod grpc;
pub mod http;
pub mod import;
mod intake;
mod json;
mod status;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;

use crate::counters::Counters;
use crate::store::prepare::{self, Prepared, Rejected};
use crate::store::{Store, StoreError};
use census::Shape;
use intake::Intake;

/// Above this a request is prepared on a blocking thread, so that it does not hold up others.
const PREPARE_INLINE_BYTES: usize = 64 << 10;
/// What a prepared row takes besides the bytes of its item.
const ROW_BYTES: usize = 128;

/// What both receivers share.
#[derive(Clone, Debug)]
pub struct Receiver {
    store: Store,
    counters: Arc<Counters>,
    max_request_bytes: usize,
}

impl Receiver {
    /// A receiver that stores into `store` and takes requests of at most `max_request_bytes`, unpacked.
    pub fn new(store: Store, counters: Arc<Counters>, max_request_bytes: usize) -> Self {
        Self { store, counters, max_request_bytes }
    }

    /// Stores a request, and says what the answer is.
    async fn accept<S: Signal>(&self, request: Read<S>, intake: &Intake) -> Result<S::Response, Refusal> {
        let (_, rejected) = self.take(request, intake).await?;
        Ok(S::response(&rejected))
    }

    /// Stores a request, and says how many items were stored and which left out.
    async fn take<S: Signal>(&self, request: Read<S>, intake: &Intake) -> Result<(usize, Rejected), Refusal> {
        let Read { message, bytes, items } = request;
        let place = self.store.reserve(intake.finish()).map_err(|error| self.refuse(error))?;
        let prepared = if bytes <= PREPARE_INLINE_BYTES {
            message.prepare()
        } else {
            let work = tokio::task::spawn_blocking(move || message.prepare()).await;
            work.map_err(|error| Refusal::Unavailable(error.to_string()))?
        };
        let mut prepared = prepared;
        self.store.admit_names(&mut prepared);
        let Prepared { rows, rejected } = prepared;
        let stored = rows.len();
        place.store(rows, bytes + items * ROW_BYTES).await.map_err(|error| self.refuse(error))?;
        self.counters.rejected_items.add(rejected.count);
        Ok((stored, rejected))
    }

    fn refuse(&self, error: StoreError) -> Refusal {
        match error {
            StoreError::Full => {
                self.counters.overloaded_requests.add(1);
                Refusal::Overloaded
            }
            other => Refusal::Unavailable(other.to_string()),
        }
    }

    fn malformed(&self, reason: String) -> Refusal {
        self.counters.malformed_requests.add(1);
        tracing::debug!(reason, "malformed request");
        Refusal::Malformed(reason)
    }
}

/// A request that was read.
struct Read<S> {
    message: S,
    /// Its size on the wire, unpacked.
    bytes: usize,
    /// Spans, log records or data points in it.
    items: usize,
}

/// Why a request was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// It cannot be read; sending it again will not help.
    Malformed(String),
    /// It is larger than this many bytes, unpacked.
    TooLarge(usize),
    /// It would take too much memory, for this reason.
    TooMany(String),
    /// Its content type or encoding is none that is spoken here.
    Unsupported(String),
    /// The queue is full; it may be sent again.
    Overloaded,
    /// The store failed; it may be sent again.
    Unavailable(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(reason)
            | Self::TooMany(reason)
            | Self::Unsupported(reason)
            | Self::Unavailable(reason) => f.write_str(reason),
            Self::TooLarge(limit) => {
                write!(f, "the request is larger than {limit} bytes, see --max-request-size")
            }
            Self::Overloaded => f.write_str("the queue to the store is full, send again later"),
        }
    }
}

impl std::error::Error for Refusal {}

/// One of OTLP's signals: its messages, paths and answers.
trait Signal: Message + Default + json::FromJson + Send + 'static {
    /// The answer's message.
    type Response: Message + Default + Send + 'static;
    /// Path of the HTTP endpoint.
    const HTTP_PATH: &'static str;
    /// Path of the gRPC method.
    const GRPC_PATH: &'static str;
    /// Name of the answer's count of rejected items, in JSON.
    const REJECTED_JSON: &'static str;
    /// What the message is made of.
    const SHAPE: &'static Shape;

    /// Checks and packs what is to be stored.
    fn prepare(self) -> Prepared;
    /// The answer, with partial success where items were left out.
    fn response(rejected: &Rejected) -> Self::Response;
    /// The answer's partial success: count and message.
    fn partial_success(response: &Self::Response) -> Option<(i64, &str)>;
}

impl Signal for ExportTraceServiceRequest {
    type Response = ExportTraceServiceResponse;
    const HTTP_PATH: &'static str = "/v1/traces";
    const GRPC_PATH: &'static str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    const REJECTED_JSON: &'static str = "rejectedSpans";
    const SHAPE: &'static Shape = &census::TRACES;

    fn prepare(self) -> Prepared {
        prepare::traces(self)
    }

    fn response(rejected: &Rejected) -> Self::Response {
        let partial_success = (rejected.count > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected.count as i64,
            error_message: rejected.message(),
        });
        ExportTraceServiceResponse { partial_success }
    }

    fn partial_success(response: &Self::Response) -> Option<(i64, &str)> {
        response.partial_success.as_ref().map(|p| (p.rejected_spans, p.error_message.as_str()))
    }
}

impl Signal for ExportMetricsServiceRequest {
    type Response = ExportMetricsServiceResponse;
    const HTTP_PATH: &'static str = "/v1/metrics";
    const GRPC_PATH: &'static str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    const REJECTED_JSON: &'static str = "rejectedDataPoints";
    const SHAPE: &'static Shape = &census::METRICS;

    fn prepare(self) -> Prepared {
        prepare::metrics(self)
    }

    fn response(rejected: &Rejected) -> Self::Response {
        let partial_success = (rejected.count > 0).then(|| ExportMetricsPartialSuccess {
            rejected_data_points: rejected.count as i64,
            error_message: rejected.message(),
        });
        ExportMetricsServiceResponse { partial_success }
    }

    fn partial_success(response: &Self::Response) -> Option<(i64, &str)> {
        response.partial_success.as_ref().map(|p| (p.rejected_data_points, p.error_message.as_str()))
    }
}

impl Signal for ExportLogsServiceRequest {
    type Response = ExportLogsServiceResponse;
    const HTTP_PATH: &'static str = "/v1/logs";
    const GRPC_PATH: &'static str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    const REJECTED_JSON: &'static str = "rejectedLogRecords";
    const SHAPE: &'static Shape = &census::LOGS;

    fn prepare(self) -> Prepared {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        prepare::logs(self, u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX))
    }

    fn response(rejected: &Rejected) -> Self::Response {
        let partial_success = (rejected.count > 0).then(|| ExportLogsPartialSuccess {
            rejected_log_records: rejected.count as i64,
            error_message: rejected.message(),
        });
        ExportLogsServiceResponse { partial_success }
    }

    fn partial_success(response: &Self::Response) -> Option<(i64, &str)> {
        response.partial_success.as_ref().map(|p| (p.rejected_log_records, p.error_message.as_str()))
    }
}

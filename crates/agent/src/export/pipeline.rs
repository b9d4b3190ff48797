//! Starting, feeding and stopping the export.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::error;

use crate::config::{ExportSettings, TracePrinter};

use super::SpanBatchItem;
use super::counters::DropCounters;
use super::intake::{Intake, Limits};
use super::printer;
use super::printer::Printer;
use super::transport::{Client, Signal};
use super::worker::{Stop, Worker};

/// What can prevent the export from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The HTTP client cannot be made.
    #[error("prepare export to {endpoint}")]
    Client {
        /// The endpoint as configured.
        endpoint: String,
        /// What the library says.
        #[source]
        source: reqwest::Error,
    },
    /// The endpoint is no address.
    #[error("endpoint {endpoint} is no address")]
    Endpoint {
        /// The endpoint as configured.
        endpoint: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// A header that cannot be sent. The value is not shown.
    #[error("header {0} has a name or value that cannot be sent")]
    Header(String),
    /// The printer's thread could not be started.
    #[error("start the thread that prints spans")]
    Thread(#[source] std::io::Error),
}

/// Bytes of spans from which on a request is sent: many spans share its costs, and it is well below the 4 MiB that
/// collectors take (`max_recv_msg_size_mib` of OpenTelemetry's, tonic's default) and the 1 MiB that proxies in front of
/// them take (nginx's `client_max_body_size`).
const BATCH_BYTES: usize = 512 << 10;
/// Requests that a full queue makes, at least, so that some leave it while others are filled.
const BATCHES_IN_QUEUE: usize = 8;

/// Namespace of [`Exporter::start`].
#[derive(Debug)]
pub struct Exporter;

impl Exporter {
    /// Starts the worker and the printer that the settings ask for. Call it inside a tokio runtime. Nothing is
    /// connected yet: an absent collector shows as warnings once there are spans.
    ///
    /// # Errors
    /// The endpoint or a header is unusable, or a thread cannot be started.
    pub fn start(
        settings: &ExportSettings,
        drops: Arc<DropCounters>,
    ) -> Result<(SpanSink, ExportTask), StartError> {
        Self::start_with_output(settings, drops, Box::new(std::io::stdout()))
    }

    /// The same with something else than standard output to print to.
    ///
    /// # Errors
    /// As [`Exporter::start`].
    pub fn start_with_output(
        settings: &ExportSettings,
        drops: Arc<DropCounters>,
        output: Box<dyn std::io::Write + Send>,
    ) -> Result<(SpanSink, ExportTask), StartError> {
        let (stop, stopped) = watch::channel(None);
        let mut worker = None;
        let mut intake = None;
        if let Some(otlp) = &settings.otlp {
            let client = Client::new(otlp, Signal::Traces)?;
            let limits = Limits {
                batch_spans: settings.batch_max_size.min(settings.queue_size / BATCHES_IN_QUEUE).max(1),
                batch_bytes: BATCH_BYTES,
                batch_timeout: settings.batch_timeout,
                queue_spans: settings.queue_size.max(1),
                queue_bytes: settings.queue_bytes,
            };
            let shared = Arc::new(Intake::new(limits, Arc::clone(&drops)));
            let worker_of = Worker::new(Arc::clone(&shared), stopped.clone(), client);
            worker = Some(tokio::spawn(drive(worker_of, stopped, Arc::clone(&drops))));
            intake = Some(shared);
        }
        let printer = match settings.printer {
            TracePrinter::Disabled => None,
            kind => Some(printer::start(kind, output, Arc::clone(&drops)).map_err(StartError::Thread)?),
        };
        let sink = SpanSink { intake, printer: printer.clone() };
        Ok((sink, ExportTask { stop, worker, printer }))
    }
}

/// Where finished spans go. Cheap to clone; may be used from any thread.
#[derive(Debug, Clone)]
pub struct SpanSink {
    intake: Option<Arc<Intake>>,
    printer: Option<Printer>,
}

impl SpanSink {
    /// Hands over a span. Never blocks: what does not fit is dropped and counted. To have the text printer show
    /// the time in the handler, offer the `processing` child before its server span.
    pub fn offer(&self, item: SpanBatchItem) {
        if let Some(intake) = &self.intake {
            intake.offer(&item);
        }
        if let Some(printer) = &self.printer {
            printer.offer(item);
        }
    }
}

/// The running export, to be shut down at the end.
#[derive(Debug)]
#[must_use = "dropping it ends the export without counting what is left"]
pub struct ExportTask {
    stop: watch::Sender<Option<tokio::time::Instant>>,
    worker: Option<JoinHandle<()>>,
    printer: Option<Printer>,
}

impl ExportTask {
    /// Delivers what is queued until the deadline; what is left then is counted as dropped by shutdown. Spans
    /// offered after this call are counted so too.
    pub async fn shutdown(self, deadline: Duration) {
        let end = tokio::time::Instant::now() + deadline;
        self.stop.send_replace(Some(end));
        if let Some(worker) = self.worker
            && let Err(failure) = worker.await
        {
            error!(error = %failure, "export worker ended abnormally");
        }
        if let Some(printer) = self.printer {
            printer.finish(end).await;
        }
    }
}

/// Runs the worker until it is done, or the deadline for that has passed.
async fn drive(mut worker: Worker, stopped: Stop, counters: Arc<DropCounters>) {
    tokio::select! {
        biased;
        () = worker.run() => {}
        () = deadline(stopped) => {}
    }
    let left = || counters.read().shutdown;
    worker.abandon(left(), left).await;
}

/// Waits until told to stop and then for the deadline that came with it. When the task handle is gone nobody waits, and
/// nothing more is delivered.
async fn deadline(mut stopped: Stop) {
    let end = stopped.wait_for(Option::is_some).await.ok().and_then(|end| *end);
    if let Some(end) = end {
        tokio::time::sleep_until(end).await;
    }
}

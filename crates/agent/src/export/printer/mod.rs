//! Prints spans to standard output, on a thread of its own, so that a slow terminal or pipe holds up nothing.

mod json;
mod text;

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::trace::SpanId;
use tokio::sync::{mpsc, oneshot};

use crate::config::TracePrinter;

use super::SpanBatchItem;
use super::counters::DropCounters;

/// Spans that may wait for a slow output.
const QUEUE: usize = 1024;
/// The shortest time between two lines of the counter.
const COUNTER_INTERVAL: Duration = Duration::from_secs(1);

enum Job {
    Span(Box<SpanBatchItem>),
    Finish(oneshot::Sender<()>),
}

/// Handle to the printing thread.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    jobs: mpsc::Sender<Job>,
    counters: Arc<DropCounters>,
}

impl Printer {
    /// Hands over a span; it is dropped and counted when the output is slower than the traffic.
    pub(super) fn offer(&self, item: SpanBatchItem) {
        if self.jobs.try_send(Job::Span(Box::new(item))).is_err() {
            self.counters.add_printer_dropped(1);
        }
    }

    /// Waits until everything offered before is written, or the deadline has passed.
    pub(super) async fn finish(self, deadline: tokio::time::Instant) {
        let (done, finished) = oneshot::channel();
        let finish = async {
            if self.jobs.send(Job::Finish(done)).await.is_ok() {
                // An error means that the output is gone, and with it the thread.
                let _ = finished.await;
            }
        };
        // Past the deadline the output is stuck; there is no one to tell.
        let _ = tokio::time::timeout_at(deadline, finish).await;
    }
}

/// Starts the printing thread.
///
/// # Errors
/// The thread cannot be started.
pub(super) fn start(
    kind: TracePrinter,
    output: Box<dyn Write + Send>,
    counters: Arc<DropCounters>,
) -> io::Result<Printer> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let thread_counters = Arc::clone(&counters);
    std::thread::Builder::new().name("trace-printer".to_owned()).spawn(move || {
        let mut session = Session::new(kind, output, thread_counters);
        // The output being closed (a pipe whose reader left) ends the printing and nothing else.
        if let Err(error) = session.run(receiver) {
            tracing::warn!(%error, "standard output is closed, spans are no longer printed");
        }
    })?;
    Ok(Printer { jobs: sender, counters })
}

struct Session {
    kind: TracePrinter,
    output: BufWriter<Box<dyn Write + Send>>,
    counters: Arc<DropCounters>,
    /// Time in the handler by the server span it belongs to, until that span comes.
    handler_times: HashMap<SpanId, Duration>,
    requests: u64,
    spans: u64,
    counter_written: Option<Instant>,
}

impl Session {
    fn new(kind: TracePrinter, output: Box<dyn Write + Send>, counters: Arc<DropCounters>) -> Self {
        Self {
            kind,
            output: BufWriter::new(output),
            counters,
            handler_times: HashMap::new(),
            requests: 0,
            spans: 0,
            counter_written: None,
        }
    }

    fn run(&mut self, mut jobs: mpsc::Receiver<Job>) -> io::Result<()> {
        while let Some(job) = jobs.blocking_recv() {
            match job {
                Job::Span(item) => {
                    self.print(&item)?;
                    self.counters.add_printed(1);
                }
                Job::Finish(done) => {
                    if self.kind == TracePrinter::Counter {
                        self.write_count()?;
                    }
                    self.output.flush()?;
                    // Nobody may wait any more when the deadline has passed.
                    let _ = done.send(());
                    return Ok(());
                }
            }
            if jobs.is_empty() {
                self.output.flush()?;
            }
        }
        Ok(())
    }

    fn print(&mut self, item: &SpanBatchItem) -> io::Result<()> {
        match self.kind {
            TracePrinter::Disabled => Ok(()),
            TracePrinter::Text => self.print_text(item),
            TracePrinter::Json => {
                serde_json::to_writer(&mut self.output, &json::value(item))?;
                self.output.write_all(b"\n")
            }
            TracePrinter::JsonIndent => {
                serde_json::to_writer_pretty(&mut self.output, &json::value(item))?;
                self.output.write_all(b"\n")
            }
            TracePrinter::Counter => {
                self.spans += 1;
                self.requests += u64::from(text::is_request(&item.span));
                let due = self.counter_written.is_none_or(|last| last.elapsed() >= COUNTER_INTERVAL);
                if due { self.write_count() } else { Ok(()) }
            }
        }
    }

    /// One line per request; the children that tell of waiting become the time in brackets.
    fn print_text(&mut self, item: &SpanBatchItem) -> io::Result<()> {
        let span = &item.span;
        if let Some(duration) = text::handler_time(span) {
            // Server spans that never come must not pile up.
            if self.handler_times.len() >= QUEUE {
                self.handler_times.clear();
            }
            self.handler_times.insert(span.parent_span_id, duration);
        }
        if !text::is_request(span) {
            return Ok(());
        }
        let handler = self.handler_times.remove(&span.span_context.span_id());
        writeln!(self.output, "{}", text::line(item, handler))
    }

    fn write_count(&mut self) -> io::Result<()> {
        self.counter_written = Some(Instant::now());
        writeln!(self.output, "{} requests, {} spans", self.requests, self.spans)
    }
}

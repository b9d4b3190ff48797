//! Telemetry out, as OTLP/JSON: a trace, or all that pass a filter.

use std::pin::Pin;
use std::task::Poll;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde_json::Value;
use tokio::sync::mpsc;

use super::params::{Params, from_hex};
use super::problem::Problem;
use super::{Context, filters, otlp_out};
use crate::store::query::{self, Budget, LogFilter, MetricFilter, Paging, SpanFilter};
use crate::store::{Store, StoreError};

/// Traces read at a time.
const TRACES: u32 = 50;
/// Log records read at a time.
const LOGS: u32 = 1000;
/// Spans or points of one element.
const ITEMS: usize = 1000;

/// What is exported.
enum What {
    Traces(SpanFilter),
    Logs(LogFilter),
    Metrics(Metrics),
}

/// Which metrics.
#[derive(Clone)]
struct Metrics {
    names: Vec<String>,
    services: Vec<String>,
    start: Option<u64>,
    end: Option<u64>,
}

impl What {
    fn read(params: &mut Params) -> Result<Self, Problem> {
        let signal = params.choice("signal", "one of traces, logs, metrics", |value| match value {
            "traces" | "logs" | "metrics" => Some(value.to_owned()),
            _ => None,
        })?;
        let signal =
            signal.ok_or_else(|| Problem::bad_request("signal is missing: traces, logs or metrics"))?;
        Ok(match signal.as_str() {
            "traces" => Self::Traces(filters::spans(params)?),
            "logs" => Self::Logs(filters::logs(params)?),
            _ => Self::Metrics(Metrics {
                names: params.texts("name")?,
                services: params.texts("service")?,
                start: params.time_ns("start")?,
                end: params.time_ns("end")?,
            }),
        })
    }

    /// The signal, and the list that its requests have.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Traces(_) => ("traces", "resourceSpans"),
            Self::Logs(_) => ("logs", "resourceLogs"),
            Self::Metrics(_) => ("metrics", "resourceMetrics"),
        }
    }
}

/// `GET /api/export`
pub(super) async fn export(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let what = What::read(&mut params)?;
    params.finish()?;
    let (signal, list) = what.names();
    let (chunks, body) = mpsc::channel(2);
    tokio::spawn(async move {
        let mut writer = Writer { chunks, first: true };
        let written = writer.write(context.store, list, what).await;
        if let Err(Stopped::Store(error)) = written {
            tracing::error!(%error, "export failed");
            // The answer has begun; breaking it off is the only way left to say that it is not whole.
            writer.chunks.send(Err(std::io::Error::other(error.to_string()))).await.ok();
        }
    });
    Ok(file(&format!("tinyolly-{signal}.json"), Body::from_stream(Chunks(body))))
}

/// `GET /api/traces/{trace_id}/otlp`
pub(super) async fn one_trace(
    State(context): State<Context>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let trace_id = from_hex(&id)
        .ok_or_else(|| Problem::bad_request(format!("{id:?} is not a trace id of 32 hex digits")))?;
    let body = context.store.read(move |db| {
        let Some(trace) = query::trace(db, trace_id)? else { return Ok(None) };
        Ok(Some(serde_json::json!({ "resourceSpans": otlp_out::spans(&trace.spans) }).to_string()))
    });
    let body = body.await?.ok_or_else(|| Problem::not_found(format!("no trace {id}")))?;
    Ok(file(&format!("trace-{}.json", id.to_ascii_lowercase()), Body::from(body)))
}

/// An answer that browsers save under a name.
fn file(name: &str, body: Body) -> Response {
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let disposition = disposition.unwrap_or(HeaderValue::from_static("attachment"));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    (StatusCode::OK, headers, body).into_response()
}

type Chunk = Result<Bytes, std::io::Error>;

/// The body as the task writes it.
struct Chunks(mpsc::Receiver<Chunk>);

impl Stream for Chunks {
    type Item = Chunk;

    fn poll_next(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Chunk>> {
        self.get_mut().0.poll_recv(cx)
    }
}

/// Why an export ended early.
enum Stopped {
    Store(StoreError),
    /// Nobody reads any more.
    Gone,
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Writes elements into the one list of a request.
struct Writer {
    chunks: mpsc::Sender<Chunk>,
    first: bool,
}

impl Writer {
    async fn write(&mut self, store: Store, list: &str, what: What) -> Result<(), Stopped> {
        self.text(format!("{{\"{list}\":[")).await?;
        match what {
            What::Traces(filter) => self.traces(store, filter).await?,
            What::Logs(filter) => self.logs(store, filter).await?,
            What::Metrics(wanted) => self.metrics(store, wanted).await?,
        }
        self.text("\n]}\n".to_owned()).await
    }

    async fn text(&self, text: String) -> Result<(), Stopped> {
        self.chunks.send(Ok(text.into())).await.map_err(|_| Stopped::Gone)
    }

    /// Writes elements, each on a line of its own.
    async fn elements(&mut self, elements: Vec<String>) -> Result<(), Stopped> {
        let mut text = String::new();
        for element in elements {
            text.push_str(if std::mem::take(&mut self.first) { "\n" } else { ",\n" });
            text.push_str(&element);
        }
        if text.is_empty() { Ok(()) } else { self.text(text).await }
    }

    async fn traces(&mut self, store: Store, filter: SpanFilter) -> Result<(), Stopped> {
        let mut cursor = None;
        loop {
            let (filter, paging) = (filter.clone(), Paging { cursor, ..Paging::newest(TRACES) });
            let page = store.read(move |db| {
                let page = query::traces(db, &filter, &paging, Budget::of(query::SCAN))?;
                Ok((page.items.iter().map(|trace| trace.root.trace_id).collect::<Vec<_>>(), page.next))
            });
            let (ids, next) = page.await?;
            for id in ids {
                let elements = store.read(move |db| {
                    let spans = query::trace(db, id)?.map(|trace| trace.spans).unwrap_or_default();
                    Ok(spans.chunks(ITEMS).flat_map(|some| lines(otlp_out::spans(some))).collect())
                });
                self.elements(elements.await?).await?;
            }
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn logs(&mut self, store: Store, filter: LogFilter) -> Result<(), Stopped> {
        let mut cursor = None;
        loop {
            let (filter, paging) = (filter.clone(), Paging { cursor, ..Paging::newest(LOGS) });
            let page = store.read(move |db| {
                let page = query::logs(db, &filter, &paging, Budget::of(query::SCAN))?;
                Ok((lines(otlp_out::logs(&page.items)), page.next))
            });
            let (elements, next) = page.await?;
            self.elements(elements).await?;
            match next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn metrics(&mut self, store: Store, wanted: Metrics) -> Result<(), Stopped> {
        let all = store.read(|db| query::metrics(db, u32::MAX)).await?;
        for metric in all {
            if !wanted.names.is_empty() && !wanted.names.contains(&metric.name) {
                continue;
            }
            let wanted = wanted.clone();
            let elements = store.read(move |db| {
                let filter = MetricFilter {
                    name: metric.name.clone(),
                    kind: Some(metric.kind),
                    unit: Some(metric.unit.clone()),
                    start_ns: wanted.start.unwrap_or(0),
                    // That filter's end is the last nanosecond wanted.
                    end_ns: wanted.end.map_or(u64::MAX, |end| end.saturating_sub(1)),
                };
                let Some(found) = query::metric(db, &filter)? else { return Ok(Vec::new()) };
                let asked = |service: &str| {
                    wanted.services.is_empty() || wanted.services.iter().any(|name| name == service)
                };
                let mut elements = Vec::new();
                for series in found.series.iter().filter(|series| asked(&series.service)) {
                    for points in series.points.chunks(ITEMS) {
                        elements.extend(lines(otlp_out::series(&metric, series, points)));
                    }
                }
                Ok(elements)
            });
            self.elements(elements.await?).await?;
        }
        Ok(())
    }
}

fn lines(elements: Vec<Value>) -> Vec<String> {
    elements.iter().map(Value::to_string).collect()
}

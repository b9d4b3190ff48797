//! The service catalog.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::Context;
use super::otlp_json::Text;
use super::params::Params;
use super::problem::Problem;
use crate::store::query::{self, Basis, Load, ServiceLoad, Window};
use crate::store::rollup::{SLOT_NS, Tally};

/// What a window is when nothing is asked for.
const DEFAULT_WINDOW_NS: u64 = 3_600_000_000_000;

/// The times a request asks about, and how much of them there is data for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Rounded as the rollups need it.
    pub(super) window: Window,
    /// First time asked for.
    pub(super) start_ns: u64,
    /// Behind the last time asked for.
    pub(super) end_ns: u64,
    now_ns: u64,
}

impl Asked {
    /// Takes `start` and `end`; the last hour when they are missing.
    pub(super) fn take(params: &mut Params) -> Result<Self, Problem> {
        let now_ns = now_ns();
        let end = params.time_ns("end")?;
        let end_ns = end.unwrap_or(now_ns);
        let start_ns = params.time_ns("start")?.unwrap_or(end_ns.saturating_sub(DEFAULT_WINDOW_NS));
        if start_ns >= end_ns {
            return Err(Problem::bad_request(format!("start={start_ns} is not before end={end_ns}")));
        }
        Ok(Self { window: Window::new(start_ns, end_ns), start_ns, end_ns, now_ns })
    }

    /// The seconds that rates are over: from the first stored span, until now at most, and no less than a slot.
    pub(super) fn seconds(self, earliest_ns: Option<u64>) -> f64 {
        let start = self.window.start_ns().max(earliest_ns.unwrap_or(0));
        self.seconds_from(start)
    }

    /// The seconds from a time within the window on.
    pub(super) fn seconds_from(self, start_ns: u64) -> f64 {
        let mut end = self.window.end_ns();
        if self.now_ns > start_ns {
            end = end.min(self.now_ns);
        }
        end.saturating_sub(start_ns).max(SLOT_NS) as f64 / 1e9
    }
}

/// The time, in nanoseconds since the epoch.
pub(super) fn now_ns() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// Requests, errors and durations.
#[derive(Serialize)]
struct Red {
    request_count: u64,
    error_count: u64,
    error_rate: f64,
    rate: f64,
    duration_p50_ms: Option<f64>,
    duration_p95_ms: Option<f64>,
    duration_p99_ms: Option<f64>,
    series: Vec<Slot>,
}

#[derive(Serialize)]
struct Slot {
    start: Text<u64>,
    request_count: u64,
    error_count: u64,
    duration_p95_ms: Option<f64>,
}

/// Nanoseconds as milliseconds, to the microsecond: durations are known to a sixty-fourth.
pub(super) fn quantile_ms(tally: &Tally, q: f64) -> Option<f64> {
    tally.durations.quantile(q).map(|ns| (ns / 1e3).round() / 1e3)
}

impl Red {
    fn of(load: &Load, window: Window, seconds: f64) -> Self {
        let total = &load.total;
        let empty = Tally::default();
        let slot = |(place, start)| {
            let tally = load.series.get(&place).unwrap_or(&empty);
            Slot {
                start: Text(start),
                request_count: tally.count,
                error_count: tally.errors,
                duration_p95_ms: quantile_ms(tally, 0.95),
            }
        };
        Self {
            request_count: total.count,
            error_count: total.errors,
            error_rate: total.errors as f64 / total.count.max(1) as f64,
            rate: total.count as f64 / seconds,
            duration_p50_ms: quantile_ms(total, 0.5),
            duration_p95_ms: quantile_ms(total, 0.95),
            duration_p99_ms: quantile_ms(total, 0.99),
            series: window.series().enumerate().map(slot).collect(),
        }
    }
}

#[derive(Serialize)]
struct ServiceJson<'a> {
    name: &'a str,
    span_count: u64,
    trace_count: u64,
    basis: &'static str,
    #[serde(flatten)]
    red: Red,
    first_seen: Text<u64>,
    last_seen: Text<u64>,
    instrumentation: Vec<&'static str>,
}

impl<'a> ServiceJson<'a> {
    fn of(service: &'a ServiceLoad, window: Window, seconds: f64) -> Self {
        let mut instrumentation = Vec::new();
        if service.from_agent > 0 {
            instrumentation.push("ebpf");
        }
        if service.from_agent < service.span_count {
            instrumentation.push("sdk");
        }
        Self {
            name: &service.name,
            span_count: service.span_count,
            trace_count: service.trace_count,
            basis: match service.basis {
                Basis::Server => "server",
                Basis::Root => "root",
            },
            red: Red::of(&service.requests, window, seconds),
            first_seen: Text(service.first_ns),
            last_seen: Text(service.last_ns),
            instrumentation,
        }
    }
}

#[derive(Serialize)]
struct OperationJson<'a> {
    name: &'a str,
    kind: i32,
    #[serde(flatten)]
    red: Red,
}

#[derive(Serialize)]
struct OperationsJson<'a> {
    complete: bool,
    service: ServiceJson<'a>,
    operations: Vec<OperationJson<'a>>,
}

/// `GET /api/service-catalog`
pub(super) async fn list(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let asked = Asked::take(&mut params)?;
    params.finish()?;
    let window = asked.window;
    let body = context.store.read(move |db| {
        let seconds = asked.seconds(query::earliest_span(db)?);
        let found = query::catalog(db, window)?;
        let services: Vec<_> = found.services.iter().map(|s| ServiceJson::of(s, window, seconds)).collect();
        // Many services make a large answer, which is written off the async threads.
        Ok((serde_json::to_value(&services), found.complete))
    });
    let (body, complete) = body.await?;
    let body =
        body.map_err(|error| Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([("x-complete", if complete { "true" } else { "false" })], Json(body)).into_response())
}

/// `GET /api/service-catalog/{service}`
pub(super) async fn one(
    State(context): State<Context>,
    Path(service): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let asked = Asked::take(&mut params)?;
    params.finish()?;
    let window = asked.window;
    let name = service.clone();
    let found = context.store.read(move |db| {
        let seconds = asked.seconds(query::earliest_span(db)?);
        Ok(query::operations(db, window, &name)?.map(|found| (found, seconds)))
    });
    let Some((found, seconds)) = found.await? else {
        return Err(Problem::not_found(format!("no spans of service {service:?} in this time")));
    };
    let operations = found.operations.iter().map(|operation| OperationJson {
        name: &operation.name,
        kind: operation.kind,
        red: Red::of(&operation.requests, window, seconds),
    });
    let answer = OperationsJson {
        complete: found.complete,
        service: ServiceJson::of(&found.service, window, seconds),
        operations: operations.collect(),
    };
    Ok(Json(answer).into_response())
}

//! Log records.

use std::borrow::Cow;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde::Serialize;

use super::Context;
use super::otlp_json::{Any, Attributes, Resource, Scope, Text, hex};
use super::params::Params;
use super::problem::Problem;
use super::{filters, page};
use crate::store::query::{self, Budget, LogFilter, LogRecordRow, SCAN, value};

/// Lines on either side of a record when the request does not say.
const AROUND: usize = 20;

/// Names of severity numbers 1 to 24, as the logs data model gives them.
const SEVERITIES: [&str; 24] = [
    "TRACE", "TRACE2", "TRACE3", "TRACE4", "DEBUG", "DEBUG2", "DEBUG3", "DEBUG4", "INFO", "INFO2", "INFO3",
    "INFO4", "WARN", "WARN2", "WARN3", "WARN4", "ERROR", "ERROR2", "ERROR3", "ERROR4", "FATAL", "FATAL2",
    "FATAL3", "FATAL4",
];

fn severity_name(number: i32) -> &'static str {
    usize::try_from(number).ok().and_then(|n| SEVERITIES.get(n.checked_sub(1)?)).copied().unwrap_or("")
}

/// The number of a severity name, in either case.
pub(super) fn severity_number(name: &str) -> Option<i32> {
    let at = SEVERITIES.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    i32::try_from(at + 1).ok()
}

#[derive(Serialize)]
pub(super) struct LogLine<'a> {
    log_id: Text<i64>,
    timestamp: Text<u64>,
    observed_timestamp: Text<u64>,
    severity: &'a str,
    severity_number: i32,
    event_name: &'a str,
    body: Any<'a>,
    message: Cow<'a, str>,
    trace_id: String,
    span_id: String,
    flags: u32,
    service_name: &'a str,
    attributes: Attributes<'a>,
    #[serde(rename = "droppedAttributesCount")]
    dropped_attributes_count: u32,
    resource: Resource<'a>,
    scope: Scope<'a>,
}

impl<'a> LogLine<'a> {
    pub(super) fn of(log: &'a LogRecordRow) -> Self {
        let detail = &log.detail;
        let severity = match detail.severity_text.as_str() {
            "" => severity_name(log.severity),
            sent => sent,
        };
        Self {
            log_id: Text(log.id),
            timestamp: Text(log.time_ns),
            observed_timestamp: Text(detail.observed_time_unix_nano),
            severity,
            severity_number: log.severity,
            event_name: &detail.event_name,
            body: Any(detail.body.as_ref()),
            message: message(detail.body.as_ref()),
            trace_id: log.trace_id.map_or_else(String::new, |id| hex(&id)),
            span_id: log.span_id.map_or_else(String::new, |id| hex(&id)),
            flags: detail.flags,
            service_name: &log.service,
            attributes: Attributes(&detail.attributes),
            dropped_attributes_count: detail.dropped_attributes_count,
            resource: Resource::of(&log.resource),
            scope: Scope::of(&log.scope),
        }
    }
}

/// A body as text: a string itself, nothing as nothing, any other as plain JSON.
fn message(body: Option<&AnyValue>) -> Cow<'_, str> {
    match body.and_then(|any| any.value.as_ref()) {
        None => Cow::Borrowed(""),
        Some(Value::StringValue(text)) => Cow::Borrowed(text),
        Some(_) => Cow::Owned(value::plain(body).to_string()),
    }
}

/// `GET /api/logs`
pub(super) async fn list(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let filter = filters::logs(&mut params)?;
    if let Some(id) = params.choice("around", "the log_id of a record", |value| value.parse().ok())? {
        return around(context, params, filter, id).await;
    }
    let paging = page::paging(&mut params, page::LOG_SORTS)?;
    params.finish()?;
    let found = context.store.read(move |db| query::logs(db, &filter, &paging, Budget::of(SCAN))).await?;
    Ok(page::answer(&found, LogLine::of))
}

/// The lines around one record.
async fn around(
    context: Context,
    mut params: Params,
    filter: LogFilter,
    id: i64,
) -> Result<Response, Problem> {
    let mut side = |name: &str| {
        let number =
            params.choice(name, "a number from 0 to 1000", |value| value.parse().ok().filter(|n| *n <= 1000));
        number.map(|n| n.unwrap_or(AROUND))
    };
    let sides = (side("before")?, side("after")?);
    params.finish()?;
    let search = move |db: &_| query::logs_around(db, &filter, id, sides, Budget::of(SCAN));
    match context.store.read(search).await? {
        Some(found) => Ok(Json(found.iter().map(LogLine::of).collect::<Vec<_>>()).into_response()),
        None => Err(Problem::not_found(format!("no log record {id}"))),
    }
}

/// `GET /api/logs/{log_id}`
pub(super) async fn one(
    State(context): State<Context>,
    Path(log_id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::of(&uri)?.finish()?;
    let Ok(id) = log_id.parse() else {
        return Err(Problem::bad_request(format!("{log_id:?} is not a log_id, which is a number")));
    };
    match context.store.read(move |db| query::log(db, id)).await? {
        Some(found) => Ok(Json(LogLine::of(&found)).into_response()),
        None => Err(Problem::not_found(format!("no log record {id}"))),
    }
}

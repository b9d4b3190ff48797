//! Log records.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde::Serialize;
use serde_json::json;

use super::Context;
use super::otlp_json::{Any, Attributes, Double, Resource, Scope, Text, hex};
use super::params::Params;
use super::problem::Problem;
use crate::store::query::{self, LogFilter, LogRecordRow};

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
struct LogLine<'a> {
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
    fn of(log: &'a LogRecordRow) -> Self {
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
        Some(_) => Cow::Owned(plain(body).to_string()),
    }
}

/// A value as the JSON a person would write for it.
fn plain(any: Option<&AnyValue>) -> serde_json::Value {
    match any.and_then(|any| any.value.as_ref()) {
        None | Some(Value::StringValueStrindex(_)) => serde_json::Value::Null,
        Some(Value::StringValue(text)) => json!(text),
        Some(Value::BoolValue(value)) => json!(value),
        Some(Value::IntValue(number)) => json!(number),
        Some(Value::DoubleValue(number)) => json!(Double(*number)),
        Some(Value::BytesValue(bytes)) => json!(hex(bytes)),
        Some(Value::ArrayValue(array)) => array.values.iter().map(|value| plain(Some(value))).collect(),
        Some(Value::KvlistValue(list)) => {
            list.values.iter().map(|pair| (pair.key.clone(), plain(pair.value.as_ref()))).collect()
        }
    }
}

/// `GET /api/logs`
pub(super) async fn list(State(context): State<Context>, uri: Uri) -> Result<Response, Problem> {
    let mut params = Params::of(&uri)?;
    let filter = LogFilter {
        limit: params.limit()?,
        trace_id: params.trace_id("trace_id")?,
        span_id: params.span_id("span_id")?,
        service: params.text("service")?,
        severity_min: params.severity("severity_min")?,
    };
    params.finish()?;
    let found = context.store.read(move |db| query::logs(db, &filter)).await?;
    Ok(Json(found.iter().map(LogLine::of).collect::<Vec<_>>()).into_response())
}

//! Log records.

use std::sync::Arc;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::sources::Sources;
use crate::store::rows::{SpanId, TraceId};
use crate::store::{StoreError, blob};

/// One stored log record.
#[derive(Clone, Debug)]
pub struct LogRecordRow {
    /// Number of the record, by arrival.
    pub id: i64,
    /// The record's own time, or the time it was observed.
    pub time_ns: u64,
    /// OTLP's severity number.
    pub severity: i32,
    /// Trace it belongs to.
    pub trace_id: Option<TraceId>,
    /// Span it belongs to.
    pub span_id: Option<SpanId>,
    /// The resource's `service.name`.
    pub service: Arc<str>,
    /// The resource, in an envelope with its schema URL.
    pub resource: Arc<ResourceSpans>,
    /// The scope, in an envelope with its schema URL.
    pub scope: Arc<ScopeSpans>,
    /// Body, attributes and what else has no field above; those with one are empty here.
    pub detail: LogRecord,
}

/// What a log list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Only this trace.
    pub trace_id: Option<TraceId>,
    /// Only this span.
    pub span_id: Option<SpanId>,
    /// Only this service.
    pub service: Option<String>,
    /// Only this severity number and above.
    pub severity_min: Option<i32>,
    /// At most so many.
    pub limit: u32,
}

/// Log records, newest first.
///
/// # Errors
/// When SQLite fails or a record is damaged.
pub fn logs(db: &Connection, filter: &LogFilter) -> Result<Vec<LogRecordRow>, StoreError> {
    let mut sources = Sources::new(db);
    let mut wanted = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    if let Some(id) = filter.trace_id {
        wanted.push("trace_id = ?");
        values.push(Value::Blob(id.to_vec()));
    }
    if let Some(id) = filter.span_id {
        wanted.push("span_id = ?");
        values.push(Value::Blob(id.to_vec()));
    }
    if let Some(name) = &filter.service {
        let Some(id) = sources.service_id(name)? else { return Ok(Vec::new()) };
        wanted.push("service = ?");
        values.push(Value::Integer(id));
    }
    if let Some(severity) = filter.severity_min {
        wanted.push("severity >= ?");
        values.push(Value::Integer(severity.into()));
    }
    values.push(Value::Integer(filter.limit.into()));
    let condition = if wanted.is_empty() { "1".into() } else { wanted.join(" AND ") };
    let mut statement = db.prepare_cached(&format!(
        "SELECT id, time_ns, severity, trace_id, span_id, service, resource, scope, detail FROM log WHERE {condition}
         ORDER BY time_ns DESC, id DESC LIMIT ?"
    ))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(LogRecordRow {
            id: row.get(0)?,
            time_ns: row.get::<_, i64>(1)? as u64,
            severity: row.get(2)?,
            trace_id: row.get(3)?,
            span_id: row.get(4)?,
            service: sources.text(row.get(5)?)?,
            resource: sources.resource(row.get(6)?)?,
            scope: sources.scope(row.get(7)?)?,
            detail: blob::unpack(row.get_ref(8)?.as_blob_or_null().map_err(rusqlite::Error::from)?)?,
        });
    }
    Ok(found)
}

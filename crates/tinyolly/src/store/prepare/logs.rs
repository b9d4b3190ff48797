//! Log records.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::{Prepared, Rejected, optional_id, resource_bytes, scope_bytes, service_name};
use crate::store::blob;
use crate::store::rows::{Group, LogRow, Rows};

/// Prepares a log request that arrived at `now_ns`.
pub fn logs(request: ExportLogsServiceRequest, now_ns: u64) -> Prepared {
    let mut rejected = Rejected::default();
    let mut groups = Vec::new();
    for per_resource in request.resource_logs {
        let service = service_name(per_resource.resource.as_ref());
        let resource = resource_bytes(per_resource.resource, per_resource.schema_url);
        for per_scope in per_resource.scope_logs {
            let mut rows = Vec::with_capacity(per_scope.log_records.len());
            for record in per_scope.log_records {
                match row(record, now_ns) {
                    Ok(row) => rows.push(row),
                    Err(reason) => rejected.add(1, || reason),
                }
            }
            let scope = scope_bytes(per_scope.scope, per_scope.schema_url);
            groups.push(Group {
                service: Arc::clone(&service),
                resource: Arc::clone(&resource),
                scope,
                rows,
            });
        }
    }
    Prepared { rows: Rows::Logs(groups), rejected }
}

fn row(mut record: LogRecord, now_ns: u64) -> Result<LogRow, String> {
    let trace_id = optional_id("log record with a bad trace id: it", &record.trace_id)?;
    let span_id = optional_id("log record with a bad span id: it", &record.span_id)?;
    // A record without any time was observed when it arrived here.
    if record.time_unix_nano == 0 && record.observed_time_unix_nano == 0 {
        record.observed_time_unix_nano = now_ns;
    }
    let time_ns = match record.time_unix_nano {
        0 => record.observed_time_unix_nano,
        own => own,
    };
    let severity = std::mem::take(&mut record.severity_number);
    record.trace_id = Vec::new();
    record.span_id = Vec::new();
    record.time_unix_nano = 0;
    Ok(LogRow { time_ns, severity, trace_id, span_id, detail: blob::pack(&record) })
}

//! Log records.

use utoipa::IntoParams;

use super::params::{LogFilters, Page};
use super::schemas::{LogRecord, Problem};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Around {
    /// Lines around this record, in place of a page.
    around: Option<String>,
    /// So many before it.
    before: Option<u32>,
    /// So many after it.
    after: Option<u32>,
}

/// Log records, newest first.
#[utoipa::path(get, path = "/api/logs", tag = "logs", params(LogFilters, Page, Around),
    responses((status = 200, body = Vec<LogRecord>), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn list_logs() {}

/// One log record.
#[utoipa::path(get, path = "/api/logs/{log_id}", tag = "logs",
    params(("log_id" = String, Path, description = "As the list gives it")),
    responses((status = 200, body = LogRecord), (status = 400, body = Problem), (status = 404, body = Problem)))]
fn get_log() {}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct Tail {
    /// All that came after this record.
    after: Option<String>,
    /// So many of the newest first, 0 to 1000.
    backlog: Option<u32>,
}

/// Server-sent events: log records as they arrive, none left out.
///
/// A reader that comes back sends the last id it has as Last-Event-ID.
#[utoipa::path(get, path = "/api/logs/stream", tag = "logs", params(LogFilters, Tail),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 400, body = Problem), (status = 503, body = Problem)))]
fn stream_logs() {}

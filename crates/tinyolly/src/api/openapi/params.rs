//! Parameters that several operations share.

use utoipa::IntoParams;

/// What narrows traces and spans.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SpanFilters {
    /// First time, in nanoseconds since the epoch.
    start: Option<String>,
    /// First time behind, in nanoseconds since the epoch.
    end: Option<String>,
    /// Text in name, attributes, events, status message, service or ids; case does not matter.
    q: Option<String>,
    /// Any of these services.
    service: Option<Vec<String>>,
    /// Any of these span names.
    name: Option<Vec<String>>,
    /// Any of these kinds: internal, server, client, producer, consumer, or OTLP's number.
    kind: Option<Vec<String>>,
    /// Any of these: unset, ok, error.
    status: Option<Vec<String>>,
    /// Any of these classes of HTTP status codes: 1xx to 5xx.
    status_class: Option<Vec<String>>,
    /// All of these conditions: key, key=value, key!=value, key>number, >=, <, <=; the prefix resource. looks at the resource.
    attr: Option<Vec<String>>,
    /// Shortest duration, such as 250us, 1.5ms, 2s, or plain nanoseconds.
    min_duration: Option<String>,
    /// Longest duration.
    max_duration: Option<String>,
    /// 1: only with status error.
    errors: Option<u8>,
    /// 1: only roots; for traces, the other conditions look at the root alone.
    root: Option<u8>,
}

/// What narrows log records.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogFilters {
    /// First time, in nanoseconds since the epoch.
    start: Option<String>,
    /// First time behind, in nanoseconds since the epoch.
    end: Option<String>,
    /// Text in body, attributes, event name or service; case does not matter.
    q: Option<String>,
    /// Any of these services.
    service: Option<Vec<String>>,
    /// Only of this trace.
    trace_id: Option<String>,
    /// Only of this span.
    span_id: Option<String>,
    /// This severity and above: a number from 1 to 24, or a name such as WARN.
    severity_min: Option<String>,
    /// Any of these classes: TRACE, DEBUG, INFO, WARN, ERROR, FATAL.
    severity: Option<Vec<String>>,
    /// All of these conditions, as for spans.
    attr: Option<Vec<String>>,
    /// Any of these event names.
    event_name: Option<Vec<String>>,
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// At most so many.
    #[param(minimum = 1, maximum = 5000, default = 100)]
    limit: Option<u32>,
    /// What X-Next-Cursor of the page before said.
    cursor: Option<String>,
    /// desc or asc.
    #[param(default = "desc")]
    order: Option<String>,
}

/// Where a name was sent with several kinds or units.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct MetricChoice {
    /// gauge, sum, histogram, exponential_histogram or summary.
    r#type: Option<String>,
    /// The unit.
    unit: Option<String>,
}

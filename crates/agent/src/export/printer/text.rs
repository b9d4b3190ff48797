//! A request as one line, in the layout that OBI's users know:
//!
//! ```text
//! 2026-05-22 14:03:53.5222353 (19.066625ms[942.583µs]) 200 GET /path [172.17.0.1]->[localhost:18443] size:0B svc=[name]
//! ```

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::Value;
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;

use crate::export::SpanBatchItem;

/// Whether the span stands for a request rather than for a part of one.
pub(super) fn is_request(span: &SpanData) -> bool {
    matches!(span.span_kind, SpanKind::Server | SpanKind::Client)
}

/// The time in the handler, when the span tells it of its parent.
pub(super) fn handler_time(span: &SpanData) -> Option<Duration> {
    (span.span_kind == SpanKind::Internal && span.name == "processing").then(|| duration(span))
}

/// The line, without its end. The time in brackets is that in the handler where it is known, else the whole.
pub(super) fn line(item: &SpanBatchItem, handler: Option<Duration>) -> String {
    let span = &item.span;
    let text = |key: &str| find(span, key).map(Value::as_str);
    let total = duration(span);
    let status = match text("http.response.status_code").or_else(|| text("error.type")) {
        Some(status) => status,
        None if matches!(span.status, Status::Error { .. }) => "error".into(),
        None => "-".into(),
    };
    let method = text("http.request.method").unwrap_or_else(|| span.name.clone());
    let path =
        text("url.path").or_else(|| text("url.full")).or_else(|| text("http.route")).unwrap_or_default();
    let size = match span.span_kind {
        SpanKind::Client => text("http.response.body.size"),
        _ => text("http.request.body.size"),
    };
    let mut line = String::with_capacity(160);
    // Writing to a string does not fail.
    let _ = write!(
        line,
        "{} ({total:?}[{:?}]) {status} {method} {path} [{}]->[{}] size:{}B svc=[{}]",
        timestamp(span.start_time),
        handler.unwrap_or(total),
        endpoint(text("client.address"), None),
        endpoint(text("server.address"), text("server.port")),
        size.as_deref().unwrap_or("0"),
        item.service.name,
    );
    if line.contains(char::is_control) {
        line = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    }
    line
}

fn find<'a>(span: &'a SpanData, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|pair| pair.key.as_str() == key).map(|pair| &pair.value)
}

fn duration(span: &SpanData) -> Duration {
    span.end_time.duration_since(span.start_time).unwrap_or_default()
}

fn endpoint<'a>(
    address: Option<std::borrow::Cow<'a, str>>,
    port: Option<std::borrow::Cow<'a, str>>,
) -> String {
    match (address, port) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (address, port) => address.or(port).map(std::borrow::Cow::into_owned).unwrap_or_default(),
    }
}

/// UTC with seven decimals, as OBI prints it.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let ticks = since.subsec_nanos() / 100;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ticks:07}")
}

/// Gregorian date of a day counted from 1970-01-01: days are counted from 0000-03-01, so that a leap day is the
/// last of its year and months follow a fixed pattern (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `civil_from_days`).
fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_gregorian() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00.0000000"),
            (951_782_399, "2000-02-28 23:59:59.0000000"),
            (951_782_400, "2000-02-29 00:00:00.0000000"),
            (1_709_251_199, "2024-02-29 23:59:59.0000000"),
            (1_709_251_200, "2024-03-01 00:00:00.0000000"),
            (4_107_542_400, "2100-03-01 00:00:00.0000000"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
        let precise = UNIX_EPOCH + Duration::new(1, 522_235_399);
        assert_eq!(timestamp(precise), "1970-01-01 00:00:01.5222353");
    }
}

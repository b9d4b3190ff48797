//! The filter parameters that lists, histograms and facets share.

use super::params::Params;
use super::problem::Problem;
use crate::store::query::{Condition, LogFilter, Needle, Range, SpanFilter, parse_duration};

/// Kinds of spans by OTLP's numbers.
pub(super) const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
/// Status codes of spans by OTLP's numbers.
pub(super) const STATUSES: [&str; 3] = ["unset", "ok", "error"];
/// Severity classes, of which each has four numbers, from 1 on.
pub(super) const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

fn number_of(names: &[&str], value: &str) -> Option<i32> {
    let at = names.iter().position(|name| name.eq_ignore_ascii_case(value))?;
    i32::try_from(at).ok()
}

fn range(params: &mut Params) -> Result<Range, Problem> {
    Ok(Range { start: params.time_ns("start")?, end: params.time_ns("end")? })
}

fn conditions(params: &mut Params) -> Result<Vec<Condition>, Problem> {
    let parse = |text: String| {
        Condition::parse(&text).map_err(|error| Problem::bad_request(format!("attr={text:?}: {error}")))
    };
    params.texts("attr")?.into_iter().map(parse).collect()
}

fn status_class(value: &str) -> Option<i64> {
    match value.as_bytes() {
        [digit @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Some(i64::from(digit - b'0')),
        _ => None,
    }
}

/// Takes what narrows spans and traces.
pub(super) fn spans(params: &mut Params) -> Result<SpanFilter, Problem> {
    const DURATION: &str = "a duration such as 250us, 1.5ms, 2s or plain nanoseconds";
    Ok(SpanFilter {
        range: range(params)?,
        text: params.text("q")?.map(|text| Needle::new(&text)),
        services: params.texts("service")?,
        names: params.texts("name")?,
        kinds: params.all("kind", "a span kind such as server, or its number", |value| {
            number_of(&KINDS, value).or_else(|| value.parse().ok())
        })?,
        statuses: params.all("status", "unset, ok or error", |value| number_of(&STATUSES, value))?,
        status_classes: params.all("status_class", "one of 1xx to 5xx", status_class)?,
        conditions: conditions(params)?,
        min_duration: params.choice("min_duration", DURATION, parse_duration)?,
        max_duration: params.choice("max_duration", DURATION, parse_duration)?,
        errors: params.switch("errors")?,
        root: params.switch("root")?,
        trace_id: None,
    })
}

/// Takes what narrows log records.
pub(super) fn logs(params: &mut Params) -> Result<LogFilter, Problem> {
    Ok(LogFilter {
        range: range(params)?,
        text: params.text("q")?.map(|text| Needle::new(&text)),
        services: params.texts("service")?,
        trace_id: params.trace_id("trace_id")?,
        span_id: params.span_id("span_id")?,
        severity_min: params.severity("severity_min")?,
        severities: params.all("severity", "one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL", |value| {
            number_of(&SEVERITIES, value).map(|at| at * 4 + 1)
        })?,
        conditions: conditions(params)?,
        event_names: params.texts("event_name")?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/x?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn each_parameter_is_read() {
        let mut given = params(
            "start=1&end=2&q=x&service=a&service=b&name=n&kind=server&kind=3&status=error&status_class=5xx\
             &attr=k%3Dv&attr=l&min_duration=1ms&max_duration=2s&errors=1&root=1",
        );
        let filter = spans(&mut given).unwrap();
        given.finish().unwrap();
        assert_eq!(filter.range, Range { start: Some(1), end: Some(2) });
        assert_eq!((filter.services, filter.names), (vec!["a".into(), "b".into()], vec!["n".into()]));
        assert_eq!((filter.kinds, filter.statuses, filter.status_classes), (vec![2, 3], vec![2], vec![5]));
        assert_eq!(filter.conditions.len(), 2);
        assert_eq!((filter.min_duration, filter.max_duration), (Some(1_000_000), Some(2_000_000_000)));
        assert!(filter.errors && filter.root && filter.text == Some(Needle::new("X")));
        let mut given = params("severity=warn&severity=FATAL&severity_min=9&event_name=e&trace_id=&q=");
        let filter = logs(&mut given).unwrap();
        given.finish().unwrap();
        assert_eq!((filter.severities, filter.severity_min), (vec![13, 21], Some(9)));
        assert_eq!((filter.trace_id, filter.text), (None, None));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for bad in [
            "start=-1",
            "end=now",
            "q=a&q=b",
            "kind=servant",
            "kind=99999999999",
            "status=bad",
            "status=3",
            "status_class=6xx",
            "status_class=500",
            "attr=%3Dv",
            "attr=k%3Ex",
            "min_duration=fast",
            "errors=yes",
            "root=2",
            "min_duration=1&min_duration=2",
        ] {
            assert!(spans(&mut params(bad)).is_err(), "{bad}");
        }
        for bad in ["severity=LOUD", "severity=WARN2", "trace_id=1", "attr=%22"] {
            assert!(logs(&mut params(bad)).is_err(), "{bad}");
        }
        let many = vec!["name=a"; 101].join("&");
        assert!(spans(&mut params(&many)).is_err());
    }
}

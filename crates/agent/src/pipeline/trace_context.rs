//! `traceparent` and `tracestate` of a request (<https://www.w3.org/TR/trace-context/>).

use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

/// Reads the two headers; `None` where `traceparent` is not valid. A `tracestate` that is not valid is left out.
pub fn read(traceparent: &str, tracestate: Option<&str>) -> Option<SpanContext> {
    let traceparent = traceparent.trim();
    if !is_well_formed(traceparent.as_bytes()) {
        return None;
    }
    let headers = Headers { traceparent, tracestate };
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// Whether every field has its length and digits, which the propagator is lax about. A version to come may have more
/// fields behind the four known ones.
fn is_well_formed(value: &[u8]) -> bool {
    const KNOWN: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let Some((known, more)) = value.split_at_checked(KNOWN) else { return false };
    let in_place = known.iter().enumerate().all(|(at, byte)| match at {
        2 | 35 | 52 => *byte == b'-',
        _ => is_digit(byte),
    });
    in_place && (more.is_empty() || (!known.starts_with(b"00") && more.starts_with(b"-")))
}

struct Headers<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.traceparent),
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_header_is_read() {
        let span = read(VALID, Some("vendor=1,other=2")).expect("valid");
        assert_eq!(span.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(span.span_id().to_string(), "b7ad6b7169203331");
        assert!(span.is_sampled());
        assert_eq!(span.trace_state().get("vendor"), Some("1"));
        let unsampled = read("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", None).expect("valid");
        assert!(!unsampled.is_sampled());
    }

    #[test]
    fn bad_values_count_as_absent() {
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-zz",
        ] {
            assert_eq!(read(bad, None), None, "{bad:?}");
        }
    }

    #[test]
    fn a_bad_state_does_not_harm_the_parent() {
        assert!(read(VALID, Some("no pair at all")).is_some());
    }
}

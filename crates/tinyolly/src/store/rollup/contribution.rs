//! What one span adds to the rows. A deleted span must take away the same, so this goes by what is stored, alone.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::Tally;
use crate::store::mark;

/// The name of the scope under which the eBPF agent exports.
const AGENT_SCOPE: &str = "otel-ebpf-agent";

/// Whether a scope is the eBPF agent's.
pub fn is_from_agent(scope_name: &str) -> bool {
    scope_name == AGENT_SCOPE
}

/// Whether a span failed: it says so, or its mark tells of a server that answered 5xx.
pub fn is_error(kind: i32, status: i32, mark: i64) -> bool {
    status == StatusCode::Error as i32 || (kind == SpanKind::Server as i32 && mark::status_class(mark) == 5)
}

/// The numbers of one span. `duration_ns` is as stored: the end may lie before the start, which counts as no time.
pub fn contribution(duration_ns: i64, is_error: bool, from_agent: bool) -> Tally {
    let mut tally = Tally {
        count: 1,
        errors: u64::from(is_error),
        from_agent: u64::from(from_agent),
        ..Tally::default()
    };
    tally.durations.add(u64::try_from(duration_ns).unwrap_or(0));
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_said_or_answered_5xx() {
        for (kind, status, class, error) in [
            (3, 2, 0, true),
            (2, 0, 0, false),
            (2, 0, 5, true),
            (2, 1, 5, true),
            (2, 0, 4, false),
            // A client's 5xx is for its instrumentation to call an error.
            (3, 0, 5, false),
        ] {
            assert_eq!(is_error(kind, status, class << 1 | 1), error, "{kind} {status} {class}");
        }
    }

    #[test]
    fn a_clock_that_went_back_gives_no_duration() {
        assert_eq!(contribution(-5, false, false).durations.quantile(0.5), Some(0.0));
    }
}

//! What a collector says about an export.

use std::time::Duration;

use super::proto::{Fields, Value};

/// How many items of an accepted request the collector refused: `partial_success` of an `Export…ServiceResponse`, the
/// same for every signal. An answer that cannot be read refuses none.
pub(super) fn refused(response: &[u8]) -> u64 {
    let partial = Fields(response).find_map(|field| match field {
        (1, Value::Bytes(partial)) => Some(partial),
        _ => None,
    });
    let count = Fields(partial.unwrap_or_default()).find_map(|field| match field {
        (1, Value::Uint(count)) => Some(count),
        _ => None,
    });
    // It is an int64; a negative count means nothing.
    count.filter(|count| i64::try_from(*count).is_ok()).unwrap_or(0)
}

/// The delay that a `google.rpc.Status` asks for with a `google.rpc.RetryInfo` among its details.
pub(super) fn retry_info(status: &[u8]) -> Option<Duration> {
    const RETRY_INFO: &[u8] = b"type.googleapis.com/google.rpc.RetryInfo";
    let details = Fields(status).filter_map(|field| match field {
        (3, Value::Bytes(any)) => Some(any),
        _ => None,
    });
    details
        .filter(|any| Fields(any).any(|field| field == (1, Value::Bytes(RETRY_INFO))))
        .find_map(|any| nested(any, 2).and_then(|info| nested(info, 1)).map(duration))
}

fn nested(message: &[u8], wanted: u64) -> Option<&[u8]> {
    Fields(message).find_map(|(field, value)| match value {
        Value::Bytes(bytes) if field == wanted => Some(bytes),
        _ => None,
    })
}

/// `google.protobuf.Duration`.
fn duration(message: &[u8]) -> Duration {
    let number = |wanted: u64| {
        let found = Fields(message).find_map(|(field, value)| match value {
            Value::Uint(number) if field == wanted => i64::try_from(number).ok(),
            _ => None,
        });
        found.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
    };
    Duration::from_secs(number(1)) + Duration::from_nanos(number(2).min(999_999_999))
}

#[cfg(test)]
mod tests {
    use super::super::proto::Write as _;
    use super::*;

    #[test]
    fn refused_items_are_read() {
        let partial = |count: u64| {
            let mut response = Vec::new();
            response.message(1, |partial| {
                partial.uint(1, count);
                partial.bytes(2, b"why");
            });
            response
        };
        assert_eq!(refused(&partial(3)), 3);
        assert_eq!(refused(&partial(u64::MAX)), 0, "a negative count");
        assert_eq!(refused(&[]), 0);
        assert_eq!(refused(&[0xff; 30]), 0);
    }

    #[test]
    fn the_delay_asked_for_is_read() {
        let status = |kind: &[u8]| {
            let mut status = Vec::new();
            status.uint(1, 14);
            status.message(3, |any| {
                any.bytes(1, kind);
                any.message(2, |info| {
                    info.message(1, |duration| {
                        duration.uint(1, 2);
                        duration.uint(2, 500_000_000);
                    });
                });
            });
            status
        };
        let expected = Some(Duration::from_millis(2500));
        assert_eq!(retry_info(&status(b"type.googleapis.com/google.rpc.RetryInfo")), expected);
        assert_eq!(retry_info(&status(b"type.googleapis.com/google.rpc.ErrorInfo")), None);
        assert_eq!(retry_info(b"\x0a\xff"), None);
    }
}

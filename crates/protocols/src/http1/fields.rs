//! Header fields the engine looks at, and the values among them that decide where a body ends.

/// Header fields that are read; every other value is left where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    ContentLength,
    ContentType,
    Expect,
    Forwarded,
    Host,
    Traceparent,
    Tracestate,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
}

impl Field {
    /// Recognises a field by its name in any case.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let candidates: &[(&str, Field)] = match name.len() {
            4 => &[("host", Field::Host)],
            6 => &[("expect", Field::Expect)],
            7 => &[("upgrade", Field::Upgrade)],
            9 => &[("forwarded", Field::Forwarded)],
            10 => &[("user-agent", Field::UserAgent), ("tracestate", Field::Tracestate)],
            11 => &[("traceparent", Field::Traceparent)],
            12 => &[("content-type", Field::ContentType)],
            14 => &[("content-length", Field::ContentLength)],
            15 => &[("x-forwarded-for", Field::XForwardedFor)],
            16 => &[("x-forwarded-host", Field::XForwardedHost)],
            17 => &[
                ("transfer-encoding", Field::TransferEncoding),
                ("x-forwarded-proto", Field::XForwardedProto),
            ],
            _ => &[],
        };
        let found = candidates.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, field)| *field)
    }
}

/// Collects `Content-Length` and `Transfer-Encoding` over all the lines of one head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FramingFields {
    /// The length all lines agree on.
    pub(super) content_length: Option<u64>,
    /// A length that is no number, or two that differ.
    pub(super) length_invalid: bool,
    /// The last transfer coding named, when any was: whether it is `chunked`.
    pub(super) ends_chunked: Option<bool>,
}

impl FramingFields {
    /// Takes one `Content-Length` line. A list of equal values counts as that value (RFC 9112 section 6.3).
    pub(super) fn add_content_length(&mut self, value: &[u8]) {
        for item in value.split(|byte| *byte == b',') {
            match (decimal(item.trim_ascii()), self.content_length) {
                (None, _) => self.length_invalid = true,
                (Some(length), Some(before)) if length != before => self.length_invalid = true,
                (Some(length), _) => self.content_length = Some(length),
            }
        }
    }

    /// Takes one `Transfer-Encoding` line.
    pub(super) fn add_transfer_encoding(&mut self, value: &[u8]) {
        for item in value.split(|byte| *byte == b',') {
            let coding = item.trim_ascii();
            if !coding.is_empty() {
                self.ends_chunked = Some(coding.eq_ignore_ascii_case(b"chunked"));
            }
        }
    }
}

/// Tells whether an `Expect` value asks for `100-continue`.
pub(super) fn expects_continue(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(b"100-continue")
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

//! Telling from its first bytes whether something may be an HTTP/1 message.

/// Longest method that is believed where nothing else says that this is HTTP.
const PLAUSIBLE_METHOD_MAX: usize = 24;
/// Longest method that is accepted where a request must begin.
const METHOD_MAX: usize = 64;
/// Opens every HTTP/2 connection (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// How well a prefix fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It cannot be the beginning of such a message.
    No,
    /// Too short to tell.
    Maybe,
    /// It begins as such a message must.
    Yes,
}

/// Judges whether `bytes` begin a request where nothing else says so: the method must look like one.
///
/// Empty lines ahead of the request line are skipped (RFC 9112 section 2.2).
pub(super) fn request_start(bytes: &[u8]) -> Fit {
    let bytes = skip_empty_lines(bytes);
    if bytes.len() >= HTTP2_PREFACE.len() && bytes.starts_with(HTTP2_PREFACE) {
        return Fit::No;
    }
    let method = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"-_".contains(byte))
        .count();
    if method > PLAUSIBLE_METHOD_MAX || bytes.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
        return Fit::No;
    }
    request_target_follows(&bytes[method..], method)
}

/// Judges whether `bytes` begin a request where one must begin: any token may be the method.
pub(super) fn request_prefix(bytes: &[u8]) -> Fit {
    let method = bytes.iter().take(METHOD_MAX + 1).take_while(|byte| is_token(**byte)).count();
    if method > METHOD_MAX {
        return Fit::No;
    }
    request_target_follows(&bytes[method..], method)
}

/// Judges whether `bytes` begin a response: `HTTP/1.` digit, space, three digits.
pub(super) fn response_start(bytes: &[u8]) -> Fit {
    const PATTERN: &[u8] = b"HTTP/1.d ddd";
    let bytes = skip_empty_lines(bytes);
    let fits = PATTERN.iter().zip(bytes).all(|(want, got)| match want {
        b'd' => got.is_ascii_digit(),
        _ => want == got,
    });
    match (fits, bytes.len() >= PATTERN.len()) {
        (false, _) => Fit::No,
        (true, false) => Fit::Maybe,
        (true, true) => Fit::Yes,
    }
}

/// Tells whether `bytes` open a connection of a protocol that HTTP/1 cannot be mistaken for: TLS or HTTP/2.
pub(super) fn is_foreign_opening(bytes: &[u8]) -> bool {
    // TLS record: content type 20 to 24, legacy version 3.0 to 3.4 (RFC 8446 section 5.1).
    let tls = matches!(bytes, [20..=24, 3, 0..=4, ..]);
    tls || bytes.starts_with(HTTP2_PREFACE)
}

/// Tells whether the first line of `head` is whole and is a request line of HTTP/1.
pub(super) fn has_request_line(head: &[u8]) -> bool {
    let Some(end) = head.iter().position(|byte| *byte == b'\n') else {
        return false;
    };
    is_request_line(&head[..end])
}

/// Tells whether `line`, without its line feed, ends as a request line of HTTP/1 must.
pub(super) fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0")
}

fn request_target_follows(rest: &[u8], method: usize) -> Fit {
    match rest {
        [] => Fit::Maybe,
        [b' '] if method > 0 => Fit::Maybe,
        // Any visible byte may begin a target: a path, a scheme, a host, an asterisk, or non-ASCII sent raw.
        [b' ', byte, ..] if method > 0 && *byte > b' ' && *byte != 0x7f => Fit::Yes,
        _ => Fit::No,
    }
}

fn skip_empty_lines(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
    &bytes[start.unwrap_or(bytes.len())..]
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

//! Reading one complete head with `httparse`, keeping what spans need and nothing that may be secret.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

use super::fields::{Field, FramingFields, expects_continue};

/// Most header fields one head may have.
const MAX_HEADERS: usize = 256;

/// HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

impl Version {
    /// Spelled as `network.protocol.version` wants it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
        }
    }
}

/// What is kept of a request's head. Values of all other fields are never copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Method, as sent.
    pub method: String,
    /// Request target, as sent: it may hold secrets in its query or userinfo, see [`crate::url`].
    pub target: String,
    /// Version of the request line.
    pub version: Version,
    /// `Host`, the first one.
    pub host: Option<String>,
    /// `User-Agent`, the first one.
    pub user_agent: Option<String>,
    /// `traceparent`, raw; `None` when there were several, which is invalid.
    pub traceparent: Option<String>,
    /// `tracestate`, its lines joined by commas.
    pub tracestate: Option<String>,
    /// `Forwarded`, its lines joined by commas.
    pub forwarded: Option<String>,
    /// `X-Forwarded-For`, its lines joined by commas.
    pub x_forwarded_for: Option<String>,
    /// `X-Forwarded-Proto`, the first one.
    pub x_forwarded_proto: Option<String>,
    /// `X-Forwarded-Host`, the first one.
    pub x_forwarded_host: Option<String>,
    /// `Content-Type`, the first one.
    pub content_type: Option<String>,
    /// `Content-Length`, which need not be what was sent in the end.
    pub content_length: Option<u64>,
    /// `Upgrade`, the first one.
    pub upgrade: Option<String>,
}

/// What is kept of a response's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Status code, 100 to 999.
    pub status: u16,
    /// Version of the status line.
    pub version: Version,
    /// `Content-Type`, the first one.
    pub content_type: Option<String>,
    /// `Content-Length`, which a response to `HEAD` has without a body.
    pub content_length: Option<u64>,
    /// `Upgrade`, the first one.
    pub upgrade: Option<String>,
}

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

/// A head and what follows from it.
pub(super) struct Parsed<H> {
    pub(super) head: H,
    /// As the header fields say; the request's method and the status may overrule it for a response.
    pub(super) framing: Framing,
    /// The sender waits for `100 (Continue)` before it sends the body.
    pub(super) expects_continue: bool,
    /// Length of the head in bytes.
    pub(super) consumed: usize,
}

/// Why a head could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// Not whole yet.
    Partial,
    Malformed,
    TooManyHeaders,
}

impl From<httparse::Error> for HeadError {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
            _ => HeadError::Malformed,
        }
    }
}

/// Reads a request's head from the start of `bytes`. Folded field lines are refused (RFC 9112 section 5.2).
pub(super) fn parse_request(bytes: &[u8]) -> Result<Parsed<RequestHead>, HeadError> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut []);
    let consumed = match request.parse_with_uninit_headers(bytes, &mut headers)? {
        Status::Complete(consumed) => consumed,
        Status::Partial => return Err(HeadError::Partial),
    };
    let mut head = RequestHead {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        version: version(request.version),
        host: None,
        user_agent: None,
        traceparent: None,
        tracestate: None,
        forwarded: None,
        x_forwarded_for: None,
        x_forwarded_proto: None,
        x_forwarded_host: None,
        content_type: None,
        content_length: None,
        upgrade: None,
    };
    let mut framing = FramingFields::default();
    let mut expects = false;
    let mut traceparents = 0_u32;
    for header in request.headers.iter() {
        let Some(field) = Field::from_name(header.name) else {
            continue;
        };
        match field {
            Field::ContentLength => framing.add_content_length(header.value),
            Field::ContentType => keep_first(&mut head.content_type, header.value),
            Field::Expect => expects |= expects_continue(header.value),
            Field::Forwarded => append(&mut head.forwarded, header.value),
            Field::Host => keep_first(&mut head.host, header.value),
            Field::Traceparent => {
                traceparents += 1;
                keep_first(&mut head.traceparent, header.value);
            }
            Field::Tracestate => append(&mut head.tracestate, header.value),
            Field::TransferEncoding => framing.add_transfer_encoding(header.value),
            Field::Upgrade => keep_first(&mut head.upgrade, header.value),
            Field::UserAgent => keep_first(&mut head.user_agent, header.value),
            Field::XForwardedFor => append(&mut head.x_forwarded_for, header.value),
            Field::XForwardedHost => keep_first(&mut head.x_forwarded_host, header.value),
            Field::XForwardedProto => keep_first(&mut head.x_forwarded_proto, header.value),
        }
    }
    if traceparents > 1 {
        head.traceparent = None;
    }
    head.content_length = framing.content_length;
    Ok(Parsed { framing: request_framing(framing)?, head, expects_continue: expects, consumed })
}

/// Reads a response's head from the start of `bytes`. Folded field lines and blanks between a field's name and its
/// colon are accepted, as clients do.
pub(super) fn parse_response(bytes: &[u8]) -> Result<Parsed<ResponseHead>, HeadError> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    config
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    let consumed = match config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers)? {
        Status::Complete(consumed) => consumed,
        Status::Partial => return Err(HeadError::Partial),
    };
    let status = response.code.unwrap_or_default();
    if status < 100 {
        return Err(HeadError::Malformed);
    }
    let mut head = ResponseHead {
        status,
        version: version(response.version),
        content_type: None,
        content_length: None,
        upgrade: None,
    };
    let mut framing = FramingFields::default();
    for header in response.headers.iter() {
        match Field::from_name(header.name) {
            Some(Field::ContentLength) => framing.add_content_length(header.value),
            Some(Field::ContentType) => keep_first(&mut head.content_type, header.value),
            Some(Field::TransferEncoding) => framing.add_transfer_encoding(header.value),
            Some(Field::Upgrade) => keep_first(&mut head.upgrade, header.value),
            _ => {}
        }
    }
    head.content_length = framing.content_length;
    Ok(Parsed { framing: response_framing(framing)?, head, expects_continue: false, consumed })
}

/// RFC 9112 section 6.3, rules 3 to 7. A request whose last coding is not `chunked` has no end a server could find.
fn request_framing(fields: FramingFields) -> Result<Framing, HeadError> {
    match fields.ends_chunked {
        Some(true) => Ok(Framing::Chunked),
        Some(false) => Err(HeadError::Malformed),
        None if fields.length_invalid => Err(HeadError::Malformed),
        None => Ok(Framing::Length(fields.content_length.unwrap_or(0))),
    }
}

/// RFC 9112 section 6.3, rules 3 to 8, without what the request and the status decide.
fn response_framing(fields: FramingFields) -> Result<Framing, HeadError> {
    match (fields.ends_chunked, fields.content_length) {
        (Some(true), _) => Ok(Framing::Chunked),
        (Some(false), _) => Ok(Framing::UntilClose),
        (None, _) if fields.length_invalid => Err(HeadError::Malformed),
        (None, Some(length)) => Ok(Framing::Length(length)),
        (None, None) => Ok(Framing::UntilClose),
    }
}

fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::Http10 } else { Version::Http11 }
}

fn keep_first(slot: &mut Option<String>, value: &[u8]) {
    if slot.is_none() {
        *slot = Some(text(value));
    }
}

fn append(slot: &mut Option<String>, value: &[u8]) {
    match slot {
        Some(before) => {
            before.push(',');
            before.push_str(&text(value));
        }
        None => *slot = Some(text(value)),
    }
}

fn text(value: &[u8]) -> String {
    let value = value.trim_ascii();
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(value).into_owned(),
    }
}

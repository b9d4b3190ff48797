//! From an HTTP exchange to spans, after the stable HTTP semantic conventions
//! (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>).

use std::borrow::Cow;

use opentelemetry::{
    KeyValue, Value,
    trace::{SpanKind, Status},
};
use otel_ebpf_events::ConnKey;
use otel_ebpf_protocols::{
    http1::{Exchange, ExchangeEnd, Role, Version},
    method::KnownMethods,
    redact::Redactor,
    url,
};

use super::{
    Meta, endpoint,
    errno::error_type,
    forwarded::{self, Forwarded},
    span::Draft,
};
use crate::semconv;

/// The tap sees bytes before encryption or never encrypted, and HTTP/1 in the clear is `http`.
const SCHEME: &str = "http";

/// How exchanges become spans.
pub struct HttpSpans {
    /// Query parameters whose values never leave the agent.
    pub redactor: Redactor,
    /// Methods that are reported by name.
    pub methods: KnownMethods,
    /// Shortest wait that makes `in queue` and `processing` spans, in nanoseconds.
    pub queue_threshold_ns: u64,
}

/// The spans of one exchange.
#[derive(Debug)]
pub struct ExchangeSpans {
    /// The server or client span.
    pub main: Draft,
    /// `in queue` and `processing`, where the request waited.
    pub children: Vec<Draft>,
}

impl ExchangeSpans {
    /// A span without children.
    pub fn alone(main: Draft) -> Self {
        Self { main, children: Vec::new() }
    }

    /// Keeps all spans within `(start_ns, end_ns)`, where they leave it by no more than `tolerance_ns`, which is how far
    /// the reports of two processors may differ. A server that goes on for longer after its client gave up did so.
    pub fn clamp(&mut self, (start_ns, end_ns): (u64, u64), tolerance_ns: u64) {
        let start_ns = if self.main.start_ns.saturating_add(tolerance_ns) < start_ns { 0 } else { start_ns };
        let end_ns = if self.main.end_ns > end_ns.saturating_add(tolerance_ns) { u64::MAX } else { end_ns };
        for draft in std::iter::once(&mut self.main).chain(&mut self.children) {
            draft.start_ns = draft.start_ns.clamp(start_ns, end_ns.max(start_ns));
            draft.end_ns = draft.end_ns.min(end_ns).max(draft.start_ns);
        }
    }
}

impl HttpSpans {
    /// Tells an exchange as spans. `route` is the low-cardinality route, where there is evidence for one; `errno` what the
    /// end of the connection left on the socket, for an exchange that this ended.
    pub fn tell(
        &self,
        exchange: &Exchange<Meta>,
        conn: &ConnKey,
        route: Option<String>,
        errno: u32,
    ) -> ExchangeSpans {
        match exchange.role {
            Role::Server => self.server(exchange, conn, route, errno),
            Role::Client => ExchangeSpans::alone(self.client(exchange, conn, errno)),
        }
    }

    fn server(
        &self,
        exchange: &Exchange<Meta>,
        conn: &ConnKey,
        route: Option<String>,
        errno: u32,
    ) -> ExchangeSpans {
        let request = &exchange.request;
        let meta = &exchange.request_meta;
        // The time is that of the first byte read together with others: it is this request's if it begins there.
        let arrival = Some(meta.arrival_ns).filter(|arrival| {
            *arrival != 0 && meta.seq == exchange.request_seq && *arrival <= exchange.request_start_ns
        });
        let start_ns = arrival.unwrap_or(exchange.request_start_ns);
        let end_ns = end_of(exchange);

        let method = self.methods.for_span(&request.method);
        let mut attributes = common(exchange, &method);
        let target = url::split_target(request);
        let forwarded = Forwarded::of(request);
        let scheme = forwarded.scheme.or(target.scheme).unwrap_or(SCHEME).to_ascii_lowercase();
        let local = endpoint::local(conn);
        let named = [forwarded.host, target.authority, request.host.as_deref()];
        server_attributes(&mut attributes, &named, &scheme, local);
        push(&mut attributes, semconv::URL_SCHEME, scheme);
        push(&mut attributes, semconv::URL_PATH, target.path.to_owned());
        if let Some(query) = target.query {
            push(&mut attributes, semconv::URL_QUERY, self.redactor.query(query).into_owned());
        }
        if let Some(route) = &route {
            push(&mut attributes, semconv::HTTP_ROUTE, route.clone());
        }

        let peer = endpoint::remote(conn);
        match forwarded.client {
            Some(client) => {
                let (address, port) = forwarded::node(client);
                push(&mut attributes, semconv::CLIENT_ADDRESS, address.to_owned());
                if let Some(port) = port {
                    push(&mut attributes, semconv::CLIENT_PORT, i64::from(port));
                }
            }
            None => {
                push(&mut attributes, semconv::CLIENT_ADDRESS, peer.address.to_string());
                push(&mut attributes, semconv::CLIENT_PORT, i64::from(peer.port));
            }
        }
        peer_attributes(&mut attributes, peer);
        let start_source = if arrival.is_some() { "arrival" } else { "read" };
        push(&mut attributes, semconv::EBPF_START_SOURCE, start_source);

        let status = status(exchange, 500, errno, &mut attributes);
        let main = Draft {
            kind: SpanKind::Server,
            name: name(method.method, route),
            start_ns,
            end_ns,
            attributes,
            status,
        };
        let children = match arrival {
            Some(arrival) if exchange.request_start_ns - arrival >= self.queue_threshold_ns => vec![
                Draft::internal("in queue", arrival, exchange.request_start_ns),
                Draft::internal("processing", exchange.request_start_ns, end_ns),
            ],
            _ => Vec::new(),
        };
        ExchangeSpans { main, children }
    }

    fn client(&self, exchange: &Exchange<Meta>, conn: &ConnKey, errno: u32) -> Draft {
        let request = &exchange.request;
        let method = self.methods.for_span(&request.method);
        let mut attributes = common(exchange, &method);
        let peer = endpoint::remote(conn);
        let target = url::split_target(request);
        let authority = peer_authority(peer);
        if let Some(full) = url::full_url(request, SCHEME, Some(&authority), &self.redactor) {
            push(&mut attributes, semconv::URL_FULL, full);
        }
        push(&mut attributes, semconv::URL_SCHEME, target.scheme.unwrap_or(SCHEME).to_owned());

        let named = [target.authority, request.host.as_deref()];
        server_attributes(&mut attributes, &named, target.scheme.unwrap_or(SCHEME), peer);
        peer_attributes(&mut attributes, peer);

        let status = status(exchange, 400, errno, &mut attributes);
        Draft {
            kind: SpanKind::Client,
            name: name(method.method, None),
            start_ns: exchange.request_start_ns,
            end_ns: end_of(exchange),
            attributes,
            status,
        }
    }
}

/// Status of the span, and `error.type` where it is an error: a status code of at least `error_from`, or an exchange that
/// did not come to its end.
fn status(exchange: &Exchange<Meta>, error_from: u16, errno: u32, attributes: &mut Vec<KeyValue>) -> Status {
    let error: Cow<'static, str> = match exchange.outcome {
        // A server may answer before it has the whole request, and close: the answer is what counts.
        ExchangeEnd::Complete | ExchangeEnd::Upgraded | ExchangeEnd::RequestCutShort => {
            match &exchange.response {
                Some(response) if response.status >= error_from => response.status.to_string().into(),
                Some(_) => return Status::Unset,
                None => "no_response".into(),
            }
        }
        ExchangeEnd::ResponseCutShort => "response_cut_short".into(),
        ExchangeEnd::NoResponse => "no_response".into(),
        ExchangeEnd::Reset if errno == 0 => "connection_reset".into(),
        ExchangeEnd::Reset => error_type(errno).into(),
    };
    attributes.push(KeyValue::new(semconv::ERROR_TYPE, error));
    // The conventions want a description only where `error.type` and the status code say too little.
    Status::error("")
}

/// `server.address` and `server.port`, both from the first name given, or both from the socket. A name without a port
/// means the scheme's own.
fn server_attributes(
    attributes: &mut Vec<KeyValue>,
    named: &[Option<&str>],
    scheme: &str,
    socket: endpoint::Endpoint,
) {
    let name = named.iter().flatten().map(|name| url::host_port(name)).find(|(host, _)| !host.is_empty());
    let (address, port) = match name {
        Some((host, port)) => {
            let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
            (host.to_owned(), port.unwrap_or(default))
        }
        None => (socket.address.to_string(), socket.port),
    };
    push(attributes, semconv::SERVER_ADDRESS, address);
    push(attributes, semconv::SERVER_PORT, i64::from(port));
}

/// `{method} {route}`, or the method alone; `HTTP` for a method that is not known.
fn name(method: &str, route: Option<String>) -> Cow<'static, str> {
    let method = if method == otel_ebpf_protocols::method::OTHER { "HTTP" } else { method };
    match route {
        Some(route) => format!("{method} {route}").into(),
        None => method.to_owned().into(),
    }
}

/// Attributes that server and client spans share.
fn common(exchange: &Exchange<Meta>, method: &otel_ebpf_protocols::method::SpanMethod<'_>) -> Vec<KeyValue> {
    let request = &exchange.request;
    let mut attributes = Vec::with_capacity(20);
    push(&mut attributes, semconv::HTTP_REQUEST_METHOD, method.method.to_owned());
    if let Some(original) = method.original {
        push(&mut attributes, semconv::HTTP_REQUEST_METHOD_ORIGINAL, original.to_owned());
    }
    push(&mut attributes, semconv::NETWORK_PROTOCOL_VERSION, version(exchange).to_owned());
    if let Some(agent) = &request.user_agent {
        push(&mut attributes, semconv::USER_AGENT_ORIGINAL, agent.clone());
    }
    if let Some(bytes) =
        exchange.request_body_bytes.filter(|bytes| *bytes > 0 || request.content_length.is_some())
    {
        push(&mut attributes, semconv::HTTP_REQUEST_BODY_SIZE, size(bytes));
    }
    if let Some(response) = &exchange.response {
        push(&mut attributes, semconv::HTTP_RESPONSE_STATUS_CODE, i64::from(response.status));
        if let Some(bytes) = exchange.response_body_bytes {
            push(&mut attributes, semconv::HTTP_RESPONSE_BODY_SIZE, size(bytes));
        }
    }
    if exchange.end_estimated {
        push(&mut attributes, semconv::EBPF_END_ESTIMATED, true);
    }
    attributes
}

/// The version in use: the lower of what the two ends said.
fn version(exchange: &Exchange<Meta>) -> &'static str {
    match &exchange.response {
        Some(response) if response.version == Version::Http10 => Version::Http10.as_str(),
        _ => exchange.request.version.as_str(),
    }
}

/// When an exchange was over.
pub fn end_of(exchange: &Exchange<Meta>) -> u64 {
    exchange
        .response_end_ns
        .or(exchange.closed_ns)
        .unwrap_or(exchange.request_end_ns)
        .max(exchange.request_start_ns)
}

fn peer_attributes(attributes: &mut Vec<KeyValue>, peer: endpoint::Endpoint) {
    push(attributes, semconv::NETWORK_PEER_ADDRESS, peer.address.to_string());
    push(attributes, semconv::NETWORK_PEER_PORT, i64::from(peer.port));
}

/// The peer as the authority of a URL.
fn peer_authority(peer: endpoint::Endpoint) -> String {
    std::net::SocketAddr::new(peer.address, peer.port).to_string()
}

fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn push(attributes: &mut Vec<KeyValue>, key: &'static str, value: impl Into<Value>) {
    attributes.push(KeyValue::new(key, value.into()));
}

//! Where spans go: endpoint, protocol and headers after the OTLP exporter specification.
//!
//! Source: opentelemetry.io, "OpenTelemetry Protocol Exporter", sections on endpoint URLs and headers.

use std::time::Duration;

use super::values::TracePrinter;

/// The accepted form of an endpoint, for error messages.
pub(crate) const ENDPOINT_ACCEPTED: &str = "a URL such as http://localhost:4317 (gRPC) or http://localhost:4318 \
                                            (HTTP); https needs TLS, which this agent does not contain";
/// The accepted protocols, for error messages.
pub(crate) const PROTOCOL_ACCEPTED: &str = "grpc or http/protobuf";
/// The accepted form of a list of headers, for error messages.
pub(crate) const HEADERS_ACCEPTED: &str = "key=value pairs separated by commas, values percent-encoded";

/// The wire protocol of an OTLP exporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// OTLP over gRPC.
    Grpc,
    /// OTLP over HTTP with binary protobuf bodies.
    HttpProtobuf,
}

impl OtlpProtocol {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "grpc" => Some(Self::Grpc),
            "http/protobuf" => Some(Self::HttpProtobuf),
            _ => None,
        }
    }

    /// Guesses as OBI does: a port that ends in 4317 means gRPC, everything else HTTP.
    pub(crate) fn guess(endpoint: &Endpoint) -> Self {
        match endpoint.port {
            Some(port) if port.to_string().ends_with("4317") => Self::Grpc,
            _ => Self::HttpProtobuf,
        }
    }
}

/// Connection to a collector.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpSettings {
    /// The full URL: for HTTP it includes the path of the traces signal.
    pub endpoint: String,
    /// The wire protocol.
    pub protocol: OtlpProtocol,
    /// Sent with every export. The values may be secrets.
    pub headers: Vec<(String, String)>,
    /// How long one export may take.
    pub timeout: Duration,
    /// Whether bodies are compressed with gzip.
    pub gzip: bool,
}

impl std::fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("OtlpSettings")
            .field("endpoint", &self.endpoint)
            .field("protocol", &self.protocol)
            .field("header_names", &names)
            .field("timeout", &self.timeout)
            .field("gzip", &self.gzip)
            .finish()
    }
}

/// What happens to finished spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportSettings {
    /// The collector; none when spans are only printed.
    pub otlp: Option<OtlpSettings>,
    /// Whether and how spans are printed.
    pub printer: TracePrinter,
    /// The most spans of a request.
    pub batch_max_size: usize,
    /// How long a span waits for others to share its export.
    pub batch_timeout: Duration,
    /// How many spans may wait, those under way included; what comes on top is dropped and counted.
    pub queue_size: usize,
    /// How many bytes they may take, as they are sent.
    pub queue_bytes: usize,
}

impl Default for ExportSettings {
    fn default() -> Self {
        Self {
            otlp: None,
            printer: TracePrinter::Disabled,
            batch_max_size: 4096,
            batch_timeout: Duration::from_secs(1),
            queue_size: 131_072,
            queue_bytes: 32 << 20,
        }
    }
}

/// The agent's own metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnMetricsSettings {
    /// The collector: that of the spans, but for the path of the signal over HTTP.
    pub otlp: OtlpSettings,
    /// Time between two exports.
    pub interval: Duration,
}

/// Path of traces over HTTP.
const TRACES_PATH: &str = "/v1/traces";
/// Path of metrics over HTTP.
const METRICS_PATH: &str = "/v1/metrics";

impl OtlpSettings {
    /// Where metrics go when spans go here; `None` for an HTTP endpoint that says nothing of its other signals.
    pub(crate) fn for_metrics(&self) -> Option<Self> {
        let endpoint = match self.protocol {
            OtlpProtocol::Grpc => self.endpoint.clone(),
            OtlpProtocol::HttpProtobuf => {
                let (path, query) = match self.endpoint.find('?') {
                    Some(at) => self.endpoint.split_at(at),
                    None => (self.endpoint.as_str(), ""),
                };
                format!("{}{METRICS_PATH}{query}", path.strip_suffix(TRACES_PATH)?)
            }
        };
        Some(Self { endpoint, ..self.clone() })
    }
}

/// An endpoint URL that has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    url: String,
    /// Length of `scheme://authority` in `url`.
    origin_len: usize,
    port: Option<u16>,
}

impl Endpoint {
    /// Reads an `http` URL; `https` is refused because no TLS is compiled in.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let uri: http::Uri = text.parse().ok()?;
        let authority = uri.authority()?;
        if uri.scheme_str() != Some("http") || authority.host().is_empty() || text.contains('#') {
            return None;
        }
        // A port that is written but empty or too large is a mistake, not the default port.
        let after_host = authority.as_str().rsplit('@').next()?.strip_prefix(authority.host())?;
        if !after_host.is_empty() && authority.port_u16().is_none() {
            return None;
        }
        let origin_len = "http://".len() + authority.as_str().len();
        Some(Self { url: text.to_owned(), origin_len, port: authority.port_u16() })
    }

    /// The URL for an endpoint that stands for the traces signal alone: used as it is.
    pub(crate) fn per_signal(&self) -> String {
        self.url.clone()
    }

    /// The URL for an endpoint shared by all signals: HTTP appends the path of the signal.
    pub(crate) fn base(&self, protocol: OtlpProtocol) -> String {
        match protocol {
            OtlpProtocol::Grpc => self.url.clone(),
            OtlpProtocol::HttpProtobuf => {
                let (path, query) = match self.url.find('?') {
                    Some(at) => self.url.split_at(at),
                    None => (self.url.as_str(), ""),
                };
                format!("{}{TRACES_PATH}{query}", path.trim_end_matches('/'))
            }
        }
    }

    /// Whether the URL has a path of its own, which gRPC does not use.
    pub(crate) fn has_path(&self) -> bool {
        !matches!(&self.url[self.origin_len..], "" | "/")
    }
}

/// Reads `key=value,key=value` with percent-encoded values: the form of W3C Baggage without properties.
pub(crate) fn parse_pairs(text: &str) -> Option<Vec<(String, String)>> {
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let key = percent_decode(key.trim())?;
            (!key.is_empty()).then_some((key, percent_decode(value.trim())?))
        })
        .collect()
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether a header can be sent: its name is a token and its value visible ASCII.
pub(crate) fn valid_header(name: &str, value: &str) -> bool {
    name.parse::<http::HeaderName>().is_ok()
        && http::HeaderValue::from_str(value).is_ok_and(|value| value.to_str().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_follows_the_port() {
        for (url, protocol) in [
            ("http://localhost:4317", OtlpProtocol::Grpc),
            ("http://localhost:14317", OtlpProtocol::Grpc),
            ("http://localhost:4318", OtlpProtocol::HttpProtobuf),
            ("http://localhost", OtlpProtocol::HttpProtobuf),
            ("http://[::1]:4317/", OtlpProtocol::Grpc),
        ] {
            assert_eq!(OtlpProtocol::guess(&Endpoint::parse(url).expect(url)), protocol, "{url}");
        }
    }

    #[test]
    fn base_endpoint_gets_the_path_of_the_signal_over_http() {
        for (url, expected) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
            ("http://host/otlp", "http://host/otlp/v1/traces"),
            ("http://host/otlp/?a=b", "http://host/otlp/v1/traces?a=b"),
        ] {
            let endpoint = Endpoint::parse(url).expect(url);
            assert_eq!(endpoint.base(OtlpProtocol::HttpProtobuf), expected);
            assert_eq!(endpoint.per_signal(), url);
        }
        let grpc = Endpoint::parse("http://localhost:4317").expect("valid");
        assert_eq!(grpc.base(OtlpProtocol::Grpc), "http://localhost:4317");
    }

    #[test]
    fn metrics_go_beside_the_spans() {
        let of = |protocol, endpoint: &str| {
            let settings = OtlpSettings {
                endpoint: endpoint.to_owned(),
                protocol,
                headers: Vec::new(),
                timeout: Duration::from_secs(1),
                gzip: false,
            };
            settings.for_metrics().map(|settings| settings.endpoint)
        };
        let http = OtlpProtocol::HttpProtobuf;
        assert_eq!(of(OtlpProtocol::Grpc, "http://h:4317").as_deref(), Some("http://h:4317"));
        assert_eq!(of(http, "http://h/x/v1/traces?a=b").as_deref(), Some("http://h/x/v1/metrics?a=b"));
        assert_eq!(of(http, "http://h/api/spans"), None);
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for url in [
            "",
            "localhost:4317",
            "https://host:4317",
            "http://",
            "http://host:99999",
            "http://host:",
            "grpc://h:1",
        ] {
            assert_eq!(Endpoint::parse(url), None, "{url:?}");
        }
    }

    #[test]
    fn pairs_are_percent_decoded() {
        let pairs = parse_pairs("a=1, b = two%20words%2C%C3%A9 ,,c=x=y").expect("valid");
        let expected = [("a", "1"), ("b", "two words,é"), ("c", "x=y")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        for text in ["novalue", "=x", "a=%2", "a=%zz", "a=%ff"] {
            assert_eq!(parse_pairs(text), None, "{text:?}");
        }
    }

    #[test]
    fn debug_output_hides_header_values() {
        let settings = OtlpSettings {
            endpoint: "http://localhost:4317".to_owned(),
            protocol: OtlpProtocol::Grpc,
            headers: vec![("authorization".to_owned(), "Bearer secret".to_owned())],
            timeout: Duration::from_secs(10),
            gzip: false,
        };
        let text = format!("{settings:?}");
        assert!(text.contains("authorization") && !text.contains("secret"), "{text}");
    }
}

//! What a proxy says of the original request: `Forwarded` (RFC 7239) and its `X-Forwarded-*` forerunners.

use otel_ebpf_protocols::{http1::RequestHead, url};

/// The original client and host, as far as headers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// The first hop's client.
    pub client: Option<&'a str>,
    /// The host the client asked for.
    pub host: Option<&'a str>,
    /// The scheme the client used.
    pub scheme: Option<&'a str>,
}

impl<'a> Forwarded<'a> {
    /// Reads the headers; `Forwarded` wins over the others.
    pub fn of(request: &'a RequestHead) -> Self {
        let standard = request.forwarded.as_deref();
        Self {
            client: standard
                .and_then(|value| parameter(value, "for"))
                .or_else(|| request.x_forwarded_for.as_deref().and_then(first)),
            host: standard
                .and_then(|value| parameter(value, "host"))
                .or_else(|| request.x_forwarded_host.as_deref().and_then(first)),
            scheme: standard
                .and_then(|value| parameter(value, "proto"))
                .or_else(|| request.x_forwarded_proto.as_deref().and_then(first))
                .filter(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())),
        }
    }
}

/// Address and port of a node name; an IPv6 address comes in brackets where it has a port (RFC 7239 section 6).
pub fn node(text: &str) -> (&str, Option<u16>) {
    // `X-Forwarded-For` carries bare IPv6 addresses.
    if text.parse::<std::net::Ipv6Addr>().is_ok() { (text, None) } else { url::host_port(text) }
}

/// A parameter of the first element, without quotes.
fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(',').next()?.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (key.trim().eq_ignore_ascii_case(name) && !value.is_empty()).then_some(value)
    })
}

/// The first element of a list.
fn first(value: &str) -> Option<&str> {
    value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_first_hop_are_found() {
        let value = r#"For="[2001:db8::1]:4711";host=shop.example, for=10.0.0.9"#;
        assert_eq!(parameter(value, "for"), Some("[2001:db8::1]:4711"));
        assert_eq!(parameter(value, "host"), Some("shop.example"));
        assert_eq!(parameter(value, "by"), None);
        assert_eq!(parameter("for=", "for"), None);
    }

    #[test]
    fn nodes_split_into_address_and_port() {
        for (text, expected) in [
            ("[2001:db8::1]:4711", ("2001:db8::1", Some(4711))),
            ("2001:db8::1", ("2001:db8::1", None)),
            ("203.0.113.7:80", ("203.0.113.7", Some(80))),
            ("unknown", ("unknown", None)),
        ] {
            assert_eq!(node(text), expected, "{text}");
        }
    }
}

//! URLs of requests, as spans may show them.

use std::net::Ipv6Addr;

use crate::http1::RequestHead;
use crate::redact::{REDACTED, Redactor};

/// A request target taken apart (RFC 9112 section 3.2). Its query is as sent, not yet redacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Path; `/` where an absolute form has none, empty for the authority and asterisk forms.
    pub path: &'a str,
    /// Query without its question mark.
    pub query: Option<&'a str>,
    /// Scheme of an absolute form.
    pub scheme: Option<&'a str>,
    /// Host and port of an absolute or authority form, without userinfo.
    pub authority: Option<&'a str>,
    /// The userinfo that came before the authority.
    pub userinfo: Userinfo,
}

/// What an absolute form gave away of its user; never the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Userinfo {
    /// Nothing.
    #[default]
    Absent,
    /// A name.
    Name,
    /// A name and a password.
    NameAndPassword,
}

/// Takes a request's target apart.
pub fn split_target(request: &RequestHead) -> Target<'_> {
    let target = request.target.split('#').next().unwrap_or_default();
    if request.method == "CONNECT" {
        let (userinfo, authority) = split_userinfo(target);
        return Target { path: "", query: None, scheme: None, authority: Some(authority), userinfo };
    }
    if let Some((scheme, rest)) = target.split_once("://")
        && is_scheme(scheme)
    {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (userinfo, authority) = split_userinfo(&rest[..end]);
        let (path, query) = split_query(&rest[end..]);
        return Target {
            path: if path.is_empty() { "/" } else { path },
            query,
            scheme: Some(scheme),
            authority: Some(authority),
            userinfo,
        };
    }
    let (path, query) = split_query(target);
    Target {
        path: if path == "*" { "" } else { path },
        query,
        scheme: None,
        authority: None,
        userinfo: Userinfo::Absent,
    }
}

/// Splits a `Host` value or an authority into host and port. An IPv6 address comes without its brackets; a port that
/// is no port is left out.
pub fn host_port(authority: &str) -> (&str, Option<u16>) {
    let (_, authority) = split_userinfo(authority.trim());
    if let Some(rest) = authority.strip_prefix('[')
        && let Some((host, after)) = rest.split_once(']')
    {
        return (host, after.strip_prefix(':').and_then(port));
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return (authority, None);
    }
    match authority.rsplit_once(':') {
        Some((host, digits)) => (host, port(digits)),
        None => (authority, None),
    }
}

/// Builds the URL of a client's request: userinfo and sensitive query values replaced, `None` when no host is known.
///
/// `scheme` is that of the connection and gives way to that of an absolute form. `peer` names the host, as host or
/// host and port, where neither the target nor `Host` does.
pub fn full_url(
    request: &RequestHead,
    scheme: &str,
    peer: Option<&str>,
    redactor: &Redactor,
) -> Option<String> {
    let target = split_target(request);
    let host = request.host.as_deref().map(|host| split_userinfo(host).1);
    let named = [target.authority, host, peer];
    let authority = named.into_iter().flatten().find(|name| !name.is_empty())?;
    let userinfo = match target.userinfo {
        Userinfo::Absent => String::new(),
        Userinfo::Name => format!("{REDACTED}@"),
        Userinfo::NameAndPassword => format!("{REDACTED}:{REDACTED}@"),
    };
    let scheme = target.scheme.unwrap_or(scheme);
    let path = target.path;
    let mut url = format!("{scheme}://{userinfo}{authority}{path}");
    if let Some(query) = target.query {
        url.push('?');
        url.push_str(&redactor.query(query));
    }
    Some(url)
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// The last `@` ends the userinfo: one inside a password may have been sent raw.
fn split_userinfo(authority: &str) -> (Userinfo, &str) {
    match authority.rsplit_once('@') {
        Some((userinfo, host)) if userinfo.contains(':') => (Userinfo::NameAndPassword, host),
        Some((_, host)) => (Userinfo::Name, host),
        None => (Userinfo::Absent, authority),
    }
}

fn port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that finds nothing fails there")]

    use super::*;
    use crate::http1::{Connection, Direction, Limits, Op, Outcome};

    fn request(start: &str, host: &str) -> RequestHead {
        let head = format!("{start} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut connection = Connection::new(Limits::default());
        let mut out = Vec::new();
        for (direction, bytes) in [
            (Direction::Send, head.as_bytes()),
            (Direction::Receive, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        ] {
            let op = Op {
                direction,
                at_ns: 0,
                seq: 0,
                total_bytes: bytes.len() as u32,
                head: bytes,
                tail: &[],
                meta: (),
            };
            connection.feed(op, &mut out);
        }
        match out.pop() {
            Some(Outcome::Exchange(exchange)) => exchange.request,
            other => panic!("no exchange for {start}: {other:?}"),
        }
    }

    #[test]
    fn targets_of_all_forms() {
        let cases = [
            ("origin", "GET /a/b?c=d", "/a/b", Some("c=d"), None, None),
            ("no query", "GET /", "/", None, None, None),
            ("empty query", "GET /?", "/", Some(""), None, None),
            ("question mark in query", "GET /a?b?c", "/a", Some("b?c"), None, None),
            ("URL in query", "GET /a?u=http://x/y", "/a", Some("u=http://x/y"), None, None),
            ("double slash", "GET //a//b", "//a//b", None, None, None),
            ("fragment", "GET /a?b#c", "/a", Some("b"), None, None),
            ("absolute", "GET http://h:1/a?b", "/a", Some("b"), Some("http"), Some("h:1")),
            ("absolute without path", "GET http://h", "/", None, Some("http"), Some("h")),
            ("absolute, query only", "GET http://h?q", "/", Some("q"), Some("http"), Some("h")),
            ("userinfo", "GET http://u:p@h/", "/", None, Some("http"), Some("h")),
            ("raw at in password", "GET http://u:p@q@h/", "/", None, Some("http"), Some("h")),
            ("authority", "CONNECT h:443", "", None, None, Some("h:443")),
            ("asterisk", "OPTIONS *", "", None, None, None),
        ];
        for (name, start, path, query, scheme, authority) in cases {
            let head = request(start, "host");
            let target = split_target(&head);
            let got = (target.path, target.query, target.scheme, target.authority);
            assert_eq!(got, (path, query, scheme, authority), "{name}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        let cases = [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("example.com:", "example.com", None),
            ("example.com:99999", "example.com", None),
            ("example.com:+80", "example.com", None),
            ("127.0.0.1:5001", "127.0.0.1", Some(5001)),
            ("[::1]:80", "::1", Some(80)),
            ("[2001:db8::1]", "2001:db8::1", None),
            ("::1", "::1", None),
            (" padded:1 ", "padded", Some(1)),
            ("user:pass@host:81", "host", Some(81)),
            ("[broken", "[broken", None),
            ("", "", None),
        ];
        for (authority, host, port) in cases {
            assert_eq!(host_port(authority), (host, port), "{authority}");
        }
    }

    #[test]
    fn full_urls_hide_secrets() {
        let cases = [
            ("GET /a?b=c", "h:81", "http://h:81/a?b=c"),
            ("GET /a?sig=s&b=c", "h", "http://h/a?sig=REDACTED&b=c"),
            ("GET https://u:p@x/a", "h", "https://REDACTED:REDACTED@x/a"),
            ("GET https://u@x/a", "h", "https://REDACTED@x/a"),
            ("GET /a", "u:p@h", "http://h/a"),
            ("GET /a", "", "http://10.0.0.1:80/a"),
            ("CONNECT x:443", "x:443", "http://x:443"),
            ("OPTIONS *", "h", "http://h"),
        ];
        for (start, host, want) in cases {
            let head = request(start, host);
            let url = full_url(&head, "http", Some("10.0.0.1:80"), &Redactor::default());
            assert_eq!(url.unwrap(), want, "{start}");
        }
    }

    #[test]
    fn full_url_needs_a_host() {
        let head = request("GET /a", "");
        assert_eq!(full_url(&head, "http", None, &Redactor::default()), None);
    }
}

//! The check of `Host` and `Origin`: a page of another site must not read telemetry through the visitor's browser.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// Names this server answers to.
#[derive(Debug)]
pub struct HostCheck {
    allowed: Option<Vec<String>>,
}

impl HostCheck {
    /// Answers to loopback names and `allowed`; `None` answers to every name.
    pub fn new(allowed: Option<Vec<String>>) -> Self {
        Self { allowed }
    }

    fn allows(&self, authority: &str) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        let name = host_of(authority);
        name.eq_ignore_ascii_case("localhost")
            || is_loopback(name)
            || allowed.iter().any(|a| a.eq_ignore_ascii_case(name))
    }

    /// Why a request is refused, if it is.
    fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<String> {
        let host = headers.get(header::HOST).map(|value| value.to_str().unwrap_or_default());
        let host = host.or_else(|| uri.authority().map(|authority| authority.as_str())).unwrap_or_default();
        if !self.allows(host) {
            return Some(format!("the host {host:?} is not served here; --allowed-host adds names"));
        }
        let origin = headers.get(header::ORIGIN)?.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
        (!authority.eq_ignore_ascii_case(host)).then(|| format!("requests from {origin:?} are not answered"))
    }
}

/// The name or address in `host:port`.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// Whether a host is an address of this machine itself. No name resolution can make it lead elsewhere.
fn is_loopback(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback()),
    }
}

/// Lets a request pass when [`HostCheck`] has nothing against it.
pub async fn check(State(check): State<Arc<HostCheck>>, request: Request, next: Next) -> Response {
    match check.refusal(request.uri(), request.headers()) {
        None => next.run(request).await,
        Some(reason) => Problem::new(StatusCode::FORBIDDEN, reason).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn only_known_names_pass() {
        let check = HostCheck::new(Some(vec!["olly.test".into()]));
        for good in [
            "localhost",
            "localhost:5005",
            "127.0.0.1:1",
            "[::1]:5005",
            "[::1]",
            "127.0.0.2:5005",
            "Localhost",
            "Olly.Test:80",
        ] {
            assert!(check.allows(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "evil.example:5005",
            "localhost.evil.example",
            "127.0.0.1.evil",
            "::1",
            "128.0.0.1",
            "[::2]",
            "[127.0.0.1]",
        ] {
            assert!(!check.allows(bad), "{bad}");
        }
        assert!(HostCheck::new(None).allows("evil.example"));
    }

    #[test]
    fn a_foreign_origin_is_refused() {
        let refused = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost:5005".parse().unwrap());
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            HostCheck::new(Some(vec![])).refusal(&Uri::from_static("/api/stats"), &headers)
        };
        assert_eq!(refused("http://localhost:5005"), None);
        assert!(refused("http://localhost:3000").is_some());
        assert!(refused("https://evil.example").is_some());
        assert!(refused("null").is_some());
    }
}

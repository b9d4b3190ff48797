//! `health`: asks the service that the same variables describe, for containers that have no shell and no client.

use std::{
    error::Error as _,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use axum::body::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{
    env::{self, Lookup, VarError},
    failure::Failure,
};

/// How long the whole exchange may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// How much of an answer is read for its reason.
const BODY_MAX: usize = 4096;

/// Asks the service at `HOST` and `PORT` for its health.
///
/// # Errors
/// A variable that cannot be used, no answer, or an answer other than 200.
pub fn check(lookup: Lookup<'_>) -> Result<(), Failure> {
    let address = reachable(env::listen_address(lookup)?);
    if address.port() == 0 {
        let accepted = "the port that the service listens on".to_owned();
        return Err(VarError { name: "PORT".to_owned(), value: "0".to_owned(), accepted }.into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::Io { what: "start the runtime", source })?;
    runtime
        .block_on(ask(address))
        .map_err(|why| Failure::Unhealthy(format!("GET http://{address}/health: {why}")))
}

/// Where a service that listens on `address` can be asked on its own machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

/// Why a service is not healthy.
#[derive(Debug)]
enum Unhealthy {
    Connect(io::Error),
    Exchange(hyper::Error),
    Answer(StatusCode, String),
    Silent,
}

impl fmt::Display for Unhealthy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(out, "connect: {error}"),
            Self::Exchange(error) => match error.source() {
                Some(cause) => write!(out, "no usable answer: {error}: {cause}"),
                None => write!(out, "no usable answer: {error}"),
            },
            Self::Answer(status, reason) if reason.is_empty() => write!(out, "{status}"),
            Self::Answer(status, reason) => write!(out, "{status}: {reason}"),
            Self::Silent => write!(out, "no answer within {} s", DEADLINE.as_secs()),
        }
    }
}

/// Asks over a connection made for it, so that no proxy of the environment comes between.
async fn ask(address: SocketAddr) -> Result<(), Unhealthy> {
    tokio::time::timeout(DEADLINE, exchange(address)).await.unwrap_or(Err(Unhealthy::Silent))
}

async fn exchange(address: SocketAddr) -> Result<(), Unhealthy> {
    let stream = TcpStream::connect(address).await.map_err(Unhealthy::Connect)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(Unhealthy::Exchange)?;
    // What goes wrong with the connection comes back from the request as well.
    tokio::spawn(connection);
    let request = Request::get("/health").header(HOST, "localhost").body(Empty::<Bytes>::new());
    let request = request.expect("every part is constant");
    let response = sender.send_request(request).await.map_err(Unhealthy::Exchange)?;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    // The status says enough where the body is too long or breaks off.
    let body = Limited::new(response.into_body(), BODY_MAX).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    Err(Unhealthy::Answer(status, reason(&body)))
}

/// The reason that an answer gives: its `error`, or else its text; on one line.
fn reason(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let text = match json.as_ref().and_then(|json| json["error"].as_str()) {
        Some(error) => error.into(),
        None => String::from_utf8_lossy(body),
    };
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    printable.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_means_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:5000", "127.0.0.1:5000"),
            ("[::]:5000", "[::1]:5000"),
            ("[::ffff:0.0.0.0]:5000", "127.0.0.1:5000"),
            ("127.0.0.2:1", "127.0.0.2:1"),
            ("10.1.2.3:1", "10.1.2.3:1"),
        ] {
            assert_eq!(reachable(listens.parse().expect(listens)).to_string(), asked);
        }
    }

    #[test]
    fn a_reason_is_one_line() {
        for (body, expected) in [
            (&br#"{"error": "out of\nstock"}"#[..], "out of stock"),
            (br#"{"status": "no"}"#, r#"{"status": "no"}"#),
            (b"<h1>\r\nBad\x1b[2J</h1>", "<h1> Bad [2J</h1>"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"", ""),
        ] {
            assert_eq!(reason(body), expected);
        }
        assert_eq!(reason(&[b'x'; 4096]).len(), 200);
    }

    #[test]
    fn port_zero_names_no_service() {
        let lookup = |name: &str| (name == "PORT").then(|| "0".to_owned());
        let failure = check(&lookup).expect_err("no port");
        assert_eq!(failure.exit_code(), 2);
        assert_eq!(failure.to_string(), "PORT=\"0\": expected the port that the service listens on");
    }
}

//! `tinyolly health`: asks the server that the same flags describe, for containers that have no shell and no client.
//!
//! Only the network is used: the database, which the server has locked, is not touched.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long the whole exchange may take.
const DEADLINE: Duration = Duration::from_secs(2);
/// How much of an answer is read for its reason.
const BODY_MAX: usize = 4096;

/// Why a server is not healthy.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// Nobody took the connection.
    #[error("connect")]
    Connect(#[source] io::Error),
    /// The connection ended early, or what came back is not HTTP.
    #[error("no usable answer")]
    Exchange(#[source] hyper::Error),
    /// The server says that it is not well, in its own words.
    #[error("{0}{sep}{1}", sep = if .1.is_empty() { "" } else { ": " })]
    Answer(StatusCode, String),
    /// No answer in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Silent,
}

/// Where a server that listens on `address` can be asked on its own machine: every address means loopback.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

/// Asks `GET /health`, over a connection made for it: no proxy of the environment comes between.
///
/// # Errors
/// No answer within two seconds, or one other than 200.
pub async fn ask(address: SocketAddr) -> Result<(), Unhealthy> {
    tokio::time::timeout(DEADLINE, exchange(address)).await.unwrap_or(Err(Unhealthy::Silent))
}

async fn exchange(address: SocketAddr) -> Result<(), Unhealthy> {
    let stream = TcpStream::connect(address).await.map_err(Unhealthy::Connect)?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(Unhealthy::Exchange)?;
    // What goes wrong with the connection comes back from the request as well.
    tokio::spawn(connection);
    // A server with allowed hosts answers to this name too, under whatever address it listens.
    let request = Request::get("/health").header(header::HOST, "localhost").body(Empty::<Bytes>::new());
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

/// The reason that an answer gives: its `detail`, or else its text; on one line.
fn reason(body: &[u8]) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let text = match json.as_ref().and_then(|json| json["detail"].as_str()) {
        Some(detail) => detail.into(),
        None => String::from_utf8_lossy(body),
    };
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    printable.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn every_address_means_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:5005", "127.0.0.1:5005"),
            ("[::]:5005", "[::1]:5005"),
            ("[::ffff:0.0.0.0]:5005", "127.0.0.1:5005"),
            ("127.0.0.2:1", "127.0.0.2:1"),
            ("10.1.2.3:1", "10.1.2.3:1"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), asked);
        }
    }

    #[test]
    fn an_answer_is_told_on_one_line() {
        for (body, expected) in [
            (&br#"{"detail": "disk\nfull"}"#[..], "503 Service Unavailable: disk full"),
            (br#"{"status": 1}"#, r#"503 Service Unavailable: {"status": 1}"#),
            (b"Bad\r\n\x1b[2Jgateway", "503 Service Unavailable: Bad [2Jgateway"),
            (b"\xff", "503 Service Unavailable: \u{fffd}"),
            (b"", "503 Service Unavailable"),
        ] {
            let answer = Unhealthy::Answer(StatusCode::SERVICE_UNAVAILABLE, reason(body));
            assert_eq!(answer.to_string(), expected);
        }
        assert_eq!(reason(&[b'x'; 4096]).len(), 200);
    }
}

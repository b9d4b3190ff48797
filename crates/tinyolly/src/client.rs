//! `tinyolly export`, `import` and `stats`: ask the server that the same flags describe, over a connection made for it.
//!
//! Only the network is used: the database, which the server has locked, is not touched. No proxy comes between.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::body::Bytes;
use axum::http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::net::TcpStream;

/// Bytes of an import request, unless one element is larger: a server takes at least a MiB.
const PART_BYTES: usize = 768 << 10;
/// Elements of an import request.
const PART_ELEMENTS: usize = 200;
/// How often a part is sent again when the server has no room.
const RETRIES: u32 = 60;

/// A server on its user interface's port.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    address: SocketAddr,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Spans.
    pub spans: u64,
    /// Log records.
    pub logs: u64,
    /// Metric data points.
    pub metric_points: u64,
    /// Items left out.
    pub rejected: u64,
}

impl Client {
    /// The server at this address.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Writes the answer to `GET path` piece by piece.
    ///
    /// # Errors
    /// No connection, a status other than 200 with the server's reason, an answer that breaks off, or a failed write.
    pub async fn get(&self, path: &str, into: &mut impl std::io::Write) -> anyhow::Result<()> {
        let (status, mut body) = self.send(Method::GET, path, Bytes::new()).await?;
        if status != StatusCode::OK {
            bail!("{}", reason(status, &body.collect().await?.to_bytes()));
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.context("the answer broke off")?;
            if let Some(data) = frame.data_ref() {
                into.write_all(data).context("write")?;
            }
        }
        into.flush().context("write")
    }

    /// Sends the documents of one file.
    ///
    /// # Errors
    /// When the text is not JSON, or the server does not take it.
    pub async fn import(&self, text: &str) -> anyhow::Result<Sum> {
        let mut sum = Sum::default();
        for part in parts(text)? {
            let stored = self.post(part.into()).await?;
            let number = |name: &str| stored[name].as_u64().unwrap_or(0);
            sum.spans += number("spans");
            sum.logs += number("logs");
            sum.metric_points += number("metric_points");
            sum.rejected += number("rejected");
        }
        Ok(sum)
    }

    async fn post(&self, part: Bytes) -> anyhow::Result<Value> {
        for _ in 0..RETRIES {
            let (status, body) = self.send(Method::POST, "/api/import", part.clone()).await?;
            let body = body.collect().await.context("the answer broke off")?.to_bytes();
            match status {
                StatusCode::OK => return serde_json::from_slice(&body).context("read the answer"),
                StatusCode::TOO_MANY_REQUESTS => tokio::time::sleep(Duration::from_secs(1)).await,
                other => bail!("{}", reason(other, &body)),
            }
        }
        bail!("the server had no room for {RETRIES} s")
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Incoming)> {
        let stream = TcpStream::connect(self.address).await;
        let stream =
            stream.with_context(|| format!("connect to {}; is tinyolly running there?", self.address))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // What goes wrong with the connection comes back from the request as well.
        tokio::spawn(connection);
        // A server with allowed hosts answers to this name too, under whatever address it listens.
        let request = Request::builder().method(method).uri(path).header(header::HOST, "localhost");
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Full::new(body))?;
        let response = sender.send_request(request).await.context("no usable answer")?;
        let (head, body) = response.into_parts();
        Ok((head.status, body))
    }
}

/// Path and query of an export.
pub fn export_path(signal: &str, filter: &[(String, String)]) -> String {
    let mut path = format!("/api/export?signal={signal}");
    for (name, value) in filter {
        for (separator, text) in [('&', name), ('=', value)] {
            path.push(separator);
            for byte in text.bytes() {
                match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        path.push(byte.into())
                    }
                    other => path.push_str(&format!("%{other:02X}")),
                }
            }
        }
    }
    path
}

fn reason(status: StatusCode, body: &[u8]) -> String {
    let problem: Option<Value> = serde_json::from_slice(body).ok();
    match problem.as_ref().and_then(|problem| problem["detail"].as_str()) {
        Some(detail) => format!("{status}: {detail}"),
        None => status.to_string(),
    }
}

/// Splits documents into requests of a size that servers take: the elements of their lists go by themselves.
fn parts(text: &str) -> anyhow::Result<Vec<String>> {
    let mut parts = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter::<Document<'_>>() {
        let Document { spans, logs, metrics } = document.context("not OTLP/JSON")?;
        for (name, elements) in
            [("resourceSpans", spans), ("resourceLogs", logs), ("resourceMetrics", metrics)]
        {
            let mut part = String::new();
            let mut count = 0;
            for element in elements.unwrap_or_default() {
                if count > 0 && (part.len() + element.get().len() > PART_BYTES || count == PART_ELEMENTS) {
                    parts.push(format!("{{\"{name}\":[{part}]}}"));
                    part.clear();
                    count = 0;
                }
                part.push_str(if count > 0 { "," } else { "" });
                part.push_str(element.get());
                count += 1;
            }
            if count > 0 {
                parts.push(format!("{{\"{name}\":[{part}]}}"));
            }
        }
    }
    Ok(parts)
}

/// The lists of a document, with elements as they are written.
#[derive(serde::Deserialize)]
struct Document<'a> {
    #[serde(borrow, rename = "resourceSpans")]
    spans: Option<Vec<&'a RawValue>>,
    #[serde(borrow, rename = "resourceLogs")]
    logs: Option<Vec<&'a RawValue>>,
    #[serde(borrow, rename = "resourceMetrics")]
    metrics: Option<Vec<&'a RawValue>>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn large_documents_are_split_at_their_elements() {
        let element = format!("{{\"n\":1.00,\"text\":\"{}\"}}", "x".repeat(300 << 10));
        let text = format!(
            "{{\"resourceSpans\":[{element},{element},{element}]}}\n{{\"resourceLogs\":[{{}}],\"more\":1}}"
        );
        let parts = parts(&text).unwrap();
        let expected = [
            format!("{{\"resourceSpans\":[{element},{element}]}}"),
            format!("{{\"resourceSpans\":[{element}]}}"),
            "{\"resourceLogs\":[{}]}".to_owned(),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn many_small_elements_are_split_too() {
        let text = format!("{{\"resourceMetrics\":[{}]}}", vec!["{}"; 2 * PART_ELEMENTS + 1].join(","));
        assert_eq!(parts(&text).unwrap().len(), 3);
        assert_eq!(parts("").unwrap().len(), 0);
        for bad in ["[]", "{", "{} x", "{\"resourceSpans\":1}"] {
            assert!(parts(bad).is_err(), "{bad}");
        }
    }
}

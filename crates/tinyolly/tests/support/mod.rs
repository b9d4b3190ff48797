//! A server on free ports, and small telemetry to send to it.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tinyolly::config::Config;
use tinyolly::server::{Addresses, Server};
use tinyolly::store;
use tokio::sync::oneshot;

/// A running server in this process.
pub struct Running {
    pub at: Addresses,
    pub directory: tempfile::TempDir,
    pub client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

pub fn config(path: PathBuf) -> Config {
    let free = "127.0.0.1:0".parse().unwrap();
    Config {
        ui: free,
        grpc: free,
        http: free,
        store: store::Settings {
            path,
            max_bytes: 512 << 20,
            max_age: None,
            max_metric_names: 1000,
            queue_bytes: 64 << 20,
        },
        max_request_bytes: 4 << 20,
        allowed_hosts: Some(Vec::new()),
    }
}

impl Running {
    pub async fn start() -> Self {
        Self::start_with(tempfile::tempdir().unwrap(), |_| {}).await
    }

    pub async fn start_with(directory: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(directory.path().join("t.db"));
        change(&mut config);
        let server = Server::bind(&config).await.unwrap();
        let at = server.addresses();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.run(async {
            stopped.await.ok();
        }));
        Self { at, directory, client: reqwest::Client::new(), stop: Some(stop), task: Some(task) }
    }

    /// Stops the server and hands back its directory.
    pub async fn stop(mut self) -> tempfile::TempDir {
        self.stop.take().unwrap().send(()).unwrap();
        self.task.take().unwrap().await.unwrap().unwrap();
        self.directory
    }

    pub fn otlp(&self, signal: &str) -> String {
        format!("http://{}/v1/{signal}", self.at.http)
    }

    pub fn grpc(&self) -> String {
        format!("http://{}", self.at.grpc)
    }

    /// GETs a path of the API; status and JSON.
    pub async fn get(&self, path: &str) -> (u16, serde_json::Value) {
        let response = self.client.get(format!("http://{}{path}", self.at.ui)).send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(serde_json::Value::Null))
    }

    /// GETs a path that must be there.
    pub async fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// POSTs an OTLP/HTTP body; status, content type and body.
    pub async fn post(
        &self,
        signal: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> (u16, String, Vec<u8>) {
        let mut request = self.client.post(self.otlp(signal)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let content_type = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned());
        (
            response.status().as_u16(),
            content_type.unwrap_or_default(),
            response.bytes().await.unwrap().to_vec(),
        )
    }

    /// POSTs OTLP/JSON that must be accepted.
    pub async fn accept(&self, signal: &str, body: serde_json::Value) -> serde_json::Value {
        let json = [("content-type", "application/json")];
        let (status, _, answer) = self.post(signal, &json, body.to_string().into_bytes()).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap()
    }
}

pub const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
pub const JSON: (&str, &str) = ("content-type", "application/json");

pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

pub fn text(value: &str) -> Value {
    Value::StringValue(value.into())
}

pub fn resource(service: &str) -> Resource {
    Resource { attributes: vec![attribute("service.name", text(service))], ..Default::default() }
}

/// A span that has nothing but what every span has.
pub fn span(trace: u8, span: u8, start_ns: u64) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![span; 8],
        name: format!("span {span}"),
        kind: 2,
        start_time_unix_nano: start_ns,
        end_time_unix_nano: start_ns + 1_000_000,
        ..Default::default()
    }
}

pub fn trace_request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope = Some(InstrumentationScope { name: "test".into(), ..Default::default() });
    let scope_spans = vec![ScopeSpans { scope, spans, ..Default::default() }];
    let resource_spans =
        vec![ResourceSpans { resource: Some(resource(service)), scope_spans, ..Default::default() }];
    ExportTraceServiceRequest { resource_spans }
}

/// Polls until `condition` holds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

//! Which processes export traces by themselves: those that were seen to do so.
//!
//! What says so is a process's own OTLP requests, told by their path alone. Its metrics and logs say nothing about traces,
//! and neither does its environment, which may be set for those.

use std::collections::HashSet;

use otel_ebpf_events::{DataEvent, data::direction};
use otel_ebpf_protocols::{
    http1::{Exchange, Role},
    http2::RequestPaths,
    url::split_target,
};

use super::Meta;

/// How the path of every OTLP/gRPC request begins.
const GRPC: &str = "/opentelemetry.proto.collector.";
const GRPC_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// How the path of an OTLP/HTTP request for traces ends; the endpoint may have a path before it.
const HTTP_TRACES: &str = "/v1/traces";
const HTTP_CONTENT: [&str; 2] = ["application/x-protobuf", "application/json"];

/// Recognises processes that export traces. Does nothing unless it is told to.
#[derive(Default)]
pub struct OtlpExports {
    is_watching: bool,
    exporters: HashSet<u32>,
    recognised: Vec<u32>,
}

/// What a connection of a traced process may still tell.
#[derive(Debug, Default)]
pub enum Watch {
    /// Nothing was sent yet.
    #[default]
    Fresh,
    /// It is HTTP/2, and all requests that were understood were OTLP, if any were.
    Http2 {
        /// Follows the requests.
        paths: Box<RequestPaths>,
        /// One was understood.
        is_otlp: bool,
    },
    /// Nothing more.
    Nothing,
}

impl Watch {
    /// Whether the connection is worth its events although nothing on it becomes a span.
    pub fn is_on(&self) -> bool {
        matches!(self, Self::Http2 { .. })
    }
}

impl OtlpExports {
    /// Begins to look.
    pub fn watch(&mut self) {
        self.is_watching = true;
    }

    /// Looks at one operation, in the order in which they happened on its connection.
    pub fn operation(&mut self, watch: &mut Watch, event: &DataEvent, head: &[u8], tail: &[u8]) {
        if !self.is_watching || event.direction != direction::SEND {
            return;
        }
        if matches!(watch, Watch::Fresh) {
            // A server's first bytes, and those of a connection that is older than the agent, are no preface.
            *watch = match RequestPaths::may_open(head) {
                true => Watch::Http2 { paths: Box::default(), is_otlp: false },
                false => Watch::Nothing,
            };
        }
        let Watch::Http2 { paths, is_otlp } = watch else { return };
        let (mut exports_traces, mut is_other) = (false, false);
        paths.sent(event.seq, event.total_bytes, head, tail, |path| {
            exports_traces |= path == GRPC_TRACES;
            *is_otlp |= path.starts_with(GRPC);
            is_other |= !path.starts_with(GRPC);
        });
        // A client that shares a connection among its exporters may send traces long after metrics. Any other connection
        // is not worth its events.
        let is_hopeless = is_other || (!*is_otlp && !paths.is_following());
        if exports_traces {
            self.recognise(event.header.tgid);
        }
        if exports_traces || is_hopeless {
            *watch = Watch::Nothing;
        }
    }

    /// Looks at one HTTP/1 exchange. Only an export that was taken counts: what a collector refuses would be shown nowhere.
    pub fn exchange(&mut self, exchange: &Exchange<Meta>) {
        if self.is_watching && is_export(exchange) {
            self.recognise(exchange.request_meta.tgid);
        }
    }

    fn recognise(&mut self, tgid: u32) {
        if self.exporters.insert(tgid) {
            self.recognised.push(tgid);
        }
    }

    /// Whether a process exports traces.
    pub fn contains(&self, tgid: u32) -> bool {
        self.exporters.contains(&tgid)
    }

    /// A process that was recognised since this was last asked.
    pub fn next(&mut self) -> Option<u32> {
        self.recognised.pop()
    }

    /// A process begins, or becomes another program: nothing is known of it.
    pub fn begins(&mut self, tgid: u32) {
        self.exporters.remove(&tgid);
    }

    /// Forgets processes that are gone.
    pub fn keep(&mut self, is_there: impl Fn(u32) -> bool) {
        self.exporters.retain(|tgid| is_there(*tgid));
    }
}

fn is_export(exchange: &Exchange<Meta>) -> bool {
    let (request, response) = (&exchange.request, &exchange.response);
    let content = request.content_type.as_deref().unwrap_or_default();
    let content = content.split(';').next().unwrap_or_default().trim();
    exchange.role == Role::Client
        && request.method == "POST"
        && split_target(request).path.ends_with(HTTP_TRACES)
        && HTTP_CONTENT.iter().any(|known| known.eq_ignore_ascii_case(content))
        && response.as_ref().is_some_and(|response| (200..300).contains(&response.status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable as _;
    use otel_ebpf_protocols::{
        http1::{Connection, Direction, Limits, Op, Outcome},
        http2::PREFACE,
    };

    const PID: u32 = 7;

    fn watching() -> OtlpExports {
        let mut exports = OtlpExports::default();
        exports.watch();
        exports
    }

    /// Lets a process send these bytes over a connection, which has sent `before`.
    fn send(exports: &mut OtlpExports, watch: &mut Watch, before: usize, bytes: &[u8]) {
        let mut event = DataEvent {
            seq: before as u32,
            total_bytes: bytes.len() as u32,
            direction: direction::SEND,
            ..DataEvent::zeroed()
        };
        event.header.tgid = PID;
        exports.operation(watch, &event, bytes, &[]);
    }

    /// The HEADERS frame of a request, after the preface for the first one.
    fn grpc(stream: u8, path: &str) -> Vec<u8> {
        let fields = [&[0x83, 0x86, 0x44, path.len() as u8], path.as_bytes()].concat();
        let header = [0, 0, fields.len() as u8, 1, 4, 0, 0, 0, stream];
        let preface: &[u8] = if stream == 1 { PREFACE } else { &[] };
        [preface, &header, &fields].concat()
    }

    fn service(name: &str) -> String {
        format!("{GRPC}{name}.v1.{}Service/Export", name[..1].to_uppercase() + &name[1..])
    }

    /// What the requests of one process over one connection give.
    fn grpc_requests(exports: &mut OtlpExports, paths: &[&str]) -> (bool, Watch) {
        let (mut watch, mut sent) = (Watch::Fresh, 0);
        for (index, path) in paths.iter().enumerate() {
            let bytes = grpc(2 * index as u8 + 1, path);
            send(exports, &mut watch, sent, &bytes);
            sent += bytes.len();
        }
        (exports.contains(PID), watch)
    }

    #[test]
    fn traces_over_grpc_are_recognised_and_nothing_else_is() {
        assert_eq!(service("trace"), GRPC_TRACES);
        let (metrics, logs) = (service("metrics"), service("logs"));
        let (is_recognised, watch) = grpc_requests(&mut watching(), &[GRPC_TRACES]);
        assert!(is_recognised && !watch.is_on(), "all is known");
        let (is_recognised, watch) = grpc_requests(&mut watching(), &[&metrics, &logs, &metrics]);
        assert!(!is_recognised && watch.is_on(), "traces may come");
        assert!(grpc_requests(&mut watching(), &[&metrics, &logs, GRPC_TRACES]).0, "on a shared connection");
        let (is_recognised, watch) = grpc_requests(&mut watching(), &["/shop.v1.Shop/Buy"]);
        assert!(!is_recognised && !watch.is_on(), "another service's connection");
        assert!(!grpc_requests(&mut OtlpExports::default(), &[GRPC_TRACES]).0, "it was not asked to look");
    }

    #[test]
    fn who_receives_traces_exports_none() {
        let mut exports = watching();
        let mut watch = Watch::Fresh;
        let bytes = grpc(1, GRPC_TRACES);
        let event = DataEvent {
            total_bytes: bytes.len() as u32,
            direction: direction::RECEIVE,
            ..DataEvent::zeroed()
        };
        exports.operation(&mut watch, &event, &bytes, &[]);
        send(&mut exports, &mut watch, 0, &[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert!(exports.next().is_none() && !watch.is_on());
    }

    #[test]
    fn a_process_is_told_once_and_forgotten_when_another_begins() {
        let mut exports = watching();
        for _ in 0..2 {
            grpc_requests(&mut exports, &[GRPC_TRACES]);
        }
        assert_eq!((exports.next(), exports.next()), (Some(PID), None));
        exports.keep(|pid| pid == PID);
        assert!(exports.contains(PID));
        exports.begins(PID);
        assert!(!exports.contains(PID));
        grpc_requests(&mut exports, &[GRPC_TRACES]);
        assert_eq!(exports.next(), Some(PID));
        exports.keep(|_| false);
        assert!(!exports.contains(PID));
    }

    /// Whether an HTTP/1 exchange makes its process an exporter.
    fn http(role: Role, request: &str, content: &str, status: u16) -> bool {
        let meta =
            Meta { tgid: PID, tid: PID, arrival_ns: 0, seq: 0, other_seq: 0, blocking: false, task: 0 };
        let request = format!(
            "{request} HTTP/1.1\r\nHost: c\r\nContent-Type: {content}\r\nContent-Length: 2\r\n\r\nxx"
        );
        let response = format!("HTTP/1.1 {status} S\r\nContent-Length: 0\r\n\r\n");
        let directions = match role {
            Role::Client => [Direction::Send, Direction::Receive],
            Role::Server => [Direction::Receive, Direction::Send],
        };
        let (mut connection, mut outcomes) = (Connection::new(Limits::default()), Vec::new());
        for (direction, text) in directions.into_iter().zip([&request, &response]) {
            let total_bytes = text.len() as u32;
            let op = Op { direction, at_ns: 1, seq: 1, total_bytes, head: text.as_bytes(), tail: &[], meta };
            connection.feed(op, &mut outcomes);
        }
        let mut exports = watching();
        let mut exchanges = 0;
        for outcome in &outcomes {
            if let Outcome::Exchange(exchange) = outcome {
                exports.exchange(exchange);
                exchanges += 1;
            }
        }
        assert_eq!(exchanges, 1);
        exports.contains(PID)
    }

    #[test]
    fn traces_over_http_are_recognised_and_nothing_else_is() {
        let (protobuf, json) = (HTTP_CONTENT[0], HTTP_CONTENT[1]);
        for (role, request, content, status, expected) in [
            (Role::Client, "POST /v1/traces", protobuf, 200, true),
            (Role::Client, "POST /v1/traces", json, 200, true),
            (Role::Client, "POST /otlp/v1/traces?key=1", "Application/JSON; charset=utf-8", 202, true),
            (Role::Client, "POST http://collector:4318/v1/traces", protobuf, 200, true),
            (Role::Server, "POST /v1/traces", protobuf, 200, false),
            (Role::Client, "POST /v1/metrics", protobuf, 200, false),
            (Role::Client, "POST /v1/logs", protobuf, 200, false),
            (Role::Client, "POST /v1/traces/7", protobuf, 200, false),
            (Role::Client, "GET /v1/traces", protobuf, 200, false),
            (Role::Client, "POST /v1/traces", "text/plain", 200, false),
            (Role::Client, "POST /v1/traces", protobuf, 404, false),
            (Role::Client, "POST /v1/traces", protobuf, 503, false),
        ] {
            assert_eq!(
                http(role, request, content, status),
                expected,
                "{role:?} {request} {content} {status}"
            );
        }
    }
}

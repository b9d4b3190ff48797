//! A connection that could not be made.

use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status},
};
use otel_ebpf_events::SocketEvent;

use super::{endpoint, span::Draft};
use crate::semconv;

/// Tells a failed connect as a client span named `CONNECT`.
pub fn tell(event: &SocketEvent) -> Draft {
    let peer = endpoint::remote(&event.conn);
    let address = peer.address.to_string();
    let attributes = vec![
        KeyValue::new(semconv::SERVER_ADDRESS, address.clone()),
        KeyValue::new(semconv::SERVER_PORT, i64::from(peer.port)),
        KeyValue::new(semconv::NETWORK_PEER_ADDRESS, address),
        KeyValue::new(semconv::NETWORK_PEER_PORT, i64::from(peer.port)),
        KeyValue::new(semconv::ERROR_TYPE, error_type(event.error)),
    ];
    Draft {
        kind: SpanKind::Client,
        name: "CONNECT".into(),
        start_ns: event.start_ns,
        end_ns: event.header.ktime_ns,
        attributes,
        status: Status::error(""),
    }
}

/// The name of what the kernel left on the socket. Without an error the process itself gave up.
fn error_type(errno: u32) -> &'static str {
    match i32::try_from(errno).unwrap_or(0) {
        0 => "cancelled",
        libc::ECONNREFUSED => "connection_refused",
        libc::ECONNRESET => "connection_reset",
        libc::ETIMEDOUT => "timeout",
        libc::EHOSTUNREACH => "host_unreachable",
        libc::ENETUNREACH => "network_unreachable",
        libc::EHOSTDOWN => "host_down",
        libc::ECONNABORTED => "connection_aborted",
        _ => "_OTHER",
    }
}

//! A connection that could not be made.

use opentelemetry::{
    KeyValue,
    trace::{SpanKind, Status},
};
use otel_ebpf_events::SocketEvent;

use super::{endpoint, errno::error_type, span::Draft};
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
        KeyValue::new(semconv::ERROR_TYPE, reason(event)),
    ];
    Draft {
        kind: SpanKind::Client,
        name: "CONNECT".into(),
        start_ns: event.since_ns,
        end_ns: event.header.ktime_ns,
        attributes,
        status: Status::error(""),
    }
}

/// Why it failed. Without an error on the socket it was the process itself that let go of it.
fn reason(event: &SocketEvent) -> &'static str {
    if event.error == 0 { "cancelled" } else { error_type(event.error) }
}

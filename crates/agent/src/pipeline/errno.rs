//! What the kernel left on a socket, as `error.type`.

/// Low-cardinality name of an errno.
pub fn error_type(errno: u32) -> &'static str {
    match i32::try_from(errno).unwrap_or(0) {
        libc::ECONNREFUSED => "connection_refused",
        libc::ECONNRESET | libc::EPIPE => "connection_reset",
        libc::ETIMEDOUT => "timeout",
        libc::EHOSTUNREACH => "host_unreachable",
        libc::ENETUNREACH => "network_unreachable",
        libc::EHOSTDOWN => "host_down",
        libc::ECONNABORTED => "connection_aborted",
        libc::EADDRNOTAVAIL => "address_not_available",
        _ => "_OTHER",
    }
}

//! Addresses of a connection's two ends.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use otel_ebpf_events::{ConnKey, conn::AF_INET6};

/// Address and port of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address; an IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2) is told as IPv4.
    pub address: IpAddr,
    /// TCP port.
    pub port: u16,
}

/// This end of the connection.
pub fn local(conn: &ConnKey) -> Endpoint {
    Endpoint { address: address(conn.family, &conn.local_addr), port: conn.local_port }
}

/// The other end of the connection.
pub fn remote(conn: &ConnKey) -> Endpoint {
    Endpoint { address: address(conn.family, &conn.remote_addr), port: conn.remote_port }
}

fn address(family: u16, bytes: &[u8; 16]) -> IpAddr {
    if family == AF_INET6 {
        IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical()
    } else {
        IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_told_as_ipv4() {
        let mut bytes = [0; 16];
        bytes[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        assert_eq!(address(AF_INET6, &bytes), IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(address(AF_INET6, &Ipv6Addr::LOCALHOST.octets()), IpAddr::V6(Ipv6Addr::LOCALHOST));
    }
}

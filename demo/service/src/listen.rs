//! Listening, with an address in use told apart from other failures.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

use crate::failure::Failure;

/// Listens on `address` and gives the address taken, which differs where port 0 was asked for.
///
/// # Errors
/// The port is in use, or the operating system refuses the address.
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Failure> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => Failure::PortInUse(address),
        _ => Failure::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let taken = listener.local_addr().map_err(fail)?;
    Ok((listener, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let (_held, taken) = listen(([127, 0, 0, 1], 0).into()).await.expect("port 0");
        let failure = listen(taken).await.expect_err("taken");
        assert_eq!(failure.exit_code(), 1);
        let expected = format!("port {} on 127.0.0.1 is in use (choose another with PORT)", taken.port());
        assert_eq!(failure.to_string(), expected);
    }
}

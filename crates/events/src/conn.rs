//! Identity of one end of a TCP connection.

/// Address family as the kernel numbers it (`AF_INET` in `include/linux/socket.h`).
pub const AF_INET: u16 = 2;
/// Address family as the kernel numbers it (`AF_INET6`).
pub const AF_INET6: u16 = 10;

/// One end of a TCP connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "user", derive(bytemuck::Pod, bytemuck::Zeroable))]
pub struct ConnKey {
    /// `bpf_get_socket_cookie`: unique on this host until reboot, never reused, the same in every process that shares
    /// the socket.
    pub cookie: u64,
    /// Local address; an IPv4 address fills the first four bytes.
    pub local_addr: [u8; 16],
    /// Remote address, as [`ConnKey::local_addr`].
    pub remote_addr: [u8; 16],
    /// Local port, in host byte order.
    pub local_port: u16,
    /// Remote port, in host byte order.
    pub remote_port: u16,
    /// [`AF_INET`] or [`AF_INET6`].
    pub family: u16,
    /// Zero.
    pub _pad: u16,
}

const _: () = assert!(size_of::<ConnKey>() == 48 && align_of::<ConnKey>() == 8);

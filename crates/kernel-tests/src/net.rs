//! Ports and network namespaces.

use std::{
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use crate::{process::Process, wait::wait_for};

/// Ports below the range from which the kernel takes those of clients (`net.ipv4.ip_local_port_range`), so that none is
/// taken between its choice and its use.
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 18_000;

/// A port on which nobody listens, neither by IPv4 nor by IPv6, and that this process gives out once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(PORTS)).unwrap_or(0);
    wait_for("a free port", || {
        let port = FIRST_PORT + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % PORTS;
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).is_ok().then_some(port)
    })
}

/// Connects as soon as somebody listens.
pub fn connect(address: impl Into<SocketAddr>) -> TcpStream {
    let address = address.into();
    let stream = wait_for(&format!("a server on {address}"), || TcpStream::connect(address).ok());
    stream.set_read_timeout(Some(crate::wait::soon())).expect("set a time limit");
    stream
}

/// Loopback by IPv4.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Runs a system administration command that must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    if let Err(lack) = attempt(Command::new(program).args(arguments)) {
        panic!("{lack}");
    }
}

/// Runs a system administration command that a machine may not be able to carry out.
pub fn attempt(command: &mut Command) -> Result<(), String> {
    let told = format!("{command:?}");
    let output = command.output().map_err(|error| format!("{told}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{told}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// A network namespace, and with it optionally a pid namespace, that lives as long as this value.
#[derive(Debug)]
pub struct Namespace {
    holder: Process,
    pid_namespace: bool,
}

impl Namespace {
    /// A network namespace in which loopback is up.
    pub fn network() -> Self {
        Self::with(&["--net"], false)
    }

    /// A network, a pid and a mount namespace, as a container has them.
    pub fn container() -> Self {
        Self::with(&["--net", "--pid", "--fork", "--kill-child", "--mount-proc"], true)
    }

    fn with(kinds: &[&str], pid_namespace: bool) -> Self {
        let mut command = Command::new("unshare");
        command.args(kinds).args(["sh", "-c", "ip link set lo up && echo ready >&2 && exec sleep infinity"]);
        let holder = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()));
        wait_for("the namespace", || holder.stderr().contains("ready").then_some(()));
        Self { holder, pid_namespace }
    }

    /// The process that keeps the namespaces alive: in a pid namespace the child of `unshare`, which is its init.
    fn init(&self) -> u32 {
        let pid = self.holder.pid();
        if !self.pid_namespace {
            return pid;
        }
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("list the children of unshare");
        children.trim().parse().expect("unshare has one child")
    }

    /// Joins two by a pair of virtual interfaces that have these addresses, each in CIDR notation.
    pub fn join(one: (&Self, &str), other: (&Self, &str)) -> Result<(), String> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let pair = NEXT.fetch_add(1, Ordering::Relaxed);
        let names = [format!("join{pair}a"), format!("join{pair}b")];
        let [one_init, other_init] = [one.0.init().to_string(), other.0.init().to_string()];
        attempt(
            Command::new("ip").args(["link", "add", &names[0], "netns", &one_init, "type", "veth"]).args([
                "peer",
                "name",
                &names[1],
                "netns",
                &other_init,
            ]),
        )?;
        for ((namespace, address), name) in [one, other].iter().zip(&names) {
            attempt(namespace.command("ip").args(["address", "add", address, "dev", name]))?;
            attempt(namespace.command("ip").args(["link", "set", name, "up"]))?;
        }
        Ok(())
    }

    /// A command that runs inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init().to_string(), "--net"]);
        if self.pid_namespace {
            command.args(["--pid", "--mount"]);
        }
        command.arg(program);
        command
    }
}

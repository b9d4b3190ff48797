//! What a container is called, as far as it can be read without asking its runtime.
//!
//! Reading it may take time, or for ever where a container's files lie on a network, so a thread of its own does it.

mod names;

use std::{
    collections::HashMap,
    fs::File,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    fcntl::{OFlag, OpenHow, ResolveFlag, openat2},
    ifaddrs::getifaddrs,
    sched::{CloneFlags, setns},
};
use procfs::process::Process;
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, TYPE, rdata::RData};
use tracing::{debug, warn};

use super::proc::ProcessInfo;

/// Docker's own name server, in the containers of every network that a user made.
const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// Longest time that an answer of it is waited for.
const NAME_SERVER_PATIENCE: Duration = Duration::from_millis(300);
/// Most addresses of a container that it is asked for.
const MOST_ADDRESSES: usize = 4;
/// Longest file of a container that is read.
const FILE_MAX: u64 = 4096;
/// Processes that may wait to be looked at.
const QUEUE: usize = 1024;
/// How long what was found holds for other processes of the container, and of how many containers it is kept.
const KEEP_FOR: Duration = Duration::from_secs(60);
const KEEP_MOST: usize = 1024;

/// What was found of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// What its service is called, where something names it.
    pub service_name: Option<String>,
    /// What its service belongs to.
    pub service_namespace: Option<String>,
    /// Resource attributes.
    pub attributes: Vec<(&'static str, String)>,
}

/// What will be known of a process's container, shared by the processes that it makes.
pub type Awaited = Arc<OnceLock<Container>>;

/// A process in a container that is to be looked at.
struct Request {
    process: ProcessInfo,
    environment: HashMap<String, String>,
    into: Awaited,
}

/// Looks at containers.
pub struct Containers {
    requests: SyncSender<Request>,
    found: Receiver<Awaited>,
}

impl Containers {
    /// Starts the thread that looks.
    ///
    /// # Errors
    ///
    /// There can be no thread.
    pub fn start() -> std::io::Result<Self> {
        let (requests, to_do) = sync_channel::<Request>(QUEUE);
        let (done, found) = sync_channel(QUEUE);
        thread::Builder::new().name("containers".to_owned()).spawn(move || {
            let mut kept = Kept::default();
            for request in to_do {
                let _: Result<(), _> = request.into.set(kept.look(&request));
                // Nobody waits any more when the agent ends.
                if done.send(request.into).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, found })
    }

    /// Begins to look at the container of a process, if it is in one.
    pub fn look(&self, process: &ProcessInfo, environment: &HashMap<String, String>) -> Awaited {
        let into = Awaited::default();
        if process.container_id.is_some() {
            let request = Request {
                process: process.clone(),
                environment: environment.clone(),
                into: Arc::clone(&into),
            };
            if self.requests.try_send(request).is_err() {
                warn!(pid = process.pid, "too many containers at once: a process is named after its program");
            }
        }
        into
    }

    /// What was found since this was last asked.
    pub fn next(&self) -> Option<Awaited> {
        self.found.try_recv().ok()
    }
}

/// Containers that were looked at a moment ago.
#[derive(Default)]
struct Kept {
    by_id: HashMap<String, (Instant, Container)>,
    has_said_why_not: bool,
}

impl Kept {
    fn look(&mut self, request: &Request) -> Container {
        let Some(id) = &request.process.container_id else { return Container::default() };
        self.by_id.retain(|_, (since, _)| since.elapsed() < KEEP_FOR);
        if let Some((_, container)) = self.by_id.get(id) {
            return container.clone();
        }
        let evidence = self.gather(&request.process, &request.environment);
        let container = evidence.judge();
        if self.by_id.len() < KEEP_MOST {
            self.by_id.insert(id.clone(), (Instant::now(), container.clone()));
        }
        container
    }

    fn gather(&mut self, process: &ProcessInfo, environment: &HashMap<String, String>) -> names::Evidence {
        let pid = process.pid;
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        // A container that shares the host's name says nothing about itself by it.
        let hostname = is_apart(pid, "uts")
            .then(|| file_of(pid, "etc/hostname").as_deref().and_then(super::host::first_word))
            .flatten()
            .or_else(|| is_apart(pid, "uts").then(|| variable("HOSTNAME")).flatten());
        let in_pod = process.pod_uid.is_some();
        let domain_name =
            (!in_pod && has_name_server(pid) && is_apart(pid, "net")).then(|| self.ask(pid)).flatten();
        names::Evidence {
            container_id: process.container_id.clone().unwrap_or_default(),
            hostname,
            domain_name,
            pod_uid: process.pod_uid.clone(),
            pod_name: variable("POD_NAME").or_else(|| variable("K8S_POD_NAME")),
            pod_namespace: variable("POD_NAMESPACE")
                .or_else(|| variable("K8S_NAMESPACE"))
                .or_else(|| in_pod.then(|| file_of(pid, names::NAMESPACE_FILE)).flatten()),
        }
    }

    fn ask(&mut self, pid: u32) -> Option<String> {
        // A thread that entered another network cannot be trusted with anything else.
        let asking = thread::Builder::new().name("container-dns".to_owned()).spawn(move || own_name(pid));
        let answer = asking.map_err(anyhow::Error::from).and_then(|asking| match asking.join() {
            Ok(answer) => answer,
            Err(_) => bail!("the thread that asks panicked"),
        });
        match answer {
            Ok(name) => name,
            Err(error) => {
                if !self.has_said_why_not {
                    self.has_said_why_not = true;
                    debug!(pid, error = format!("{error:#}"), "cannot ask the name server of a container");
                }
                None
            }
        }
    }
}

/// Whether a process has a namespace of its own, apart from the host's.
fn is_apart(pid: u32, kind: &str) -> bool {
    let of =
        |process: Process| Some(process.namespaces().ok()?.0.get(std::ffi::OsStr::new(kind))?.identifier);
    let host = Process::new(1).ok().and_then(of).or_else(|| Process::myself().ok().and_then(of));
    let own = i32::try_from(pid).ok().and_then(|pid| Process::new(pid).ok()).and_then(of);
    own.is_some() && own != host
}

/// A small text file as a process sees it. Links are followed within its own root, where the container put them.
fn file_of(pid: u32, path: &str) -> Option<String> {
    let root = File::open(format!("/proc/{pid}/root")).ok()?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = File::from(openat2(root.as_fd(), path, how).ok()?);
    // A pipe or a device could give bytes for ever.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Whether a process resolves names by Docker's own server.
fn has_name_server(pid: u32) -> bool {
    let server = NAME_SERVER.to_string();
    file_of(pid, "etc/resolv.conf").is_some_and(|text| {
        text.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("nameserver") && words.next() == Some(server.as_str())
        })
    })
}

/// What the container's network calls it. Stays in that network: only for a thread that ends thereafter.
fn own_name(pid: u32) -> Result<Option<String>> {
    let network = File::open(format!("/proc/{pid}/ns/net")).context("open the network namespace")?;
    setns(network, CloneFlags::CLONE_NEWNET).context("enter the network namespace (needs CAP_SYS_ADMIN)")?;
    let addresses = getifaddrs().context("list addresses")?.filter_map(|interface| {
        let address = interface.address?.as_sockaddr_in()?.ip();
        (!address.is_loopback() && !address.is_link_local()).then_some(address)
    });
    let deadline = Instant::now() + NAME_SERVER_PATIENCE;
    for address in addresses.take(MOST_ADDRESSES) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        if let Some(name) = ask_for(address, left)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn ask_for(address: Ipv4Addr, patience: Duration) -> Result<Option<String>> {
    let [a, b, c, d] = address.octets();
    let asked = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
    let id = rand::random();
    let mut query = Packet::new_query(id);
    query.set_flags(PacketFlag::RECURSION_DESIRED);
    query.questions.push(Question::new(Name::new(&asked)?, TYPE::PTR.into(), CLASS::IN.into(), false));
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("open a socket")?;
    socket.connect(SocketAddr::new(IpAddr::V4(NAME_SERVER), 53)).context("find the name server")?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(&query.build_bytes_vec()?).context("ask the name server")?;
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer).context("wait for the name server")?;
    Ok(answer(&buffer[..length], id))
}

/// The name in an answer to the query with this number.
fn answer(bytes: &[u8], id: u16) -> Option<String> {
    let packet = Packet::parse(bytes).ok()?;
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    packet.answers.iter().find_map(|record| match &record.rdata {
        RData::PTR(name) => Some(name.0.to_string()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::{ResourceRecord, rdata::PTR};

    fn reply(id: u16, name: &str) -> Vec<u8> {
        let mut reply = Packet::new_reply(id);
        let asked = Name::new_unchecked("2.0.18.172.in-addr.arpa");
        let answer = RData::PTR(PTR(Name::new_unchecked(name)));
        reply.answers.push(ResourceRecord::new(asked, CLASS::IN, 600, answer));
        reply.build_bytes_vec().expect("a reply")
    }

    #[test]
    fn an_answer_is_read_if_it_is_one() {
        assert_eq!(answer(&reply(7, "shop.shop-network"), 7).as_deref(), Some("shop.shop-network"));
        assert_eq!(answer(&reply(8, "shop.shop-network"), 7), None, "another's");
        let query = Packet::new_query(7).build_bytes_vec().expect("a query");
        assert_eq!(answer(&query, 7), None, "no answer");
        assert_eq!(answer(b"\x00\x07", 7), None, "cut short");
    }

    #[test]
    fn a_file_is_read_within_the_process_root() {
        let pid = std::process::id();
        let dir = tempfile::tempdir().expect("a directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("name"), "shop\n").expect("write");
        std::os::unix::fs::symlink(path("name"), path("link")).expect("link");
        nix::unistd::mkfifo(dir.path().join("pipe").as_path(), nix::sys::stat::Mode::S_IRWXU).expect("pipe");
        assert_eq!(file_of(pid, &path("name")).as_deref(), Some("shop\n"));
        assert_eq!(file_of(pid, &path("link")).as_deref(), Some("shop\n"));
        assert_eq!(file_of(pid, &path("pipe")), None);
        assert_eq!(file_of(pid, &path("missing")), None);
        assert!(!is_apart(pid, "uts") && !is_apart(u32::MAX, "uts"));
    }

    #[test]
    fn who_is_in_no_container_is_not_looked_at() {
        let containers = Containers::start().expect("a thread");
        let process = ProcessInfo { pid: std::process::id(), ..ProcessInfo::default() };
        assert!(containers.look(&process, &HashMap::new()).get().is_none());
        assert!(containers.next().is_none());
    }
}

//! What `/proc` tells about a process.

use std::{
    collections::{BTreeSet, HashMap},
    ffi::OsString,
};

use procfs::{
    ProcError, ProcResult,
    net::{TcpNetEntry, TcpState},
    process::{FDTarget, Process},
};

/// A process as `/proc` shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of proc_pid_stat(5)); 0 where not known. With the process id
    /// it names a process for good.
    pub start_ticks: u64,
    /// Path of the executable, in the process's own mount namespace; empty where it cannot be read.
    pub exe_path: String,
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// Ports on which it listens.
    pub listening_ports: Vec<u16>,
    /// Whether it lives in another pid namespace than the agent.
    pub in_container: bool,
    /// Id of the container that it runs in, as its cgroup tells; no container runtime is asked.
    pub container_id: Option<String>,
    /// Id of the Kubernetes pod that it runs in, from the same place.
    pub pod_uid: Option<String>,
}

/// Sockets that listen, of the network namespaces looked at so far, by inode. A scan over all processes reads each
/// namespace once.
#[derive(Default)]
pub struct Listeners {
    by_namespace: HashMap<u64, HashMap<u64, u16>>,
}

impl Listeners {
    fn of(&mut self, process: &Process) -> Option<&HashMap<u64, u16>> {
        let namespace = process.namespaces().ok()?.0.get(&OsString::from("net"))?.identifier;
        Some(self.by_namespace.entry(namespace).or_insert_with(|| {
            let both = [process.tcp(), process.tcp6()];
            both.into_iter().flatten().flatten().filter_map(listening).collect()
        }))
    }
}

fn listening(entry: TcpNetEntry) -> Option<(u64, u16)> {
    (entry.state == TcpState::Listen).then(|| (entry.inode, entry.local_address.port()))
}

/// Reads a process; `None` once it is gone or where it may not be read.
pub fn read(pid: u32, listeners: &mut Listeners) -> Option<ProcessInfo> {
    let process = open(pid).ok()?;
    // Kernel threads have neither executable nor arguments.
    let exe_path = process.exe().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let args = process.cmdline().unwrap_or_default();
    if exe_path.is_empty() && args.is_empty() {
        return None;
    }
    let exe_path = exe_path.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(exe_path);
    let start_ticks = process.stat().map_or(0, |stat| stat.starttime);
    let listening_ports = ports(&process, listeners);
    let in_container = pid_namespace(&process) != Process::myself().ok().and_then(|own| pid_namespace(&own));
    let groups: Vec<String> = process
        .cgroups()
        .map(|groups| groups.into_iter().map(|group| group.pathname).collect())
        .unwrap_or_default();
    let container_id = groups.iter().find_map(|group| container_id(group).map(str::to_owned));
    let pod_uid = groups.iter().find_map(|group| pod_uid(group));
    Some(ProcessInfo {
        pid,
        start_ticks,
        exe_path,
        args,
        listening_ports,
        in_container,
        container_id,
        pod_uid,
    })
}

/// Every process that there is.
pub fn all_pids() -> Vec<u32> {
    procfs::process::all_processes()
        .map(|all| all.flatten().filter_map(|process| u32::try_from(process.pid()).ok()).collect())
        .unwrap_or_default()
}

/// Variables, besides those of OpenTelemetry, by which a container may say what it is called.
const NAMING_VARIABLES: [&str; 5] =
    ["HOSTNAME", "POD_NAME", "K8S_POD_NAME", "POD_NAMESPACE", "K8S_NAMESPACE"];

/// The variables a process was started with that name it; empty where they may not be read.
pub fn naming_environment(pid: u32) -> HashMap<String, String> {
    let read = open(pid).and_then(|process| process.environ());
    read.unwrap_or_default()
        .into_iter()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(key, _)| key.starts_with("OTEL_") || NAMING_VARIABLES.contains(&key.as_str()))
        .collect()
}

/// Whether no thread of the process runs any more, or its id is another's by now. `start_ticks` of 0 stands for any.
pub fn has_ended(pid: u32, start_ticks: u64) -> bool {
    let process = match open(pid) {
        Ok(process) => process,
        // Anything else, as too many open files, says nothing about the process.
        Err(error) => return matches!(error, ProcError::NotFound(_)),
    };
    match process.stat() {
        Ok(stat) if start_ticks != 0 && stat.starttime != start_ticks => true,
        // The main thread may have ended before the others.
        Ok(stat) if matches!(stat.state, 'Z' | 'X') => {
            process.tasks().map_or(true, |tasks| tasks.flatten().count() <= 1)
        }
        Ok(_) => false,
        Err(_) => true,
    }
}

/// Whether the agent sees processes under the numbers that the kernel's programs use: it does in the initial pid
/// namespace, whose inode is fixed (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
pub fn in_initial_pid_namespace() -> bool {
    const PROC_PID_INIT_INO: u64 = 0xEFFF_FFFC;
    Process::myself().ok().and_then(|own| pid_namespace(&own)) == Some(PROC_PID_INIT_INO)
}

fn open(pid: u32) -> ProcResult<Process> {
    Process::new(i32::try_from(pid).unwrap_or(-1))
}

fn pid_namespace(process: &Process) -> Option<u64> {
    Some(process.namespaces().ok()?.0.get(&OsString::from("pid"))?.identifier)
}

/// The container's id in the path of a cgroup: Docker, containerd, CRI-O and Podman all make one of 64 hexadecimal digits,
/// bare (`/docker/ID`) or between a prefix and a suffix (`/system.slice/docker-ID.scope`). The innermost counts.
fn container_id(cgroup: &str) -> Option<&str> {
    const DIGITS: usize = 64;
    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    cgroup.rsplit(['/', '-', '.', ':']).find(|part| part.len() == DIGITS && part.chars().all(is_digit))
}

/// The pod's id in the path of a cgroup: `/kubepods/burstable/podUID/...`, or with underscores in place of dashes
/// `/kubepods-burstable-podUID.slice/...`.
fn pod_uid(cgroup: &str) -> Option<String> {
    let is_uid = |text: &str| {
        let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
        digits == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || b"-_".contains(&byte))
    };
    cgroup.split(['/', ':']).find_map(|part| {
        let part = part.strip_suffix(".slice").unwrap_or(part);
        let (before, uid) = part.rsplit_once("pod")?;
        ((before.is_empty() || before.ends_with('-')) && is_uid(uid)).then(|| uid.replace('_', "-"))
    })
}

fn ports(process: &Process, listeners: &mut Listeners) -> Vec<u16> {
    let Ok(descriptors) = process.fd() else { return Vec::new() };
    let sockets: Vec<u64> = descriptors
        .flatten()
        .filter_map(|descriptor| match descriptor.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    // Most programs have no socket when they start, and the table of all connections is long.
    if sockets.is_empty() {
        return Vec::new();
    }
    let Some(listening) = listeners.of(process) else { return Vec::new() };
    let ports: BTreeSet<u16> = sockets.iter().filter_map(|inode| listening.get(inode).copied()).collect();
    ports.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn this_process_is_found_with_its_listening_port() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = listener.local_addr().expect("address").port();
        let info = read(std::process::id(), &mut Listeners::default()).expect("own process");
        assert!(info.listening_ports.contains(&port), "{info:?}");
        assert!(!info.exe_path.is_empty() && !info.args.is_empty());
        assert!(!info.in_container);
        assert!(!has_ended(std::process::id(), info.start_ticks));
        assert!(has_ended(std::process::id(), info.start_ticks + 1), "another process of that id");
    }

    #[test]
    fn the_container_is_read_from_the_cgroup_of_every_runtime() {
        let outer = "5d2f0c".repeat(11)[..64].to_owned();
        let id = "0123456789abcdef".repeat(4);
        for (path, expected) in [
            (format!("/docker/{id}"), true),
            (format!("/system.slice/docker-{id}.scope"), true),
            (format!("/../../system.slice/docker-{id}.scope/init.scope"), true),
            (format!("/kubepods/besteffort/pod6f1e/{id}"), true),
            (format!("/kubepods.slice/kubepods-pod6f1e.slice/cri-containerd-{id}.scope"), true),
            (format!("/kubelet.slice/x.slice:cri-containerd:{id}"), true),
            (format!("/docker/{outer}/docker/{id}"), true),
            (format!("/machine.slice/libpod-{id}.scope/container"), true),
            (format!("/user.slice/{id}0"), false),
            (format!("/user.slice/{}", id.to_uppercase()), false),
            ("/user.slice/user-1000.slice/session-3.scope".to_owned(), false),
            ("/".to_owned(), false),
        ] {
            assert_eq!(container_id(&path), expected.then_some(id.as_str()), "{path}");
        }
    }

    #[test]
    fn the_pod_is_read_from_the_cgroup() {
        let uid = "6f1e0c2a-1b2c-4d5e-8f90-a1b2c3d4e5f6";
        let id = "0123456789abcdef".repeat(4);
        for (path, expected) in [
            (format!("/kubepods/burstable/pod{uid}/{id}"), true),
            (format!("/../../pod{uid}/{id}"), true),
            (
                format!(
                    "/kubepods.slice/kubepods-besteffort-pod{}.slice/cri-{id}.scope",
                    uid.replace('-', "_")
                ),
                true,
            ),
            (format!("/kubelet/kubepods/pod{uid}"), true),
            (format!("/docker/{id}"), false),
            (format!("/machine.slice/libpod-{id}.scope"), false),
            ("/user.slice/pod".to_owned(), false),
        ] {
            assert_eq!(pod_uid(&path).as_deref(), expected.then_some(uid), "{path}");
        }
    }

    #[test]
    fn a_process_that_does_not_exist_has_ended() {
        assert!(read(u32::MAX, &mut Listeners::default()).is_none());
        assert!(has_ended(u32::MAX, 0));
        assert!(naming_environment(u32::MAX).is_empty());
    }
}

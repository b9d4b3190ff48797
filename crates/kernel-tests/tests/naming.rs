//! What services in containers are called, by all that can be read without a container runtime.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use otel_ebpf_kernel_tests::{
    agent::Agent,
    needs_tracing,
    net::{free_port, loopback},
    process::{OwnProgram, Process},
    services::{self, http_server_command, script},
    sink::{Received, Sink},
    skipped,
    wait::{wait_for, wait_until},
};

/// A cgroup with a name as container runtimes give it; removed when dropped.
struct Cgroup {
    path: PathBuf,
    id: String,
}

impl Cgroup {
    /// Makes one below the root of the second hierarchy; `None`, loudly, where that cannot be.
    fn make(test: &str, name: impl Fn(&str) -> String) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = format!("{:032x}{:032x}", std::process::id(), u64::from(number) + 0xabc0);
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let root = roots.into_iter().find(|root| root.join("cgroup.subtree_control").exists());
        let path = root.map(|root| root.join(name(&id))).filter(|path| fs::create_dir_all(path).is_ok());
        if path.is_none() {
            skipped(test, "no cgroup v2 that can be written to");
        }
        Some(Self { path: path?, id })
    }

    fn docker(test: &str) -> Option<Self> {
        Self::make(test, |id| format!("docker-{id}.scope"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It goes only once its processes are gone, which were killed before.
        wait_until("the end of a cgroup", || fs::remove_dir(&self.path).is_ok());
    }
}

/// What a container has of its own.
#[derive(Clone, Copy, Default)]
struct Shape<'a> {
    hostname: &'a str,
    /// What its network's name server calls it.
    domain_name: &'a str,
    variables: &'a [(&'a str, &'a str)],
}

/// Runs Python's `http.server` in a container of this shape, asks it once, and returns what the agent told of it.
fn told(cgroup: &Cgroup, shape: Shape<'_>, agent_variables: &[(&str, &str)]) -> Received {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("hostname"), format!("{}\n", shape.hostname)).expect("write");
    let server = if shape.domain_name.is_empty() { "192.0.2.1" } else { "127.0.0.11" };
    fs::write(dir.path().join("resolv.conf"), format!("nameserver {server}\n")).expect("write");
    let (port, dir) = (free_port(), dir.path().display());
    let server = match shape.domain_name {
        "" => String::new(),
        name => format!("{} {} 127.0.0.11 {name} &", services::python(), script("dns.py").display()),
    };
    // The server of names is ready before the agent can ask: the service starts to listen when it is told to.
    let inside = format!(
        "set -e; echo $$ > {}/cgroup.procs; mount --make-rprivate /; mount --bind {dir}/hostname /etc/hostname; \
         mount --bind {dir}/resolv.conf /etc/resolv.conf; hostname {}; ip link set lo up; \
         ip address add 10.99.0.2/32 dev lo; {server} echo inside >&2; read go || true; \
         exec {} -m http.server {port} --bind 127.0.0.1",
        cgroup.path.display(),
        shape.hostname,
        services::python(),
    );
    let mut command = Command::new("unshare");
    command.args(["--uts", "--net", "--mount", "sh", "-c", &inside]);
    command.envs(shape.variables.iter().copied()).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut container = Process::start(&mut command);
    wait_until("the container", || {
        let log = container.stderr();
        log.contains("inside") && (shape.domain_name.is_empty() || log.contains("ready"))
    });
    let sink = Sink::start();
    let port_text = port.to_string();
    let mut variables = vec![("OTEL_EBPF_OPEN_PORT", port_text.as_str())];
    variables.extend(agent_variables);
    let agent = Agent::start(&sink, &variables);
    drop(container.take_stdin());
    agent.wait_until_traces(container.pid());
    let needle = format!("looked at the container of a process pid={} ", container.pid());
    wait_until(&needle, || agent.log().contains(&needle));
    let pid = container.pid().to_string();
    let url = format!("http://{}/missing", loopback(port));
    wait_for("an answer", || {
        let mut curl = Command::new("nsenter");
        curl.args([
            "--target",
            &pid,
            "--net",
            "curl",
            "--silent",
            "--noproxy",
            "*",
            "--output",
            "/dev/null",
            &url,
        ]);
        curl.status().expect("run nsenter").success().then_some(())
    });
    let span = sink.wait_for_servers(1).remove(0);
    agent.stop();
    span
}

fn named(test: &str, shape: Shape<'_>, agent_variables: &[(&str, &str)]) -> Option<String> {
    let cgroup = Cgroup::docker(test)?;
    let span = told(&cgroup, shape, agent_variables);
    assert_eq!(span.origin.resource["container.id"], cgroup.id.as_str());
    Some(span.service())
}

const SHORT_ID: &str = "0123456789ab";

macro_rules! assert_named {
    ($shape:expr, $agent:expr, $expected:expr) => {
        if let Some(name) = named(module_path!(), $shape, $agent) {
            assert_eq!(name, $expected);
        }
    };
}

#[test]
fn the_services_own_name_beats_all_others() {
    needs_tracing!();
    let variables = [("OTEL_SERVICE_NAME", "by-itself")];
    let shape = Shape { hostname: "by-hostname", variables: &variables, ..Shape::default() };
    assert_named!(shape, &[("OTEL_SERVICE_NAME", "by-agent")], "by-itself");
    let variables = [("OTEL_RESOURCE_ATTRIBUTES", "service.name=by-list")];
    assert_named!(Shape { variables: &variables, ..shape }, &[("OTEL_SERVICE_NAME", "by-agent")], "by-list");
}

#[test]
fn the_agents_name_for_all_beats_the_containers() {
    needs_tracing!();
    let shape = Shape { hostname: "by-hostname", ..Shape::default() };
    assert_named!(shape, &[("OTEL_SERVICE_NAME", "by-agent")], "by-agent");
    assert_named!(shape, &[("OTEL_EBPF_SERVICE_NAME", "by-deprecated")], "by-deprecated");
}

#[test]
fn a_container_is_called_by_the_host_name_that_it_was_given() {
    needs_tracing!();
    let shape = Shape { hostname: "by-hostname", domain_name: "by-network.net", ..Shape::default() };
    assert_named!(shape, &[], "by-hostname");
}

#[test]
fn a_container_is_called_as_its_network_calls_it() {
    needs_tracing!();
    let shape =
        Shape { hostname: SHORT_ID, domain_name: "ebpf-frontend.tinyolly-network", ..Shape::default() };
    assert_named!(shape, &[], "ebpf-frontend");
}

#[test]
fn a_container_that_nothing_names_is_called_by_its_program() {
    needs_tracing!();
    assert_named!(Shape { hostname: SHORT_ID, ..Shape::default() }, &[], "http.server");
}

#[test]
fn a_pod_is_called_after_its_deployment() {
    needs_tracing!();
    let uid = "6f1e0c2a-1b2c-4d5e-8f90-a1b2c3d4e5f6";
    let pod = format!("kubepods-test-pod{}.slice", uid.replace('-', "_"));
    let Some(cgroup) = Cgroup::make(module_path!(), |id| format!("{pod}/cri-containerd-{id}.scope")) else {
        return;
    };
    let variables = [("POD_NAMESPACE", "store")];
    let shape = Shape { hostname: "shop-5d4f8c7b9d-x2x9z", variables: &variables, ..Shape::default() };
    let span = told(&cgroup, shape, &[]);
    for (key, expected) in [
        ("service.name", "shop"),
        ("service.namespace", "store"),
        ("k8s.pod.uid", uid),
        ("k8s.pod.name", "shop-5d4f8c7b9d-x2x9z"),
        ("k8s.deployment.name", "shop"),
        ("k8s.namespace.name", "store"),
    ] {
        assert_eq!(span.origin.resource[key], expected, "{key}");
    }
    let parent = cgroup.path.parent().expect("a cgroup of the pod").to_owned();
    drop(cgroup);
    fs::remove_dir(parent).expect("remove the cgroup of the pod");
}

#[test]
fn docker_proxy_is_never_credited() {
    needs_tracing!();
    let dir = tempfile::tempdir().expect("a directory");
    let program = dir.path().join("docker-proxy");
    fs::copy(services::python(), &program).expect("copy a program");
    let real = OwnProgram::copy(Path::new(services::python()));
    let (port, real_port) = (free_port(), free_port());
    let sink = Sink::start();
    let agent = Agent::start(&sink, &[("OTEL_EBPF_OPEN_PORT", &format!("{port},{real_port}"))]);
    let path = program.display().to_string();
    let _proxy = services::Service::start(port, |_| http_server_command(&path, port, "127.0.0.1")).ready();
    let service =
        services::Service::start(real_port, |_| http_server_command(&real.path(), real_port, "127.0.0.1"))
            .ready();
    for port in [port, real_port] {
        let mut raw = otel_ebpf_kernel_tests::client::Raw::connect(loopback(port));
        raw.get("/missing");
        assert_eq!(raw.response().status(), 404);
    }
    sink.wait_for_servers(1);
    agent.stop();
    assert!(sink.servers().iter().all(|span| span.pid() == service.pid()));
    assert_eq!(sink.servers().len(), 1);
}

//! Finding services: those that start later, live briefly, fork, or live in other namespaces.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use otel_ebpf_kernel_tests::{
    agent::Agent,
    client::{OwnCurl, Raw, WaitingCurl, curl},
    needs_tracing,
    net::{Namespace, free_port, loopback},
    process::{OwnProgram, Process},
    services::{self, Service, http_server, http_server_command, nginx_at, python_script},
    sink::{Received, Sink},
    wait::wait_for,
};

const TIMES: usize = 20;

#[test]
fn the_very_first_request_is_traced_by_port() {
    needs_tracing!();
    let sink = Sink::start();
    let port = free_port();
    let agent = Agent::on_port(&sink, port);
    for time in 1..=TIMES {
        let service = http_server(port, "127.0.0.1");
        let mut raw = Raw::connect(loopback(port));
        raw.get("/missing");
        assert_eq!(raw.response().status(), 404);
        let spans = sink.wait_for_servers(time);
        assert_eq!(spans[time - 1].pid(), service.pid());
    }
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("exchanges"), sink.servers().len()), (TIMES as u64, TIMES));
}

#[test]
fn the_very_first_request_is_traced_by_executable() {
    needs_tracing!();
    let sink = Sink::start();
    let python = OwnProgram::copy(Path::new(services::python()));
    let agent = Agent::start(&sink, &[("OTEL_EBPF_AUTO_TARGET_EXE", &python.path())]);
    for time in 1..=TIMES {
        let port = free_port();
        let service = Service::start(port, |_| http_server_command(&python.path(), port, "127.0.0.1"));
        let mut raw = Raw::connect(loopback(port));
        raw.get("/missing");
        assert_eq!(raw.response().status(), 404);
        let spans = sink.wait_for_servers(time);
        assert_eq!(spans[time - 1].pid(), service.pid());
    }
    agent.stop().assert_clean_among_others();
    assert_eq!(sink.servers().len(), TIMES);
}

#[test]
fn workers_forked_before_the_agent_had_a_look_are_traced_by_executable() {
    needs_tracing!();
    let sink = Sink::start();
    let program = OwnProgram::copy(&OwnProgram::find("nginx"));
    let agent = Agent::start(&sink, &[("OTEL_EBPF_AUTO_TARGET_EXE", &program.path())]);
    for time in 1..=TIMES {
        let port = free_port();
        let _service = nginx_at(Path::new(&program.path()), port, "location / { return 200 ok; }");
        let mut raw = Raw::connect(loopback(port));
        raw.get("/first");
        assert_eq!(raw.response().status(), 200);
        sink.wait_for_servers(time);
    }
    agent.stop().assert_clean_among_others();
    assert_eq!(sink.servers().len(), TIMES);
}

#[test]
fn a_client_that_lives_for_one_request_is_traced_by_executable() {
    needs_tracing!();
    let sink = Sink::start();
    let port = free_port();
    let _service = python_script("said.py", port, &[]).ready();
    let own_curl = OwnCurl::default();
    let agent = Agent::start(&sink, &[("OTEL_EBPF_AUTO_TARGET_EXE", &own_curl.path())]);
    // What a program is can be read only while it lives, so this one has to live for a moment.
    let url = format!("http://127.0.0.1:{port}/slow/50");
    for time in 1..=TIMES {
        let status = Command::new(own_curl.path())
            .args(["--silent", "--output", "/dev/null", &url])
            .status()
            .expect("run curl");
        assert!(status.success());
        sink.wait_for_clients(time);
    }
    agent.stop().assert_clean_among_others();
    assert_eq!(sink.clients().len(), TIMES);
}

#[test]
fn a_service_that_lives_for_one_request_is_traced() {
    needs_tracing!();
    let sink = Sink::start();
    let port = free_port();
    let agent = Agent::on_port(&sink, port);
    for time in 1..=TIMES {
        let mut service = python_script("short_life.py", port, &[]);
        let mut raw = Raw::connect(loopback(port));
        raw.get("/only");
        assert_eq!(raw.response().body, b"ok");
        let pid = service.pid();
        assert!(service.process().wait().success());
        let spans = sink.wait_for_servers(time);
        assert_eq!((spans[time - 1].pid(), spans[time - 1].service().as_str()), (pid, "short_life"));
    }
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("exchanges"), sink.servers().len()), (TIMES as u64, TIMES));
}

#[test]
fn a_server_that_forks_for_each_request_is_traced_in_its_children() {
    needs_tracing!();
    let sink = Sink::start();
    let port = free_port();
    let agent = Agent::on_port(&sink, port);
    let service = python_script("fork_server.py", port, &[]).ready();
    let mut children = Vec::new();
    for time in 1..=TIMES {
        let fetched = curl(&[&service.url("/child")]);
        let child: u32 = String::from_utf8(fetched.body).expect("text").parse().expect("a process id");
        assert_ne!(child, service.pid());
        children.push(child);
        sink.wait_for_servers(time);
    }
    agent.stop().assert_clean();
    let told: Vec<u32> = sink.servers().iter().map(Received::pid).collect();
    assert_eq!(told, children);
    assert!(sink.servers().iter().all(|span| span.service() == "fork_server"));
}

#[test]
fn a_service_in_other_namespaces_is_traced_under_its_host_pid() {
    needs_tracing!();
    let container = Namespace::container();
    let sink = Sink::start();
    let port = free_port();
    let agent = Agent::on_port(&sink, port);
    let mut command = container.command(services::python());
    command.args(["-m", "http.server", &port.to_string()]);
    let server = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()));
    let curl = || WaitingCurl::start_in(&mut container.command("curl"));
    let config = format!(
        "url = \"http://127.0.0.1:{port}/missing\"\nretry = 30\nretry-connrefused\nretry-delay = 1\n"
    );
    assert_eq!(curl().fetch(&config).status, 404);
    assert_eq!(curl().fetch(&config).status, 404);
    let spans = sink.wait_for_servers(2);
    // `nsenter` forks to enter a pid namespace; its child is the server.
    let pid = wait_for("nsenter's child", || {
        let path = format!("/proc/{0}/task/{0}/children", server.pid());
        std::fs::read_to_string(path).ok()?.trim().parse::<u32>().ok()
    });
    for span in &spans {
        assert_eq!((span.pid(), span.service().as_str()), (pid, "http.server"));
        assert_eq!(span.attribute("server.address"), "127.0.0.1");
    }
    let counts = agent.stop().assert_clean();
    assert_eq!((counts.get("exchanges"), sink.servers().len()), (2, 2));
}

#[test]
fn other_services_are_left_alone() {
    needs_tracing!();
    let sink = Sink::start();
    let (port, other_port) = (free_port(), free_port());
    let service = http_server(port, "127.0.0.1").ready();
    let other = http_server(other_port, "127.0.0.1").ready();
    let agent = Agent::on_port(&sink, port);
    for _ in 0..5 {
        curl(&[&other.url("/")]);
        curl(&[&service.url("/")]);
    }
    sink.wait_for_servers(5);
    agent.stop().assert_clean();
    assert!(sink.spans().iter().all(|span| span.pid() == service.pid()));
    assert_eq!(sink.servers().len(), 5);
}

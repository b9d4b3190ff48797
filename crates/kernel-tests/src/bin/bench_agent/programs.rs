//! The programs that serve and those that ask.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use otel_ebpf_kernel_tests::{
    may_trace,
    net::attempt,
    services::{Service, script},
};

/// What must be installed, and the Debian package that brings it.
const NEEDED: [(&str, &str); 3] = [("wrk", "wrk"), ("nginx", "nginx-light"), ("python3", "python3")];

/// Checks that everything can be measured here.
///
/// # Errors
///
/// What is missing, and what to do about it.
pub fn check() -> Result<(), String> {
    if !may_trace("the agent's figures") {
        return Err("programs cannot be loaded into the kernel: run as root, on a kernel with BTF".to_owned());
    }
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(program, _)| find(program).is_none()).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        let missing = missing.join(" ");
        return Err(format!("not installed: {missing}; run `apt-get install {missing}`"));
    }
    match patterns().is_file() {
        true => Ok(()),
        false => Err(format!("no {}; run `cargo xtask bench agent`, which builds it", patterns().display())),
    }
}

/// A program in the search path, or where those of the system administrator are.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    let mut places = path.split(':').chain(["/usr/sbin", "/sbin"]).map(|dir| Path::new(dir).join(name));
    places.find(|place| place.is_file())
}

/// The two services of the patterns, which lie beside this program.
pub fn patterns() -> PathBuf {
    let this = env::current_exe().expect("path of this program");
    this.with_file_name("patterns")
}

/// The back of the patterns.
pub fn back(port: u16) -> Service {
    Service::start(port, |_| {
        let mut command = Command::new(patterns());
        command.args(["back", &port.to_string()]);
        command
    })
    .ready()
}

/// The front of the patterns.
pub fn front(port: u16, back: u16) -> Service {
    Service::start(port, |_| {
        let mut command = Command::new(patterns());
        command.args(["front", &port.to_string(), &format!("http://127.0.0.1:{back}")]);
        command
    })
    .ready()
}

/// A service in Go that asks another over connections that it keeps.
///
/// # Panics
///
/// There is no Go.
pub fn go(port: u16, back: u16) -> Service {
    let own = target_dir().join("polyglot-venv/bin/go");
    let compiler = Some(own).filter(|own| own.is_file()).or_else(|| find("go"));
    let compiler = compiler.expect("needs Go: run `scripts/setup.sh --test kernel`");
    Service::start(port, |dir| {
        let program = dir.join("go_hop");
        let mut build = Command::new(compiler);
        build
            .envs([("CGO_ENABLED", "0"), ("GOENV", "off"), ("GOTOOLCHAIN", "local")])
            .env("GOCACHE", target_dir().join("bench-go-cache"))
            .args(["build", "-o"])
            .arg(&program)
            .arg(script("polyglot/go_hop.go"));
        attempt(&mut build).unwrap_or_else(|lack| panic!("{lack}"));
        let mut command = Command::new(program);
        command.args([port, back].map(|port| port.to_string()));
        command
    })
    .ready()
}

/// Where cargo put this program, in the directory of a profile.
fn target_dir() -> PathBuf {
    let this = env::current_exe().expect("path of this program");
    this.ancestors().nth(2).expect("it lies in the directory of a profile").to_owned()
}

/// nginx with one worker, which answers everything with two bytes, and takes so many connections.
pub fn nginx(port: u16, connections: u32) -> Service {
    let program = find("nginx").expect("it was looked for at the start");
    Service::start(port, |dir| {
        let root = dir.display();
        let config = format!(
            "daemon off;\nworker_processes 1;\nworker_rlimit_nofile {files};\npid {root}/nginx.pid;\n\
             error_log {root}/error.log;\nevents {{ worker_connections {connections}; }}\n\
             http {{\n  access_log off;\n  keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n\
             client_body_temp_path {root}/body;\n  proxy_temp_path {root}/proxy;\n\
             fastcgi_temp_path {root}/fastcgi;\n  uwsgi_temp_path {root}/uwsgi;\n  scgi_temp_path {root}/scgi;\n\
             server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} }}\n}}\n",
            files = connections + 64,
        );
        // The worker runs as another user where the master is root.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("make a directory readable");
        fs::write(dir.join("nginx.conf"), config).expect("write a configuration");
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p"]).arg(dir).arg("-c").arg(dir.join("nginx.conf"));
        command
    })
    .ready()
}

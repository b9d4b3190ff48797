//! Services that others wrote, and small programs that make the calls which those do not.

pub mod polyglot;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::{net, process::Process};

/// A running service.
#[derive(Debug)]
pub struct Service {
    /// Port on which it listens.
    pub port: u16,
    /// Its working directory.
    pub dir: TempDir,
    process: Process,
}

impl Service {
    /// Starts a command in a directory of its own that serves a port; does not wait until it listens.
    pub fn start(port: u16, make: impl FnOnce(&Path) -> Command) -> Self {
        let dir = tempfile::tempdir().expect("make a directory");
        let mut command = make(dir.path());
        let process =
            Process::start(command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()));
        Self { port, dir, process }
    }

    /// Waits until it listens on loopback by IPv4.
    pub fn ready(self) -> Self {
        drop(net::connect(net::loopback(self.port)));
        self
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process, to signal or to wait for.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// A URL of this service.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes a file in the service's directory.
    pub fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.dir.path().join(name), content).expect("write a file");
    }
}

/// The Python interpreter itself: what is in the path may be a wrapper that starts another process.
pub fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let output = output.expect("run python3");
        String::from_utf8(output.stdout).expect("a path").trim().to_owned()
    })
}

/// Python's `http.server`, which serves the service's directory.
pub fn http_server(port: u16, bind: &str) -> Service {
    Service::start(port, |_| http_server_command(python(), port, bind))
}

/// The command line of Python's `http.server`.
pub fn http_server_command(python: &str, port: u16, bind: &str) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "http.server", &port.to_string(), "--bind", bind]);
    command
}

/// One of the programs in `services/`.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services").join(name)
}

/// A Python program of `services/` that is given a port and more arguments.
pub fn python_script(name: &str, port: u16, arguments: &[&str]) -> Service {
    Service::start(port, |_| {
        let mut command = Command::new(python());
        command.arg(script(name)).arg(port.to_string()).args(arguments);
        command
    })
}

/// As [`python_script`], a program that is given an address to listen on before its port.
pub fn listening_script(name: &str, address: &str, port: u16, arguments: &[&str]) -> Service {
    Service::start(port, |_| {
        let mut command = Command::new(python());
        command.arg(script(name)).args([address, &port.to_string()]).args(arguments);
        command
    })
}

/// A Node.js program of `services/` that is given a port and more arguments.
pub fn node_script(name: &str, port: u16, arguments: &[&str]) -> Service {
    Service::start(port, |_| {
        let mut command = Command::new("node");
        command.arg(script(name)).arg(port.to_string()).args(arguments);
        command
    })
}

/// nginx with these directives inside its one `server` block.
pub fn nginx(port: u16, directives: &str) -> Service {
    nginx_at(Path::new("nginx"), port, directives)
}

/// As [`nginx`], the program at a path.
pub fn nginx_at(program: &Path, port: u16, directives: &str) -> Service {
    nginx_with(program, port, "", directives)
}

/// nginx as a reverse proxy that keeps its connections to a port on loopback.
pub fn nginx_proxy(port: u16, upstream: u16) -> Service {
    nginx_with(
        Path::new("nginx"),
        port,
        &format!("upstream next {{ server 127.0.0.1:{upstream}; keepalive 64; }}"),
        "location / {
      proxy_pass http://next;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }",
    )
}

/// nginx with directives of the `http` block, and inside its one `server` block.
fn nginx_with(program: &Path, port: u16, of_http: &str, directives: &str) -> Service {
    Service::start(port, |dir| {
        let root = dir.display();
        // Worker processes run as another user where the master is root.
        let config = format!(
            "daemon off;\nworker_processes 2;\npid {root}/nginx.pid;\nerror_log {root}/error.log;\n\
             events {{ worker_connections 512; }}\n\
             http {{\n  access_log off;\n  root {root}/files;\n  default_type application/octet-stream;\n\
             client_max_body_size 64m;\n  client_body_temp_path {root}/body;\n  proxy_temp_path {root}/proxy;\n\
             fastcgi_temp_path {root}/fastcgi;\n  uwsgi_temp_path {root}/uwsgi;\n  scgi_temp_path {root}/scgi;\n\
             keepalive_requests 10000000;\n{of_http}\n\
             server {{\n    listen 127.0.0.1:{port} reuseport;\n    {directives}\n  }}\n}}\n"
        );
        fs::create_dir(dir.join("files")).expect("make a directory");
        fs::write(dir.join("nginx.conf"), config).expect("write a configuration");
        make_readable(dir);
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p"]).arg(dir).arg("-c").arg(dir.join("nginx.conf"));
        command
    })
}

fn make_readable(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("make a directory readable");
}

/// Python's HTTP server, which answers a request, or passes it on to a port in the manner named and answers with what
/// came back.
pub fn python_hop(port: u16, next: Option<(u16, &str)>) -> Service {
    let next = next.map(|(port, manner)| [port.to_string(), manner.to_owned()]);
    let arguments: Vec<&str> = next.iter().flatten().map(String::as_str).collect();
    listening_script("hop.py", "127.0.0.1", port, &arguments).ready()
}

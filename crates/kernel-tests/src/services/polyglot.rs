//! The same service in several languages, each as its users would write it: a hop that asks another. What a machine lacks
//! to run one is the error.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Service, nginx_with};
use crate::net::attempt;

/// A service, or what is missing to run it.
pub type Made = Result<Service, String>;

/// Python's `http.server`, a thread for each connection, and `urllib`.
pub fn python(port: u16, next: u16) -> Made {
    Ok(script(Path::new(super::python()), "python_hop.py", port, next, &[]))
}

/// Python's asyncio, one thread.
pub fn python_async(port: u16, next: u16) -> Made {
    Ok(script(Path::new(super::python()), "async_hop.py", port, next, &[]))
}

/// Flask's own server, a thread for each connection, and `urllib`.
pub fn flask(port: u16, next: u16) -> Made {
    let python = venv()?.join("bin/python");
    Ok(script(&python, "flask_hop.py", port, next, &[]))
}

/// Node.js, which asks by `agent` or `fetch`.
pub fn node(port: u16, next: u16, manner: &str) -> Made {
    Ok(script(&installed("node")?, "node_hop.js", port, next, &[manner]))
}

/// Which Go program it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct GoHop {
    /// Without its symbols.
    pub stripped: bool,
    /// Requests ask from goroutines that they start, not from their own.
    pub from_another: bool,
}

/// Go's `net/http`.
pub fn go(port: u16, next: u16, which: GoHop) -> Made {
    let venv = venv()?;
    Ok(Service::start(port, |dir| {
        let mut build = Command::new(venv.join("bin/go"));
        build
            .envs([("CGO_ENABLED", "0"), ("GOENV", "off"), ("GOTOOLCHAIN", "local")])
            .env("GOCACHE", venv.join("go-cache"));
        build.args(["build", "-o"]).arg(dir.join("go_hop"));
        if which.stripped {
            build.args(["-ldflags", "-s -w"]);
        }
        must(build.arg(source("go_hop.go")));
        let mut command = hop(dir.join("go_hop"), port, next);
        if which.from_another {
            command.arg("goroutine");
        }
        command
    }))
}

/// Java's `HttpServer` with a pool of threads, which ask by `HttpURLConnection`; run as a source file.
pub fn java_source(port: u16, next: u16) -> Made {
    installed("javac")?;
    Ok(Service::start(port, |_| {
        let mut command = java();
        command.arg(source("JavaHop.java"));
        command.args([&port.to_string(), &next.to_string(), "connection"]);
        command
    }))
}

/// Java's `HttpServer` with a pool of threads, which ask by `HttpClient`; run from an archive, `orders-1.2.jar`.
pub fn java_archive(port: u16, next: u16) -> Made {
    let (javac, jar) = (installed("javac")?, installed("jar")?);
    Ok(Service::start(port, |dir| {
        let classes = dir.join("classes");
        must(Command::new(&javac).arg("-d").arg(&classes).arg(source("JavaHop.java")));
        let archive = dir.join("orders-1.2.jar");
        let mut pack = Command::new(&jar);
        pack.args(["--create", "--main-class", "JavaHop", "--file"]).arg(&archive);
        must(pack.arg("-C").arg(&classes).arg("."));
        let mut command = java();
        command.arg("-jar").arg(&archive).args([&port.to_string(), &next.to_string(), "client"]);
        command
    }))
}

/// Java as small as it goes, and without what it would say on stderr of options in the environment.
fn java() -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]).env_remove("JAVA_TOOL_OPTIONS");
    command
}

/// PHP's built-in server, one process or so many that it forks.
pub fn php(port: u16, next: u16, workers: Option<u16>) -> Made {
    let php = installed("php")?;
    Ok(Service::start(port, |_| {
        let mut command = Command::new(php);
        command.args(["-S", &format!("127.0.0.1:{port}")]).arg(source("php_hop.php"));
        command.env("NEXT_PORT", next.to_string());
        if let Some(workers) = workers {
            command.env("PHP_CLI_SERVER_WORKERS", workers.to_string());
        }
        command
    }))
}

/// C: libmicrohttpd with a thread for each `connection` or a `pool` of threads, or `plain`, without a library.
pub fn c(port: u16, next: u16, manner: &str) -> Made {
    let compiler = installed("cc")?;
    let library =
        attempt(Command::new(&compiler).args(["-E", "-include", "microhttpd.h", "-x", "c", "/dev/null"]));
    library.map_err(|_| missing("libmicrohttpd"))?;
    Ok(Service::start(port, |dir| {
        let program = dir.join("c_hop");
        let mut build = Command::new(compiler);
        build.args(["-O2", "-o"]).arg(&program).arg(source("c_hop.c")).args(["-lmicrohttpd", "-pthread"]);
        must(&mut build);
        let mut command = hop(program, port, next);
        command.arg(manner);
        command
    }))
}

/// nginx as a reverse proxy that keeps its connections to the next hop.
pub fn nginx(port: u16, next: u16) -> Made {
    let program = installed("nginx")?;
    let upstream = format!("upstream next {{ server 127.0.0.1:{next}; keepalive 64; }}");
    let of_status =
        [201, 404, 503].map(|status| format!("location = /status/{status} {{ return {status}; }}\n"));
    let of_server = format!(
        "{}location /front/ {{
      proxy_pass http://next/back/;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host 127.0.0.1:{next};
    }}",
        of_status.concat()
    );
    Ok(nginx_with(&program, port, &upstream, &of_server))
}

/// A program of `services/polyglot/`.
fn source(name: &str) -> PathBuf {
    super::script("polyglot").join(name)
}

/// A program that is given its port and that of the next hop.
fn hop(program: impl AsRef<OsStr>, port: u16, next: u16) -> Command {
    let mut command = Command::new(program);
    command.args([port, next].map(|port| port.to_string()));
    command
}

/// As [`hop`], a program of `services/polyglot/` that an interpreter runs.
fn script(interpreter: &Path, name: &str, port: u16, next: u16, more: &[&str]) -> Service {
    Service::start(port, |_| {
        let mut command = Command::new(interpreter);
        command.arg(source(name)).args([port, next].map(|port| port.to_string())).args(more);
        command
    })
}

/// A program in the search path.
fn installed(name: &str) -> Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]).map(|dir| dir.join(name));
    places.find(|place| place.is_file()).ok_or_else(|| missing(name))
}

fn missing(what: &str) -> String {
    format!("needs {what} (scripts/setup.sh --test kernel)")
}

/// Runs what can only fail for a mistake in here, and is no reason to skip a test.
fn must(command: &mut Command) {
    if let Err(mistake) = attempt(command) {
        panic!("{mistake}");
    }
}

/// Where `scripts/setup.sh` puts Go and Flask, in the target directory in which the test lies.
fn venv() -> Result<PathBuf, String> {
    let test = env::current_exe().map_err(|error| error.to_string())?;
    let venv = test.ancestors().nth(3).map(|target_dir| target_dir.join("polyglot-venv"));
    venv.filter(|venv| venv.join("installed.txt").is_file())
        .ok_or_else(|| missing("Go and Flask in polyglot-venv"))
}

//! Command line and environment, lowered to checked settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::store;

const MIB: u64 = 1 << 20;

/// Desktop OpenTelemetry viewer: send OTLP to it, look at it in the browser.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    after_help = "Example: tinyolly --db /tmp/traces.db --max-db-size 128",
    disable_help_subcommand = true
)]
pub struct Cli {
    /// What to do; serve when left out.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Address to listen on, for all three ports
    #[arg(long, global = true, env = "TINYOLLY_HOST", default_value = "127.0.0.1", value_name = "IP")]
    pub host: IpAddr,
    /// Port of the user interface and the REST API; 0 takes a free one
    #[arg(long, global = true, env = "TINYOLLY_UI_PORT", default_value_t = 5005, value_name = "PORT")]
    pub ui_port: u16,
    /// Port of OTLP/gRPC; 0 takes a free one
    #[arg(long, env = "TINYOLLY_OTLP_GRPC_PORT", default_value_t = 4317, value_name = "PORT")]
    pub otlp_grpc_port: u16,
    /// Port of OTLP/HTTP; 0 takes a free one
    #[arg(long, env = "TINYOLLY_OTLP_HTTP_PORT", default_value_t = 4318, value_name = "PORT")]
    pub otlp_http_port: u16,
    /// Database file, made when missing [default: tinyolly/tinyolly.db in the user's data directory]
    #[arg(long, env = "TINYOLLY_DB", value_name = "PATH")]
    pub db: Option<PathBuf>,
    /// Size in MiB at which the oldest data is deleted
    #[arg(long, env = "TINYOLLY_MAX_DB_SIZE", default_value_t = 512, value_name = "MIB",
          value_parser = clap::value_parser!(u64).range(4..=1 << 20))]
    pub max_db_size: u64,
    /// Age at which data is deleted, counted from its arrival, such as 30m, 24h or 7d; without it, only size counts
    #[arg(long, env = "TINYOLLY_MAX_AGE", value_name = "AGE", value_parser = age)]
    pub max_age: Option<Duration>,
    /// Largest OTLP request in MiB, unpacked
    #[arg(long, env = "TINYOLLY_MAX_REQUEST_SIZE", default_value_t = 16, value_name = "MIB",
          value_parser = clap::value_parser!(u64).range(1..=256))]
    pub max_request_size: u64,
    /// Names of metrics above which new ones are refused
    #[arg(long, env = "TINYOLLY_MAX_METRIC_NAMES", default_value_t = 1000, value_name = "NAMES",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub max_metric_names: u64,
    /// Requests being read or waiting to be stored, in MiB; above it clients are told to send again later
    #[arg(long, env = "TINYOLLY_QUEUE_SIZE", default_value_t = 64, value_name = "MIB",
          value_parser = clap::value_parser!(u64).range(1..=4096))]
    pub queue_size: u64,
    /// Host name under which the user interface and OTLP/HTTP may be reached, besides loopback names; may be repeated
    #[arg(long, env = "TINYOLLY_ALLOWED_HOST", value_delimiter = ',', value_name = "NAME")]
    pub allowed_host: Vec<String>,
    /// What is logged to stderr, as `tracing` filters say it
    #[arg(long, env = "TINYOLLY_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

const ABOUT_EXPORT: &str = "\
Asks the server that runs with the same address and port for GET /api/export, and writes the answer: one OTLP/JSON
document, which `tinyolly import` and other receivers take. Filters are those of the API, for example service, q, attr,
start and end. Exit codes: 0 all is written, 1 it is not, 2 the flags cannot be used.";

const ABOUT_IMPORT: &str = "\
Sends OTLP/JSON to the server that runs with the same address and port, in parts that are no larger than it takes. A file
holds one document or several in a row, as the collector's file exporter writes them. Prints what was stored. Spans that
are there already are not stored again; logs and metric points are. Exit codes: 0 all was sent, 1 it was not.";

const ABOUT_STATS: &str = "\
Asks the server that runs with the same address and port for GET /api/stats, and prints the answer.";

/// Splits `NAME=VALUE`.
fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE".to_owned()),
    }
}

const ABOUT_HEALTH: &str = "\
Asks the server that runs with the same address and port for GET /health. Exit codes: 0 it answered 200 within two
seconds, 1 it did not (one line on standard error says why), 2 the flags or variables cannot be used. An address that
means all, 0.0.0.0 or ::, is asked on loopback. The database is not touched, and proxies are not used.";

/// What tinyolly is asked to do instead of serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Receive, store and show telemetry; the same as no command
    Serve,
    /// Write telemetry of a running tinyolly as OTLP/JSON
    #[command(
        long_about = ABOUT_EXPORT,
        after_help = "Examples:\n  tinyolly export traces > traces.json\n  \
            tinyolly export traces --filter service=shop --filter errors=1 -o errors.json\n  \
            tinyolly export logs --filter severity_min=WARN"
    )]
    Export {
        /// What to export
        #[arg(value_parser = ["traces", "logs", "metrics"])]
        signal: String,
        /// A parameter of GET /api/export as NAME=VALUE; may be repeated
        #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
        filter: Vec<(String, String)>,
        /// File to write instead of standard output; it is only there when it is whole
        #[arg(long, short, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Send OTLP/JSON files to a running tinyolly
    #[command(long_about = ABOUT_IMPORT, after_help = "Example: tinyolly import traces.json logs.json")]
    Import {
        /// Files to send; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print what a running tinyolly holds, as JSON
    #[command(long_about = ABOUT_STATS, after_help = "Example: tinyolly stats --ui-port 5006")]
    Stats,
    /// Ask a running tinyolly whether it is healthy: a health check for containers
    #[command(long_about = ABOUT_HEALTH, after_help = "Example: tinyolly health --ui-port 5006")]
    Health,
}

/// Checked settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// User interface and REST API.
    pub ui: SocketAddr,
    /// OTLP/gRPC.
    pub grpc: SocketAddr,
    /// OTLP/HTTP.
    pub http: SocketAddr,
    /// The store's settings.
    pub store: store::Settings,
    /// Largest OTLP request, unpacked.
    pub max_request_bytes: usize,
    /// Host names the user interface and OTLP/HTTP answer to; `None` answers to any, for listeners beyond loopback.
    pub allowed_hosts: Option<Vec<String>>,
}

impl Cli {
    /// Lowers the flags to settings. `data_dir` is where the database goes when no flag says.
    pub fn config(&self, data_dir: Option<PathBuf>) -> Config {
        let address = |port| SocketAddr::new(self.host, port);
        let path = self.db.clone().unwrap_or_else(|| match data_dir {
            Some(directory) => directory.join("tinyolly").join("tinyolly.db"),
            None => PathBuf::from("tinyolly.db"),
        });
        let bytes = |mib: u64| usize::try_from(mib * MIB).unwrap_or(usize::MAX);
        // On loopback a foreign name in `Host` is a page that rebound its name to this machine. Beyond loopback the
        // names are the network's business, unless they are listed.
        let checked = self.host.is_loopback() || !self.allowed_host.is_empty();
        Config {
            ui: address(self.ui_port),
            grpc: address(self.otlp_grpc_port),
            http: address(self.otlp_http_port),
            store: store::Settings {
                path,
                max_bytes: self.max_db_size * MIB,
                max_metric_names: usize::try_from(self.max_metric_names).unwrap_or(usize::MAX),
                max_age: self.max_age,
                queue_bytes: bytes(self.queue_size),
            },
            max_request_bytes: bytes(self.max_request_size),
            allowed_hosts: checked.then(|| self.allowed_host.clone()),
        }
    }
}

/// An age as a whole number and a unit.
fn age(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let digits = text.strip_suffix(unit)?;
        // `parse` takes a sign as well.
        let number: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
        number.checked_mul(seconds)
    });
    match seconds {
        // Nanoseconds are counted in 64 bits.
        Some(seconds @ 1..=3_153_600_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("not an age from 1s to 36500d, such as 30m, 24h or 7d".into()),
    }
}

/// The user's data directory after the XDG base directory specification.
pub fn data_dir(lookup: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let absolute = |name: &str| lookup(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local").join("share")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    #[test]
    fn defaults_are_the_documented_ones() {
        let config = Cli::try_parse_from(["tinyolly"]).unwrap().config(Some("/home/me/data".into()));
        assert_eq!(config.ui.to_string(), "127.0.0.1:5005");
        assert_eq!(config.grpc.port(), 4317);
        assert_eq!(config.http.port(), 4318);
        assert_eq!(config.store.max_bytes, 512 << 20);
        assert_eq!(config.store.path, PathBuf::from("/home/me/data/tinyolly/tinyolly.db"));
        assert_eq!(config.allowed_hosts, Some(vec![]));
    }

    #[test]
    fn an_age_has_a_unit() {
        let of = |text: &str| age(text).ok().map(|age| age.as_secs());
        assert_eq!([of("90s"), of("30m"), of("24h"), of("7d")], [90, 1800, 86_400, 604_800].map(Some));
        for bad in ["", "5", "0s", "-1h", "+1h", "1.5h", "1w", "h", "99999999999999999999d", "36501d"] {
            assert_eq!(of(bad), None, "{bad}");
        }
        let parse = |args: &[&str]| Cli::try_parse_from([&["tinyolly"], args].concat());
        assert_eq!(parse(&[]).unwrap().config(None).store.max_age, None);
        assert_eq!(parse(&["--max-age", "2h"]).unwrap().config(None).store.max_age.unwrap().as_secs(), 7200);
        assert_eq!(parse(&["--max-age", "soon"]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn beyond_loopback_hosts_are_checked_only_when_listed() {
        let open = Cli::try_parse_from(["tinyolly", "--host", "0.0.0.0"]).unwrap().config(None);
        assert_eq!(open.allowed_hosts, None);
        let args = ["tinyolly", "--host", "0.0.0.0", "--allowed-host", "a.example,b.example"];
        let listed = Cli::try_parse_from(args).unwrap().config(None);
        assert_eq!(listed.allowed_hosts, Some(vec!["a.example".into(), "b.example".into()]));
    }

    #[test]
    fn health_takes_address_and_port_on_either_side() {
        for args in [["--ui-port", "1", "health"], ["health", "--ui-port", "1"]] {
            let cli = Cli::try_parse_from([&["tinyolly"], &args[..]].concat()).unwrap();
            assert_eq!((cli.command, cli.ui_port), (Some(Command::Health), 1));
        }
        assert_eq!(Cli::try_parse_from(["tinyolly", "--ui-port", "1"]).unwrap().command, None);
    }

    #[test]
    fn bad_values_exit_with_2() {
        for args in [["--ui-port", "70000"], ["--host", "localhost"], ["--max-db-size", "0"], ["--nope", "1"]]
        {
            let error = Cli::try_parse_from(["tinyolly", args[0], args[1]]).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{args:?}");
        }
    }

    #[test]
    fn the_data_directory_is_found_as_xdg_says() {
        let with = |pairs: &'static [(&str, &str)]| {
            data_dir(move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
        };
        assert_eq!(with(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")]), Some("/x".into()));
        assert_eq!(with(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]), Some("/h/.local/share".into()));
        assert_eq!(with(&[]), None);
    }
}

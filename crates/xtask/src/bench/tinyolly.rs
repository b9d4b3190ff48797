//! `cargo xtask bench tinyolly`: builds server and measuring program in release, and runs them.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use super::{build, built};
use crate::{cargo, target_dir};

/// Names the server that is measured.
const VARIABLE: &str = "TINYOLLY_BIN";

/// Figures of tinyolly.
#[derive(Args)]
pub(crate) struct Tinyolly {
    /// Spans that are stored when queries are measured
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    spans: u64,
    /// Requests for each query
    #[arg(long, value_name = "NUMBER", default_value_t = 40, value_parser = clap::value_parser!(u64).range(5..=1_000))]
    requests: u64,
}

/// Builds and measures.
pub(super) fn run(root: &Path, arguments: &Tinyolly) -> Result<ExitCode> {
    let server = match env::var_os(VARIABLE) {
        Some(path) => {
            let path = PathBuf::from(path);
            path.canonicalize().with_context(|| format!("{VARIABLE}: find {}", path.display()))?
        }
        None => {
            build(root, "tinyolly", &["tinyolly"])?;
            built(root, "tinyolly")
        }
    };
    // In a second step: its dependencies have features with which the server is not shipped.
    let mut command = cargo(root);
    command.args(["build", "--release", "--quiet", "--package", "tinyolly", "--example", "bench"]);
    if !command.status().context("run cargo")?.success() {
        bail!("the measuring program does not build");
    }
    let status = Command::new(target_dir(root).join("release").join("examples").join("bench"))
        .args(arguments.forwarded())
        .env(VARIABLE, server)
        .status()
        .context("run the measuring program")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Tinyolly {
    /// As the program that measures takes them.
    fn forwarded(&self) -> [String; 4] {
        ["--spans".to_owned(), self.spans.to_string(), "--requests".to_owned(), self.requests.to_string()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_passed_on() {
        let arguments = Tinyolly { spans: 5_000, requests: 9 };
        assert_eq!(arguments.forwarded(), ["--spans", "5000", "--requests", "9"]);
    }
}

//! `cargo xtask bench`: builds in release what is measured and what measures, and runs it.
//!
//! The measuring is a program of `crates/kernel-tests`, or an example of `crates/tinyolly`: in this one, a debug build as a rule, the receiver of the spans
//! would take more of the processors than what is measured.

mod tinyolly;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};

use crate::{cargo, target_dir};

/// Names the agent that is measured.
const AGENT_VARIABLE: &str = "OTEL_EBPF_AGENT_BIN";

/// What is measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The agent: what it links, costs, loses and needs, each with the bar it is held to; needs root.
    ///
    /// The table goes to stdout, in Markdown. A figure that misses its bar does not fail the command, one that could not
    /// be taken does. All of them take about eight minutes; docs/benchmarks.md says how they are taken. The agent is
    /// `OTEL_EBPF_AGENT_BIN`, or a release build that is made for it.
    Agent(Agent),
    /// TinyOlly: what it costs to receive and store, and how fast it answers, each with the bar it is held to.
    ///
    /// The table goes to stdout, in Markdown. A figure that misses its bar does not fail the command. The server is
    /// `TINYOLLY_BIN`, or a release build that is made for it.
    Tinyolly(tinyolly::Tinyolly),
}

/// Figures of the agent.
#[derive(Args)]
pub(crate) struct Agent {
    /// Only figures of this name, or whose name begins with it and a slash, for example: attribution/join, or cost.
    /// An unknown name is answered with all there are
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Fewer requests and shorter rounds
    #[arg(long)]
    quick: bool,
}

/// Builds and measures.
pub(crate) fn run(root: &Path, bench: &Bench) -> Result<ExitCode> {
    let arguments = match bench {
        Bench::Agent(arguments) => arguments,
        Bench::Tinyolly(arguments) => return tinyolly::run(root, arguments),
    };
    let agent = match env::var_os(AGENT_VARIABLE) {
        Some(path) => {
            let path = PathBuf::from(path);
            path.canonicalize().with_context(|| format!("{AGENT_VARIABLE}: find {}", path.display()))?
        }
        None => {
            // By itself, so that its dependencies have the features with which it is shipped.
            build(root, "otel-ebpf-agent", &["otel-ebpf-agent"])?;
            built(root, "otel-ebpf-agent")
        }
    };
    build(root, "otel-ebpf-kernel-tests", &["bench_agent", "patterns"])?;
    let status = Command::new(built(root, "bench_agent"))
        .args(arguments.forwarded())
        .env(AGENT_VARIABLE, agent)
        .status()
        .context("run bench_agent")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Agent {
    /// As the program that measures takes them.
    fn forwarded(&self) -> Vec<&str> {
        let mut arguments: Vec<&str> = self.only.iter().flat_map(|name| ["--only", name]).collect();
        arguments.extend(self.quick.then_some("--quick"));
        arguments
    }
}

fn build(root: &Path, package: &str, programs: &[&str]) -> Result<()> {
    let mut command = cargo(root);
    command.args(["build", "--release", "--quiet", "--package", package]);
    command.args(programs.iter().flat_map(|program| ["--bin", program]));
    match command.status().context("run cargo")?.success() {
        true => Ok(()),
        false => bail!("{package} does not build"),
    }
}

/// A program of a release build.
fn built(root: &Path, program: &str) -> PathBuf {
    target_dir(root).join("release").join(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_passed_on() {
        let arguments = Agent { only: vec!["loss".to_owned(), "cost".to_owned()], quick: true };
        assert_eq!(arguments.forwarded(), ["--only", "loss", "--only", "cost", "--quick"]);
        assert!(Agent { only: Vec::new(), quick: false }.forwarded().is_empty());
    }
}

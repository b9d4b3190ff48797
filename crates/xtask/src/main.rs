//! Developer commands, run as `cargo xtask <command>` from anywhere in the repository.
//!
//! Each command is a module with a `run` function; `cli` names them.
#![forbid(unsafe_code)]

mod bench;
mod cli;
mod kernel_test;
mod lint;
mod step;

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};
use clap::Parser as _;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let arguments = cli::Arguments::parse();
    match arguments.command {
        cli::Command::Lint => lint::run(&repository_root()?),
        cli::Command::KernelTest(arguments) => kernel_test::run(&repository_root()?, &arguments),
        cli::Command::Bench(arguments) => bench::run(&repository_root()?, &arguments),
        cli::Command::GuestInit => kernel_test::init::run().map(|never| match never {}),
    }
}

/// The directory that holds the workspace's `Cargo.toml`.
fn repository_root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().context("find the repository's root")
}

/// The cargo that runs this program, so that a `+toolchain` carries over.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(root);
    command
}

/// Where cargo puts what it builds.
fn target_dir(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}

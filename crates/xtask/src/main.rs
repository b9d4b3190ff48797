//! Developer commands, run as `cargo xtask <command>` from anywhere in the repository.
//!
//! Each command is a module with a `run` function; `cli` names them.
#![forbid(unsafe_code)]

mod cli;
mod lint;
mod step;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
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
    let root = repository_root()?;
    match arguments.command {
        cli::Command::Lint => lint::run(&root),
    }
}

/// The directory that holds the workspace's `Cargo.toml`.
fn repository_root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().context("find the repository's root")
}

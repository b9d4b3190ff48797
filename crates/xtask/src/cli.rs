//! The command line.

use clap::{Parser, Subcommand};

/// Developer commands of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Checks format and style of everything: rustfmt, clippy (the BPF programs apart), shellcheck, shfmt.
    ///
    /// Goes on after a failing check, and exits with 1 when one failed. A checker that is not installed is named and
    /// counted as skipped.
    Lint,
}

//! The command line.

use clap::{Args, Parser, Subcommand};

use crate::bench::Bench;

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
    /// Runs the tests that load programs into a kernel (crates/kernel-tests).
    #[command(subcommand)]
    KernelTest(KernelTest),
    /// Measures, and prints a table.
    #[command(subcommand)]
    Bench(Bench),
    /// The first program of a guest.
    #[command(hide = true)]
    GuestInit,
}

/// Where the tests run. The agent under test is `OTEL_EBPF_AGENT_BIN`, or a release build that is made for it.
#[derive(Subcommand)]
pub(crate) enum KernelTest {
    /// On this kernel; needs root. By cargo-nextest, or by cargo where that is not installed.
    Local(Local),
    /// In guests, each with a kernel of Debian, emulated by QEMU; needs no root.
    ///
    /// The kernels are fetched once and kept in guests/ of the target directory. Console and logs of the tests go to
    /// test-logs/guests/. A guest that dies is started once more for the tests that are left. The last line is
    /// "guests: N passed, N failed[, N skipped]".
    Vm(Vm),
}

/// Tests on this kernel.
#[derive(Args)]
pub(crate) struct Local {
    /// Only tests whose name contains one of these.
    pub(crate) filters: Vec<String>,
}

/// Tests in guests.
#[derive(Args)]
pub(crate) struct Vm {
    /// Versions of the kernel, for example: 6.1 6.12
    #[arg(required = true, value_name = "VERSION")]
    pub(crate) versions: Vec<String>,
    /// Only tests whose name contains this, for example: both_ends::
    #[arg(long = "test", value_name = "PART")]
    pub(crate) tests: Vec<String>,
    /// Also tests that are left out in guests
    #[arg(long)]
    pub(crate) all: bool,
    /// Build the tests by themselves, not as one of all packages: quicker where nothing else is built yet
    #[arg(long)]
    pub(crate) alone: bool,
    /// The longest that a guest may take
    #[arg(long, value_name = "SECONDS", default_value_t = 420)]
    pub(crate) deadline: u64,
}

//! `cargo xtask lint`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result};

use crate::{
    cargo,
    step::{Tally, is_installed},
    target_dir,
};

const BPF_PACKAGE: &str = "otel-ebpf-programs";

/// Runs every check; the last line printed is `lint: N passed, N failed[, N skipped]`.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let scripts = shell_scripts(root)?;
    let mut tally = Tally::default();

    if is_installed("cargo", Some("fmt")) {
        tally.run("rustfmt", cargo(root).args(["fmt", "--all", "--check"]));
    } else {
        tally.skip("rustfmt", "cargo fmt is not installed");
    }

    if is_installed("cargo", Some("clippy")) {
        tally.run("clippy", &mut clippy_host(root));
        tally.run("clippy, BPF programs", &mut clippy_bpf(root));
    } else {
        tally.skip("clippy", "cargo clippy is not installed");
        tally.skip("clippy, BPF programs", "cargo clippy is not installed");
    }

    for (program, arguments) in [("shellcheck", ["--external-sources"].as_slice()), ("shfmt", &["--diff"])] {
        if is_installed(program, None) {
            tally.run(program, Command::new(program).args(arguments).args(&scripts).current_dir(root));
        } else {
            tally.skip(program, "it is not installed (scripts/setup.sh --test)");
        }
    }

    println!("lint: {tally}");
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn clippy_host(root: &Path) -> Command {
    let mut command = cargo(root);
    command.args([
        "clippy",
        "--workspace",
        "--exclude",
        BPF_PACKAGE,
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    command
}

/// The toolchain that compiles for BPF need not bring a clippy, and one toolchain's clippy cannot read another's
/// `core`. Clippy stops before code is generated, so it may as well take the programs for the host's: what they need
/// from the BPF build is the architecture the kernel structures belong to, no unwinding, and the unstable features.
/// A target directory of their own keeps these flags from rebuilding everything else.
fn clippy_bpf(root: &Path) -> Command {
    let mut command = cargo(root);
    command
        .args(["clippy", "--package", BPF_PACKAGE, "--target-dir"])
        .arg(target_dir(root).join("bpf-lint"))
        .args(["--", "-D", "warnings"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            format!("--cfg=bpf_target_arch=\"{}\"\x1f-Cpanic=abort", env::consts::ARCH),
        );
    command
}

/// Every shell script of the repository, relative to its root, by name.
fn shell_scripts(root: &Path) -> Result<Vec<PathBuf>> {
    let mut scripts = vec![PathBuf::from(".ci/run")];
    let directory = root.join("scripts");
    for entry in fs::read_dir(&directory).with_context(|| format!("list {}", directory.display()))? {
        let name = PathBuf::from(entry?.file_name());
        if name.extension().is_some_and(|extension| extension == "sh") {
            scripts.push(Path::new("scripts").join(name));
        }
    }
    scripts.sort();
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_of_this_repository_are_found() -> Result<()> {
        let scripts = shell_scripts(&crate::repository_root()?)?;
        for expected in [".ci/run", "scripts/lib.sh", "scripts/test.sh"] {
            assert!(scripts.contains(&PathBuf::from(expected)), "{expected} is not in {scripts:?}");
        }
        Ok(())
    }
}

//! Compiles the BPF programs and leaves the object in `OUT_DIR`, from where the agent embeds it.
//!
//! Two toolchains will do, tried in this order:
//! 1. a distribution's rustc with a precompiled `core` for `bpfel-unknown-none` (Debian: `rustc-web` and
//!    `libstd-rust-web-dev-bpf`), which needs no nightly and no `-Z build-std`;
//! 2. rustup's nightly with `rust-src`, through `aya-build`.
//!
//! Both link with `bpf-linker`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

const PACKAGE: &str = "otel-ebpf-programs";
const SETUP: &str = "run ./scripts/setup.sh, which installs it (or see README.md, \"Building\")";

fn main() -> Result<()> {
    let programs = Path::new("../../ebpf");
    for path in [programs, Path::new("../events")] {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    println!("cargo:rerun-if-env-changed=BPF_RUSTC");
    let linker = find_linker()?;

    if let Some(rustc) = distribution_rustc() {
        println!("BPF toolchain: {} and {}", rustc.display(), linker.display());
        let object = build_with(&rustc, &linker)?;
        fs::copy(&object, out_dir()?.join(PACKAGE)).with_context(|| format!("copy {}", object.display()))?;
        return Ok(());
    }
    if nightly_has_source() {
        println!("BPF toolchain: rustup's nightly and {}", linker.display());
        let root_dir = programs.to_str().context("path of ebpf/ is not UTF-8")?;
        let package = aya_build::Package { name: PACKAGE, root_dir, ..Default::default() };
        return aya_build::build_ebpf([package], aya_build::Toolchain::Nightly);
    }
    bail!("no Rust compiler for bpfel-unknown-none: {SETUP}")
}

fn out_dir() -> Result<PathBuf> {
    env::var_os("OUT_DIR").map(PathBuf::from).context("OUT_DIR is not set")
}

/// `bpf-linker` on the path, or where `cargo install` puts it.
fn find_linker() -> Result<PathBuf> {
    let mut places: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    if let Some(home) = env::var_os("CARGO_HOME") {
        places.push(Path::new(&home).join("bin"));
    }
    if let Some(home) = env::var_os("HOME") {
        places.push(Path::new(&home).join(".cargo/bin"));
    }
    match places.iter().map(|place| place.join("bpf-linker")).find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("bpf-linker not found: {SETUP}"),
    }
}

/// A compiler whose sysroot holds `core` for the BPF target: `BPF_RUSTC` if set, else the distribution's.
fn distribution_rustc() -> Option<PathBuf> {
    let rustc = env::var_os("BPF_RUSTC").map_or_else(|| PathBuf::from("/usr/bin/rustc"), PathBuf::from);
    let output = Command::new(&rustc).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = String::from_utf8(output.stdout).ok()?;
    Path::new(sysroot.trim()).join("lib/rustlib/bpfel-unknown-none/lib").is_dir().then_some(rustc)
}

/// Whether rustup has a nightly toolchain with the sources of `core`.
fn nightly_has_source() -> bool {
    let Ok(output) = Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]).output()
    else {
        return false;
    };
    let sysroot = String::from_utf8_lossy(&output.stdout);
    output.status.success() && Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core").is_dir()
}

fn build_with(rustc: &Path, linker: &Path) -> Result<PathBuf> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").context("CARGO_CFG_TARGET_ARCH is not set")?;
    let target_dir = out_dir()?.join("bpf-target");
    let flags = [
        format!("--cfg=bpf_target_arch=\"{arch}\""),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        format!("-Clinker={}", linker.display()),
    ];
    let status = Command::new(env::var_os("CARGO").context("CARGO is not set")?)
        .args(["build", "--package", PACKAGE, "--bins", "--release", "--target", "bpfel-unknown-none"])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("RUSTC", rustc)
        // The BPF target and its inline assembly are unstable; this compiler is a stable release.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTUP_TOOLCHAIN")
        .status()
        .context("start cargo for the BPF programs")?;
    if !status.success() {
        bail!("{} could not compile the BPF programs (see above)", rustc.display());
    }
    Ok(target_dir.join("bpfel-unknown-none/release").join(PACKAGE))
}

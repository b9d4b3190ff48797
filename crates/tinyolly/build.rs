//! Builds the user interface in `web/` with npm, into `web/dist`, which the binary embeds.
//!
//! Without npm, or with `TINYOLLY_SKIP_WEB` set, the binary embeds what `web/dist` holds, or a page that says what is
//! missing. The build never fails for the lack of Node.js. An npm that is there and fails is an error where `CI` is set,
//! so that no release goes out without its pages, and a warning elsewhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the pages are made of. `dist` and `node_modules` are not among them: they are what the build writes.
const SOURCES: [&str; 8] = [
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "svelte.config.js",
    "tsconfig.json",
];

fn main() {
    println!("cargo:rerun-if-env-changed=TINYOLLY_SKIP_WEB");
    println!("cargo:rerun-if-env-changed=CI");
    let web = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    for source in SOURCES.map(|name| web.join(name)).iter().filter(|path| path.exists()) {
        println!("cargo:rerun-if-changed={}", source.display());
    }
    // Always named, so that the script also runs again when the directory appears.
    println!("cargo:rerun-if-changed=build.rs");
    let skip = std::env::var_os("TINYOLLY_SKIP_WEB").is_some_and(|value| !value.is_empty() && value != "0");
    if !skip
        && web.join("package.json").exists()
        && let Err(reason) = build(&web)
    {
        if matches!(reason, Failure::Build(_))
            && std::env::var_os("CI").is_some_and(|value| !value.is_empty())
        {
            println!("cargo::error=the user interface was not built: {reason}");
            std::process::exit(1);
        }
        println!("cargo:warning=the user interface was not built: {reason}");
        // A path that is never there makes cargo run this script again, so that the next build tries again.
        println!("cargo:rerun-if-changed={}", out.join("never-there").display());
    }
    let dist = web.join("dist");
    if skip {
        // Pages that were built by hand are taken up; this script does not write them then.
        println!("cargo:rerun-if-changed={}", dist.display());
    }
    // An empty directory of our own stands in where there are no pages.
    let embedded = if dist.join("index.html").exists() { dist } else { out.join("no-web") };
    if let Err(error) = std::fs::create_dir_all(&embedded) {
        println!("cargo:warning=create {}: {error}", embedded.display());
    }
    println!("cargo:rustc-env=TINYOLLY_WEB_DIST={}", embedded.display());
}

/// Why there are no new pages.
enum Failure {
    /// npm could not be run.
    NoNpm(String),
    /// npm ran and failed.
    Build(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::NoNpm(reason) | Self::Build(reason)) = self;
        f.write_str(reason)
    }
}

fn build(web: &Path) -> Result<(), Failure> {
    if !installed(web) {
        npm(web, &["ci", "--no-audit", "--no-fund"])?;
    }
    npm(web, &["run", "build"])
}

/// Whether `node_modules` is what the lock file asks for: npm leaves a lock file of its own there, newer than ours.
fn installed(web: &Path) -> bool {
    let changed = |path: PathBuf| std::fs::metadata(path).and_then(|m| m.modified()).ok();
    match (changed(web.join("package-lock.json")), changed(web.join("node_modules/.package-lock.json"))) {
        (Some(wanted), Some(there)) => there >= wanted,
        _ => false,
    }
}

fn npm(web: &Path, arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new("npm").args(arguments).current_dir(web).stdin(Stdio::null()).output();
    let output =
        output.map_err(|error| Failure::NoNpm(format!("run npm: {error}; install Node.js 18 or later")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).rev().take(3).collect();
    let tail = last.into_iter().rev().collect::<Vec<_>>().join(" | ");
    Err(Failure::Build(format!("npm {} ended with {}: {tail}", arguments.join(" "), output.status)))
}

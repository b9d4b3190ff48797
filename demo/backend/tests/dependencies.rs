//! The backend is what the walkthrough says it is: a service without OpenTelemetry.

use std::process::Command;

#[test]
fn no_opentelemetry_crate_is_in_the_tree() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "ebpf-backend",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("run cargo tree");
    let tree = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(tree.lines().any(|line| line.starts_with("axum ")), "{tree}");
    let found: Vec<_> = tree
        .lines()
        .filter(|line| line.contains("opentelemetry") || line.contains("tonic") || line.contains("prost"))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

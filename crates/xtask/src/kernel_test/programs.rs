//! The test programs and what is in them.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::{PACKAGE, SELECTION, output_of, plan::Test};
use crate::cargo;

/// Builds the test programs and lists their tests.
pub(super) fn tests(root: &Path, alone: bool) -> Result<Vec<Test>> {
    let mut build = cargo(root);
    build.args(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    if alone {
        build.args(["--package", PACKAGE, "--test", "*"]);
    } else {
        build.args(SELECTION);
    }
    let messages = String::from_utf8(output_of(&mut build)?).context("cargo's messages")?;
    let mut tests = Vec::new();
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("a message of cargo")?;
        if let Some((file, program)) = test_program(&message) {
            let list = output_of(Command::new(program).args(["--list", "--format", "terse"]))?;
            let list = String::from_utf8(list).context("a list of tests")?;
            tests.extend(list.lines().filter_map(|line| line.strip_suffix(": test")).map(|name| Test {
                file: file.to_owned(),
                name: name.to_owned(),
                program: program.into(),
            }));
        }
    }
    if tests.is_empty() {
        bail!("cargo built no test of {PACKAGE}");
    }
    Ok(tests)
}

/// Name and path of a program of `tests/`, when the message tells of one.
fn test_program(message: &Value) -> Option<(&str, &str)> {
    let of_package = message["package_id"].as_str()?.contains("/kernel-tests#");
    let target = &message["target"];
    if !of_package || target["kind"] != serde_json::json!(["test"]) {
        return None;
    }
    Some((target["name"].as_str()?, message["executable"].as_str()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::test_program;

    #[test]
    fn only_programs_of_tests_are_taken() {
        let message = |package: &str, kind: &str| {
            json!({
                "reason": "compiler-artifact",
                "package_id": format!("path+file:///repository/crates/{package}#otel-ebpf-{package}@0.1.0"),
                "target": { "kind": [kind], "name": "tree" },
                "executable": "/target/debug/deps/tree-1",
            })
        };
        assert_eq!(
            test_program(&message("kernel-tests", "test")),
            Some(("tree", "/target/debug/deps/tree-1"))
        );
        assert_eq!(test_program(&message("kernel-tests", "bin")), None);
        assert_eq!(test_program(&message("agent", "test")), None);
        assert_eq!(test_program(&json!({"reason": "build-finished", "success": true})), None);
    }
}

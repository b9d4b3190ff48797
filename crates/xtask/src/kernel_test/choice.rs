//! Which tests run in guests.

use std::collections::BTreeSet;

use super::plan::Test;
use crate::cli::Vm;

/// Files of tests that run in guests.
const FILES: &[&str] = &[
    "both_ends",
    "calls",
    "collector",
    "connects",
    "discovery",
    "ends",
    "foreign",
    "http_server",
    "nginx",
    "old_connections",
    "startup",
    "tree",
    "unharmed",
];

/// What does not run in guests, a file or one test of it, and why.
const LEFT_OUT: &[(&str, &str)] = &[("load", "full speed is not measured on a machine that is emulated")];

/// Whether a pattern, a file or `file::test`, means a test.
fn means(pattern: &str, test: &Test) -> bool {
    pattern == test.file || pattern == test.id()
}

/// Takes the tests that are for guests, and says which files nobody has decided on.
pub(super) fn choose(tests: Vec<Test>, arguments: &Vm) -> Vec<Test> {
    let undecided: BTreeSet<_> = tests
        .iter()
        .filter(|test| !FILES.contains(&test.file.as_str()))
        .filter(|test| !LEFT_OUT.iter().any(|(pattern, _)| means(pattern, test)))
        .map(|test| test.file.clone())
        .collect();
    if !arguments.all {
        for file in undecided {
            println!(
                "    {file}: not run in guests; crates/xtask/src/kernel_test/choice.rs does not list it"
            );
        }
    }
    let filters = &arguments.tests;
    tests
        .into_iter()
        .filter(|test| filters.is_empty() || filters.iter().any(|filter| test.id().contains(filter.as_str())))
        .filter(|test| arguments.all || is_for_guests(test))
        .collect()
}

fn is_for_guests(test: &Test) -> bool {
    FILES.contains(&test.file.as_str()) && !LEFT_OUT.iter().any(|(pattern, _)| means(pattern, test))
}

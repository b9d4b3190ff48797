//! Which tests run in guests.

use anyhow::{Result, bail};

use super::plan::Test;
use crate::cli::Vm;

/// Tests that run in guests, by file: one for each thing that hangs on the kernel (its verifier, the ways into a socket,
/// where sequence numbers and namespaces are found), since a test takes half a minute on an emulated processor. In this
/// order, so that what stands on the others comes last.
const FOR_GUESTS: &[(&str, &[&str])] = &[
    ("startup", &["every_program_stays_within_its_verification_budget"]),
    ("calls", &["recvmsg_and_sendmsg", "sendfile_behind_a_head"]),
    ("old_connections", &["a_connection_older_than_the_agent_is_traced_from_its_next_request"]),
    ("both_ends", &["both_ends_are_joined_across_network_namespaces"]),
];

fn place(test: &Test) -> Option<(usize, usize)> {
    FOR_GUESTS.iter().enumerate().find_map(|(file_at, (file, names))| {
        let name_at = names.iter().position(|name| *name == test.name)?;
        (*file == test.file).then_some((file_at, name_at))
    })
}

/// Takes the tests that are for guests, in the order of the list, then, if all were asked for, the others.
///
/// # Errors
///
/// A test of the list is gone.
pub(super) fn choose(tests: Vec<Test>, arguments: &Vm) -> Result<Vec<Test>> {
    for (file, name) in FOR_GUESTS.iter().flat_map(|(file, names)| names.iter().map(move |name| (file, name)))
    {
        if !tests.iter().any(|test| test.file == **file && test.name == **name) {
            bail!("{file}::{name} is listed for guests (kernel_test/choice.rs), and there is no such test");
        }
    }
    let filters = &arguments.tests;
    let asked =
        |test: &Test| filters.is_empty() || filters.iter().any(|filter| test.id().contains(filter.as_str()));
    let mut chosen: Vec<_> =
        tests.into_iter().filter(|test| asked(test) && (arguments.all || place(test).is_some())).collect();
    chosen.sort_by_key(|test| place(test).unwrap_or((usize::MAX, 0)));
    Ok(chosen)
}

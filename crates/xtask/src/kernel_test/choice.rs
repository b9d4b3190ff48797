//! Which tests run in guests.

use super::plan::Test;
use crate::cli::Vm;

/// Tests that run in guests, by file: those whose outcome hangs on the kernel, and that ask little of an emulated
/// processor. In this order, so that what stands on the others comes last.
const FOR_GUESTS: &[(&str, &[&str])] = &[
    ("startup", &["every_program_stays_within_its_verification_budget"]),
    (
        "http_server",
        &[
            "both_ends_of_an_exchange_are_told_in_full_over_ipv4",
            "both_ends_of_an_exchange_are_told_in_full_over_ipv6",
        ],
    ),
    (
        "calls",
        &[
            "read_and_write",
            "readv_and_writev",
            "recvfrom_and_sendto",
            "recvmsg_and_sendmsg",
            "sendfile_behind_a_head",
        ],
    ),
    ("connects", &["a_refused_connect_is_a_client_span", "a_host_that_is_not_there_is_told_as_unreachable"]),
    (
        "ends",
        &[
            "a_body_that_ends_with_the_connection_is_told_with_its_size",
            "a_client_that_resets_while_it_waits_is_told",
            "a_request_that_is_read_after_its_connection_was_reset_is_told",
            "a_request_without_a_whole_answer_says_why",
        ],
    ),
    ("old_connections", &["a_connection_older_than_the_agent_is_traced_from_its_next_request"]),
    (
        "discovery",
        &["a_service_in_other_namespaces_is_traced_under_its_host_pid", "other_services_are_left_alone"],
    ),
    (
        "tree",
        &["a_header_says_whether_a_trace_is_exported", "a_header_that_a_proxy_passes_on_leaves_no_level_out"],
    ),
    (
        "both_ends",
        &[
            "both_ends_of_a_connection_older_than_the_agent_are_joined",
            "both_ends_are_joined_across_network_namespaces",
            "both_ends_are_joined_through_a_published_port",
        ],
    ),
    ("unharmed", &["a_killed_agent_leaves_the_service_and_the_kernel_as_they_were"]),
];

/// Why the other tests stay out.
const LEFT_OUT: &[(&str, &str)] = &[
    ("collector", "exporting does not hang on the kernel"),
    ("corpus", "hundreds of large responses take too long"),
    ("cross_host", "joining by another program does not hang on the kernel"),
    ("foreign", "parsing does not hang on the kernel"),
    ("load", "full speed is not measured on a processor that is emulated"),
    ("nginx", "parsing does not hang on the kernel"),
    ("polyglot", "Java and its like take too long to start"),
];

fn place(test: &Test) -> Option<(usize, usize)> {
    FOR_GUESTS.iter().enumerate().find_map(|(file_at, (file, names))| {
        let name_at = names.iter().position(|name| *name == test.name)?;
        (*file == test.file).then_some((file_at, name_at))
    })
}

/// Takes the tests that are for guests, and says which are listed and gone, and which files nobody has decided on.
pub(super) fn choose(tests: Vec<Test>, arguments: &Vm) -> Vec<Test> {
    for (file, name) in FOR_GUESTS.iter().flat_map(|(file, names)| names.iter().map(move |name| (file, name)))
    {
        if !tests.iter().any(|test| test.file == **file && test.name == **name) {
            println!("    {file}::{name}: listed for guests, and there is no such test (choice.rs)");
        }
    }
    let mut files: Vec<_> = tests.iter().map(|test| test.file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    for file in files.into_iter().filter(|file| !FOR_GUESTS.iter().any(|(known, _)| known == file)) {
        let why = LEFT_OUT.iter().find(|(known, _)| *known == file).map(|(_, why)| *why);
        if !arguments.all {
            println!("    {file}: not for guests, {}", why.unwrap_or("nobody has decided on it (choice.rs)"));
        }
    }
    let filters = &arguments.tests;
    let asked =
        |test: &Test| filters.is_empty() || filters.iter().any(|filter| test.id().contains(filter.as_str()));
    let mut chosen: Vec<_> =
        tests.into_iter().filter(|test| asked(test) && (arguments.all || place(test).is_some())).collect();
    chosen.sort_by_key(|test| place(test).unwrap_or((usize::MAX, 0)));
    chosen
}

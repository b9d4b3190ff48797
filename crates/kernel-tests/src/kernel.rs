//! What is loaded into the kernel.

use std::{collections::BTreeSet, fs};

/// Ids of the BPF programs that a process holds open.
pub fn programs_of(pid: u32) -> BTreeSet<u32> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("list the descriptors");
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_to_string(descriptor.path()).ok())
        .filter_map(|info| {
            let id = info.lines().find_map(|line| line.strip_prefix("prog_id:").map(str::trim))?;
            id.parse().ok()
        })
        .collect()
}

/// Ids of all loaded BPF programs.
pub fn loaded_programs() -> BTreeSet<u32> {
    // One that goes away while it is looked at cannot be described any more.
    aya::programs::loaded_programs().flatten().map(|program| program.id()).collect()
}

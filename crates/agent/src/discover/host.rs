//! What the machine is called.

use std::{ffi::OsString, fs};

use procfs::process::Process;

/// The first process of the host, seen where the agent shares the host's process ids.
const INIT: i32 = 1;

/// The machine's name: the kernel's, unless the agent lives in a container with a host name of its own; then the one
/// that the host sets at boot (hostname(5)). `None` where neither can be read.
pub fn name() -> Option<String> {
    if shares_the_hosts_name() {
        return nix::unistd::gethostname().ok()?.into_string().ok();
    }
    first_word(&fs::read_to_string(format!("/proc/{INIT}/root/etc/hostname")).ok()?)
}

/// Whether the agent is in the UTS namespace of the host's first process; so it is taken to be where that may not be read.
fn shares_the_hosts_name() -> bool {
    let uts = |process: Process| Some(process.namespaces().ok()?.0.get(&OsString::from("uts"))?.identifier);
    let own = Process::myself().ok().and_then(uts);
    let host = Process::new(INIT).ok().and_then(uts);
    host.is_none() || own == host
}

/// The file holds one name; comments start with `#`.
pub(super) fn first_word(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    line.split_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_first_word_that_is_no_comment() {
        assert_eq!(first_word("# static\n\n  build-7  \n").as_deref(), Some("build-7"));
        assert_eq!(first_word("# nothing\n"), None);
    }

    #[test]
    fn this_machine_has_a_name() {
        assert!(name().is_some_and(|name| !name.is_empty()));
    }
}

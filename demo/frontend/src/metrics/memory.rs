//! How much memory the process holds.

use std::fs;

/// Reads the process's resident memory, where the system has procfs.
pub(super) fn resident_bytes() -> Option<u64> {
    resident(&fs::read_to_string("/proc/self/status").ok()?)
}

/// Finds `VmRSS` in the text of proc_pid_status(5), which is in kibibytes.
fn resident(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_found_in_the_status_text() {
        for (status, expected) in [
            ("VmPeak:\t  9000 kB\nVmRSS:\t    5120 kB\nRssAnon:\t 1 kB\n", Some(5_242_880)),
            ("Name:\tkthreadd\nThreads:\t1\n", None),
            ("VmRSS:\tmany kB\n", None),
            ("", None),
        ] {
            assert_eq!(resident(status), expected, "{status:?}");
        }
    }

    #[test]
    fn this_process_holds_between_one_mebibyte_and_one_gibibyte() {
        let bytes = resident_bytes().expect("procfs");
        assert!((1 << 20..1 << 30).contains(&bytes), "{bytes}");
    }
}

//! What processes use, and what machine they run on, from `/proc`.

use std::{fs, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

/// Processor time that a process and its children have used so far.
pub fn cpu_of_tree(pid: u32) -> Duration {
    children(pid).into_iter().map(cpu_of_tree).sum::<Duration>() + cpu(pid)
}

/// Processor time that a process has used so far, to 10 ms as a rule (`utime` and `stime` of proc_pid_stat(5)).
pub fn cpu(pid: u32) -> Duration {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
    let ticks = ticks(&stat).unwrap_or_else(|| panic!("read {path}: {stat}"));
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u32::try_from(ticks).ok());
    Duration::from_secs(ticks) / per_second.expect("the kernel tells the length of a tick")
}

/// Fields 14 and 15; the command, field 2, may hold blanks and parentheses.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Memory of a process in KiB by its name in `/proc/PID/status`: `VmRSS` now, `VmHWM` at most.
pub fn memory_kib(pid: u32, name: &str) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap_or_else(|| panic!("{path} tells no {name}"))
}

/// The machine, and what else goes on on it.
pub fn conditions() -> String {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let load = line("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let mut told = format!(
        "Linux {} on {processors} processors; load average at the start {load}",
        line("/proc/sys/kernel/osrelease")
    );
    let others = agents();
    if others > 0 {
        // Their taps run for the traffic measured here too.
        told += &format!("; other agents running: {others}");
    }
    told + "."
}

/// How many agents run already.
fn agents() -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    // The kernel keeps 15 characters.
    let names = processes.filter_map(|process| fs::read_to_string(process.path().join("comm")).ok());
    names.filter(|name| name.trim() == "otel-ebpf-agent").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_after_the_command_whatever_that_is_called() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 25 17 0 0 20 0 1 0 100";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn this_process_uses_time_and_memory() {
        let pid = std::process::id();
        assert!(cpu_of_tree(pid) >= cpu(pid).min(Duration::from_millis(10)));
        assert!((1..=memory_kib(pid, "VmHWM")).contains(&memory_kib(pid, "VmRSS")));
    }

    #[test]
    fn the_machine_is_told() {
        let told = conditions();
        assert!(told.starts_with("Linux ") && told.contains(" processors"), "{told}");
    }
}

//! The two clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of `bpf_ktime_get_ns`.
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("the clock exists on every Linux");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// Both clocks at one moment: nanoseconds since the Unix epoch, and of `CLOCK_MONOTONIC`.
///
/// A thread may lose its processor between two readings, which would pass for a step of the wall clock; so the monotonic
/// clock is read before and after, and a pair that took long is read again.
pub fn both() -> (u64, u64) {
    const CLOSE_NS: u64 = 50_000;
    const TRIES: u32 = 8;
    let mut best = (0, 0, u64::MAX);
    for _ in 0..TRIES {
        let before = monotonic_ns();
        let unix = unix_ns();
        let took = monotonic_ns() - before;
        if took < best.2 {
            best = (unix, before + took / 2, took);
        }
        if took <= CLOSE_NS {
            break;
        }
    }
    (best.0, best.1)
}

/// Nanoseconds since the Unix epoch.
fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

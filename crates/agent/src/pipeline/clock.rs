//! From kernel time to wall time, in one place.

use std::time::{Duration, SystemTime};

/// Converts `CLOCK_MONOTONIC` nanoseconds to wall time.
///
/// Readings of both clocks come in as arguments: the pipeline itself reads no clock. Only [`Clock::adjust`] moves the
/// offset, so that spans made between two adjustments keep their distances exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Wall time in nanoseconds since the Unix epoch at monotonic time 0.
    boot_unix_ns: u64,
}

/// Drift and steps of the wall clock up to this are not followed: spans would lose their distances for nothing.
const STEP: Duration = Duration::from_millis(5);

impl Clock {
    /// A clock from one reading of both clocks.
    pub fn new(unix_ns: u64, monotonic_ns: u64) -> Self {
        Self { boot_unix_ns: unix_ns.saturating_sub(monotonic_ns) }
    }

    /// Follows the wall clock once it has moved away by more than 5 ms (an NTP step, or slow drift).
    pub fn adjust(&mut self, unix_ns: u64, monotonic_ns: u64) {
        let fresh = Self::new(unix_ns, monotonic_ns);
        if fresh.boot_unix_ns.abs_diff(self.boot_unix_ns) > STEP.as_nanos() as u64 {
            *self = fresh;
        }
    }

    /// Wall time of a kernel time.
    pub fn wall(&self, monotonic_ns: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.boot_unix_ns.saturating_add(monotonic_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_survive_small_drift_and_steps_are_followed() {
        let mut clock = Clock::new(1_000_000_000_000, 400);
        let before = clock.wall(500);
        clock.adjust(1_000_000_900_000, 400);
        assert_eq!(clock.wall(500), before);
        clock.adjust(1_000_060_000_000, 400);
        assert_eq!(clock.wall(500), before + Duration::from_millis(60));
    }
}

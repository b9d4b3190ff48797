//! Waiting times between attempts.

use std::time::Duration;

/// The first wait. Short, because a collector that restarts is often back at once.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait, so that traces show soon after the collector is back.
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential back-off with jitter: each wait is between half and all of a bound that doubles.
#[derive(Debug)]
pub(super) struct Backoff {
    bound: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { bound: FIRST }
    }

    /// The next wait. `random` is in `0.0..1.0`.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let wait = self.bound.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        self.bound = (self.bound * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..7).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(backoff.next(0.0).as_millis(), 2500);
    }
}

//! Limits how often a repeating warning is written.

use std::time::{Duration, Instant};

/// The shortest time between two warnings of the same kind.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets one occurrence through per interval and counts the others. Time comes in as an argument.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    last: Option<Instant>,
    suppressed: u64,
}

impl Throttle {
    /// `Some(n)` when the occurrence should be written, with the number not written since the last one.
    pub(super) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_passes_and_the_rest_is_counted() {
        let start = Instant::now();
        let mut throttle = Throttle::default();
        assert_eq!(throttle.pass(start), Some(0));
        assert_eq!(throttle.pass(start + Duration::from_secs(1)), None);
        assert_eq!(throttle.pass(start + Duration::from_secs(9)), None);
        assert_eq!(throttle.pass(start + Duration::from_secs(10)), Some(2));
        assert_eq!(throttle.pass(start + Duration::from_secs(11)), None);
    }
}

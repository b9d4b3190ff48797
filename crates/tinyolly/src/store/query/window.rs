//! A span of time, cut into the slots that the rollups count in.

use crate::store::rollup::{LEVELS, Level, SLOT_NS};

/// Slots of a series, at most, but for one more where the window does not begin with one.
const SERIES_SLOTS: u64 = 30;
/// Widths that a series may have, in shortest slots: round times from 10 s on.
const WIDTHS: [u64; 16] = [1, 2, 3, 6, 12, 30, 60, 90, 180, 360, 720, 1440, 2160, 4320, 8640, 60_480];

/// Times from `start_ns` up to, but without, `end_ns`, rounded outward to shortest slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First slot.
    from: u64,
    /// Behind the last slot.
    to: u64,
    /// Width of a series' slots, in shortest slots.
    width: u64,
}

/// Slots of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) level: Level,
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Window {
    /// The window that holds these times.
    pub fn new(start_ns: u64, end_ns: u64) -> Self {
        let (from, to) = (start_ns / SLOT_NS, end_ns.div_ceil(SLOT_NS));
        let to = to.max(from + 1);
        let enough = |width: &u64| width * SERIES_SLOTS >= to - from;
        let weeks = (to - from).div_ceil(SERIES_SLOTS * 60_480) * 60_480;
        Self { from, to, width: WIDTHS.into_iter().find(enough).unwrap_or(weeks) }
    }

    /// The first time in it.
    pub fn start_ns(self) -> u64 {
        self.from.saturating_mul(SLOT_NS)
    }

    /// The first time behind it.
    pub fn end_ns(self) -> u64 {
        self.to.saturating_mul(SLOT_NS)
    }

    /// Where the slots of a series begin, in nanoseconds.
    pub fn series(self) -> impl Iterator<Item = u64> {
        let first = self.from / self.width;
        (first..self.to.div_ceil(self.width)).map(move |at| (at * self.width).saturating_mul(SLOT_NS))
    }

    /// First shortest slot, and the one behind the last.
    pub(super) fn slots(self) -> [i64; 2] {
        [self.from, self.to].map(|slot| slot as i64)
    }

    /// Which of the series' slots a slot of a level belongs to.
    pub(super) fn place(self, level: Level, slot: i64) -> usize {
        let slot = slot.max(0) as u64 * level.slots;
        (slot / self.width).saturating_sub(self.from / self.width) as usize
    }

    /// The fewest slots that make up the window, each within one slot of a series.
    pub(super) fn stretches(self) -> Vec<Stretch> {
        let mut stretches = Vec::new();
        let fitting = LEVELS.into_iter().filter(|level| self.width.is_multiple_of(level.slots));
        cover(self.from, self.to, &fitting.collect::<Vec<_>>(), &mut stretches);
        stretches
    }
}

fn cover(from: u64, to: u64, levels: &[Level], stretches: &mut Vec<Stretch>) {
    let Some((level, shorter)) = levels.split_last() else { return };
    let (first, last) = (from.div_ceil(level.slots), to / level.slots);
    if first >= last {
        return cover(from, to, shorter, stretches);
    }
    cover(from, first * level.slots, shorter, stretches);
    stretches.push(Stretch { level: *level, from: first as i64, to: last as i64 });
    cover(last * level.slots, to, shorter, stretches);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn each_slot_is_read_once_and_in_its_place(start in 0..=u64::MAX / 2, length in 0..40_000_u64) {
            let window = Window::new(start, start.saturating_add(length * SLOT_NS));
            let mut next = window.from;
            let starts: Vec<u64> = window.series().collect();
            prop_assert!(starts.len() <= 31, "{}", starts.len());
            for stretch in window.stretches() {
                for slot in stretch.from..stretch.to {
                    let first = slot as u64 * stretch.level.slots;
                    prop_assert_eq!(first, next);
                    next += stretch.level.slots;
                    let place = window.place(stretch.level, slot);
                    prop_assert!(starts[place] <= first * SLOT_NS);
                    let end = starts[place] + window.width * SLOT_NS;
                    prop_assert!(next * SLOT_NS <= end);
                }
            }
            prop_assert_eq!(next, window.to);
        }
    }

    #[test]
    fn long_windows_take_few_slots() {
        const HOUR: u64 = 3_600_000_000_000;
        for hours in [1, 2, 5, 15, 30, 60, 100, 1000, 10_000] {
            let start = 1_763_829_612_345_678_901;
            let stretches = Window::new(start, start + hours * HOUR).stretches();
            let slots: i64 = stretches.iter().map(|s| s.to - s.from).sum();
            assert!(slots < 600 + hours as i64 / 2, "{slots} slots for {hours} hours");
        }
    }

    #[test]
    fn any_times_make_a_window() {
        for (start, end) in [(0, 0), (0, u64::MAX), (u64::MAX, u64::MAX), (5, 4)] {
            let window = Window::new(start, end);
            assert!(window.series().count() <= 31);
            assert!(!window.stretches().is_empty());
            assert!(window.start_ns() <= start);
        }
    }
}

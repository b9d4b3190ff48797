//! Steps of equal width over a range of time.

/// Most steps of one answer.
pub const MAX_STEPS: u64 = 2000;
/// Steps that are aimed at when the width is chosen here.
const AIM: u64 = 120;

const SECOND: u64 = 1_000_000_000;
/// Widths people read easily, in seconds.
const ROUND: [u64; 18] =
    [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400];

/// Steps `[start + i * step, start + (i + 1) * step)`, on multiples of the step since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    start_ns: u64,
    step_ns: u64,
    len: usize,
}

/// Why there is no grid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GridError {
    /// The range is empty.
    #[error("start does not lie before end")]
    Empty,
    /// The step is too small for the range.
    #[error("step={step} makes more than {MAX_STEPS} steps of this range; the least is {least}")]
    TooMany {
        /// What was asked for.
        step: u64,
        /// What would do.
        least: u64,
    },
}

impl Grid {
    /// Steps that cover `[start_ns, end_ns)`. Without a step a round one is chosen that makes at most 120.
    ///
    /// # Errors
    /// When the range is empty or the step too small for it.
    pub fn covering(start_ns: u64, end_ns: u64, step_ns: Option<u64>) -> Result<Self, GridError> {
        if start_ns >= end_ns {
            return Err(GridError::Empty);
        }
        let range = end_ns - start_ns;
        let step_ns = match step_ns {
            Some(step) => step.max(1),
            None => round_step(range),
        };
        let first = start_ns / step_ns;
        let len = (end_ns - 1) / step_ns - first + 1;
        if len > MAX_STEPS {
            // One step less, since a range that is not aligned touches one more.
            return Err(GridError::TooMany { step: step_ns, least: range.div_ceil(MAX_STEPS - 1) });
        }
        Ok(Self { start_ns: first * step_ns, step_ns, len: len as usize })
    }

    /// Width of a step.
    pub fn step_ns(self) -> u64 {
        self.step_ns
    }

    /// Number of steps, at least one.
    pub fn steps(self) -> usize {
        self.len
    }

    /// When a step begins.
    pub fn time(self, step: usize) -> u64 {
        self.start_ns.saturating_add(self.step_ns.saturating_mul(step as u64))
    }

    /// The first nanosecond that no step covers.
    pub fn end_ns(self) -> u64 {
        self.time(self.len)
    }

    /// The step that holds a time.
    pub fn step_of(self, time_ns: u64) -> Option<usize> {
        let at = usize::try_from(time_ns.checked_sub(self.start_ns)? / self.step_ns).ok()?;
        (at < self.len).then_some(at)
    }

    /// The steps that the time from `from_ns` (exclusive) to `to_ns` (inclusive) lies in, each with the nanoseconds of
    /// it. A time without length, `from_ns` = `to_ns`, lies in one step, with none.
    pub fn spread(self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = (usize, u64)> {
        let instant = if from_ns >= to_ns { self.step_of(to_ns) } else { None };
        let (from, to) = (from_ns.max(self.start_ns), to_ns.min(self.end_ns()));
        let steps = if from < to {
            let first = (from - self.start_ns) / self.step_ns;
            let last = (to - 1 - self.start_ns) / self.step_ns;
            first as usize..(last as usize + 1).min(self.len)
        } else {
            0..0
        };
        let covered = steps.map(move |step| {
            let overlap = to.min(self.time(step + 1)).saturating_sub(from.max(self.time(step)));
            (step, overlap)
        });
        instant.map(|step| (step, 0)).into_iter().chain(covered)
    }
}

fn round_step(range_ns: u64) -> u64 {
    // One step less than aimed at, since a range that is not aligned touches one more.
    let least = range_ns.div_ceil(AIM - 1);
    if least < SECOND {
        // Parts of a second: 1, 2 or 5 times a power of ten.
        let mut unit = 1;
        loop {
            for width in [unit, 2 * unit, 5 * unit] {
                if width >= least {
                    return width;
                }
            }
            unit *= 10;
        }
    }
    let seconds = ROUND.iter().map(|seconds| seconds * SECOND);
    let day = 86_400 * SECOND;
    seconds
        .into_iter()
        .find(|width| *width >= least)
        .unwrap_or_else(|| least.div_ceil(day).saturating_mul(day))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn steps_are_aligned_and_cover_the_range() {
        let grid = Grid::covering(25, 61, Some(10)).unwrap();
        assert_eq!((grid.time(0), grid.steps(), grid.end_ns()), (20, 5, 70));
        assert_eq!((grid.step_of(19), grid.step_of(20), grid.step_of(69)), (None, Some(0), Some(4)));
        assert_eq!(grid.step_of(70), None);
        assert_eq!(Grid::covering(5, 5, None), Err(GridError::Empty));
        let refused = Grid::covering(0, 1_000_000, Some(10)).unwrap_err();
        let GridError::TooMany { least, .. } = refused else { panic!("{refused}") };
        Grid::covering(0, 1_000_000, Some(least)).unwrap();
    }

    #[test]
    fn widths_are_round() {
        let grid = Grid::covering(0, 3600 * SECOND, None).unwrap();
        assert_eq!(grid.step_ns(), 60 * SECOND);
        assert_eq!(Grid::covering(0, 60 * SECOND, None).unwrap().step_ns(), SECOND);
        assert_eq!(Grid::covering(0, SECOND, None).unwrap().step_ns(), 10_000_000);
    }

    #[test]
    fn an_instant_lies_in_one_step() {
        let grid = Grid::covering(0, 100, Some(10)).unwrap();
        assert_eq!(grid.spread(30, 30).collect::<Vec<_>>(), [(3, 0)]);
        assert_eq!(grid.spread(15, 40).collect::<Vec<_>>(), [(1, 5), (2, 10), (3, 10)]);
        assert_eq!(grid.spread(200, 200).count(), 0);
    }

    proptest! {
        #[test]
        fn any_range_has_a_grid(start in any::<u64>(), end in any::<u64>()) {
            if let Ok(grid) = Grid::covering(start, end, None) {
                prop_assert!(grid.steps() as u64 <= AIM + 1);
                prop_assert_eq!(grid.step_of(start), Some(0));
                prop_assert!(grid.end_ns() >= end);
            } else {
                prop_assert!(start >= end);
            }
        }

        #[test]
        fn what_is_spread_is_the_overlap(from in 0u64..2000, length in 0u64..2000, step in 1u64..100) {
            let grid = Grid::covering(500, 1500, Some(step)).unwrap();
            let to = from + length;
            let total: u64 = grid.spread(from, to).map(|(_, covered)| covered).sum();
            prop_assert_eq!(total, to.min(grid.end_ns()).saturating_sub(from.max(grid.time(0))));
            for (at, covered) in grid.spread(from, to) {
                prop_assert!(at < grid.steps() && covered <= step);
            }
        }
    }
}

//! The value a series stood at, step by step: gauges, and sums that may shrink.

use super::grid::Grid;
use super::stream::{Sample, gap_ns, in_order};

/// What a series was during one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// The last value.
    pub last: f64,
    /// The mean of the values.
    pub mean: f64,
    /// The least of them.
    pub min: f64,
    /// The greatest of them.
    pub max: f64,
    /// How many there are; none where an earlier value still stands.
    pub points: u64,
}

/// One entry for each step of the grid; `None` where nothing is known.
///
/// A value stands until the next point, but not across a gap, past a point without a value, or after `newest_ns`, the
/// time of the newest point of all series: a chart does not run ahead of its data.
pub fn levels(mut samples: Vec<Sample<f64>>, grid: Grid, newest_ns: u64) -> Vec<Option<Level>> {
    in_order(&mut samples);
    let gap_ns = gap_ns(&samples);
    let mut found: Vec<Option<Level>> = vec![None; grid.steps()];
    for (at, sample) in samples.iter().enumerate() {
        let Some(value) = sample.value else { continue };
        let step = grid.step_of(sample.time_ns);
        if let Some(level) = step.and_then(|step| found.get_mut(step)) {
            add(level, value);
        }
        let next = samples.get(at + 1).map(|next| next.time_ns);
        let stands_until = next.unwrap_or(newest_ns).min(sample.time_ns.saturating_add(gap_ns));
        // In the steps that begin while it stands and hold no point of their own.
        for (step, _) in grid.spread(sample.time_ns, stands_until) {
            if grid.time(step) > sample.time_ns && Some(step) != next.and_then(|next| grid.step_of(next)) {
                let standing = Level { last: value, mean: value, min: value, max: value, points: 0 };
                if let Some(level) = found.get_mut(step) {
                    *level = Some(standing);
                }
            }
        }
    }
    found
}

fn add(level: &mut Option<Level>, value: f64) {
    match level {
        Some(level) if level.points > 0 => {
            level.points += 1;
            level.last = value;
            level.mean += (value - level.mean) / level.points as f64;
            level.min = level.min.min(value);
            level.max = level.max.max(value);
        }
        // A value that stands gives way to one that was measured.
        _ => *level = Some(Level { last: value, mean: value, min: value, max: value, points: 1 }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    fn sample(time_ns: u64, value: f64) -> Sample<f64> {
        Sample { time_ns, start_ns: 0, value: (!value.is_nan()).then_some(value) }
    }

    fn lasts(samples: &[Sample<f64>], newest_ns: u64) -> Vec<Option<f64>> {
        let grid = Grid::covering(0, 80, Some(10)).unwrap();
        levels(samples.to_vec(), grid, newest_ns).iter().map(|level| level.map(|l| l.last)).collect()
    }

    #[test]
    fn a_step_knows_all_its_points() {
        let grid = Grid::covering(0, 10, Some(10)).unwrap();
        let found = levels(vec![sample(5, 4.0), sample(1, 1.0), sample(2, 7.0)], grid, 9);
        assert_eq!(found, [Some(Level { last: 4.0, mean: 4.0, min: 1.0, max: 7.0, points: 3 })]);
    }

    #[test]
    fn a_value_stands_until_the_next_or_the_newest() {
        let found = lasts(&[sample(5, 1.0), sample(35, 2.0)], 62);
        let expected = [Some(1.0), Some(1.0), Some(1.0), Some(2.0), Some(2.0), Some(2.0), Some(2.0), None];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_value_from_before_the_range_stands() {
        let grid = Grid::covering(100, 130, Some(10)).unwrap();
        let found = levels(vec![sample(95, 3.0), sample(125, 4.0)], grid, 125);
        assert_eq!(
            found.iter().map(|l| l.map(|l| (l.last, l.points))).collect::<Vec<_>>(),
            [Some((3.0, 0)), Some((3.0, 0)), Some((4.0, 1))]
        );
    }

    #[test]
    fn no_value_and_gaps_end_it() {
        assert_eq!(
            lasts(&[sample(5, 1.0), sample(15, f64::NAN), sample(45, 2.0)], 45)[1..5],
            [None, None, None, Some(2.0)]
        );
        // Points a nanosecond apart, so that more than four make a gap.
        let close = [sample(5, 1.0), sample(6, 1.0), sample(7, 1.0), sample(55, 2.0)];
        assert_eq!(lasts(&close, 55)[..6], [Some(1.0), Some(1.0), None, None, None, Some(2.0)]);
    }
}

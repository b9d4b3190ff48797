//! Observations by step and by value.

use super::distribution::{Buckets, Distribution};
use super::exponential::Exponential;

/// Rows of a heat map of an exponential histogram, about.
const ROWS: usize = 40;

/// Counts by step and bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Heatmap {
    /// The lower edge of the first bucket; `None` where it has none.
    pub lower: Option<f64>,
    /// Upper edges, increasing; the last may be `None`, without end.
    pub bounds: Vec<Option<f64>>,
    /// For each step of which something is known: the step, and a count for each bucket.
    pub columns: Vec<(usize, Vec<f64>)>,
}

/// Draws up the map of what the steps hold; steps without anything known are `None`.
pub(super) fn heatmap(steps: &[Option<Distribution>]) -> Heatmap {
    let mut whole: Option<Distribution> = None;
    for step in steps.iter().flatten() {
        match &mut whole {
            Some(whole) => whole.add(step, 1.0),
            None => whole = Some(step.clone()),
        }
    }
    match whole.map(|whole| whole.buckets) {
        Some(Buckets::Explicit(whole)) => {
            let bounds: Vec<Option<f64>> = whole.bounds().iter().map(|bound| Some(*bound)).collect();
            let columns = columns(steps, |buckets| {
                let Buckets::Explicit(buckets) = buckets else { return vec![0.0; whole.counts().len()] };
                // With a share of nothing the whole brings its bounds.
                let mut column = buckets.clone();
                column.add(&whole, 0.0);
                column.counts().to_vec()
            });
            Heatmap { lower: None, bounds: bounds.into_iter().chain([None]).collect(), columns }
        }
        Some(Buckets::Exponential(mut whole)) => {
            whole.reduce_to(ROWS);
            let rows = whole.buckets(true);
            let bounds: Vec<Option<f64>> = rows.iter().map(|row| Some(row.upper)).collect();
            let columns = columns(steps, |buckets| {
                let Buckets::Exponential(buckets) = buckets else { return vec![0.0; rows.len()] };
                row_counts(buckets, &whole, &bounds)
            });
            Heatmap { lower: rows.first().map(|row| row.lower), bounds, columns }
        }
        Some(Buckets::None) | None => Heatmap { lower: None, bounds: Vec::new(), columns: Vec::new() },
    }
}

fn columns(steps: &[Option<Distribution>], counts: impl Fn(&Buckets) -> Vec<f64>) -> Vec<(usize, Vec<f64>)> {
    let known = steps.iter().enumerate().filter_map(|(at, step)| Some((at, step.as_ref()?)));
    known.map(|(at, step)| (at, counts(&step.buckets))).collect()
}

fn row_counts(buckets: &Exponential, whole: &Exponential, bounds: &[Option<f64>]) -> Vec<f64> {
    // With a share of nothing the whole brings its scale and its zero bucket.
    let mut column = buckets.clone();
    column.add(whole, 0.0);
    let mut counts = vec![0.0; bounds.len()];
    for bucket in column.buckets(false) {
        let at = bounds.partition_point(|bound| bound.is_some_and(|bound| bound < bucket.upper));
        if let Some(count) = counts.get_mut(at) {
            *count += bucket.count;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_share_the_bounds() {
        let steps = [
            Some(Distribution::explicit(3, None, &[1.0, 2.0], &[1, 1, 1])),
            None,
            Some(Distribution::explicit(2, None, &[2.0, 3.0], &[1, 1, 0])),
        ];
        let map = heatmap(&steps);
        assert_eq!(map.bounds, [Some(2.0), None]);
        assert_eq!(map.columns, [(0, vec![2.0, 1.0]), (2, vec![1.0, 1.0])]);
    }

    #[test]
    fn exponential_rows_reach_from_the_least_to_the_greatest() {
        let fine: Vec<u64> = vec![1; 64];
        let steps = [
            Some(Distribution::exponential((64, None), 5, (0, 0.0), (0, &fine), (0, &[]))),
            Some(Distribution::exponential((3, None), 0, (1, 0.0), (3, &[1]), (0, &[1]))),
        ];
        let map = heatmap(&steps);
        assert_eq!(map.lower, Some(-2.0));
        let expected = [-1.0, 0.0, 2.0, 4.0, 8.0, 16.0].map(Some);
        assert_eq!(map.bounds, expected);
        assert_eq!(
            map.columns,
            [(0, vec![0.0, 0.0, 32.0, 32.0, 0.0, 0.0]), (1, vec![1.0, 1.0, 0.0, 0.0, 0.0, 1.0])]
        );
        let total: f64 = map.columns.iter().flat_map(|(_, counts)| counts).sum();
        assert_eq!(total, 67.0);
    }

    #[test]
    fn nothing_known_is_an_empty_map() {
        assert_eq!(heatmap(&[None]).bounds, []);
        assert_eq!(heatmap(&[Some(Distribution::totals(1, 1.0))]).columns, []);
    }
}

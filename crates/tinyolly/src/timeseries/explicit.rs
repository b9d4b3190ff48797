//! Buckets with explicit bounds.

use super::distribution::Estimate;

/// Most bounds of a histogram; SDKs send some dozens, and every merge walks all of them.
const MAX_BOUNDS: usize = 1_000;

/// Buckets by their upper bounds; the last bucket has none. Counts are fractions where an interval lies in several steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Explicit {
    /// Strictly increasing and finite.
    bounds: Vec<f64>,
    /// One more than bounds.
    counts: Vec<f64>,
}

impl Explicit {
    /// Buckets as sent; `None` when they are none, have more than 1,000 finite bounds, or make no sense.
    pub fn new(bounds: &[f64], counts: &[u64]) -> Option<Self> {
        // One more, which may be infinity.
        if bounds.len() > MAX_BOUNDS + 1 {
            return None;
        }
        let mut counts: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
        let mut bounds = bounds.to_vec();
        if counts.is_empty() || counts.len() != bounds.len() + 1 {
            return None;
        }
        // The last bucket goes to infinity by itself; some senders say so.
        if bounds.last() == Some(&f64::INFINITY) {
            bounds.pop();
            let beyond = counts.pop()?;
            *counts.last_mut()? += beyond;
        }
        if bounds.len() > MAX_BOUNDS {
            return None;
        }
        let increasing = bounds.windows(2).all(|pair| pair[0] < pair[1]);
        (increasing && bounds.iter().all(|bound| bound.is_finite())).then_some(Self { bounds, counts })
    }

    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }

    pub fn counts(&self) -> &[f64] {
        &self.counts
    }

    /// What was added since `earlier`; `None` when bounds differ or a count fell.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        if self.bounds != earlier.bounds {
            return None;
        }
        let counts = self.counts.iter().zip(&earlier.counts);
        let counts: Option<Vec<f64>> = counts.map(|(now, then)| (now >= then).then(|| now - then)).collect();
        Some(Self { bounds: self.bounds.clone(), counts: counts? })
    }

    /// Adds a share of another. Where bounds differ, those that both have are left: what lies between them is exact.
    pub fn add(&mut self, other: &Self, share: f64) {
        if self.bounds == other.bounds {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count += more * share;
            }
            return;
        }
        // Both are sorted, so one walk through both finds what they share.
        let mut others = other.bounds.iter().peekable();
        let mut shared = |bound: &&f64| {
            while others.next_if(|other| other < bound).is_some() {}
            others.peek() == Some(bound)
        };
        let common: Vec<f64> = self.bounds.iter().filter(|bound| shared(bound)).copied().collect();
        let mine = self.counted_by(&common);
        let theirs = other.counted_by(&common);
        self.counts = mine.iter().zip(theirs).map(|(mine, theirs)| mine + theirs * share).collect();
        self.bounds = common;
    }

    /// Counts by fewer bounds, which must be among this one's.
    fn counted_by(&self, bounds: &[f64]) -> Vec<f64> {
        let mut counts = vec![0.0; bounds.len() + 1];
        for (at, count) in self.counts.iter().enumerate() {
            // The bucket goes up to its bound, so it belongs to the first of the fewer that is not below.
            let into = match self.bounds.get(at) {
                Some(bound) => bounds.partition_point(|other| other < bound),
                None => bounds.len(),
            };
            if let Some(sum) = counts.get_mut(into) {
                *sum += count;
            }
        }
        counts
    }

    /// The value below which the share `q` of the observations lies, by a straight line through its bucket.
    pub fn quantile(&self, q: f64, min: Option<f64>, max: Option<f64>) -> Option<Estimate> {
        let total: f64 = self.counts.iter().sum();
        if total <= 0.0 {
            return None;
        }
        let rank = q * total;
        let mut below = 0.0;
        let last = self.counts.iter().rposition(|count| *count > 0.0)?;
        for (at, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            if below + count >= rank || at == last {
                let Some(&upper) = self.bounds.get(at) else {
                    let value = max.or(self.bounds.last().copied());
                    return value.map(|value| Estimate { value, beyond: true });
                };
                // Below the first bound only the least value, or zero for what is never negative, is known.
                let lower = match at.checked_sub(1).and_then(|before| self.bounds.get(before)) {
                    Some(&lower) => lower,
                    None => min.filter(|min| *min <= upper).unwrap_or(if upper > 0.0 { 0.0 } else { upper }),
                };
                let value = lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0);
                return Some(Estimate { value, beyond: false });
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use proptest::prelude::*;

    use super::*;

    fn value(buckets: &Explicit, q: f64) -> f64 {
        buckets.quantile(q, None, None).unwrap().value
    }

    #[test]
    fn quantiles_lie_on_a_line_through_their_bucket() {
        let buckets = Explicit::new(&[1.0, 2.0, 4.0], &[10, 10, 20, 0]).unwrap();
        for (q, expected) in [(0.0, 0.0), (0.125, 0.5), (0.25, 1.0), (0.5, 2.0), (0.75, 3.0), (1.0, 4.0)] {
            assert_eq!(value(&buckets, q), expected, "{q}");
        }
    }

    #[test]
    fn beyond_the_last_bound_nothing_is_guessed() {
        let buckets = Explicit::new(&[1.0], &[1, 9]).unwrap();
        assert_eq!(buckets.quantile(0.9, None, None), Some(Estimate { value: 1.0, beyond: true }));
        assert_eq!(buckets.quantile(0.9, None, Some(7.0)), Some(Estimate { value: 7.0, beyond: true }));
        let unbounded = Explicit::new(&[], &[5]).unwrap();
        assert_eq!(unbounded.quantile(0.5, None, None), None);
        assert_eq!(Explicit::new(&[1.0], &[0, 0]).unwrap().quantile(0.5, None, None), None);
    }

    #[test]
    fn below_the_first_bound_is_the_least_value_or_zero() {
        let buckets = Explicit::new(&[10.0, 20.0], &[4, 0, 0]).unwrap();
        assert_eq!(value(&buckets, 0.5), 5.0);
        assert_eq!(buckets.quantile(0.5, Some(-10.0), None).unwrap().value, 0.0);
        let negative = Explicit::new(&[-1.0, 1.0], &[4, 0, 0]).unwrap();
        assert_eq!(value(&negative, 0.5), -1.0);
    }

    #[test]
    fn nonsense_is_no_buckets() {
        for (bounds, counts) in [
            (&[1.0, 1.0][..], &[1, 2, 3][..]),
            (&[2.0, 1.0], &[1, 2, 3]),
            (&[f64::NAN], &[1, 2]),
            (&[f64::NEG_INFINITY], &[1, 2]),
            (&[1.0], &[1]),
            (&[], &[]),
        ] {
            assert_eq!(Explicit::new(bounds, counts), None, "{bounds:?}");
        }
        let said = Explicit::new(&[1.0, f64::INFINITY], &[1, 2, 3]).unwrap();
        assert_eq!((said.bounds(), said.counts()), (&[1.0][..], &[1.0, 5.0][..]));
    }

    #[test]
    fn other_bounds_leave_the_common_ones() {
        let mut one = Explicit::new(&[1.0, 2.0, 3.0], &[1, 2, 3, 4]).unwrap();
        one.add(&Explicit::new(&[1.5, 2.0, 9.0], &[10, 20, 30, 40]).unwrap(), 0.5);
        assert_eq!((one.bounds(), one.counts()), (&[2.0][..], &[18.0, 42.0][..]));
        assert_eq!(one.since(&Explicit::new(&[1.0], &[0, 0]).unwrap()), None);
    }

    #[test]
    fn more_bounds_than_anyone_needs_are_no_buckets() {
        let bounds: Vec<f64> = (0..=MAX_BOUNDS).map(|n| n as f64).collect();
        let counts = vec![1; bounds.len() + 1];
        assert_eq!(Explicit::new(&bounds, &counts), None);
        let most = Explicit::new(&bounds[1..], &counts[1..]).unwrap();
        assert_eq!(most.bounds().len(), MAX_BOUNDS);
        let infinite = [&bounds[1..], &[f64::INFINITY]].concat();
        assert_eq!(Explicit::new(&infinite, &counts).unwrap().bounds(), most.bounds());
    }

    proptest! {
        #[test]
        fn exactly_the_shared_bounds_are_left(
            one in prop::collection::btree_set(0u8..40, 0..30), other in prop::collection::btree_set(0u8..40, 0..30),
        ) {
            let buckets = |set: &std::collections::BTreeSet<u8>| {
                let bounds: Vec<f64> = set.iter().map(|n| f64::from(*n)).collect();
                Explicit::new(&bounds, &vec![1; set.len() + 1]).unwrap()
            };
            let mut sum = buckets(&one);
            sum.add(&buckets(&other), 1.0);
            let shared: Vec<f64> = one.intersection(&other).map(|n| f64::from(*n)).collect();
            prop_assert_eq!(sum.bounds(), &shared[..]);
            prop_assert_eq!(sum.counts().iter().sum::<f64>(), (one.len() + other.len() + 2) as f64);
        }

        #[test]
        fn a_quantile_lies_in_the_bucket_of_the_true_one(
            mut values in prop::collection::vec(0.0f64..100.0, 1..60), q in 0.0f64..=1.0,
        ) {
            let bounds = [5.0, 10.0, 25.0, 50.0, 75.0, 100.0];
            let mut counts = [0u64; 7];
            for value in &values {
                counts[bounds.partition_point(|bound| bound < value)] += 1;
            }
            values.sort_by(f64::total_cmp);
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let truth = values[rank - 1];
            let bucket = bounds.partition_point(|bound| *bound < truth);
            let lower = if bucket == 0 { 0.0 } else { bounds[bucket - 1] };
            let found = Explicit::new(&bounds, &counts).unwrap().quantile(q, None, None).unwrap();
            prop_assert!((lower..=bounds[bucket]).contains(&found.value), "{found:?} {truth}");
        }

        #[test]
        fn quantiles_grow(counts in prop::collection::vec(0u64..50, 4), a in 0.0f64..=1.0, b in 0.0f64..=1.0) {
            let buckets = Explicit::new(&[-2.0, 0.0, 7.0], &counts).unwrap();
            if let (Some(a), Some(b)) = (buckets.quantile(a.min(b), None, None), buckets.quantile(a.max(b), None, None)) {
                prop_assert!(a.value <= b.value);
            }
        }
    }
}

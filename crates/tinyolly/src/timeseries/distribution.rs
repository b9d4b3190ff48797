//! One type for all that counts observations: histograms of both kinds, and the totals of summaries.

use super::explicit::Explicit;
use super::exponential::{Exponential, Sent};
use super::stream::Measure;

/// Observations: how many, their sum, and how they are spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// How many; a fraction where an interval lies in several steps.
    pub count: f64,
    /// Their sum, where all of them have one.
    pub sum: Option<f64>,
    /// The least, where it is known.
    pub min: Option<f64>,
    /// The greatest, where it is known.
    pub max: Option<f64>,
    /// How they are spread.
    pub(super) buckets: Buckets,
}

/// How observations are spread.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Buckets {
    /// Nothing is known.
    None,
    /// By explicit bounds.
    Explicit(Explicit),
    /// By powers of a base.
    Exponential(Exponential),
}

/// A quantile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The value.
    pub value: f64,
    /// Whether it lies beyond the last bound: then the value is the greatest observation where that is known, else the
    /// last bound, and the quantile is no less than that bound.
    pub beyond: bool,
}

impl Distribution {
    /// A histogram with explicit bounds.
    pub fn explicit(count: u64, sum: Option<f64>, bounds: &[f64], counts: &[u64]) -> Self {
        let buckets = Explicit::new(bounds, counts).map_or(Buckets::None, Buckets::Explicit);
        Self::new(count, sum, buckets)
    }

    /// An exponential histogram.
    pub fn exponential(
        (count, sum): (u64, Option<f64>),
        scale: i32,
        (zero, zero_threshold): (u64, f64),
        positive: Sent<'_>,
        negative: Sent<'_>,
    ) -> Self {
        let buckets = Exponential::new(scale, zero, zero_threshold, positive, negative);
        Self::new(count, sum, Buckets::Exponential(buckets))
    }

    /// A count and a sum alone.
    pub fn totals(count: u64, sum: f64) -> Self {
        Self::new(count, Some(sum), Buckets::None)
    }

    fn new(count: u64, sum: Option<f64>, buckets: Buckets) -> Self {
        let sum = sum.filter(|sum| sum.is_finite());
        Self { count: count as f64, sum, min: None, max: None, buckets }
    }

    /// Sets the extremes, of which those that are no numbers are left out.
    pub fn with_extremes(self, min: Option<f64>, max: Option<f64>) -> Self {
        Self { min: min.filter(|min| min.is_finite()), max: max.filter(|max| max.is_finite()), ..self }
    }

    /// A share of it, where its interval lies in several steps.
    pub fn part(&self, share: f64) -> Self {
        let mut part = Self { count: 0.0, sum: self.sum.map(|_| 0.0), ..self.clone() };
        match &mut part.buckets {
            Buckets::None => {}
            // Adding to nothing scales.
            Buckets::Explicit(buckets) => {
                let whole = buckets.clone();
                buckets.add(&whole, share - 1.0);
            }
            Buckets::Exponential(buckets) => {
                let whole = buckets.clone();
                buckets.add(&whole, share - 1.0);
            }
        }
        part.count = self.count * share;
        part.sum = self.sum.map(|sum| sum * share);
        part
    }

    /// Adds a share of another of the same kind.
    pub fn add(&mut self, other: &Self, share: f64) {
        if other.count <= 0.0 {
            return;
        }
        if self.count <= 0.0 {
            *self = other.part(share);
            return;
        }
        self.count += other.count * share;
        self.sum = self.sum.zip(other.sum).map(|(sum, more)| sum + more * share);
        self.min = self.min.zip(other.min).map(|(one, other)| one.min(other));
        self.max = self.max.zip(other.max).map(|(one, other)| one.max(other));
        match (&mut self.buckets, &other.buckets) {
            (Buckets::Explicit(mine), Buckets::Explicit(theirs)) => mine.add(theirs, share),
            (Buckets::Exponential(mine), Buckets::Exponential(theirs)) => mine.add(theirs, share),
            // Of a part nobody knows how it is spread, so of the whole neither.
            (mine, _) => *mine = Buckets::None,
        }
    }

    /// The value below which the share `q` of the observations lies; `None` when nothing is known of it.
    pub fn quantile(&self, q: f64) -> Option<Estimate> {
        let estimate = match &self.buckets {
            Buckets::None => None,
            Buckets::Explicit(buckets) => buckets.quantile(q, self.min, self.max),
            Buckets::Exponential(buckets) => buckets.quantile(q),
        }?;
        let mut value = estimate.value;
        if let Some(max) = self.max {
            value = value.min(max);
        }
        if let Some(min) = self.min {
            value = value.max(min);
        }
        Some(Estimate { value, ..estimate })
    }
}

impl Measure for Distribution {
    fn since(&self, earlier: &Self) -> Option<Self> {
        if self.count < earlier.count {
            return None;
        }
        let buckets = match (&self.buckets, &earlier.buckets) {
            (Buckets::Explicit(now), Buckets::Explicit(then)) => Buckets::Explicit(now.since(then)?),
            (Buckets::Exponential(now), Buckets::Exponential(then)) => Buckets::Exponential(now.since(then)?),
            (Buckets::None, Buckets::None) => Buckets::None,
            _ => return None,
        };
        // Extremes are those since the start. One that moved was set by what was added.
        let moved =
            |now: Option<f64>, then: Option<f64>| now.zip(then).filter(|(a, b)| a != b).map(|(a, _)| a);
        Some(Self {
            count: self.count - earlier.count,
            sum: self.sum.zip(earlier.sum).map(|(now, then)| now - then),
            min: moved(self.min, earlier.min),
            max: moved(self.max, earlier.max),
            buckets,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;

    fn explicit(counts: &[u64]) -> Distribution {
        let count = counts.iter().sum();
        Distribution::explicit(count, Some(count as f64), &[1.0, 2.0], counts)
    }

    #[test]
    fn an_extreme_that_moved_was_set_by_what_was_added() {
        let earlier = explicit(&[1, 0, 1]).with_extremes(Some(0.5), Some(3.0));
        let later = explicit(&[1, 0, 3]).with_extremes(Some(0.5), Some(9.0));
        let added = later.since(&earlier).unwrap();
        assert_eq!((added.count, added.sum, added.min, added.max), (2.0, Some(2.0), None, Some(9.0)));
        assert_eq!(added.quantile(0.5), Some(Estimate { value: 9.0, beyond: true }));
        let same = explicit(&[1, 0, 4]).with_extremes(Some(0.5), Some(9.0)).since(&later).unwrap();
        assert_eq!(same.quantile(0.5), Some(Estimate { value: 2.0, beyond: true }), "the last bound");
    }

    #[test]
    fn fewer_is_a_reset_and_so_are_other_bounds() {
        assert_eq!(explicit(&[1, 1, 1]).since(&explicit(&[1, 1, 2])), None);
        assert_eq!(explicit(&[0, 2, 2]).since(&explicit(&[1, 1, 1])), None);
        let other = Distribution::explicit(9, None, &[1.0, 3.0], &[3, 3, 3]);
        assert_eq!(other.since(&explicit(&[1, 1, 1])), None);
    }

    #[test]
    fn parts_add_up() {
        let whole = explicit(&[3, 0, 6]);
        let mut sum = whole.part(0.25);
        sum.add(&whole, 0.75);
        assert_eq!(sum, whole);
        let mut empty = explicit(&[0, 0, 0]);
        empty.add(&whole, 1.0);
        assert_eq!(empty, whole);
        let exponential = Distribution::exponential((4, None), 2, (1, 0.0), (0, &[3]), (0, &[]));
        let mut sum = exponential.part(0.5);
        sum.add(&exponential, 0.5);
        assert_eq!(sum, exponential);
    }

    #[test]
    fn extremes_bound_the_quantiles() {
        let known = explicit(&[2, 0, 0]).with_extremes(Some(0.4), Some(0.6));
        assert_eq!(known.quantile(0.0).unwrap().value, 0.4);
        assert_eq!(known.quantile(1.0).unwrap().value, 0.6);
        assert_eq!(Distribution::totals(5, 1.0).quantile(0.5), None);
    }
}

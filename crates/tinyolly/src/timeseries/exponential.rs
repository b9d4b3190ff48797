//! Buckets whose bounds are powers of a base, as the OpenTelemetry metrics data model defines them: with scale `s`, the
//! bucket `i` holds values in `(2^(i / 2^s), 2^((i + 1) / 2^s)]`.

use super::distribution::Estimate;

/// Finer or coarser scales tell doubles apart no better.
const SCALES: std::ops::RangeInclusive<i32> = -11..=30;
/// Buckets kept on each side; with more, the scale is lowered.
const MAX_BUCKETS: usize = 320;

/// Buckets of one sign: index and count, by index, none of them zero.
type Side = Vec<(i32, f64)>;

/// Exponential buckets of both signs around a zero bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Exponential {
    scale: i32,
    zero: f64,
    /// Values up to this distance from zero are in the zero bucket.
    zero_threshold: f64,
    positive: Side,
    negative: Side,
}

/// One bucket with its edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

/// Buckets of one sign as sent: the index of the first, and counts.
pub type Sent<'a> = (i32, &'a [u64]);

impl Exponential {
    pub fn new(scale: i32, zero: u64, zero_threshold: f64, positive: Sent<'_>, negative: Sent<'_>) -> Self {
        let scale = scale.max(*SCALES.start());
        // Beyond these no double lies. Without the bounds, hostile indexes would make a range too long to write out.
        let width = f64::from(scale).exp2();
        let (first, last) = ((-1075.0 * width).floor() as i32, ((1024.0 * width).ceil() - 1.0) as i32);
        let side = |(offset, counts): Sent<'_>| {
            let indexes = (0i32..).map(|at| offset.saturating_add(at).clamp(first, last));
            let filled = indexes.zip(counts).filter(|(_, count)| **count > 0);
            filled.map(|(index, count)| (index, *count as f64)).collect::<Side>()
        };
        let usable = zero_threshold.is_finite() && zero_threshold > 0.0;
        let mut new = Self {
            scale,
            zero: zero as f64,
            zero_threshold: if usable { zero_threshold } else { 0.0 },
            positive: side(positive),
            negative: side(negative),
        };
        // Indexes that were out of bounds meet in one bucket.
        new.downscale(new.scale.min(*SCALES.end()));
        new.limit();
        new
    }

    /// Lowers the scale to `scale`, which merges neighbours.
    pub fn downscale(&mut self, scale: i32) {
        let shift = self.scale.saturating_sub(scale).clamp(0, 31);
        self.scale = self.scale.min(scale);
        for side in [&mut self.positive, &mut self.negative] {
            let mut merged: Side = Vec::with_capacity(side.len());
            for &(index, count) in side.iter() {
                // An arithmetic shift rounds down, as the buckets nest.
                let index = index >> shift;
                match merged.last_mut() {
                    Some((last, sum)) if *last == index => *sum += count,
                    _ => merged.push((index, count)),
                }
            }
            *side = merged;
        }
    }

    /// Lowers the scale until there are no more buckets than are kept.
    fn limit(&mut self) {
        while self.positive.len().max(self.negative.len()) > MAX_BUCKETS && self.scale > *SCALES.start() {
            self.downscale(self.scale - 1);
        }
    }

    /// Lowers the scale until `buckets()` gives at most `most`, or the scale is the lowest.
    pub fn reduce_to(&mut self, most: usize) {
        let len = |side: &Side| match (side.first(), side.last()) {
            (Some((first, _)), Some((last, _))) => i64::from(*last) - i64::from(*first) + 1,
            _ => 0,
        };
        while len(&self.positive) + len(&self.negative) > most as i64 && self.scale > *SCALES.start() {
            self.downscale(self.scale - 1);
        }
    }

    /// Makes the zero bucket wide enough for `threshold`, and for any bucket that this would cut.
    fn widen_zero(&mut self, threshold: f64) {
        if threshold <= self.zero_threshold {
            return;
        }
        let mut threshold = threshold;
        let scale = self.scale;
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|&(index, count)| {
                let inside = bound(index, scale) < threshold;
                if inside {
                    self.zero += count;
                    threshold = threshold.max(bound(index.saturating_add(1), scale));
                }
                !inside
            });
        }
        self.zero_threshold = threshold;
    }

    /// Brings both to one scale and zero threshold.
    fn align(&mut self, other: &mut Self) {
        let scale = self.scale.min(other.scale);
        self.downscale(scale);
        other.downscale(scale);
        // A widened zero bucket may have to be wider still for the other; each turn empties a bucket, so it ends.
        while self.zero_threshold != other.zero_threshold {
            let threshold = self.zero_threshold.max(other.zero_threshold);
            self.widen_zero(threshold);
            other.widen_zero(threshold);
        }
    }

    /// Adds a share of another.
    pub fn add(&mut self, other: &Self, share: f64) {
        if self.scale == other.scale && self.zero_threshold == other.zero_threshold {
            self.add_aligned(other, share);
        } else {
            let mut other = other.clone();
            self.align(&mut other);
            self.add_aligned(&other, share);
        }
        self.limit();
    }

    fn add_aligned(&mut self, other: &Self, share: f64) {
        self.zero += other.zero * share;
        self.positive = merged(&self.positive, &other.positive, share);
        self.negative = merged(&self.negative, &other.negative, share);
    }

    /// What was added since `earlier`; `None` when a count fell.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let (mut now, mut then) = (self.clone(), earlier.clone());
        now.align(&mut then);
        now.add_aligned(&then, -1.0);
        let fell = now.zero < 0.0 || now.positive.iter().chain(&now.negative).any(|(_, count)| *count < 0.0);
        for side in [&mut now.positive, &mut now.negative] {
            side.retain(|(_, count)| *count != 0.0);
        }
        (!fell).then_some(now)
    }

    /// All buckets from the least value to the greatest, empty ones between them too when `gaps`.
    pub fn buckets(&self, gaps: bool) -> Vec<Bucket> {
        let scale = self.scale;
        let filled = |side: &Side| -> Side {
            let mut all = Vec::with_capacity(side.len());
            for &(index, count) in side {
                if gaps && let Some(&(last, _)) = all.last() {
                    all.extend((last + 1..index).map(|index| (index, 0.0)));
                }
                all.push((index, count));
            }
            all
        };
        let edges = |(index, count): (i32, f64)| {
            (bound(index, scale).max(self.zero_threshold), bound(index.saturating_add(1), scale), count)
        };
        let negative = filled(&self.negative).into_iter().rev().map(edges);
        let mut all: Vec<Bucket> =
            negative.map(|(near, far, count)| Bucket { lower: -far, upper: -near, count }).collect();
        if self.zero > 0.0 || (gaps && !self.negative.is_empty() && !self.positive.is_empty()) {
            all.push(Bucket { lower: -self.zero_threshold, upper: self.zero_threshold, count: self.zero });
        }
        let positive = filled(&self.positive).into_iter().map(edges);
        all.extend(positive.map(|(lower, upper, count)| Bucket { lower, upper, count }));
        all
    }

    /// The value below which the share `q` of the observations lies.
    pub fn quantile(&self, q: f64) -> Option<Estimate> {
        let buckets = self.buckets(false);
        let total: f64 = buckets.iter().map(|bucket| bucket.count).sum();
        let last = buckets.len().checked_sub(1)?;
        if total <= 0.0 {
            return None;
        }
        let rank = q * total;
        let mut below = 0.0;
        for (at, bucket) in buckets.iter().enumerate() {
            if below + bucket.count >= rank || at == last {
                let part = ((rank - below) / bucket.count).clamp(0.0, 1.0);
                let value = self.within(bucket, part);
                // Bounds of doubles' range overflow; the greatest double is the nearest that can be written.
                return Some(Estimate { value: value.clamp(f64::MIN, f64::MAX), beyond: false });
            }
            below += bucket.count;
        }
        None
    }

    fn within(&self, bucket: &Bucket, part: f64) -> f64 {
        let Bucket { lower, upper, .. } = *bucket;
        if (lower > 0.0 && upper.is_finite()) || (upper < 0.0 && lower.is_finite()) {
            lower * (upper / lower).powf(part)
        } else if lower == -upper {
            // The zero bucket: on the side where nothing else is, nothing is expected.
            let from = if self.negative.is_empty() { 0.0 } else { lower };
            let to = if self.positive.is_empty() && !self.negative.is_empty() { 0.0 } else { upper };
            from + (to - from) * part
        } else if upper.is_finite() {
            upper
        } else {
            lower
        }
    }
}

/// The lower bound of the bucket `index`.
fn bound(index: i32, scale: i32) -> f64 {
    (f64::from(index) * f64::from(-scale).exp2()).exp2()
}

fn merged(one: &Side, other: &Side, share: f64) -> Side {
    let mut all = Vec::with_capacity(one.len().max(other.len()));
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some((a, _)), Some((b, _))) if a < b => all.extend(left.next()),
            (Some((a, count)), Some((b, more))) if a == b => {
                all.push((*a, count + more * share));
                left.next();
                right.next();
            }
            (_, Some((b, more))) => {
                all.push((*b, more * share));
                right.next();
            }
            (Some(_), None) => all.extend(left.next()),
            (None, None) => return all,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use proptest::prelude::*;

    use super::*;

    /// As an SDK counts values at a scale.
    fn of(values: &[f64], scale: i32) -> Exponential {
        let mut new = Exponential::new(scale, 0, 0.0, (0, &[]), (0, &[]));
        for value in values {
            if *value == 0.0 {
                new.zero += 1.0;
                continue;
            }
            let index = (value.abs().log2() * f64::from(scale).exp2()).ceil() as i32 - 1;
            let side = if *value > 0.0 { &mut new.positive } else { &mut new.negative };
            *side = merged(side, &vec![(index, 1.0)], 1.0);
        }
        new
    }

    fn total(e: &Exponential) -> f64 {
        e.buckets(false).iter().map(|b| b.count).sum()
    }

    #[test]
    fn edges_are_powers() {
        let e = Exponential::new(0, 3, 0.5, (1, &[1, 0, 2]), (0, &[4]));
        let found: Vec<_> = e.buckets(true).iter().map(|b| (b.lower, b.upper, b.count)).collect();
        let expected =
            [(-2.0, -1.0, 4.0), (-0.5, 0.5, 3.0), (2.0, 4.0, 1.0), (4.0, 8.0, 0.0), (8.0, 16.0, 2.0)];
        assert_eq!(found, expected);
        assert_eq!(e.buckets(false).len(), 4);
    }

    #[test]
    fn a_lower_scale_merges_neighbours_also_below_zero() {
        let mut e = Exponential::new(1, 0, 0.0, (-3, &[1, 2, 3, 4, 5]), (0, &[]));
        e.downscale(0);
        assert_eq!(e.positive, [(-2, 1.0), (-1, 5.0), (0, 9.0)]);
        e.downscale(5);
        assert_eq!(e.scale, 0, "never finer");
    }

    #[test]
    fn a_wider_zero_bucket_swallows_what_it_cuts() {
        let mut one = Exponential::new(0, 1, 0.0, (-1, &[2, 3]), (0, &[]));
        one.add(&Exponential::new(0, 5, 0.75, (0, &[]), (0, &[])), 1.0);
        assert_eq!((one.zero, one.zero_threshold), (8.0, 1.0));
        assert_eq!(one.positive, [(0, 3.0)]);
    }

    #[test]
    fn a_change_of_scale_is_no_reset_and_a_fall_is_one() {
        let earlier = Exponential::new(3, 1, 0.0, (0, &[1, 1, 1, 1, 1, 1, 1, 1]), (0, &[]));
        let later = Exponential::new(0, 2, 0.0, (0, &[9]), (0, &[]));
        let added = later.since(&earlier).unwrap();
        assert_eq!((added.zero, added.positive), (1.0, vec![(0, 1.0)]));
        assert_eq!(earlier.since(&later), None);
    }

    #[test]
    fn hostile_fields_are_bounded() {
        for scale in [i32::MIN, -100, 0, 100, i32::MAX] {
            let full = vec![u64::MAX; 1000];
            let e = Exponential::new(scale, u64::MAX, f64::NAN, (i32::MAX - 5, &full), (i32::MIN, &full));
            assert!(e.positive.len() <= MAX_BUCKETS && e.negative.len() <= MAX_BUCKETS, "{scale}");
            for q in [0.0, 0.5, 1.0] {
                assert!(e.quantile(q).unwrap().value.is_finite());
            }
            let mut reduced = e.clone();
            reduced.reduce_to(50);
            assert!(reduced.buckets(true).len() <= 51);
            let mut sum = e.clone();
            sum.add(&Exponential::new(3, 1, 1e300, (-5, &[1]), (7, &[1])), 1.0);
            assert!(sum.since(&e).is_none_or(|added| total(&added) >= 0.0));
        }
    }

    proptest! {
        #[test]
        fn a_quantile_is_as_near_as_the_scale_allows(
            mut values in prop::collection::vec(0.001f64..1e6, 1..60), q in 0.0f64..=1.0, scale in -1i32..8,
        ) {
            let e = of(&values, scale);
            values.sort_by(f64::total_cmp);
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let truth = values[rank - 1];
            let base = f64::from(-scale).exp2().exp2();
            let found = e.quantile(q).unwrap().value;
            prop_assert!(found <= truth * base * 1.000001 && found >= truth / base / 1.000001, "{found} {truth}");
        }

        #[test]
        fn merging_equals_counting_together(
            one in prop::collection::vec(-1e3f64..1e3, 0..40), other in prop::collection::vec(-1e3f64..1e3, 0..40),
            scales in (-2i32..6, -2i32..6),
        ) {
            let mut sum = of(&one, scales.0);
            sum.add(&of(&other, scales.1), 1.0);
            let mut together = of(&[one.clone(), other.clone()].concat(), scales.0.max(scales.1));
            together.downscale(scales.0.min(scales.1));
            prop_assert_eq!(&sum, &together);
            let mut turned = of(&other, scales.1);
            turned.add(&of(&one, scales.0), 1.0);
            prop_assert_eq!(&sum, &turned);
            let mut first = of(&one, scales.0);
            first.downscale(scales.1);
            let mut second = of(&other, scales.1);
            second.downscale(scales.0);
            prop_assert_eq!(sum.since(&first), Some(second));
        }
    }
}

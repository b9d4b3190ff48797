//! From the points of one series to what was added between two times.
//!
//! A cumulative series tells totals since a start, and starts anew when its process does; a delta series tells what each
//! interval added. Both become the same list of increases, so that all that follows need not know.

/// Where the typical distance of points is not known, two that are farther apart have a gap between them.
const DEFAULT_GAP_NS: u64 = 300_000_000_000;
/// So many typical distances make a gap.
const GAP_FACTOR: u64 = 4;

/// What can be added up over time.
pub trait Measure: Clone {
    /// What was added between `earlier` and this total; `None` when this total does not continue that one, because the
    /// counting began anew.
    fn since(&self, earlier: &Self) -> Option<Self>;
}

/// A total that only grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counter(pub f64);

impl Measure for Counter {
    fn since(&self, earlier: &Self) -> Option<Self> {
        (self.0 >= earlier.0).then_some(Self(self.0 - earlier.0))
    }
}

/// A total that may shrink: only its start time tells that the counting began anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance(pub f64);

impl Measure for Balance {
    fn since(&self, earlier: &Self) -> Option<Self> {
        Some(Self(self.0 - earlier.0))
    }
}

/// One point of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<M> {
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// Nanoseconds since the epoch, 0 when not sent.
    pub start_ns: u64,
    /// `None` where the sender says that nothing was recorded.
    pub value: Option<M>,
}

/// What one interval added.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Increase<M> {
    /// The interval's start, exclusive; the end itself where only the end is known.
    pub from_ns: u64,
    /// The interval's end.
    pub to_ns: u64,
    /// What was added.
    pub amount: M,
    /// Whether the interval is a gap: so long without a point that nobody knows when in it the amount was added.
    pub gap: bool,
}

/// How points relate to the ones before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// Each tells what was added since the one before.
    Delta,
    /// Each tells the total since its start. Also taken where the sender did not say.
    Cumulative,
}

impl Temporality {
    /// OTLP's number: 1 is delta.
    pub fn from_number(number: i32) -> Self {
        if number == 1 { Self::Delta } else { Self::Cumulative }
    }
}

/// Puts points in order of time; of several with one time the last sent counts.
pub fn in_order<M>(samples: &mut Vec<Sample<M>>) {
    // Stable: what was sent later stays behind. Then the first of each run is kept, from behind.
    samples.sort_by_key(|sample| sample.time_ns);
    samples.reverse();
    samples.dedup_by_key(|sample| sample.time_ns);
    samples.reverse();
}

/// The longest distance of two points that is no gap.
pub fn gap_ns<M>(samples: &[Sample<M>]) -> u64 {
    let mut distances: Vec<u64> = samples.windows(2).map(|pair| pair[1].time_ns - pair[0].time_ns).collect();
    if distances.len() < 2 {
        return DEFAULT_GAP_NS;
    }
    let middle = (distances.len() - 1) / 2;
    let (_, median, _) = distances.select_nth_unstable(middle);
    median.saturating_mul(GAP_FACTOR).max(1)
}

/// What the points of a series added, oldest first. `samples` may be in any order.
pub fn increases<M: Measure>(mut samples: Vec<Sample<M>>, temporality: Temporality) -> Vec<Increase<M>> {
    in_order(&mut samples);
    let gap_ns = gap_ns(&samples);
    match temporality {
        Temporality::Delta => delta(samples, gap_ns),
        Temporality::Cumulative => cumulative(samples, gap_ns),
    }
}

fn delta<M>(samples: Vec<Sample<M>>, gap_ns: u64) -> Vec<Increase<M>> {
    let mut found = Vec::with_capacity(samples.len());
    let mut before: Option<u64> = None;
    for Sample { time_ns, start_ns, value } in samples {
        let since_last = before.filter(|before| time_ns - before <= gap_ns);
        before = Some(time_ns);
        let Some(amount) = value else { continue };
        let from_ns = match start_ns {
            0 => since_last.unwrap_or(time_ns),
            start => start.min(time_ns),
        };
        found.push(Increase { from_ns, to_ns: time_ns, amount, gap: false });
    }
    found
}

/// The point before, in a cumulative series.
struct Last<M> {
    time_ns: u64,
    start_ns: u64,
    total: M,
    /// Whether the sender said since then that nothing was recorded.
    interrupted: bool,
}

fn cumulative<M: Measure>(samples: Vec<Sample<M>>, gap_ns: u64) -> Vec<Increase<M>> {
    let mut found = Vec::with_capacity(samples.len());
    let mut last: Option<Last<M>> = None;
    for Sample { time_ns, start_ns, value } in samples {
        let Some(total) = value else {
            if let Some(last) = &mut last {
                last.interrupted = true;
            }
            continue;
        };
        match &last {
            Some(last) => found.push(step(last, time_ns, start_ns, &total, gap_ns)),
            // A first point tells what was added since its start. Long ago that was not in the steps looked at, and
            // nobody knows when it was.
            None if start_ns != 0 && start_ns < time_ns && time_ns - start_ns <= gap_ns => {
                found.push(Increase { from_ns: start_ns, to_ns: time_ns, amount: total.clone(), gap: false });
            }
            None => {}
        }
        last = Some(Last { time_ns, start_ns, total, interrupted: false });
    }
    found
}

fn step<M: Measure>(last: &Last<M>, time_ns: u64, start_ns: u64, total: &M, gap_ns: u64) -> Increase<M> {
    // A later start at or after the last point is a new count for certain. One before it comes from senders that move
    // the start without counting anew, so the totals decide.
    let anew = last.start_ns != 0 && start_ns > last.start_ns && start_ns >= last.time_ns;
    let continued = if anew { None } else { total.since(&last.total) };
    let (from_ns, amount) = match continued {
        Some(added) => (last.time_ns, added),
        None => (start_ns.clamp(last.time_ns, time_ns), total.clone()),
    };
    Increase { from_ns, to_ns: time_ns, amount, gap: last.interrupted || time_ns - from_ns > gap_ns }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(time_ns: u64, start_ns: u64, value: f64) -> Sample<Counter> {
        Sample { time_ns, start_ns, value: Some(Counter(value)) }
    }

    fn list(samples: &[Sample<Counter>], temporality: Temporality) -> Vec<(u64, u64, f64, bool)> {
        let found = increases(samples.to_vec(), temporality);
        found.into_iter().map(|i| (i.from_ns, i.to_ns, i.amount.0, i.gap)).collect()
    }

    #[test]
    fn a_total_that_shrinks_counts_anew() {
        let samples = [sample(10, 0, 5.0), sample(20, 0, 9.0), sample(30, 0, 2.0), sample(40, 0, 2.0)];
        let expected = [(10, 20, 4.0, false), (20, 30, 2.0, false), (30, 40, 0.0, false)];
        assert_eq!(list(&samples, Temporality::Cumulative), expected);
    }

    #[test]
    fn a_new_start_counts_anew_even_when_the_total_grew() {
        let samples = [sample(10, 5, 3.0), sample(20, 5, 4.0), sample(40, 33, 9.0), sample(50, 33, 10.0)];
        let expected =
            [(5, 10, 3.0, false), (10, 20, 1.0, false), (33, 40, 9.0, false), (40, 50, 1.0, false)];
        assert_eq!(list(&samples, Temporality::Cumulative), expected);
    }

    #[test]
    fn a_start_that_creeps_does_not_count_anew() {
        let samples = [sample(10, 1, 3.0), sample(20, 9, 4.0), sample(30, 19, 6.0)];
        let added: Vec<f64> = list(&samples, Temporality::Cumulative).iter().map(|i| i.2).collect();
        assert_eq!(added, [3.0, 1.0, 2.0]);
    }

    #[test]
    fn an_unknown_start_makes_the_first_point_the_base() {
        let samples = [sample(10, 10, 100.0), sample(20, 10, 103.0)];
        assert_eq!(list(&samples, Temporality::Cumulative), [(10, 20, 3.0, false)]);
        assert_eq!(list(&[sample(10, 0, 100.0)], Temporality::Cumulative), []);
        let hour = 3_600_000_000_000;
        assert_eq!(list(&[sample(hour, 1, 100.0)], Temporality::Cumulative), [], "counted long ago");
    }

    #[test]
    fn long_silence_and_nothing_recorded_are_gaps() {
        let samples = [sample(10, 1, 1.0), sample(20, 1, 2.0), sample(30, 1, 3.0), sample(100, 1, 9.0)];
        assert_eq!(list(&samples, Temporality::Cumulative)[3], (30, 100, 6.0, true));
        let none = Sample { time_ns: 15, start_ns: 0, value: None };
        let samples = [sample(10, 1, 1.0), none, sample(20, 1, 2.0)];
        assert_eq!(list(&samples, Temporality::Cumulative)[1], (10, 20, 1.0, true));
    }

    #[test]
    fn delta_points_stand_for_their_own_interval() {
        let samples = [sample(10, 0, 1.0), sample(20, 0, 2.0), sample(30, 25, 3.0), sample(40, 50, 4.0)];
        let expected =
            [(10, 10, 1.0, false), (10, 20, 2.0, false), (25, 30, 3.0, false), (40, 40, 4.0, false)];
        assert_eq!(list(&samples, Temporality::Delta), expected);
        let samples = [sample(10, 0, 1.0), sample(20, 0, 1.0), sample(30, 0, 1.0), sample(1000, 0, 7.0)];
        assert_eq!(
            list(&samples, Temporality::Delta)[3],
            (1000, 1000, 7.0, false),
            "when it was is not known"
        );
    }

    #[test]
    fn of_one_time_the_last_sent_counts() {
        let mut samples = vec![sample(20, 0, 1.0), sample(10, 0, 2.0), sample(20, 0, 3.0)];
        in_order(&mut samples);
        assert_eq!(samples, [sample(10, 0, 2.0), sample(20, 0, 3.0)]);
    }

    #[test]
    fn a_balance_may_shrink() {
        let samples = vec![
            Sample { time_ns: 10, start_ns: 1, value: Some(Balance(5.0)) },
            Sample { time_ns: 20, start_ns: 1, value: Some(Balance(2.0)) },
        ];
        let found = increases(samples, Temporality::Cumulative);
        assert_eq!(found.iter().map(|i| i.amount.0).collect::<Vec<_>>(), [5.0, -3.0]);
    }

    /// Lives of a process: when each starts, and what it counts before each of its points.
    fn lives() -> impl Strategy<Value = Vec<Vec<u32>>> {
        prop::collection::vec(prop::collection::vec(0u32..100, 1..8), 1..5)
    }

    proptest! {
        #[test]
        fn totals_and_deltas_tell_the_same(lives in lives(), seed in any::<u64>()) {
            let (mut now, mut true_total) = (1000u64, 0.0);
            let (mut totals, mut deltas) = (Vec::new(), Vec::new());
            for life in lives {
                let start = now;
                let mut total = 0.0;
                for added in life {
                    let before = now;
                    now += 10;
                    total += f64::from(added);
                    true_total += f64::from(added);
                    totals.push(sample(now, start, total));
                    deltas.push(sample(now, before, f64::from(added)));
                }
                now += 3;
            }
            // They arrive in any order.
            let mut order = seed;
            for list in [&mut totals, &mut deltas] {
                list.sort_by_cached_key(|_| { order = order.wrapping_mul(6364136223846793005).wrapping_add(1); order >> 33 });
            }
            let of_totals = list(&totals, Temporality::Cumulative);
            prop_assert_eq!(&of_totals, &list(&deltas, Temporality::Delta));
            prop_assert_eq!(of_totals.iter().map(|i| i.2).sum::<f64>(), true_total);
        }

        #[test]
        fn without_starts_only_falls_are_seen(values in prop::collection::vec(0u32..1000, 2..40)) {
            let samples: Vec<_> = values.iter().zip(1u64..).map(|(v, at)| sample(at * 10, 0, f64::from(*v))).collect();
            let naive: f64 = values.windows(2).map(|w| f64::from(if w[1] >= w[0] { w[1] - w[0] } else { w[1] })).sum();
            prop_assert_eq!(list(&samples, Temporality::Cumulative).iter().map(|i| i.2).sum::<f64>(), naive);
        }
    }
}

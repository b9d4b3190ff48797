//! Whole queries, on points whose answer is known.
#![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn plan(shape: Shape, function: Function) -> Plan {
    let grid = Grid::covering(100 * SECOND, 160 * SECOND, Some(10 * SECOND)).unwrap();
    Plan { shape, function, quantiles: vec![0.5], grid, newest_ns: 160 * SECOND }
}

fn sample<M>(seconds: u64, value: M) -> Sample<M> {
    Sample { time_ns: seconds * SECOND, start_ns: SECOND, value: Some(value) }
}

fn numbers(points: &[(u64, f64)]) -> Points {
    Points::Numbers(points.iter().map(|(at, value)| sample(*at, *value)).collect())
}

fn labels(value: &str) -> Labels {
    vec![("k".to_owned(), value.to_owned())]
}

fn values(answer: &Answer, line: usize) -> Vec<Option<f64>> {
    answer.lines[line].points.iter().map(|(_, value)| *value).collect()
}

fn one(shape: Shape, function: Function, temporality: Temporality, series: &[Points]) -> Vec<Option<f64>> {
    let mut evaluation = Evaluation::new(plan(shape, function));
    for points in series {
        evaluation.add(Vec::new(), temporality, points.clone());
    }
    let answer = evaluation.finish();
    assert!(answer.complete);
    values(&answer, 0)
}

use Temporality::{Cumulative, Delta};

#[test]
fn a_rate_does_not_dip_where_its_data_begins_and_ends() {
    let counter = numbers(&[(105, 0.0), (115, 20.0), (125, 40.0), (135, 60.0)]);
    let rate = one(Shape::Counter, Function::Rate, Cumulative, &[counter.clone(), counter.clone()]);
    assert_eq!(rate, [Some(4.0), Some(4.0), Some(4.0), Some(4.0), None, None]);
    let increase = one(Shape::Counter, Function::Increase, Cumulative, &[counter]);
    assert_eq!(increase, [Some(10.0), Some(20.0), Some(20.0), Some(10.0), None, None]);
}

#[test]
fn a_gap_has_no_rate_and_its_increase_where_it_ends() {
    let counter = numbers(&[(98, 0.0), (99, 1.0), (100, 2.0), (101, 3.0), (145, 50.0), (146, 51.0)]);
    let rate = one(Shape::Counter, Function::Rate, Cumulative, std::slice::from_ref(&counter));
    assert_eq!(rate, [Some(1.0), None, None, None, Some(1.0), None]);
    let increase = one(Shape::Counter, Function::Increase, Cumulative, &[counter]);
    assert_eq!(increase, [Some(1.0), None, None, None, Some(48.0), None]);
}

#[test]
fn balances_are_levels_or_their_changes() {
    let up_and_down = numbers(&[(95, 5.0), (115, 3.0), (125, 9.0)]);
    let sum = one(Shape::Balance, Function::Sum, Cumulative, std::slice::from_ref(&up_and_down));
    assert_eq!(sum[..3], [Some(5.0), Some(3.0), Some(9.0)]);
    let doubled = one(Shape::Balance, Function::Sum, Cumulative, &[up_and_down.clone(), up_and_down.clone()]);
    assert_eq!(doubled[..3], [Some(10.0), Some(6.0), Some(18.0)]);
    let change = one(Shape::Balance, Function::Increase, Cumulative, std::slice::from_ref(&up_and_down));
    assert_eq!(change[..3], [Some(-1.0), Some(2.5), Some(3.0)]);
    let Points::Numbers(mut samples) = up_and_down else { unreachable!() };
    samples.iter_mut().for_each(|s| s.start_ns = s.time_ns);
    let deltas = one(Shape::Balance, Function::Sum, Delta, &[Points::Numbers(samples)]);
    assert_eq!(deltas, [None, Some(3.0), Some(9.0), None, None, None]);
}

#[test]
fn a_busy_series_does_not_outweigh_the_mean() {
    let busy = numbers(&[(101, 1.0), (102, 1.0), (103, 1.0), (104, 5.0)]);
    let quiet = numbers(&[(105, 10.0)]);
    for (function, expected) in [
        (Function::Avg, 6.0),
        (Function::Min, 1.0),
        (Function::Max, 10.0),
        (Function::Sum, 15.0),
        (Function::Count, 5.0),
    ] {
        let found = one(Shape::Gauge, function, Cumulative, &[busy.clone(), quiet.clone()]);
        assert_eq!(found[0], Some(expected), "{function:?}");
    }
}

#[test]
fn groups_are_lines_by_label() {
    let mut evaluation = Evaluation::new(plan(Shape::Counter, Function::Increase));
    for (name, value) in [("b", 1.0), ("a", 2.0), ("b", 4.0)] {
        evaluation.add(labels(name), Delta, numbers(&[(115, value)]));
    }
    let answer = evaluation.finish();
    assert_eq!(answer.lines.iter().map(|l| l.labels[0].1.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let shares = |line| values(&answer, line).into_iter().flatten().sum::<f64>();
    // They cover 1 s to 115 s, of which 15 s are asked for.
    assert!((shares(0) - 2.0 * 15.0 / 114.0).abs() < 1e-9, "{}", shares(0));
    assert!((shares(1) - 5.0 * 15.0 / 114.0).abs() < 1e-9, "{}", shares(1));
}

#[test]
fn raw_points_keep_their_times_and_holes() {
    let mut evaluation = Evaluation::new(plan(Shape::Gauge, Function::Raw));
    let hole = Sample { value: None, ..sample(120, 0.0) };
    evaluation.add(labels("a"), Cumulative, Points::Numbers(vec![sample(130, 3.0), hole, sample(99, 1.0)]));
    evaluation.add(labels("b"), Cumulative, numbers(&[(5, 1.0)]));
    let answer = evaluation.finish();
    assert_eq!(answer.lines.len(), 1);
    assert_eq!(answer.lines[0].points, [(120 * SECOND, None), (130 * SECOND, Some(3.0))]);
}

fn histogram(counts: &[u64]) -> Distribution {
    let count = counts.iter().sum();
    Distribution::explicit(count, Some(2.0 * count as f64), &[1.0, 2.0], counts)
}

#[test]
fn histograms_of_a_group_are_merged_before_the_quantile() {
    let fast =
        Points::Distributions(vec![sample(100, histogram(&[5, 0, 0])), sample(110, histogram(&[15, 0, 0]))]);
    let slow =
        Points::Distributions(vec![sample(100, histogram(&[0, 7, 0])), sample(110, histogram(&[0, 17, 0]))]);
    let series = [fast, slow];
    assert_eq!(one(Shape::Histogram, Function::Quantile, Cumulative, &series)[0], Some(1.0));
    assert_eq!(one(Shape::Histogram, Function::Rate, Cumulative, &series)[0], Some(2.0));
    assert_eq!(one(Shape::Histogram, Function::Count, Cumulative, &series)[0], Some(20.0));
    assert_eq!(one(Shape::Histogram, Function::Sum, Cumulative, &series)[0], Some(40.0));
    assert_eq!(one(Shape::Histogram, Function::Avg, Cumulative, &series)[0], Some(2.0));
    assert_eq!(one(Shape::Histogram, Function::Max, Cumulative, &series)[0], None);
}

#[test]
fn a_quantile_beyond_the_last_bound_says_so() {
    let mut evaluation = Evaluation::new(plan(Shape::Histogram, Function::Quantile));
    let points = vec![sample(100, histogram(&[0, 0, 0])), sample(110, histogram(&[0, 0, 4]))];
    evaluation.add(Vec::new(), Cumulative, Points::Distributions(points));
    let answer = evaluation.finish();
    assert!(answer.lines[0].beyond);
    assert_eq!(values(&answer, 0)[0], Some(2.0));
}

#[test]
fn summaries_give_the_quantiles_that_were_sent() {
    let totals =
        vec![sample(100, Distribution::totals(10, 5.0)), sample(110, Distribution::totals(30, 15.0))];
    let sent = vec![(0.5, vec![sample(105, 1.0)]), (0.99, vec![sample(105, 9.0)])];
    let points = Points::Summary(totals, sent);
    assert_eq!(one(Shape::Summary, Function::Avg, Delta, std::slice::from_ref(&points))[0], Some(0.5));
    assert_eq!(one(Shape::Summary, Function::Rate, Delta, std::slice::from_ref(&points))[0], Some(2.0));
    for (wanted, lines) in [(vec![], 2), (vec![0.5], 1), (vec![0.7], 0)] {
        let mut evaluation =
            Evaluation::new(Plan { quantiles: wanted, ..plan(Shape::Summary, Function::Quantile) });
        evaluation.add(labels("a"), Delta, points.clone());
        assert_eq!(evaluation.finish().lines.len(), lines);
    }
}

#[test]
fn a_heat_map_has_no_lines() {
    let mut evaluation = Evaluation::new(plan(Shape::Histogram, Function::Heatmap));
    let points = vec![sample(100, histogram(&[0, 0, 0])), sample(120, histogram(&[2, 0, 4]))];
    evaluation.add(Vec::new(), Cumulative, Points::Distributions(points));
    let answer = evaluation.finish();
    assert!(answer.lines.is_empty());
    let map = answer.heatmap.unwrap();
    assert_eq!(map.columns, [(0, vec![1.0, 0.0, 2.0]), (1, vec![1.0, 0.0, 2.0])]);
}

#[test]
fn lines_are_bounded() {
    let mut evaluation = Evaluation::new(plan(Shape::Gauge, Function::Avg));
    for at in 0..=MAX_LINES {
        evaluation.add(labels(&at.to_string()), Cumulative, numbers(&[(105, 1.0)]));
    }
    let answer = evaluation.finish();
    assert!(!answer.complete && answer.lines.len() == MAX_LINES);
}

proptest! {
    #[test]
    fn whatever_the_steps_the_increase_is_whole(
        added in prop::collection::vec(0u32..1000, 1..30), step in 1u64..40, delta in any::<bool>(),
    ) {
        let grid = Grid::covering(0, 400 * SECOND, Some(step * SECOND)).unwrap();
        let mut total = 0.0;
        let samples = added.iter().zip(1u64..).map(|(n, at)| {
            total += f64::from(*n);
            let (start, value) = if delta { (10 * at - 9, f64::from(*n)) } else { (1, total) };
            Sample { time_ns: (10 * at + 1) * SECOND, start_ns: start * SECOND, value: Some(value) }
        }).collect();
        let plan = Plan { grid, ..plan(Shape::Counter, Function::Increase) };
        let mut evaluation = Evaluation::new(plan);
        evaluation.add(Vec::new(), if delta { Delta } else { Cumulative }, Points::Numbers(samples));
        let found: f64 = values(&evaluation.finish(), 0).into_iter().flatten().sum();
        prop_assert!((found - total).abs() < 1e-6 * total.max(1.0), "{found} {total}");
    }

    #[test]
    fn delta_and_cumulative_histograms_agree(counts in prop::collection::vec(prop::array::uniform3(0u64..50), 1..12)) {
        let mut total = [0u64; 3];
        let (mut deltas, mut totals) = (Vec::new(), Vec::new());
        for (counts, at) in counts.iter().zip(0u64..) {
            for (sum, count) in total.iter_mut().zip(counts) {
                *sum += count;
            }
            let (from, to) = (100 + 5 * at, 105 + 5 * at);
            deltas.push(Sample { start_ns: from * SECOND, ..sample(to, histogram(counts)) });
            totals.push(Sample { start_ns: 100 * SECOND, ..sample(to, histogram(&total)) });
        }
        for function in [Function::Quantile, Function::Avg, Function::Rate] {
            let of_deltas = one(Shape::Histogram, function, Delta, &[Points::Distributions(deltas.clone())]);
            let of_totals = one(Shape::Histogram, function, Cumulative, &[Points::Distributions(totals.clone())]);
            for (a, b) in of_deltas.iter().zip(&of_totals) {
                prop_assert!(a.is_some() == b.is_some() && (a.unwrap_or(0.0) - b.unwrap_or(0.0)).abs() < 1e-9);
            }
        }
    }
}

//! A query: series in, one after the other; lines of a chart out.

use std::collections::BTreeMap;

use super::distribution::Distribution;
use super::function::{Function, Shape};
use super::grid::Grid;
use super::heatmap::{self, Heatmap};
use super::levels::{Level, levels};
use super::stream::{Balance, Counter, Increase, Sample, Temporality, increases};

/// Most lines of an answer.
const MAX_LINES: usize = 500;
/// Most distributions kept, lines times steps; one may take some kilobytes.
const MAX_DISTRIBUTIONS: usize = 20_000;
/// Most points that the function `raw` gives.
const MAX_RAW_POINTS: usize = 200_000;

/// What a line stands for, by key.
pub type Labels = Vec<(String, String)>;

/// What to compute, on which steps.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the metric is.
    pub shape: Shape,
    /// One that fits the shape.
    pub function: Function,
    /// For quantiles: which, from 0 to 1. Of a summary all that were sent, when none are given.
    pub quantiles: Vec<f64>,
    /// The steps.
    pub grid: Grid,
    /// Time of the newest point of all series.
    pub newest_ns: u64,
}

/// Points of one series, in any order. To know the increase of the first step they should begin before it.
#[derive(Clone, Debug)]
pub enum Points {
    /// Of a gauge or sum.
    Numbers(Vec<Sample<f64>>),
    /// Of a histogram.
    Distributions(Vec<Sample<Distribution>>),
    /// Of a summary: counts and sums, and the values of each quantile.
    Summary(Vec<Sample<Distribution>>, Vec<(f64, Vec<Sample<f64>>)>),
}

/// One line of the chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it stands for.
    pub labels: Labels,
    /// Which quantile.
    pub quantile: Option<f64>,
    /// Whether a value is that of a quantile beyond the last bound.
    pub beyond: bool,
    /// Time and value; `None` where nothing is known.
    pub points: Vec<(u64, Option<f64>)>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The lines, by labels.
    pub lines: Vec<Line>,
    /// In place of lines, for that function.
    pub heatmap: Option<Heatmap>,
    /// Whether nothing was left out for a limit.
    pub complete: bool,
}

/// A query under way.
#[derive(Debug)]
pub struct Evaluation {
    plan: Plan,
    groups: BTreeMap<Labels, Group>,
    lines: Vec<Line>,
    raw_points: usize,
    complete: bool,
}

/// What the series of a group come to, by step.
#[derive(Debug)]
enum Group {
    Amounts(Vec<Option<f64>>),
    Levels(Vec<Option<Together>>),
    Distributions(Vec<Option<Distribution>>),
}

/// Levels of several series.
#[derive(Clone, Copy, Debug)]
struct Together {
    lasts: f64,
    means: f64,
    series: f64,
    min: f64,
    max: f64,
    points: u64,
}

impl Evaluation {
    /// Begins a query.
    pub fn new(plan: Plan) -> Self {
        Self { plan, groups: BTreeMap::new(), lines: Vec::new(), raw_points: 0, complete: true }
    }

    /// Adds a series to the group with these labels. For the functions that do not merge series, `raw` and the quantiles
    /// of a summary, each becomes a line of its own.
    pub fn add(&mut self, labels: Labels, temporality: Temporality, points: Points) {
        match (self.plan.function, points) {
            (Function::Raw, Points::Numbers(samples)) => self.raw(labels, samples),
            (Function::Quantile, Points::Summary(_, quantiles)) => self.sent_quantiles(labels, quantiles),
            (_, Points::Numbers(samples)) => self.numbers(labels, temporality, samples),
            (_, Points::Distributions(samples)) => {
                self.distributions(labels, increases(samples, temporality));
            }
            // A summary counts since its start.
            (_, Points::Summary(samples, _)) => {
                self.distributions(labels, increases(samples, Temporality::Cumulative));
            }
        }
    }

    fn raw(&mut self, labels: Labels, mut samples: Vec<Sample<f64>>) {
        let Plan { grid, .. } = self.plan;
        samples.sort_by_key(|sample| sample.time_ns);
        samples.retain(|sample| grid.step_of(sample.time_ns).is_some());
        if samples.is_empty() {
            return;
        }
        let room = MAX_RAW_POINTS - self.raw_points;
        if self.lines.len() >= MAX_LINES || samples.len() > room {
            self.complete = false;
            return;
        }
        self.raw_points += samples.len();
        let points = samples.iter().map(|sample| (sample.time_ns, sample.value)).collect();
        self.lines.push(Line { labels, quantile: None, beyond: false, points });
    }

    fn sent_quantiles(&mut self, labels: Labels, quantiles: Vec<(f64, Vec<Sample<f64>>)>) {
        let Plan { grid, newest_ns, .. } = self.plan;
        for (quantile, samples) in quantiles {
            if !self.plan.quantiles.is_empty() && !self.plan.quantiles.contains(&quantile) {
                continue;
            }
            let values = levels(samples, grid, newest_ns);
            if values.iter().all(Option::is_none) {
                continue;
            }
            if self.lines.len() >= MAX_LINES {
                self.complete = false;
                return;
            }
            let points = on_grid(grid, values.iter().map(|level| level.map(|level| level.last)));
            self.lines.push(Line { labels: labels.clone(), quantile: Some(quantile), beyond: false, points });
        }
    }

    fn numbers(&mut self, labels: Labels, temporality: Temporality, samples: Vec<Sample<f64>>) {
        let Plan { shape, function, grid, newest_ns, .. } = self.plan;
        let deltas = temporality == Temporality::Delta && shape != Shape::Gauge;
        if shape == Shape::Counter {
            let samples = samples.into_iter().map(|s| s.map(Counter)).collect();
            let added = increases(samples, temporality).into_iter().map(|i| i.map(|Counter(n)| n));
            self.amounts(labels, added);
        } else if function == Function::Increase || (deltas && function == Function::Sum) {
            // The level of a sum that is sent as differences is not known; what a step adds to it is.
            let samples = samples.into_iter().map(|s| s.map(Balance)).collect();
            let added = increases(samples, temporality).into_iter().map(|i| i.map(|Balance(n)| n));
            self.amounts(labels, added);
        } else {
            let found = levels(samples, grid, newest_ns);
            if found.iter().any(Option::is_some)
                && let Some(Group::Levels(steps)) = self.group(labels, |n| Group::Levels(vec![None; n]))
            {
                for (step, level) in steps.iter_mut().zip(found) {
                    if let Some(level) = level {
                        together(step, level);
                    }
                }
            }
        }
    }

    fn amounts(&mut self, labels: Labels, added: impl Iterator<Item = Increase<f64>>) {
        let Plan { function, grid, .. } = self.plan;
        let mut steps: Vec<Option<(f64, u64)>> = vec![None; grid.steps()];
        for Increase { from_ns, to_ns, amount, gap } in added {
            if gap && function == Function::Rate {
                continue;
            }
            // When in a gap the amount was added nobody knows; it became known at its end.
            let from_ns = if gap { to_ns } else { from_ns };
            for (at, covered) in grid.spread(from_ns, to_ns) {
                let share = if from_ns < to_ns { covered as f64 / (to_ns - from_ns) as f64 } else { 1.0 };
                if let Some(step) = steps.get_mut(at) {
                    let (total, time) = step.get_or_insert((0.0, 0));
                    *total += amount * share;
                    *time += covered;
                }
            }
        }
        if steps.iter().all(Option::is_none) {
            return;
        }
        let Some(Group::Amounts(sums)) = self.group(labels, |n| Group::Amounts(vec![None; n])) else {
            return;
        };
        for (sum, step) in sums.iter_mut().zip(steps) {
            let Some((total, covered)) = step else { continue };
            let value = match function {
                // The first and the last step are covered in part, which must not look like a lower rate.
                Function::Rate if covered > 0 => total / seconds(covered),
                Function::Rate => total / seconds(grid.step_ns()),
                _ => total,
            };
            *sum.get_or_insert(0.0) += value;
        }
    }

    fn distributions(&mut self, labels: Labels, added: Vec<Increase<Distribution>>) {
        let Plan { function, grid, .. } = self.plan;
        match function {
            Function::Rate | Function::Increase | Function::Count => {
                return self.amounts(labels, added.into_iter().map(|i| i.map(|d| d.count)));
            }
            Function::Sum => {
                let with_sum = added.into_iter().filter(|i| i.amount.sum.is_some());
                return self.amounts(labels, with_sum.map(|i| i.map(|d| d.sum.unwrap_or_default())));
            }
            _ => {}
        }
        let within = |i: &Increase<Distribution>| !i.gap && grid.spread(i.from_ns, i.to_ns).next().is_some();
        if !added.iter().any(within) {
            return;
        }
        let Some(Group::Distributions(steps)) = self.group(labels, |n| Group::Distributions(vec![None; n]))
        else {
            return;
        };
        for Increase { from_ns, to_ns, amount, .. } in added.iter().filter(|i| !i.gap) {
            for (at, covered) in grid.spread(*from_ns, *to_ns) {
                let share = if from_ns < to_ns { covered as f64 / (to_ns - from_ns) as f64 } else { 1.0 };
                match steps.get_mut(at) {
                    Some(Some(whole)) => whole.add(amount, share),
                    Some(empty) => *empty = Some(amount.part(share)),
                    None => {}
                }
            }
        }
    }

    /// The group of these labels, made when there is room for it.
    fn group(&mut self, labels: Labels, new: impl FnOnce(usize) -> Group) -> Option<&mut Group> {
        let steps = self.plan.grid.steps();
        if !self.groups.contains_key(&labels) {
            let group = new(steps);
            let most = match group {
                Group::Distributions(_) => (MAX_DISTRIBUTIONS / steps).clamp(1, MAX_LINES),
                _ => MAX_LINES,
            };
            if self.groups.len() >= most {
                self.complete = false;
                return None;
            }
            self.groups.insert(labels.clone(), group);
        }
        self.groups.get_mut(&labels)
    }

    /// Says that series were left out.
    pub fn incomplete(&mut self) {
        self.complete = false;
    }

    /// Ends the query.
    pub fn finish(self) -> Answer {
        let Self { plan, groups, mut lines, complete, .. } = self;
        let mut heatmap = None;
        if plan.function == Function::Heatmap {
            let steps = groups.into_values().find_map(|group| match group {
                Group::Distributions(steps) => Some(steps),
                _ => None,
            });
            heatmap = Some(heatmap::heatmap(&steps.unwrap_or_default()));
        } else {
            for (labels, group) in groups {
                finish_group(&plan, labels, group, &mut lines);
            }
        }
        Answer { lines, heatmap, complete }
    }
}

fn finish_group(plan: &Plan, labels: Labels, group: Group, lines: &mut Vec<Line>) {
    let function = plan.function;
    let line = |labels, points| Line { labels, quantile: None, beyond: false, points };
    match group {
        Group::Amounts(steps) => lines.push(line(labels, on_grid(plan.grid, steps.into_iter()))),
        Group::Levels(steps) => {
            let value = |step: Together| match function {
                Function::Avg => step.means / step.series,
                Function::Min => step.min,
                Function::Max => step.max,
                Function::Count => step.points as f64,
                _ => step.lasts,
            };
            let values = steps.into_iter().map(|step| step.map(value));
            lines.push(line(labels, on_grid(plan.grid, values)));
        }
        Group::Distributions(steps) if function == Function::Quantile => {
            for &q in &plan.quantiles {
                let found: Vec<_> = steps.iter().map(|step| step.as_ref()?.quantile(q)).collect();
                let beyond = found.iter().flatten().any(|estimate| estimate.beyond);
                let values = found.into_iter().map(|estimate| estimate.map(|e| e.value));
                let points = on_grid(plan.grid, values);
                lines.push(Line { labels: labels.clone(), quantile: Some(q), beyond, points });
            }
        }
        Group::Distributions(steps) => {
            let value = |step: Distribution| match function {
                Function::Avg => step.sum.filter(|_| step.count > 0.0).map(|sum| sum / step.count),
                Function::Min => step.min,
                Function::Max => step.max,
                _ => None,
            };
            let values = steps.into_iter().map(|step| step.and_then(value));
            lines.push(line(labels, on_grid(plan.grid, values)));
        }
    }
}

fn together(step: &mut Option<Together>, level: Level) {
    let Level { last, mean, min, max, points } = level;
    match step {
        None => *step = Some(Together { lasts: last, means: mean, series: 1.0, min, max, points }),
        Some(all) => {
            all.lasts += last;
            all.means += mean;
            all.series += 1.0;
            all.min = all.min.min(min);
            all.max = all.max.max(max);
            all.points += points;
        }
    }
}

/// Numbers that are none, as infinity less infinity, are not known.
fn on_grid(grid: Grid, values: impl Iterator<Item = Option<f64>>) -> Vec<(u64, Option<f64>)> {
    values.enumerate().map(|(at, value)| (grid.time(at), value.filter(|value| value.is_finite()))).collect()
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

impl<M> Sample<M> {
    fn map<N>(self, change: impl FnOnce(M) -> N) -> Sample<N> {
        Sample { time_ns: self.time_ns, start_ns: self.start_ns, value: self.value.map(change) }
    }
}

impl<M> Increase<M> {
    fn map<N>(self, change: impl FnOnce(M) -> N) -> Increase<N> {
        let Self { from_ns, to_ns, amount, gap } = self;
        Increase { from_ns, to_ns, amount: change(amount), gap }
    }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;

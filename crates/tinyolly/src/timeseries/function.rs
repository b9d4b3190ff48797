//! The functions that a query may name, and which kinds of metrics they fit.

/// What a metric is, as far as functions care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A value that stands for a moment.
    Gauge,
    /// A sum that only grows.
    Counter,
    /// A sum that may shrink.
    Balance,
    /// A histogram of either kind.
    Histogram,
    /// Quantiles computed by the sender.
    Summary,
}

/// What to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The points as they were sent.
    Raw,
    /// What was added per second.
    Rate,
    /// What was added.
    Increase,
    /// The series of a group added up: values, or the sums of what was observed.
    Sum,
    /// The mean.
    Avg,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// How many points, or observations.
    Count,
    /// Values below which shares of the observations lie.
    Quantile,
    /// Observations by value.
    Heatmap,
}

impl Function {
    const ALL: [Self; 10] = [
        Self::Raw,
        Self::Rate,
        Self::Increase,
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Count,
        Self::Quantile,
        Self::Heatmap,
    ];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Rate => "rate",
            Self::Increase => "increase",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Quantile => "quantile",
            Self::Heatmap => "heatmap",
        }
    }

    /// The function of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }
}

impl Shape {
    /// The functions that fit; the first is taken when none is named.
    pub fn functions(self) -> &'static [Function] {
        use Function::{Avg, Count, Heatmap, Increase, Max, Min, Quantile, Rate, Raw, Sum};
        match self {
            Self::Gauge => &[Avg, Min, Max, Sum, Count, Raw],
            Self::Counter => &[Rate, Increase, Raw],
            Self::Balance => &[Sum, Avg, Min, Max, Count, Increase, Raw],
            Self::Histogram => &[Quantile, Heatmap, Rate, Increase, Count, Sum, Avg, Min, Max],
            Self::Summary => &[Quantile, Rate, Increase, Count, Sum, Avg],
        }
    }

    /// The shape in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Gauge => "a gauge",
            Self::Counter => "a monotonic sum",
            Self::Balance => "a sum that is not monotonic",
            Self::Histogram => "a histogram",
            Self::Summary => "a summary",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for function in Function::ALL {
            assert_eq!(Function::from_name(function.name()), Some(function));
        }
        assert_eq!(Function::from_name("Rate"), None);
    }
}

//! The sampler of the OpenTelemetry specification, as `OTEL_TRACES_SAMPLER` names it.

/// The accepted names, for error messages.
pub(crate) const ACCEPTED: &str = "always_on, always_off, traceidratio, parentbased_always_on, \
                                   parentbased_always_off or parentbased_traceidratio";

/// What decides on a span that has no sampled or unsampled parent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RootSampler {
    /// Every trace.
    AlwaysOn,
    /// No trace.
    AlwaysOff,
    /// This share of traces, 0 to 1, decided by the trace id.
    TraceIdRatio(f64),
}

/// Which traces are exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplerSettings {
    /// Decides where no parent does.
    pub root: RootSampler,
    /// Whether the decision of a parent is followed.
    pub parent_based: bool,
}

impl Default for SamplerSettings {
    fn default() -> Self {
        Self { root: RootSampler::AlwaysOn, parent_based: true }
    }
}

impl SamplerSettings {
    /// Looks up a sampler by its name in the specification. The argument is the ratio, 1 when absent.
    pub(crate) fn from_name(name: &str, ratio: f64) -> Option<Self> {
        let (parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let root = match root {
            "always_on" => RootSampler::AlwaysOn,
            "always_off" => RootSampler::AlwaysOff,
            "traceidratio" => RootSampler::TraceIdRatio(ratio),
            _ => return None,
        };
        Some(Self { root, parent_based })
    }
}

/// Reads a ratio between 0 and 1.
pub(crate) fn parse_ratio(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_specification_are_known() {
        let root = |name| SamplerSettings::from_name(name, 0.25).map(|s| (s.root, s.parent_based));
        assert_eq!(root("always_on"), Some((RootSampler::AlwaysOn, false)));
        assert_eq!(root("parentbased_always_off"), Some((RootSampler::AlwaysOff, true)));
        assert_eq!(root("parentbased_traceidratio"), Some((RootSampler::TraceIdRatio(0.25), true)));
        assert_eq!(root("parentbased_"), None);
        assert_eq!(root("jaeger_remote"), None);
    }

    #[test]
    fn ratios_outside_zero_to_one_are_refused() {
        for (text, expected) in [
            ("0", Some(0.0)),
            ("0.5", Some(0.5)),
            ("1", Some(1.0)),
            ("1.1", None),
            ("-0.1", None),
            ("NaN", None),
        ] {
            assert_eq!(parse_ratio(text), expected, "{text}");
        }
    }
}

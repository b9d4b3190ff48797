//! Which traces are exported (`OTEL_TRACES_SAMPLER`).

use opentelemetry::TraceId;

use crate::config::{RootSampler, SamplerSettings};

/// What was decided for the root of a trace.
#[derive(Clone, Copy, Debug)]
pub enum RootDecision {
    /// Nothing outside this agent: the sampler of the root's process decides.
    Sampler(SamplerSettings),
    /// The trace came with a header that says so.
    Made(bool),
}

/// Whether a span is exported: as its process's sampler says, which, when it is parent-based, is what the root says.
pub fn samples(own: &SamplerSettings, root: RootDecision, trace_id: TraceId) -> bool {
    match root {
        RootDecision::Sampler(root) if own.parent_based => samples_root(&root, trace_id),
        RootDecision::Made(sampled) if own.parent_based => sampled,
        _ => samples_root(own, trace_id),
    }
}

/// Whether a trace that begins here is exported.
///
/// The ratio decides on the lower eight bytes of the trace id, as the SDK's `TraceIdRatioBased` does
/// (opentelemetry_sdk `src/trace/sampler.rs`), so that all that sample by ratio agree on a trace.
fn samples_root(settings: &SamplerSettings, trace_id: TraceId) -> bool {
    match settings.root {
        RootSampler::AlwaysOn => true,
        RootSampler::AlwaysOff => false,
        RootSampler::TraceIdRatio(ratio) => {
            let upper_bound = (ratio.clamp(0.0, 1.0) * (1u64 << 63) as f64) as u64;
            let bytes = trace_id.to_bytes();
            let low = bytes[8..].iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
            ratio >= 1.0 || low >> 1 < upper_bound
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(ratio: f64) -> usize {
        let settings = SamplerSettings { root: RootSampler::TraceIdRatio(ratio), parent_based: true };
        (0..10_000u128)
            .filter(|n| {
                samples_root(
                    &settings,
                    TraceId::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
                )
            })
            .count()
    }

    #[test]
    fn a_parent_based_sampler_follows_the_root() {
        let all = SamplerSettings { root: RootSampler::AlwaysOn, parent_based: true };
        let none = SamplerSettings { root: RootSampler::AlwaysOff, parent_based: true };
        let own_way = SamplerSettings { root: RootSampler::AlwaysOff, parent_based: false };
        let trace = TraceId::from(1);
        assert!(samples(&none, RootDecision::Sampler(all), trace));
        assert!(!samples(&all, RootDecision::Sampler(none), trace));
        assert!(samples(&none, RootDecision::Made(true), trace));
        assert!(!samples(&all, RootDecision::Made(false), trace));
        assert!(!samples(&own_way, RootDecision::Made(true), trace));
        assert!(!samples(&own_way, RootDecision::Sampler(all), trace));
    }

    #[test]
    fn the_ratio_is_kept() {
        assert_eq!(kept(0.0), 0);
        assert_eq!(kept(1.0), 10_000);
        assert!((2_300..2_700).contains(&kept(0.25)), "{}", kept(0.25));
    }
}

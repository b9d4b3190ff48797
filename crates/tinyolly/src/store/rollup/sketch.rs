//! Durations in bins whose width grows with the duration.

use std::collections::BTreeMap;

use crate::store::StoreError;

/// Bins per doubling, as a power of two.
const PRECISION: u32 = 5;
/// Bins per doubling; below this number each value has its own bin.
const STEPS: u64 = 1 << PRECISION;

/// How often which duration occurred, to within 1/64 of it.
///
/// Each doubling is cut into 32 bins of equal width, by whole-number arithmetic, so that a value finds its bin again on
/// any machine and can be taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch(BTreeMap<u16, u64>);

fn bin(value: u64) -> u16 {
    if value < STEPS {
        return value as u16;
    }
    let octave = value.ilog2();
    let step = (value >> (octave - PRECISION)) & (STEPS - 1);
    (u64::from(octave - PRECISION + 1) * STEPS + step) as u16
}

/// The middle of a bin.
fn middle(bin: u16) -> f64 {
    let (octave, step) = (u64::from(bin) / STEPS, u64::from(bin) % STEPS);
    if octave == 0 {
        return step as f64;
    }
    let width = 2_f64.powi(i32::try_from(octave - 1).unwrap_or(0));
    // A bin of width 1 holds one whole number.
    let half = if octave == 1 { 0.0 } else { width / 2.0 };
    (STEPS + step) as f64 * width + half
}

impl Sketch {
    /// Counts a value.
    pub fn add(&mut self, value: u64) {
        *self.0.entry(bin(value)).or_default() += 1;
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.0 {
            let here = self.0.entry(*bin).or_default();
            *here = here.saturating_add(*count);
        }
    }

    /// Takes away what another counted.
    pub fn take(&mut self, other: &Self) {
        for (bin, count) in &other.0 {
            if let Some(here) = self.0.get_mut(bin) {
                *here = here.saturating_sub(*count);
            }
        }
        self.0.retain(|_, count| *count > 0);
    }

    /// The value that a share `q` of the values do not exceed (nearest rank), within 1/64 of it; `None` of nothing.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total: u64 = self.0.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).clamp(1, total.max(1));
        let mut below: u64 = 0;
        for (bin, count) in &self.0 {
            below = below.saturating_add(*count);
            if below >= rank {
                return Some(middle(*bin));
            }
        }
        None
    }

    /// Appends pairs of (distance to the bin before, count).
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        let mut last = 0;
        for (bin, count) in &self.0 {
            prost::encoding::encode_varint(u64::from(bin - last), bytes);
            prost::encoding::encode_varint(*count, bytes);
            last = *bin;
        }
    }

    pub(super) fn merge_encoded(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        let damaged = || StoreError::Damaged("rollup: durations".into());
        let mut at: u16 = 0;
        while !bytes.is_empty() {
            let mut number = || prost::encoding::decode_varint(&mut bytes).map_err(|_| damaged());
            let (step, count) = (number()?, number()?);
            at = u16::try_from(step).ok().and_then(|step| at.checked_add(step)).ok_or_else(damaged)?;
            let here = self.0.entry(at).or_default();
            *here = here.saturating_add(count);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at a surprise")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bins_cover_all_numbers_in_order() {
        let mut last = 0;
        for shift in 0..64 {
            for offset in [0, 1, 2] {
                let value = (1_u64 << shift).saturating_add(offset * ((1 << shift) / 3));
                assert!(bin(value) >= last, "{value}");
                last = bin(value);
            }
        }
        assert_eq!(bin(0), 0);
        assert_eq!(bin(31) + 1, bin(32));
        assert_eq!(bin(63) + 1, bin(64));
        assert_eq!(bin(u64::MAX), 1919);
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_nearest_rank_within_a_sixty_fourth(
            values in prop::collection::vec((0..64_u32, any::<u64>()).prop_map(|(by, v)| v >> by), 1..200),
            q in 0.0..=1.0_f64,
        ) {
            let mut sketch = Sketch::default();
            values.iter().for_each(|value| sketch.add(*value));
            let mut bytes = Vec::new();
            sketch.encode(&mut bytes);
            let mut read = Sketch::default();
            read.merge_encoded(&bytes).unwrap();
            prop_assert_eq!(&read, &sketch);
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
            let exact = sorted[rank - 1] as f64;
            let found = sketch.quantile(q).unwrap();
            prop_assert!((found - exact).abs() <= exact / 64.0, "{found} for {exact}");
        }
    }

    #[test]
    fn damage_is_an_error_and_nothing_has_no_quantile() {
        assert!(Sketch::default().merge_encoded(&[1]).is_err());
        assert!(Sketch::default().merge_encoded(&[0xff, 0xff, 0xff, 0x7f, 1]).is_err());
        assert_eq!(Sketch::default().quantile(0.5), None);
    }
}

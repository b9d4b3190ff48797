//! Chance: every random outcome and every simulated wait of the services comes from one [`Dice`].

use std::{
    f64::consts::TAU,
    ops::{Range, RangeInclusive},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt, SeedableRng, distr::uniform::SampleUniform, rngs::StdRng};

/// A source of random values, shared by all requests of a service.
///
/// A seeded one gives the same values in the same order, so that a test decides what happens.
#[derive(Debug)]
pub struct Dice {
    rng: Mutex<StdRng>,
    pace: f64,
}

impl Dice {
    /// Makes dice seeded by the operating system, with waits of full length.
    #[must_use]
    pub fn fair() -> Self {
        Self { rng: Mutex::new(rand::make_rng()), pace: 1.0 }
    }

    /// Makes dice that repeat themselves from `seed`, with waits of full length.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { rng: Mutex::new(StdRng::seed_from_u64(seed)), pace: 1.0 }
    }

    /// Multiplies the length of every simulated wait; 0 removes them.
    #[must_use]
    pub fn with_pace(mut self, pace: f64) -> Self {
        self.pace = pace;
        self
    }

    /// Draws a number from `range`, ends included.
    pub fn between<T: SampleUniform + PartialOrd>(&self, range: RangeInclusive<T>) -> T {
        self.draw(|rng| rng.random_range(range))
    }

    /// Says yes with the given probability, from 0 to 1.
    pub fn chance(&self, probability: f64) -> bool {
        self.draw(|rng| rng.random_bool(probability))
    }

    /// Picks one of `options`, each as likely as the next.
    pub fn pick<T: Copy, const N: usize>(&self, options: &[T; N]) -> T {
        const { assert!(N > 0, "nothing to pick from") };
        options[self.draw(|rng| rng.random_range(0..N))]
    }

    /// Draws from the normal distribution (Box-Muller transform).
    pub fn normal(&self, mean: f64, deviation: f64) -> f64 {
        let (radius, angle) = self.draw(|rng| (open_unit(rng), rng.random_range(0.0..TAU)));
        mean + deviation * (-2.0 * radius.ln()).sqrt() * angle.cos()
    }

    /// Draws from the exponential distribution (inverse transform).
    pub fn exponential(&self, mean: f64) -> f64 {
        -mean * self.draw(open_unit).ln()
    }

    /// Waits as long as a piece of simulated work takes: a random time from `seconds`, times the pace.
    pub async fn work(&self, seconds: Range<f64>) {
        let length = self.draw(|rng| rng.random_range(seconds)) * self.pace;
        if length > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(length)).await;
        }
    }

    fn draw<R>(&self, draw: impl FnOnce(&mut StdRng) -> R) -> R {
        // A generator is in a usable state after any panic, so a poisoned lock is no reason to stop.
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Draws from (0, 1], where a logarithm is finite.
fn open_unit(rng: &mut StdRng) -> f64 {
    1.0 - rng.random_range(0.0..1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 20_000;

    fn mean(draw: impl Fn() -> f64) -> f64 {
        (0..DRAWS).map(|_| draw()).sum::<f64>() / f64::from(DRAWS)
    }

    #[test]
    fn a_seed_repeats_itself() {
        let (left, right) = (Dice::seeded(7), Dice::seeded(7));
        for _ in 0..100 {
            assert_eq!(left.between(1..=1_000_000), right.between(1..=1_000_000));
        }
    }

    #[test]
    fn certain_and_impossible_chances_hold() {
        let dice = Dice::seeded(1);
        assert!((0..1_000).all(|_| dice.chance(1.0)));
        assert!((0..1_000).all(|_| !dice.chance(0.0)));
    }

    #[test]
    fn distributions_have_the_stated_moments() {
        let dice = Dice::seeded(3);
        // Standard errors with 20,000 draws: 0.11 for the normal, 0.35 for the exponential.
        assert!((mean(|| dice.normal(50.0, 15.0)) - 50.0).abs() < 0.5);
        let spread = mean(|| (dice.normal(50.0, 15.0) - 50.0).powi(2)).sqrt();
        assert!((spread - 15.0).abs() < 0.5, "{spread}");
        assert!((mean(|| dice.exponential(50.0)) - 50.0).abs() < 1.5);
        assert!((0..DRAWS).all(|_| dice.exponential(50.0) >= 0.0));
    }

    #[test]
    fn a_pick_reaches_every_option() {
        let dice = Dice::seeded(5);
        let mut seen = [0_u32; 4];
        for _ in 0..1_000 {
            seen[dice.pick(&[0, 1, 2, 3])] += 1;
        }
        assert!(seen.iter().all(|&count| count > 200), "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn work_takes_the_stated_time_and_none_at_pace_zero() {
        let started = tokio::time::Instant::now();
        Dice::seeded(1).work(0.2..0.8).await;
        let took = started.elapsed().as_secs_f64();
        assert!((0.2..0.81).contains(&took), "{took}");

        let started = tokio::time::Instant::now();
        Dice::seeded(1).with_pace(0.0).work(0.2..0.8).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}

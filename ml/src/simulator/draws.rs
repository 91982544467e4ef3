//! Random draws from one numbered stream of one seed.
//!
//! Logarithms and the like come from `libm`, so that every machine draws the same numbers.
//!
//! Every factor, stock and newsroom owns a stream, so that generating more sessions of one never moves another.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Degrees of freedom of the Student t behind a day's returns; even, so that its chi-square is a logarithm.
const DEGREES: f64 = 6.0;

/// A stream of random draws.
#[derive(Debug, Clone)]
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Uniform in (0, 1): never 0, so that its logarithm is finite.
    pub(super) fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    /// A number in `0..bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((self.uniform() * bound as f64) as usize).min(bound.saturating_sub(1))
    }

    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Standard normal (Box and Muller 1958; the second value is dropped to keep one draw one step).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * libm::log(self.uniform())).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// The day's multiplier of volatility that turns a normal into a Student t of unit variance:
    /// `sqrt(n / chi2_n)`, scaled by `sqrt((n - 2) / n)`. Sharing it with the day's range keeps both consistent.
    pub(super) fn heaviness(&mut self) -> f64 {
        let product = self.uniform() * self.uniform() * self.uniform();
        ((DEGREES - 2.0) / (-2.0 * libm::log(product))).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heavy_normal_has_unit_variance_and_fat_tails() {
        let mut draws = Draws::new(3, 0);
        let sample: Vec<f64> = (0..200_000).map(|_| draws.heaviness() * draws.normal()).collect();
        let mean = |power: i32| sample.iter().map(|x| x.powi(power)).sum::<f64>() / sample.len() as f64;
        assert!((mean(2) - 1.0).abs() < 0.03, "variance {}", mean(2));
        // A Student t with six degrees of freedom has kurtosis 6.
        assert!(mean(4) / mean(2).powi(2) > 4.5, "kurtosis {}", mean(4));
    }

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let first = |stream| Draws::new(9, stream).uniform();
        assert!((first(1) - first(2)).abs() > 0.0);
        assert!((first(1) - first(1)).abs() == 0.0);
    }
}

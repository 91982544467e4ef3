//! How much a number would differ on other sessions: the stationary bootstrap (Politis & Romano 1994) over whole sessions.
//!
//! Rows of one session move together, so sessions are drawn, never rows. Neighbouring sessions resemble each other and
//! outcomes over several sessions overlap, so they are drawn in blocks whose lengths are geometric; the mean is the
//! horizon plus the cube root of the number of sessions. The draws follow from a fixed seed and are made once for all
//! measures of a horizon, so that differences are between the same sessions; no thread has a part in it.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Times the sessions are drawn anew.
const RESAMPLES: usize = 1000;
/// The share of resampled values on each side of an interval.
const TAIL: f64 = 0.025;
/// With fewer blocks on average the draws say too little about each other to make an interval of.
const NEEDED_BLOCKS: f64 = 8.0;
/// Where the draws start from.
const SEED: u64 = 20_160_101;

/// How the intervals of an evaluation were made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Times the sessions were drawn anew.
    pub resamples: usize,
    /// The mean length of a block, in sessions.
    pub mean_block: f64,
    /// Sessions they were drawn from.
    pub days: usize,
}

/// A measure that is a ratio of sums over sessions.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Series {
    /// What is summed, by session.
    pub sum: Vec<f64>,
    /// What it is divided by, by session; 0 for sessions that do not count.
    pub weight: Vec<f64>,
}

impl Series {
    /// The measure over all sessions.
    pub fn value(&self) -> f64 {
        self.sum.iter().sum::<f64>() / self.weight.iter().sum::<f64>()
    }

    /// The measure where every session counts as often as it was drawn.
    fn drawn(&self, times: &[f64]) -> f64 {
        let total =
            |values: &[f64]| values.iter().zip(times).map(|(value, times)| value * times).sum::<f64>();
        total(&self.sum) / total(&self.weight)
    }
}

/// Where a number may well lie, and how much it varies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub low: f64,
    pub high: f64,
    pub standard_error: f64,
}

/// How often each session was drawn, resample after resample.
pub(super) struct Draws {
    times: Vec<f64>,
    pub bootstrap: Bootstrap,
}

impl Draws {
    /// Draws from so many sessions, for outcomes of a horizon.
    pub fn new(days: usize, horizon: usize) -> Self {
        let mean_block = horizon as f64 + (days as f64).cbrt();
        let bootstrap = Bootstrap { resamples: RESAMPLES, mean_block, days };
        if (days as f64) < NEEDED_BLOCKS * mean_block {
            return Self { times: Vec::new(), bootstrap };
        }
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        // The chance that a block ends, as a share of all 32-bit numbers.
        let ends = (f64::from(u32::MAX) / mean_block) as u32;
        let mut times = vec![0.0; RESAMPLES * days];
        for resample in times.chunks_exact_mut(days) {
            let mut session = random.random_range(0..days);
            for _ in 0..days {
                resample[session] += 1.0;
                session = if random.random::<u32>() < ends {
                    random.random_range(0..days)
                } else {
                    (session + 1) % days
                };
            }
        }
        Self { times, bootstrap }
    }

    /// Sessions needed before there are intervals at all.
    pub fn needed_days(&self) -> usize {
        (NEEDED_BLOCKS * self.bootstrap.mean_block).ceil() as usize
    }

    /// The spread of a measure; nothing where there are too few sessions.
    pub fn spread(&self, series: &Series) -> Option<Spread> {
        self.spread_of(|times| series.drawn(times))
    }

    /// The spread of the difference of two measures on the same sessions.
    pub fn spread_of_difference(&self, a: &Series, b: &Series) -> Option<Spread> {
        self.spread_of(|times| a.drawn(times) - b.drawn(times))
    }

    fn spread_of(&self, value: impl Fn(&[f64]) -> f64) -> Option<Spread> {
        if self.times.is_empty() {
            return None;
        }
        let drawn = self.times.chunks_exact(self.bootstrap.days).map(value);
        let mut values: Vec<f64> = drawn.filter(|value| value.is_finite()).collect();
        if values.len() < RESAMPLES / 2 {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0);
        let place = (TAIL * n) as usize;
        let (low, high) = (values[place], values[values.len() - 1 - place]);
        Some(Spread { low, high, standard_error: variance.sqrt() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A mean over sessions of noise without memory.
    fn noise(days: usize, seed: u64) -> Series {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let sum = (0..days).map(|_| random.random_range(-1.0..1.0)).collect();
        Series { sum, weight: vec![1.0; days] }
    }

    #[test]
    fn every_resample_has_as_many_sessions_as_there_are() {
        let draws = Draws::new(100, 1);
        assert_eq!(draws.times.len(), 100 * RESAMPLES);
        assert!(draws.times.chunks(100).all(|times| (times.iter().sum::<f64>() - 100.0).abs() < 1e-9));
    }

    #[test]
    fn the_spread_of_a_mean_of_noise_is_about_its_standard_error() {
        let spread = Draws::new(400, 1).spread(&noise(400, 7)).unwrap();
        let exact = (1.0_f64 / 3.0 / 400.0).sqrt();
        assert!((spread.standard_error / exact - 1.0).abs() < 0.3, "{spread:?}, exact {exact}");
        assert!(((spread.high - spread.low) / (2.0 * 1.96 * exact) - 1.0).abs() < 0.3, "{spread:?}");
    }

    #[test]
    fn sessions_that_repeat_their_neighbours_make_it_wider() {
        let mut slow = noise(400, 9);
        for day in 0..400 {
            slow.sum[day] = slow.sum[day / 8 * 8];
        }
        let fast = noise(400, 9);
        let draws = Draws::new(400, 8);
        let (slow, fast) = (draws.spread(&slow).unwrap(), draws.spread(&fast).unwrap());
        assert!(slow.standard_error > 1.8 * fast.standard_error, "{slow:?} {fast:?}");
    }

    #[test]
    fn an_interval_holds_the_truth_about_as_often_as_it_says() {
        let draws = Draws::new(300, 1);
        let held = (0..200).filter(|&seed| {
            let spread = draws.spread(&noise(300, seed)).unwrap();
            spread.low <= 0.0 && 0.0 <= spread.high
        });
        let held = held.count();
        assert!((178..=199).contains(&held), "{held} of 200");
    }

    #[test]
    fn the_same_series_differs_from_itself_by_nothing_and_few_sessions_give_no_interval() {
        let series = noise(300, 3);
        let spread = Draws::new(300, 1).spread_of_difference(&series, &series).unwrap();
        assert!(spread.low.abs() < 1e-15 && spread.high.abs() < 1e-15);
        assert_eq!(Draws::new(100, 20).spread(&noise(100, 3)), None);
    }
}

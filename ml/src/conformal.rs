//! How far off a forecast may be: split conformal prediction (Vovk et al. 2005; Lei et al. 2018) on residuals in units
//! of a scale known when the forecast is made.
//!
//! The residuals are out-of-sample ones of the quarters before. A quantile of the forecast is
//! `expected + score quantile × scale`; as the same grid of scores gives every quantile, they can never cross, and the
//! 80% and 95% intervals are quantiles of the published distribution rather than something beside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The probabilities of the published quantiles.
pub const QUANTILES: [f64; 7] = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975];
/// The same as steps of 1 / 200.
const QUANTILE_STEPS: [usize; 7] = [5, 20, 50, 100, 150, 180, 195];
/// Score quantiles are kept for k / 200, k = 1..=199.
const STEPS: usize = 200;
/// Fewer residuals say too little about the outer quantiles.
pub const NEEDED_SCORES: usize = 200;
/// Scores that pull an instrument's factor halfway to one.
const SHRINKING_ROWS: f64 = 100.0;
/// Larger absolute scores count as this quantile of them.
const CUT_SCORES: f64 = 0.98;
/// A day without any movement before it does not make tomorrow certain.
const SMALLEST_VOLATILITY: f64 = 1e-4;
/// The share of outcomes an 80% interval leaves out.
pub(crate) const MISSED_BY_80: f64 = 0.2;

/// The scale residuals are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// One: all forecasts are equally uncertain.
    Constant,
    /// The standard deviation of the last 20 daily returns times the root of the horizon.
    Volatility,
    /// What a heterogeneous autoregression of volatility expects ([`crate::volatility`]), a factor for each instrument,
    /// and a correction from session to session.
    Har,
}

impl Scale {
    /// The scale of a forecast made where the 20-day volatility is `volatility` (log return a day), as long as nothing
    /// better has been learned.
    pub fn of(self, volatility: f64, horizon: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Volatility | Self::Har => volatility.max(SMALLEST_VOLATILITY) * (horizon as f64).sqrt(),
        }
    }
}

/// The distribution of scores, (outcome − expected) / scale, of forecasts whose outcome is known.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// What the scores are measured in.
    pub scale: Scale,
    /// How many forecasts it rests on.
    pub rows: usize,
    /// The score quantiles at k / 200, k = 1..=199; never falling.
    pub grid: Vec<f64>,
    /// By what the scale of an instrument is multiplied, where it has shown itself wider or narrower than others.
    pub instruments: BTreeMap<String, f64>,
}

/// A forecast's distribution of the log return.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distribution {
    /// At [`QUANTILES`], never falling.
    pub quantiles: [f64; 7],
    /// The probability of a return above zero.
    pub probability_up: f64,
}

impl Distribution {
    /// The central interval that holds four outcomes in five.
    pub fn interval_80(&self) -> (f64, f64) {
        (self.quantiles[1], self.quantiles[5])
    }

    /// The central interval that holds nineteen outcomes in twenty.
    pub fn interval_95(&self) -> (f64, f64) {
        (self.quantiles[0], self.quantiles[6])
    }
}

impl Calibration {
    /// Learns from scores in any order; nothing when there are fewer than [`NEEDED_SCORES`].
    pub fn from_scores(scale: Scale, mut scores: Vec<f64>) -> Option<Self> {
        if scores.len() < NEEDED_SCORES {
            return None;
        }
        scores.sort_unstable_by(f64::total_cmp);
        let grid = (1..STEPS).map(|step| scores[order_statistic(scores.len(), step)]).collect();
        Some(Self { scale, rows: scores.len(), grid, instruments: BTreeMap::new() })
    }

    /// A calibration read back; nothing when the grid is not one [`Calibration::from_scores`] makes.
    pub(crate) fn from_parts(
        scale: Scale,
        rows: usize,
        grid: Vec<f64>,
        instruments: BTreeMap<String, f64>,
    ) -> Option<Self> {
        let fits = grid.len() == STEPS - 1
            && grid.windows(2).all(|pair| pair[0] <= pair[1])
            && instruments.values().all(|factor| factor.is_finite() && *factor > 0.0);
        fits.then_some(Self { scale, rows, grid, instruments })
    }

    /// By what the scale of an instrument is multiplied.
    pub fn factor(&self, key: &str) -> f64 {
        self.instruments.get(key).copied().unwrap_or(1.0)
    }

    /// The distribution of a forecast that expects `expected` at the given scale.
    pub fn distribution(&self, expected: f64, scale: f64) -> Distribution {
        let at = |step: usize| expected + self.score(step) * scale;
        Distribution {
            quantiles: QUANTILE_STEPS.map(at),
            probability_up: self.probability_up(expected, scale),
        }
    }

    /// The standard deviation of the scores (in units of the scale), as evenly spread between the quantiles of the grid;
    /// times the scale it is that of the forecast's log return over its horizon.
    ///
    /// What lies beyond the outermost quantiles, one score in a hundred, counts as lying at them, as nothing is kept of how
    /// far out it was: too little by 1% for a normal distribution, by 6% for Student's t with four degrees of freedom.
    pub fn standard_deviation(&self) -> f64 {
        let step = 1.0 / STEPS as f64;
        let (mut mean, mut square) = (0.0, 0.0);
        for pair in self.grid.windows(2) {
            let (left, right) = (pair[0], pair[1]);
            mean += step * f64::midpoint(left, right);
            square += step * (left * left + left * right + right * right) / 3.0;
        }
        for end in [self.score(1), self.score(STEPS - 1)] {
            mean += step * end;
            square += step * end * end;
        }
        (square - mean * mean).max(0.0).sqrt()
    }

    /// The score quantile at `step` / 200.
    fn score(&self, step: usize) -> f64 {
        self.grid[step.clamp(1, STEPS - 1) - 1]
    }

    fn probability_up(&self, expected: f64, scale: f64) -> f64 {
        1.0 - self.cumulative(expected, scale, 0.0)
    }

    /// The distribution function at `value`, linear between the quantiles of the grid. Beyond the grid half the last step
    /// is left to what was never seen, so that nothing is ever certain.
    pub(crate) fn cumulative(&self, expected: f64, scale: f64, value: f64) -> f64 {
        let score = (value - expected) / scale;
        let step = 1.0 / STEPS as f64;
        let below = self.grid.partition_point(|&known| known <= score);
        if below == 0 {
            step / 2.0
        } else if below == self.grid.len() {
            1.0 - step / 2.0
        } else {
            let (left, right) = (self.grid[below - 1], self.grid[below]);
            (below as f64 + (score - left) / (right - left)) * step
        }
    }

    /// The grid with the sums that scoring by it needs.
    pub(crate) fn crps(&self) -> Crps<'_> {
        let weighted = |step: usize| {
            let (quantile, probability) = (self.grid[step], (step + 1) as f64 / STEPS as f64);
            [(probability, probability * quantile), (1.0 - probability, (1.0 - probability) * quantile)]
        };
        let (mut below, mut above) = (vec![(0.0, 0.0)], vec![(0.0, 0.0)]);
        for step in 0..self.grid.len() {
            push_sum(&mut below, weighted(step)[0]);
            push_sum(&mut above, weighted(self.grid.len() - 1 - step)[1]);
        }
        above.reverse();
        Crps { grid: &self.grid, below, above }
    }
}

/// Adds to the last of running sums.
fn push_sum(sums: &mut Vec<(f64, f64)>, more: (f64, f64)) {
    let (a, b) = sums.last().copied().unwrap_or_default();
    sums.push((a + more.0, b + more.1));
}

/// The continuous ranked probability score: twice the pinball loss (Koenker & Bassett 1978), averaged over the quantiles of the
/// grid. Sums over the quantiles below and above each place are kept, so that an outcome costs one search.
pub(crate) struct Crps<'a> {
    grid: &'a [f64],
    /// Sums of p and of p times the quantile over the first so many.
    below: Vec<(f64, f64)>,
    /// Sums of 1 - p and of (1 - p) times the quantile over the others.
    above: Vec<(f64, f64)>,
}

impl Crps<'_> {
    /// The score (log return) of an outcome of a forecast that expected `expected` at a scale.
    pub fn of(&self, expected: f64, scale: f64, actual: f64) -> f64 {
        let score = (actual - expected) / scale;
        let place = self.grid.partition_point(|&quantile| quantile <= score);
        let ((below, weighted_below), (above, weighted_above)) = (self.below[place], self.above[place]);
        let losses = score * below - weighted_below + weighted_above - score * above;
        2.0 * scale * losses / STEPS as f64
    }
}

/// The place (from 0) of the `step` / 200 quantile among n sorted scores. Upper quantiles are the ceil((n + 1) p)-th
/// smallest, as split conformal prediction demands; lower ones mirror them.
fn order_statistic(n: usize, step: usize) -> usize {
    let place = if 2 * step >= STEPS { ((n + 1) * step).div_ceil(STEPS) } else { (n + 1) * step / STEPS };
    place.clamp(1, n) - 1
}

/// By what the scale of each of so many instruments is to be multiplied, from absolute scores given with the position of
/// their instrument: its mean beside that of all, shrunk towards one by [`SHRINKING_ROWS`] scores. The largest scores are
/// cut, so that one crash does not decide. Empty when there are no scores.
pub(crate) fn instrument_factors(scores: &[(u32, f64)], instruments: usize) -> Vec<f64> {
    let mut sorted: Vec<f64> = scores.iter().map(|&(_, score)| score).collect();
    if sorted.is_empty() {
        return Vec::new();
    }
    let cut = symmetric_quantile(&mut sorted, CUT_SCORES);
    let mut sums = vec![(0.0, 0.0); instruments];
    let mut all = 0.0;
    for &(instrument, score) in scores {
        let score = score.min(cut);
        let (rows, sum) = &mut sums[instrument as usize];
        *rows += 1.0;
        *sum += score;
        all += score;
    }
    let mean = all / scores.len() as f64;
    if mean <= 0.0 {
        return Vec::new();
    }
    sums.into_iter()
        .map(|(rows, sum)| (sum + SHRINKING_ROWS * mean) / (rows + SHRINKING_ROWS) / mean)
        .collect()
}

/// Half the width of the symmetric interval of a level, in units of the scale: the ceil((n + 1) level)-th smallest of
/// the absolute scores, in any order.
///
/// # Panics
/// When there are no scores.
pub fn symmetric_quantile(absolute: &mut [f64], level: f64) -> f64 {
    let place = ((absolute.len() + 1) as f64 * level).ceil() as usize;
    let place = place.clamp(1, absolute.len()) - 1;
    *absolute.select_nth_unstable_by(place, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn uniform(n: usize) -> Calibration {
        // -0.999, -0.997, .. 0.999: symmetric about zero.
        let scores = (0..n).map(|i| (2.0 * i as f64 + 1.0) / n as f64 - 1.0).collect();
        Calibration::from_scores(Scale::Constant, scores).unwrap()
    }

    #[test]
    fn quantiles_of_known_scores_are_known() {
        let distribution = uniform(999).distribution(10.0, 2.0);
        for (quantile, probability) in distribution.quantiles.iter().zip(QUANTILES) {
            let exact = 10.0 + 2.0 * (2.0 * probability - 1.0);
            assert!((quantile - exact).abs() < 0.01, "{probability}: {quantile} for {exact}");
        }
        assert!((distribution.probability_up - 0.9975).abs() < 1e-12, "nothing is certain");
    }

    #[test]
    fn the_probability_of_a_rise_is_one_half_where_scores_and_forecast_are_centred() {
        assert!((uniform(1001).distribution(0.0, 0.3).probability_up - 0.5).abs() < 0.005);
        assert!((uniform(1001).distribution(0.15, 0.3).probability_up - 0.75).abs() < 0.005);
    }

    #[test]
    fn the_symmetric_quantile_is_the_order_statistic_of_split_conformal() {
        let mut scores: Vec<f64> = (1..=9).rev().map(f64::from).collect();
        assert_eq!(symmetric_quantile(&mut scores, 0.8).to_bits(), 8.0_f64.to_bits());
        assert_eq!(symmetric_quantile(&mut scores, 0.95).to_bits(), 9.0_f64.to_bits());
    }

    #[test]
    fn the_steps_of_the_quantiles_are_their_probabilities() {
        for (step, probability) in QUANTILE_STEPS.into_iter().zip(QUANTILES) {
            assert!((step as f64 / STEPS as f64 - probability).abs() < 1e-12);
        }
    }

    #[test]
    fn an_instrument_with_wider_scores_gets_a_factor_above_one_shrunk_by_how_little_is_known() {
        let scores: Vec<(u32, f64)> =
            (0..1000).map(|i| (0, 1.0 + f64::from(i % 2))).chain((0..10).map(|_| (1, 2.5))).collect();
        let factors = instrument_factors(&scores, 3);
        assert!((factors[0] - 1.0).abs() < 0.01, "{factors:?}");
        assert!(factors[1] > 1.0 && factors[1] < 1.1, "ten scores say little: {factors:?}");
        assert!((factors[2] - 1.0).abs() < 1e-12, "nothing is known of the third");
    }

    #[test]
    fn the_score_by_sums_is_that_of_every_quantile_by_itself() {
        let calibration = uniform(999);
        let crps = calibration.crps();
        for actual in [-3.0, -0.7, -0.1, 0.0, 0.004, 0.63, 2.5] {
            let score = (actual - 0.1) / 0.8;
            let grid = calibration.grid.iter().enumerate();
            let losses = grid.map(|(place, &quantile)| {
                let (off, probability) = (score - quantile, (place + 1) as f64 / STEPS as f64);
                if off >= 0.0 { probability * off } else { (probability - 1.0) * off }
            });
            let exact = 2.0 * 0.8 * losses.sum::<f64>() / STEPS as f64;
            assert!((crps.of(0.1, 0.8, actual) - exact).abs() < 1e-12, "{actual}");
        }
    }

    #[test]
    fn the_standard_deviation_of_a_known_distribution_is_the_known_one_wherever_it_lies() {
        let exact = 1.0 / 3.0_f64.sqrt();
        assert!((uniform(9999).standard_deviation() - exact).abs() < 1e-3);
        let moved = (0..9999).map(|i| 7.0 + (2.0 * f64::from(i) + 1.0) / 9999.0).collect();
        let moved = Calibration::from_scores(Scale::Constant, moved).unwrap();
        assert!((moved.standard_deviation() - exact).abs() < 1e-3, "{}", moved.standard_deviation());
        let still = Calibration::from_scores(Scale::Constant, vec![0.25; NEEDED_SCORES]).unwrap();
        assert!(still.standard_deviation() < 1e-7);
    }

    #[test]
    fn scores_beyond_the_outermost_quantiles_count_as_lying_at_them() {
        let scores = |far: f64| (0..1000).map(|i| if i < 4 { far } else { f64::from(i) / 1000.0 }).collect();
        let of = |far| Calibration::from_scores(Scale::Constant, scores(far)).unwrap().standard_deviation();
        assert_eq!(of(-10.0).to_bits(), of(-1e6).to_bits());
    }

    #[test]
    fn too_few_scores_calibrate_nothing() {
        assert!(Calibration::from_scores(Scale::Constant, vec![0.0; NEEDED_SCORES - 1]).is_none());
    }

    proptest::proptest! {
        #[test]
        fn quantiles_never_cross_and_probabilities_stay_inside(
            scores in proptest::collection::vec(-1e3_f64..1e3, NEEDED_SCORES..600),
            expected in -1.0_f64..1.0,
            scale in 1e-6_f64..10.0,
        ) {
            let calibration = Calibration::from_scores(Scale::Volatility, scores).unwrap();
            let distribution = calibration.distribution(expected, scale);
            proptest::prop_assert!(distribution.quantiles.windows(2).all(|pair| pair[0] <= pair[1]));
            proptest::prop_assert!((0.0..=1.0).contains(&distribution.probability_up));
        }

        #[test]
        fn calibrated_intervals_hold_at_least_their_share_of_the_scores(
            scores in proptest::collection::vec(-1e3_f64..1e3, NEEDED_SCORES..600),
        ) {
            let calibration = Calibration::from_scores(Scale::Constant, scores.clone()).unwrap();
            let (low, high) = calibration.distribution(0.0, 1.0).interval_80();
            let inside = scores.iter().filter(|score| (low..=high).contains(score)).count();
            proptest::prop_assert!(inside as f64 >= 0.8 * scores.len() as f64);
        }
    }
}

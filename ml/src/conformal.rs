//! How far off a forecast may be: split conformal prediction (Vovk et al. 2005; Lei et al. 2018) on residuals in units
//! of a scale known when the forecast is made.
//!
//! The residuals are out-of-sample ones of the quarters before. A quantile of the forecast is
//! `expected + score quantile × scale`; as the same grid of scores gives every quantile, they can never cross, and the
//! 80% and 95% intervals are quantiles of the published distribution rather than something beside it.

use serde::{Deserialize, Serialize};

/// The probabilities of the published quantiles.
pub const QUANTILES: [f64; 7] = [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975];
/// The same as steps of 1 / 200.
const QUANTILE_STEPS: [usize; 7] = [5, 20, 50, 100, 150, 180, 195];
/// Score quantiles are kept for k / 200, k = 1..=199.
const STEPS: usize = 200;
/// Fewer residuals say too little about the outer quantiles.
pub const NEEDED_SCORES: usize = 200;
/// A day without any movement before it does not make tomorrow certain.
const SMALLEST_VOLATILITY: f64 = 1e-4;

/// The scale residuals are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// One: all forecasts are equally uncertain.
    Constant,
    /// The standard deviation of the last 20 daily returns times the root of the horizon.
    Volatility,
}

impl Scale {
    /// The scale of a forecast made where the 20-day volatility is `volatility` (log return a day).
    pub fn of(self, volatility: f64, horizon: usize) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Volatility => volatility.max(SMALLEST_VOLATILITY) * (horizon as f64).sqrt(),
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
        Some(Self { scale, rows: scores.len(), grid })
    }

    /// A calibration read back; nothing when the grid is not one [`Calibration::from_scores`] makes.
    pub(crate) fn from_parts(scale: Scale, rows: usize, grid: Vec<f64>) -> Option<Self> {
        let fits = grid.len() == STEPS - 1 && grid.windows(2).all(|pair| pair[0] <= pair[1]);
        fits.then_some(Self { scale, rows, grid })
    }

    /// The distribution of a forecast that expects `expected` at the given scale.
    pub fn distribution(&self, expected: f64, scale: f64) -> Distribution {
        let at = |step: usize| expected + self.score(step) * scale;
        Distribution {
            quantiles: QUANTILE_STEPS.map(at),
            probability_up: self.probability_up(expected, scale),
        }
    }

    /// The score quantile at `step` / 200.
    fn score(&self, step: usize) -> f64 {
        self.grid[step.clamp(1, STEPS - 1) - 1]
    }

    /// One minus the distribution function at zero, linear between the quantiles of the grid. Beyond the grid half
    /// the last step is left to what was never seen, so that nothing is ever certain.
    fn probability_up(&self, expected: f64, scale: f64) -> f64 {
        let zero = -expected / scale;
        let step = 1.0 / STEPS as f64;
        let below = self.grid.partition_point(|&score| score <= zero);
        let cumulative = if below == 0 {
            step / 2.0
        } else if below == self.grid.len() {
            1.0 - step / 2.0
        } else {
            let (left, right) = (self.grid[below - 1], self.grid[below]);
            (below as f64 + (zero - left) / (right - left)) * step
        };
        1.0 - cumulative
    }
}

/// The place (from 0) of the `step` / 200 quantile among n sorted scores. Upper quantiles are the ceil((n + 1) p)-th
/// smallest, as split conformal prediction demands; lower ones mirror them.
fn order_statistic(n: usize, step: usize) -> usize {
    let place = if 2 * step >= STEPS { ((n + 1) * step).div_ceil(STEPS) } else { (n + 1) * step / STEPS };
    place.clamp(1, n) - 1
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

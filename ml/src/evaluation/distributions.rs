//! How good the published distributions were, by proper scores (Gneiting & Raftery 2007): nobody gains by saying anything
//! but what they believe.

use serde::{Deserialize, Serialize};

use crate::conformal::{Calibration, Crps, Distribution, QUANTILES};

/// Columns of the histogram of [`DistributionMetrics::pit`].
const TENTHS: usize = 10;
/// Nobody is taken to move less than this (log return a session), or the first move after weeks of silence would decide a
/// whole evaluation.
const QUIETEST: f64 = 1e-3;
/// A probability that turned out wrong costs no more than if it had been this.
const SMALLEST_PROBABILITY: f64 = 1e-3;

/// Scores of the published distributions over all scored rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistributionMetrics {
    /// Mean pinball loss over the published quantiles (log return); lower is better.
    pub pinball: f64,
    /// Mean continuous ranked probability score (log return), summed over the 199 quantiles a calibration keeps; lower is
    /// better.
    pub crps: f64,
    /// Mean squared error of the probability of a rise.
    pub brier: f64,
    /// The same for always giving the share of rises seen in calibration.
    pub brier_climatology: f64,
    /// Mean of minus the natural logarithm of the probability given to what happened, rise or not; lower is better.
    pub log_score: f64,
    /// The same for always giving the share of rises seen in calibration.
    pub log_score_climatology: f64,
    /// Mean QLIKE loss of the variance of the distribution, ln variance + return² / variance (Patton 2011); lower is better.
    pub qlike: f64,
    /// The share of outcomes in each tenth of their forecast's distribution, from the lowest (the histogram of the
    /// probability integral transform): all a tenth where the distributions are right.
    pub pit: Vec<f64>,
}

/// The scores of some forecasts, summed.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub rows: f64,
    /// Summed over the published quantiles as well.
    pub pinball: f64,
    pub crps: f64,
    /// Of the forecast's probability of a rise, of the share of rises seen in calibration, and of a rise all but certain.
    pub brier: [f64; 3],
    /// The same.
    pub log_score: [f64; 3],
    /// Of the published intervals of [`super::LEVELS`].
    pub interval_score: [f64; 2],
    /// Outcomes they held.
    pub held: [f64; 2],
    /// QLIKE losses of the distribution's variance and of that of the last 20 sessions.
    pub qlike: [f64; 2],
    tenths: [f64; TENTHS],
}

/// A forecast with everything its distribution came from.
pub(super) struct Forecast<'a> {
    pub calibration: &'a Calibration,
    /// Of the calibration.
    pub crps: &'a Crps<'a>,
    pub expected: f64,
    pub scale: f64,
    pub distribution: &'a Distribution,
    /// The share of rises seen in calibration.
    pub rises: f64,
    /// The standard deviations (log return over the horizon) by the distribution and by the last 20 sessions, [`audible`].
    pub volatilities: [f64; 2],
}

impl Tally {
    pub fn add(&mut self, forecast: &Forecast<'_>, actual: f64) {
        let rose = actual > 0.0;
        self.rows += 1.0;
        for (quantile, probability) in forecast.distribution.quantiles.into_iter().zip(QUANTILES) {
            self.pinball += pinball(actual, quantile, probability);
        }
        self.crps += forecast.crps.of(forecast.expected, forecast.scale, actual);
        let always_up = 1.0 - SMALLEST_PROBABILITY;
        let said = [forecast.distribution.probability_up, forecast.rises, always_up];
        for (place, up) in said.into_iter().enumerate() {
            self.brier[place] += (up - f64::from(rose)).powi(2);
            let given = if rose { up } else { 1.0 - up };
            self.log_score[place] -= libm::log(given.max(SMALLEST_PROBABILITY));
        }
        let intervals = [forecast.distribution.interval_80(), forecast.distribution.interval_95()];
        for (place, ((low, high), level)) in intervals.into_iter().zip(super::LEVELS).enumerate() {
            let outside = (low - actual).max(0.0) + (actual - high).max(0.0);
            self.interval_score[place] += high - low + 2.0 / (1.0 - level) * outside;
            self.held[place] += f64::from(u8::from(outside == 0.0));
        }
        for (loss, volatility) in self.qlike.iter_mut().zip(forecast.volatilities) {
            *loss += qlike(volatility, actual);
        }
        let below = forecast.calibration.cumulative(forecast.expected, forecast.scale, actual);
        self.tenths[((below * TENTHS as f64) as usize).min(TENTHS - 1)] += 1.0;
    }

    /// Adds what another has summed.
    pub fn absorb(&mut self, other: &Self) {
        let add = |mine: &mut [f64], theirs: &[f64]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine += theirs);
        };
        self.rows += other.rows;
        self.pinball += other.pinball;
        self.crps += other.crps;
        add(&mut self.brier, &other.brier);
        add(&mut self.log_score, &other.log_score);
        add(&mut self.interval_score, &other.interval_score);
        add(&mut self.held, &other.held);
        add(&mut self.qlike, &other.qlike);
        add(&mut self.tenths, &other.tenths);
    }

    pub fn metrics(&self) -> DistributionMetrics {
        let mean = |sum: f64| sum / self.rows;
        DistributionMetrics {
            pinball: mean(self.pinball) / QUANTILES.len() as f64,
            crps: mean(self.crps),
            brier: mean(self.brier[0]),
            brier_climatology: mean(self.brier[1]),
            log_score: mean(self.log_score[0]),
            log_score_climatology: mean(self.log_score[1]),
            qlike: mean(self.qlike[0]),
            pit: self.tenths.iter().map(|&count| mean(count)).collect(),
        }
    }
}

/// A standard deviation over a horizon that is not below [`QUIETEST`].
pub(super) fn audible(volatility: f64, horizon: usize) -> f64 {
    volatility.max(QUIETEST * (horizon as f64).sqrt())
}

/// What it costs to expect the variance of a volatility (Patton 2011, table 1): least on average for whoever expects the true
/// one, though a squared return says little of it. Without the terms of the return alone it is finite where nothing moved.
fn qlike(volatility: f64, actual: f64) -> f64 {
    let variance = volatility * volatility;
    libm::log(variance) + actual * actual / variance
}

/// What it costs to give `quantile` as the one of a probability (Koenker & Bassett 1978).
fn pinball(actual: f64, quantile: f64, probability: f64) -> f64 {
    let off = actual - quantile;
    if off >= 0.0 { probability * off } else { (probability - 1.0) * off }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::uniform_calibration;

    fn scored(outcomes: impl Iterator<Item = f64>) -> DistributionMetrics {
        let calibration = uniform_calibration();
        let distribution = calibration.distribution(0.0, 1.0);
        let crps = calibration.crps();
        let forecast = Forecast {
            calibration: &calibration,
            crps: &crps,
            expected: 0.0,
            scale: 1.0,
            distribution: &distribution,
            rises: 0.5,
            volatilities: [calibration.standard_deviation(), 0.1],
        };
        let mut tally = Tally::default();
        outcomes.for_each(|actual| tally.add(&forecast, actual));
        tally.metrics()
    }

    #[test]
    fn the_score_of_a_uniform_forecast_is_the_known_one() {
        // For y in the middle of a uniform distribution of width 2: the integral of (F − 1{x ≥ 0})² is 2 · ∫₀¹ (u/2)² du = 1/6.
        let metrics = scored(std::iter::once(0.0));
        assert!((metrics.crps - 1.0 / 6.0).abs() < 1e-3, "{}", metrics.crps);
        assert!((metrics.brier - 0.25).abs() < 0.01 && (metrics.log_score - 2.0_f64.ln()).abs() < 0.02);
    }

    #[test]
    fn nobody_gains_by_expecting_another_variance_than_the_true_one() {
        let outcomes = || (0..1000).map(|i| f64::from(i) / 500.0 - 0.999);
        let loss = |volatility: f64| outcomes().map(|actual| qlike(volatility, actual)).sum::<f64>() / 1000.0;
        let right = 1.0 / 3.0_f64.sqrt();
        assert!((loss(right) - ((1.0_f64 / 3.0).ln() + 1.0)).abs() < 1e-4, "{}", loss(right));
        assert!((scored(outcomes()).qlike - loss(right)).abs() < 1e-4);
        for other in [0.8, 0.95, 1.05, 1.25] {
            assert!(loss(right * other) > loss(right), "{other}");
        }
        // Too little costs more than too much.
        assert!(loss(right / 2.0) > loss(right * 2.0));
    }

    #[test]
    fn a_stock_that_has_not_moved_is_not_taken_for_dead() {
        assert!(qlike(audible(0.0, 5), 0.0).is_finite());
        assert!((audible(0.0, 4) - 0.002).abs() < 1e-12 && (audible(0.03, 4) - 0.03).abs() < 1e-12);
    }

    #[test]
    fn right_distributions_fill_every_tenth_alike_and_narrow_ones_fill_the_ends() {
        let right = scored((0..1000).map(|i| f64::from(i) / 500.0 - 0.999));
        assert!(right.pit.iter().all(|share| (share - 0.1).abs() < 0.011), "{:?}", right.pit);
        let narrow = scored((0..1000).map(|i| 3.0 * (f64::from(i) / 500.0 - 0.999)));
        assert!(narrow.pit[0] > 0.3 && narrow.pit[9] > 0.3 && narrow.crps > right.crps, "{:?}", narrow.pit);
    }
}

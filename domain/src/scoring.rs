//! The scoring rule: how a published prediction is measured when its day has come.
//!
//! The rule's name stands in the published event, so a later rule never re-measures an older prediction.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::prediction::Forecast;
use crate::values::{InvalidValue, LogReturn, Measure};

/// The rule in force for new predictions.
pub const RULE: &str = "returns-1";

/// One forecaster's loss on one prediction, beside the guesses that need no model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Losses {
    /// Squared error of the model's expected log return.
    pub model: Measure,
    /// Squared error of "no change".
    pub zero: Measure,
    /// Squared error of "the mean return of the training data".
    pub drift: Measure,
}

/// How well a prediction did. Every measure follows from the published forecast and the realised return.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Score {
    /// Squared errors.
    pub squared_error: Losses,
    /// Whether the expected return had the sign of the realised one; none if either is zero.
    pub hit: Option<bool>,
    /// Whether the realised return lay inside the 80% interval.
    pub inside_80: bool,
    /// Whether it lay inside the 95% interval.
    pub inside_95: bool,
    /// Interval score of the 80% interval (Gneiting and Raftery 2007, eq. 43), in log return; lower is better.
    pub interval_score_80: Measure,
    /// Interval score of the 95% interval.
    pub interval_score_95: Measure,
    /// Brier score of the probability of a rise (0 is perfect, 0.25 is a coin); a zero return counts as no rise.
    pub brier: Measure,
    /// Mean pinball loss over the published quantiles (Koenker and Bassett 1978), in log return.
    pub pinball: Measure,
}

/// Measures `forecast` against what happened, by the rule [`RULE`].
pub fn score(forecast: &Forecast, realised: LogReturn) -> Result<Score, InvalidValue> {
    let y = realised.to_f64();
    let expected = forecast.expected.to_f64();
    let squared = |guess: f64| Measure::from_f64((y - guess) * (y - guess));
    let interval = |low: LogReturn, high: LogReturn, level: f64| {
        let (low, high) = (low.to_f64(), high.to_f64());
        let outside = (low - y).max(y - high).max(0.0);
        Measure::from_f64((high - low) + 2.0 / (1.0 - level) * outside).map(|score| (outside == 0.0, score))
    };
    let (inside_80, interval_score_80) = interval(forecast.interval_80.low, forecast.interval_80.high, 0.80)?;
    let (inside_95, interval_score_95) = interval(forecast.interval_95.low, forecast.interval_95.high, 0.95)?;
    let rose = if y > 0.0 { 1.0 } else { 0.0 };
    let brier = Measure::from_f64((forecast.probability_up.to_f64() - rose).powi(2))?;
    let pinball: f64 = forecast
        .quantiles
        .iter()
        .map(|quantile| {
            let (level, error) = (quantile.level.to_f64(), y - quantile.value.to_f64());
            if error >= 0.0 { level * error } else { (level - 1.0) * error }
        })
        .sum();
    let hit = (y != 0.0 && expected != 0.0).then_some((y > 0.0) == (expected > 0.0));
    Ok(Score {
        squared_error: Losses {
            model: squared(expected)?,
            zero: squared(0.0)?,
            drift: squared(forecast.drift.to_f64())?,
        },
        hit,
        inside_80,
        inside_95,
        interval_score_80,
        interval_score_95,
        brier,
        pinball: Measure::from_f64(pinball / forecast.quantiles.len().max(1) as f64)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prediction::testing::forecast;

    fn scored(realised: f64) -> Score {
        score(&forecast(), LogReturn::from_f64(realised).expect("finite")).expect("finite")
    }

    #[test]
    fn a_return_inside_scores_the_width_of_its_interval() {
        let score = scored(0.005);
        assert!(score.inside_80 && score.inside_95);
        assert!((score.interval_score_80.to_f64() - 0.04).abs() < 1e-12);
        assert_eq!(score.hit, Some(true));
    }

    #[test]
    fn a_miss_pays_for_its_distance() {
        let score = scored(0.03);
        assert!(!score.inside_80);
        // width 0.04 and ten times the 0.009 beyond 0.021
        assert!((score.interval_score_80.to_f64() - 0.13).abs() < 1e-9);
    }

    #[test]
    fn the_baselines_are_measured_on_the_same_return() {
        let losses = scored(0.01).squared_error;
        assert!((losses.zero.to_f64() - 1e-4).abs() < 1e-12);
        assert!((losses.model.to_f64() - 8.1e-5).abs() < 1e-12);
        assert!((losses.drift.to_f64() - 9.025e-5).abs() < 1e-12);
    }

    #[test]
    fn no_change_is_neither_hit_nor_miss() {
        assert_eq!(scored(0.0).hit, None);
        assert_eq!(scored(-0.01).hit, Some(false));
    }
}

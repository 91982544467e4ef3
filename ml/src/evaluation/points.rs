//! How good the single expected returns were.

use serde::{Deserialize, Serialize};

use super::ranks::{InformationCoefficient, information_coefficient};
use super::walk::TestRows;

/// Scores of a set of expected returns over all scored rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointMetrics {
    /// Scored rows.
    pub rows: usize,
    /// Sessions they lie in; rows of one session are far from independent.
    pub days: usize,
    /// Share of rows whose sign was right, of those with a sign on both sides; nothing for a forecast of zero.
    pub hit_rate: Option<f64>,
    /// The rows behind the hit rate.
    pub hit_rows: usize,
    /// Share of rises among moves: what "always up" scores.
    pub up_share: f64,
    /// Mean absolute error of the log return.
    pub mae_return: f64,
    /// Root of the mean squared error of the log return.
    pub rmse_return: f64,
    /// Mean absolute error of the price, in its currency.
    pub mae_price: f64,
    /// Mean absolute error of the price, in percent of it.
    pub mape_price_pct: f64,
    /// Share of squared error saved against expecting zero, in percent.
    pub r2_vs_zero_pct: f64,
    /// Share of squared error saved against expecting the drift, in percent.
    pub r2_vs_drift_pct: f64,
    /// How well it ranks the instruments of a day; nothing where all forecasts of each day are equal.
    pub ic: Option<InformationCoefficient>,
}

/// Scores expected returns; `drift` are those of the drift baseline for the same rows.
pub(super) fn point_metrics(
    rows: &TestRows,
    days: &[Vec<u32>],
    predicted: &[f64],
    drift: &[f64],
) -> PointMetrics {
    let scored = rows.first_scored..rows.len();
    let n = scored.len() as f64;
    let (mut hits, mut hit_rows, mut ups, mut moves) = (0_usize, 0_usize, 0_usize, 0_usize);
    let (mut absolute, mut squared, mut of_zero, mut of_drift) = (0.0, 0.0, 0.0, 0.0);
    let (mut price, mut share) = (0.0, 0.0);
    for i in scored {
        let (actual, expected) = (rows.actual[i], predicted[i]);
        if actual != 0.0 {
            moves += 1;
            ups += usize::from(actual > 0.0);
            if expected != 0.0 {
                hit_rows += 1;
                hits += usize::from((actual > 0.0) == (expected > 0.0));
            }
        }
        let error = actual - expected;
        absolute += error.abs();
        squared += error * error;
        of_zero += actual * actual;
        of_drift += (actual - drift[i]) * (actual - drift[i]);
        let came = rows.close[i] * libm::exp(actual);
        let off = (came - rows.close[i] * libm::exp(expected)).abs();
        price += off;
        share += off / came;
    }
    PointMetrics {
        rows: rows.len() - rows.first_scored,
        days: days.len(),
        hit_rate: (hit_rows > 0).then(|| hits as f64 / hit_rows as f64),
        hit_rows,
        up_share: ups as f64 / moves.max(1) as f64,
        mae_return: absolute / n,
        rmse_return: (squared / n).sqrt(),
        mae_price: price / n,
        mape_price_pct: share / n * 100.0,
        r2_vs_zero_pct: (1.0 - squared / of_zero) * 100.0,
        r2_vs_drift_pct: (1.0 - squared / of_drift) * 100.0,
        ic: information_coefficient(rows, days, predicted),
    }
}

//! What families have learned, and what it makes of a row.

use super::{Blend, Boosted, InstrumentDrifts, Onnx, RiseOdds};
use crate::features::FeatureTable;

/// Rows of a table forecast at a time, so that they stay in the processor's cache.
const BLOCK: usize = 256;

/// Standardised features are clipped to this many standard deviations, so that one bad print cannot decide.
pub const CLIP: f64 = 5.0;

/// What a family has learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Fitted {
    /// The same return for every row.
    Constant(f64),
    /// A weighted sum of standardised features.
    Linear(Linear),
    /// A return for each instrument.
    InstrumentDrifts(InstrumentDrifts),
    /// The odds of a rise.
    RiseOdds(RiseOdds),
    /// A sum of trees.
    Boosted(Boosted),
    /// The drift and what others add to it.
    Blend(Blend),
    /// What was learned elsewhere.
    Onnx(Onnx),
}

/// A weighted sum of features, each standardised by the training rows' mean and population standard deviation and
/// clipped to ±[`CLIP`].
#[derive(Debug, Clone, PartialEq)]
pub struct Linear {
    /// Per feature, the mean of the training rows.
    pub mean: Vec<f64>,
    /// Per feature, the population standard deviation of the training rows; 1 where it was 0.
    pub std: Vec<f64>,
    /// Per feature, the weight of its standardised value (log return).
    pub coefficient: Vec<f64>,
    /// The expected log return where all features are at their mean.
    pub intercept: f64,
}

impl Fitted {
    /// The expected log return of a row with these features, of an instrument never seen.
    pub fn predict(&self, features: &[f64]) -> f64 {
        self.predict_for("", features)
    }

    /// The expected log return of a row of the named instrument with these features.
    pub fn predict_for(&self, key: &str, features: &[f64]) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Linear(linear) => linear.predict(features),
            Self::InstrumentDrifts(drifts) => drifts.of(key),
            Self::RiseOdds(odds) => odds.predict(features),
            Self::Boosted(boosted) => boosted.predict(features),
            Self::Blend(blend) => blend.predict(key, features),
            Self::Onnx(onnx) => onnx.predict(features),
        }
    }

    /// Whether what it makes of a row depends on the row's features.
    pub(crate) fn looks_at_features(&self) -> bool {
        match self {
            Self::Constant(_) | Self::InstrumentDrifts(_) => false,
            Self::Linear(_) | Self::RiseOdds(_) | Self::Boosted(_) | Self::Onnx(_) => true,
            Self::Blend(blend) => blend.counting().any(|(_, member)| member.looks_at_features()),
        }
    }

    /// The probability of a return above zero, where that is what was learned.
    pub fn probability_up(&self, features: &[f64]) -> Option<f64> {
        match self {
            Self::RiseOdds(odds) => Some(odds.probability_up(features)),
            Self::Constant(_)
            | Self::Linear(_)
            | Self::InstrumentDrifts(_)
            | Self::Boosted(_)
            | Self::Onnx(_)
            | Self::Blend(_) => None,
        }
    }

    /// The expected log returns of rows that lie one after the other, `width` features each, and the names of their
    /// instruments; bit by bit those of [`Fitted::predict_for`].
    ///
    /// # Panics
    /// When `width` is zero.
    pub fn predict_rows(&self, keys: &[&str], rows: &[f64], width: usize) -> Vec<f64> {
        match self {
            Self::Boosted(boosted) => boosted.predict_rows(rows, width),
            Self::Onnx(onnx) => onnx.predict_rows(rows, width),
            Self::Blend(blend) => blend.predict_rows(keys, rows, width),
            Self::Constant(_) | Self::Linear(_) | Self::InstrumentDrifts(_) | Self::RiseOdds(_) => keys
                .iter()
                .zip(rows.chunks_exact(width))
                .map(|(key, row)| self.predict_for(key, row))
                .collect(),
        }
    }

    /// The expected log returns of some rows of a table, bit by bit those of [`Fitted::predict_for`].
    ///
    /// # Panics
    /// When a row is not there, or there are no features.
    pub(crate) fn predict_in(&self, features: &FeatureTable, rows: &[usize]) -> Vec<f64> {
        if !self.looks_at_features() {
            return rows.iter().map(|&row| self.predict_for(features.key(row), &[])).collect();
        }
        let width = features.names().len();
        let (mut block, mut keys) = (Vec::new(), Vec::new());
        let mut predicted = Vec::with_capacity(rows.len());
        for rows in rows.chunks(BLOCK) {
            block.clear();
            keys.clear();
            for &row in rows {
                features.append_row(row, &mut block);
                keys.push(features.key(row));
            }
            predicted.extend(self.predict_rows(&keys, &block, width));
        }
        predicted
    }

    /// How far a feature's value lies from the mean of the training rows, in their standard deviations; not a number
    /// where the value is none, and zero where the model looks at no features.
    ///
    /// # Panics
    /// When there are not that many features.
    pub fn distance(&self, feature: usize, value: f64) -> f64 {
        let (mean, std) = match self {
            Self::Constant(_) | Self::InstrumentDrifts(_) => {
                return if value.is_finite() { 0.0 } else { f64::NAN };
            }
            Self::Linear(linear) => (&linear.mean, &linear.std),
            Self::RiseOdds(odds) => (&odds.log_odds.mean, &odds.log_odds.std),
            Self::Boosted(boosted) => (&boosted.spread.mean, &boosted.spread.std),
            Self::Onnx(onnx) => (&onnx.spread.mean, &onnx.spread.std),
            Self::Blend(blend) => {
                let distances = blend.counting().map(|(_, member)| member.distance(feature, value));
                return distances.fold(0.0, |most: f64, distance| {
                    if distance.is_nan() || distance.abs() > most.abs() { distance } else { most }
                });
            }
        };
        (value - mean[feature]) / std[feature]
    }

    /// The expected log return of an instrument where no feature speaks for or against: what [`Fitted::contributions`]
    /// are added to.
    pub fn base(&self, key: &str) -> f64 {
        match self {
            Self::Constant(value) => *value,
            Self::Linear(linear) => linear.intercept,
            Self::InstrumentDrifts(drifts) => drifts.of(key),
            Self::RiseOdds(odds) => odds.at(odds.log_odds.intercept),
            Self::Boosted(boosted) => boosted.base(),
            Self::Onnx(onnx) => onnx.base(),
            Self::Blend(blend) => blend
                .counting()
                .fold(blend.drift, |sum, (weight, member)| sum + weight * (member.base(key) - blend.drift)),
        }
    }

    /// Per feature, by how much it moves the expected log return; with [`Fitted::base`] they sum up to it. Exact for
    /// weighted sums, along the way through trees (Saabas 2014, "Interpreting random forests"), and for odds along the
    /// straight line from the mean of the features (Sundararajan et al. 2017, "Axiomatic attribution"); where a model is a
    /// closed box, on the way from the mean, one feature after the other.
    pub fn contributions(&self, features: &[f64]) -> Vec<f64> {
        match self {
            Self::Constant(_) | Self::InstrumentDrifts(_) => vec![0.0; features.len()],
            Self::Linear(linear) => linear.contributions(features),
            Self::RiseOdds(odds) => odds.contributions(features),
            Self::Boosted(boosted) => boosted.contributions(features),
            Self::Onnx(onnx) => onnx.contributions(features),
            Self::Blend(blend) => {
                let mut sum = vec![0.0; features.len()];
                for (weight, member) in blend.counting() {
                    for (sum, part) in sum.iter_mut().zip(member.contributions(features)) {
                        *sum += weight * part;
                    }
                }
                sum
            }
        }
    }
}

impl Linear {
    /// A feature's standardised and clipped value.
    ///
    /// # Panics
    /// When there are not that many features.
    pub fn standardised(&self, feature: usize, value: f64) -> f64 {
        ((value - self.mean[feature]) / self.std[feature]).clamp(-CLIP, CLIP)
    }

    /// Per feature, its part of the sum.
    pub fn contributions(&self, features: &[f64]) -> Vec<f64> {
        let part = |(feature, &value)| self.coefficient[feature] * self.standardised(feature, value);
        features.iter().enumerate().map(part).collect()
    }

    pub(super) fn predict(&self, features: &[f64]) -> f64 {
        let weighted = features
            .iter()
            .zip(&self.mean)
            .zip(&self.std)
            .zip(&self.coefficient)
            .map(|(((value, mean), std), weight)| weight * ((value - mean) / std).clamp(-CLIP, CLIP));
        self.intercept + weighted.sum::<f64>()
    }
}

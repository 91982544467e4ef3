//! The families by name, with what has to be chosen before they learn.

use serde::{Deserialize, Serialize};

use super::boosted::{Boosting, Choices};
use super::ensemble::Ensemble;
use super::onnx::Imported;
use super::{Forecaster, drift, elastic_net, instrument_drift, logistic, ridge, zero};
use crate::parallel::Threads;

/// The penalty of the linear families: a thousand rows' worth.
const RIDGE_ALPHA: f64 = 1000.0;

/// A model family with what has to be chosen before it learns.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "snake_case")]
pub enum Family {
    /// Every return is zero.
    Zero,
    /// Every return is the mean of those seen.
    Drift,
    /// Least squares on standardised features with a penalty on large coefficients.
    Ridge {
        /// The weight of the penalty, in rows.
        alpha: f64,
    },
    /// Every return is the mean of the instrument's own, drawn towards that of all.
    InstrumentDrift,
    /// Least squares on standardised features with a penalty that sets small coefficients to zero.
    ElasticNet {
        /// The weight of the penalty, per row.
        penalty: f64,
        /// The share of it that goes by size instead of square, from 0 to 1.
        l1_ratio: f64,
    },
    /// The probability of a rise by logistic regression on standardised features.
    Logistic {
        /// The weight of the penalty on squared coefficients, in rows.
        alpha: f64,
    },
    /// Gradient-boosted trees on the rank of a label in its session.
    Boosted(Choices),
    /// Drift, and of ridge and boosted trees what they have earned out of sample.
    Ensemble {
        /// The penalty of ridge.
        alpha: f64,
        /// The trees.
        boosted: Choices,
    },
    /// Trained elsewhere and brought in as ONNX; it learns nothing here.
    Onnx,
}

impl Family {
    /// Every family that is trained here, with the choices made on the data before the test period; those that look at
    /// no feature come first.
    pub const TRAINABLE: [Self; 8] = [
        Self::Zero,
        Self::Drift,
        Self::InstrumentDrift,
        Self::Ridge { alpha: RIDGE_ALPHA },
        Self::ElasticNet { penalty: 1e-4, l1_ratio: 0.5 },
        Self::Logistic { alpha: RIDGE_ALPHA },
        Self::Boosted(Choices::CHOSEN),
        Self::Ensemble { alpha: RIDGE_ALPHA, boosted: Choices::CHOSEN },
    ];

    /// Its stable name, without the choices.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Drift => "drift",
            Self::Ridge { .. } => "ridge",
            Self::InstrumentDrift => "instrument_drift",
            Self::ElasticNet { .. } => "elastic_net",
            Self::Logistic { .. } => "logistic",
            Self::Boosted(_) => "boosted",
            Self::Ensemble { .. } => "ensemble",
            Self::Onnx => "onnx",
        }
    }

    /// The family of a name, with the choices made on the data before the test period; nothing for an unknown name.
    pub fn named(name: &str) -> Option<Self> {
        Self::TRAINABLE.into_iter().find(|family| family.name() == name)
    }

    /// The same, drawing from another seed whatever it draws.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        match self {
            Self::Boosted(choices) => Self::Boosted(Choices { seed, ..choices }),
            Self::Ensemble { alpha, boosted } => {
                Self::Ensemble { alpha, boosted: Choices { seed, ..boosted } }
            }
            Self::Zero
            | Self::Drift
            | Self::Ridge { .. }
            | Self::InstrumentDrift
            | Self::ElasticNet { .. }
            | Self::Logistic { .. }
            | Self::Onnx => self,
        }
    }

    /// The names of all that are trained here, for those who have to choose one.
    pub fn names() -> [&'static str; Self::TRAINABLE.len()] {
        Self::TRAINABLE.map(|family| family.name())
    }

    /// What is wrong with its choices; nothing where it can learn with them.
    pub fn flaw(&self) -> Option<&'static str> {
        let weight = |weight: f64| weight.is_finite() && weight >= 0.0;
        match *self {
            Self::Zero | Self::Drift | Self::InstrumentDrift => None,
            Self::Onnx => Some("an imported model was trained elsewhere and cannot be trained here"),
            Self::Ridge { alpha } | Self::Logistic { alpha } => {
                (!weight(alpha)).then_some("the penalty must be a number from zero up")
            }
            Self::ElasticNet { penalty, l1_ratio } => (!weight(penalty) || !(0.0..=1.0).contains(&l1_ratio))
                .then_some("the penalty must be a number from zero up, and its share from zero to one"),
            Self::Boosted(choices) => {
                (!choices.sound()).then_some("no trees can be grown with these choices")
            }
            Self::Ensemble { alpha, boosted } => {
                Self::Ridge { alpha }.flaw().or_else(|| Self::Boosted(boosted).flaw())
            }
        }
    }

    /// The family as something that learns, on all threads the process may use.
    pub fn forecaster(&self) -> Box<dyn Forecaster> {
        self.forecaster_on(Threads::available())
    }

    /// The family as something that learns on so many threads at most; what it learns is the same on any number.
    pub fn forecaster_on(&self, threads: Threads) -> Box<dyn Forecaster> {
        match *self {
            Self::Onnx => Box::new(Imported),
            Self::Zero => Box::new(zero::Zero),
            Self::Drift => Box::new(drift::Drift),
            Self::Ridge { alpha } => Box::new(ridge::Ridge { alpha }),
            Self::InstrumentDrift => Box::new(instrument_drift::InstrumentDrift),
            Self::ElasticNet { penalty, l1_ratio } => Box::new(elastic_net::ElasticNet { penalty, l1_ratio }),
            Self::Logistic { alpha } => Box::new(logistic::Logistic { alpha, threads }),
            Self::Boosted(choices) => Box::new(Boosting { choices, threads }),
            Self::Ensemble { alpha, boosted } => Box::new(Ensemble {
                members: vec![
                    Box::new(ridge::Ridge { alpha }),
                    Box::new(Boosting { choices: boosted, threads }),
                ],
            }),
        }
    }
}

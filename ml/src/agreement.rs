//! Whether a model that was trained again is the one that was registered.

use crate::artefact::{Artefact, HorizonModel};
use crate::days;
use crate::features::{FeatureSet, FeatureTable, Inputs};
use crate::models::Fitted;
use crate::volatility;

/// Numbers of models computed on different processors may differ by this much, relative to what is larger than one.
pub const TOLERANCE: f64 = 1e-12;

/// How a model that was trained again agrees with the one that was registered.
#[derive(Debug, Clone, PartialEq)]
pub enum Agreement {
    /// Byte for byte.
    SameBytes,
    /// In everything that forecasts follow from, up to a difference no larger than [`TOLERANCE`].
    Within {
        /// The largest difference that was found.
        largest: f64,
    },
    /// Not.
    Different {
        /// The first difference that was found, in words.
        first: String,
    },
}

/// Compares two models, and what they say of every row of the data they learned from.
pub fn compare(recorded: &Artefact, again: &Artefact, inputs: &Inputs<'_>) -> Agreement {
    if recorded.to_bytes() == again.to_bytes() {
        return Agreement::SameBytes;
    }
    let mut looking = Looking { largest: 0.0 };
    match looking.artefacts(recorded, again, inputs) {
        Ok(()) => Agreement::Within { largest: looking.largest },
        Err(first) => Agreement::Different { first },
    }
}

struct Looking {
    largest: f64,
}

impl Looking {
    fn artefacts(&mut self, one: &Artefact, other: &Artefact, inputs: &Inputs<'_>) -> Result<(), String> {
        let facts = |artefact: &Artefact| {
            [
                ("the family and its choices", format!("{:?}", artefact.family)),
                ("the features", artefact.features.join(", ")),
                ("the first session of the data", artefact.trained_from.to_string()),
                ("the last session of the data", artefact.as_of.to_string()),
                ("the digest of the data", artefact.data_digest.clone()),
                ("the seed", artefact.seed.to_string()),
                ("the code", artefact.code_version.clone()),
                ("the horizons", format!("{:?}", horizons(artefact))),
            ]
        };
        for ((what, one), (_, other)) in facts(one).into_iter().zip(facts(other)) {
            same(what, &one, &other)?;
        }
        let columns = |artefact: &Artefact| artefact.reference.columns.len().to_string();
        same("the features that are remembered", &columns(one), &columns(other))?;
        for (at, (one, other)) in one.reference.columns.iter().zip(&other.reference.columns).enumerate() {
            let usual =
                [(one.usual_stability, other.usual_stability), (one.usual_distance, other.usual_distance)];
            let quantiles = one.quantiles.iter().copied().zip(other.quantiles.iter().copied());
            for (a, b) in quantiles.chain(usual) {
                self.numbers(a, b, || format!("what is remembered of feature {}", at + 1))?;
            }
        }
        let inputs = &inputs.looking_at(FeatureSet::of(&one.features));
        let features = FeatureTable::compute(inputs);
        let scales = volatility::table(inputs, &features);
        for (one, other) in one.models.iter().zip(&other.models) {
            self.models(one, other, &features, &scales)
                .map_err(|what| format!("horizon {}: {what}", one.horizon))?;
        }
        Ok(())
    }

    fn models(
        &mut self,
        one: &HorizonModel,
        other: &HorizonModel,
        features: &FeatureTable,
        scales: &FeatureTable,
    ) -> Result<(), String> {
        same("the labels it learned from", &one.training_rows.to_string(), &other.training_rows.to_string())?;
        self.forecasts("the expected return", &one.fitted, &other.fitted, features)?;
        match (&one.volatility, &other.volatility) {
            (None, None) => {}
            (Some(one), Some(other)) => self.forecasts("the scale", one, other, scales)?,
            _ => return Err("only one of them has learned a scale".to_owned()),
        }
        let (one, other) = (&one.calibration, &other.calibration);
        same("the scale of calibration", &format!("{:?}", one.scale), &format!("{:?}", other.scale))?;
        same("the forecasts calibrated on", &one.rows.to_string(), &other.rows.to_string())?;
        for (place, (a, b)) in one.grid.iter().zip(&other.grid).enumerate() {
            self.numbers(*a, *b, || format!("quantile {} of 200 of the scores", place + 1))?;
        }
        same(
            "the instruments calibrated on",
            &format!("{:?}", one.instruments.keys()),
            &format!("{:?}", other.instruments.keys()),
        )?;
        for ((key, a), b) in one.instruments.iter().zip(other.instruments.values()) {
            self.numbers(*a, *b, || format!("the factor of {key}"))?;
        }
        Ok(())
    }

    /// What two models say of every row that can be forecast.
    fn forecasts(
        &mut self,
        what: &str,
        one: &Fitted,
        other: &Fitted,
        table: &FeatureTable,
    ) -> Result<(), String> {
        let mut values = Vec::new();
        for row in (0..table.len()).filter(|&row| table.usable(row)) {
            table.row(row, &mut values);
            let (key, session) = (table.key(row), table.sessions()[row]);
            let (a, b) = (one.predict_for(key, &values), other.predict_for(key, &values));
            self.numbers(a, b, || format!("{what} of {key} from {}", days::date(session)))?;
        }
        Ok(())
    }

    fn numbers(&mut self, one: f64, other: f64, what: impl Fn() -> String) -> Result<(), String> {
        if one.to_bits() == other.to_bits() {
            return Ok(());
        }
        let difference = (one - other).abs() / one.abs().max(1.0);
        self.largest = self.largest.max(difference);
        if difference <= TOLERANCE {
            Ok(())
        } else {
            Err(format!(
                "{} is {one:e} in the registered model and {other:e} in the one trained again",
                what()
            ))
        }
    }
}

fn horizons(artefact: &Artefact) -> Vec<usize> {
    artefact.models.iter().map(|model| model.horizon).collect()
}

fn same(what: &str, one: &str, other: &str) -> Result<(), String> {
    if one == other {
        return Ok(());
    }
    Err(format!("{what}: {one} in the registered model, {other} in the one trained again"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ops::ControlFlow;

    use super::*;
    use crate::models::{Choices, Family, Linear};
    use crate::{Panel, TrainingSpec, testing, train};

    fn trained(panel: &Panel) -> Artefact {
        trained_as(panel, Family::Ridge { alpha: 10.0 }, FeatureSet::Core)
    }

    fn trained_as(panel: &Panel, family: Family, features: FeatureSet) -> Artefact {
        let spec = TrainingSpec { family, features, horizons: vec![1], ..TrainingSpec::default() };
        let as_of = *panel.sessions().last().unwrap();
        train(&Inputs::of(panel), &spec, as_of, &mut |_| ControlFlow::Continue(())).unwrap().artefact
    }

    fn moved(artefact: &Artefact, by: f64) -> Artefact {
        let mut other = artefact.clone();
        let Fitted::Linear(Linear { intercept, .. }) = &mut other.models[0].fitted else {
            panic!("ridge is linear")
        };
        *intercept += by;
        other
    }

    #[test]
    fn a_version_is_compared_on_the_features_it_looks_at() {
        let panel = testing::panel(4, 900, 3);
        let trees = Choices { trees: 3, leaves: 4, smallest_leaf: 20, parts: 2, seed: 1, ..Choices::CHOSEN };
        for family in [Family::Ridge { alpha: 10.0 }, Family::Boosted(trees)] {
            let artefact = trained_as(&panel, family, FeatureSet::Wide);
            // Another calibration by a rounding: the bytes differ, and all that is computed from them has to be looked at.
            let mut other = artefact.clone();
            other.models[0].calibration.grid[100] += 1e-15;
            let found = compare(&artefact, &other, &Inputs::of(&panel));
            assert!(matches!(found, Agreement::Within { .. }), "{found:?}");
        }
        let artefact = trained_as(&panel, Family::Ridge { alpha: 10.0 }, FeatureSet::Wide);
        let mut other = artefact.clone();
        let Fitted::Linear(Linear { coefficient, .. }) = &mut other.models[0].fitted else {
            panic!("ridge is linear")
        };
        coefficient[49] += 1e-3;
        let found = compare(&artefact, &other, &Inputs::of(&panel));
        assert!(
            matches!(found, Agreement::Different { .. }),
            "the weight of the last feature counts: {found:?}"
        );
    }

    #[test]
    fn agreement_is_to_the_byte_or_to_the_tolerance_or_a_named_difference() {
        let panel = testing::panel(4, 900, 3);
        let (inputs, artefact) = (Inputs::of(&panel), trained(&panel));
        assert_eq!(compare(&artefact, &trained(&panel), &inputs), Agreement::SameBytes);
        let Agreement::Within { largest } = compare(&artefact, &moved(&artefact, 1e-14), &inputs) else {
            panic!("a hundredth of the tolerance is within it")
        };
        assert!(largest > 0.0 && largest <= TOLERANCE);
        let Agreement::Different { first } = compare(&artefact, &moved(&artefact, 1e-9), &inputs) else {
            panic!("a thousand times the tolerance is a difference")
        };
        assert!(first.starts_with("horizon 1: the expected return of I00 from 2014-"), "{first}");
        let other = Artefact { seed: 43, ..artefact.clone() };
        let words = "the seed: 42 in the registered model, 43 in the one trained again";
        assert_eq!(compare(&artefact, &other, &inputs), Agreement::Different { first: words.to_owned() });
    }
}

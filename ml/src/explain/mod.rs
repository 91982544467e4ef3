//! Why a forecast is what it is: what each feature added, which past rows looked alike and how they ended, and what the
//! session before would have said.
//!
//! **Contributions** start from what the model expects where nothing speaks for or against ([`Fitted::base`]) and sum up
//! to the expected log return: exactly for weighted sums, along the way through trees (Saabas 2014), along the straight
//! line from the mean for odds (Sundararajan et al. 2017). They say what the model did, not what moves a price.
//!
//! **Cases** (`cases.rs`) are rows that looked alike, whatever the model. They are no part of the forecast: they show
//! how widely it went after days like this one.
//!
//! Whatever is known later changes nothing: bars, news and labels after the session are cut off before anything is
//! computed.
//!
//! [`Fitted::base`]: crate::models::Fitted::base

mod cases;
mod words;

use chrono::NaiveDate;

use crate::artefact::{Artefact, HorizonModel};
use crate::features::{FeatureSet, FeatureTable, Inputs, Labels};
use crate::panel::Panel;
use crate::predict::{Abstention, Forecast, Outcome, PredictError, Predicted, forecast};

pub use cases::{CASE_LEVELS, Case, Cases};
pub use words::{Meaning, Unit, meaning};

/// Everything explanations of one artefact's forecasts of one session take, computed once for all instruments.
pub struct Explainer {
    artefact: Artefact,
    panel: Panel,
    table: FeatureTable,
    session: NaiveDate,
    forecasts: Vec<Forecast>,
    /// The session before, with what the same artefact says of it.
    before: Option<(NaiveDate, Vec<Forecast>)>,
    alike: Vec<cases::Alike>,
}

/// A forecast taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// What it is made of.
    pub reasons: Reasons,
    /// The same for the session before, by the same model; nothing where it would have abstained.
    pub before: Option<Reasons>,
    /// Past rows that looked alike.
    pub cases: Cases,
}

/// What a forecast is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Reasons {
    /// The session from whose close it is made.
    pub session: NaiveDate,
    /// The forecast.
    pub predicted: Predicted,
    /// What is expected where no feature speaks for or against (log return).
    pub base: f64,
    /// What each feature adds, in the artefact's order; with the base they sum up to what is expected.
    pub contributions: Vec<Contribution>,
}

/// What a feature adds to a forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The feature.
    pub feature: String,
    /// Its value, in its own unit ([`meaning`]).
    pub value: f64,
    /// How far that lies from the mean of the training rows, in their standard deviations.
    pub deviations: f64,
    /// By how much it moves what is expected (log return).
    pub amount: f64,
}

impl Explainer {
    /// Forecasts the session and the one before it, and looks at the past up to the session.
    ///
    /// # Errors
    /// When the artefact was made for other features.
    pub fn new(artefact: Artefact, inputs: &Inputs<'_>, session: NaiveDate) -> Result<Self, PredictError> {
        let known = inputs.looking_at(FeatureSet::of(&artefact.features)).known_at(session);
        let inputs = known.inputs();
        let panel = &known.panel;
        let forecasts = forecast(&artefact, &inputs, session)?;
        let earlier = panel.sessions().into_iter().rfind(|earlier| *earlier < session);
        let before = match earlier {
            Some(earlier) => Some((earlier, forecast(&artefact, &inputs, earlier)?)),
            None => None,
        };
        let table = FeatureTable::compute(&inputs);
        let alike = artefact
            .models
            .iter()
            .map(|model| cases::Alike::of(&table, Labels::new(panel, &table, model.horizon), session))
            .collect();
        Ok(Self { artefact, panel: known.panel, table, session, forecasts, before, alike })
    }

    /// What the artefact says of an instrument; nothing where it does not know the instrument or the horizon.
    pub fn outcome(&self, key: &str, horizon: usize) -> Option<&Outcome> {
        outcome_in(&self.forecasts, key, horizon)
    }

    /// The forecast of an instrument taken apart, with the `count` nearest past cases; the reason where it abstains,
    /// nothing where it does not know the instrument or the horizon.
    pub fn explain(
        &self,
        key: &str,
        horizon: usize,
        count: usize,
    ) -> Option<Result<Explanation, Abstention>> {
        let place = self.artefact.models.iter().position(|model| model.horizon == horizon)?;
        let predicted = match self.outcome(key, horizon)? {
            Outcome::Abstained(reason) => return Some(Err(reason.clone())),
            Outcome::Predicted(predicted) => *predicted,
        };
        let model = &self.artefact.models[place];
        let (row, values) = self.row(key, self.session)?;
        let before = self.before.as_ref().and_then(|(session, forecasts)| {
            let Outcome::Predicted(predicted) = outcome_in(forecasts, key, horizon)? else { return None };
            let (_, values) = self.row(key, *session)?;
            Some(self.reasons(model, key, *session, *predicted, &values))
        });
        Some(Ok(Explanation {
            reasons: self.reasons(model, key, self.session, predicted, &values),
            before,
            cases: self.alike[place].nearest(&self.table, row, count),
        }))
    }

    /// An instrument's row of a session and its features.
    fn row(&self, key: &str, session: NaiveDate) -> Option<(usize, Vec<f64>)> {
        let instrument = self.panel.position(key)?;
        let t = self.panel.series(instrument).session.binary_search(&crate::days::day(session)).ok()?;
        let row = self.panel.rows(instrument).start + t;
        let mut values = Vec::new();
        self.table.row(row, &mut values);
        Some((row, values))
    }

    fn reasons(
        &self,
        model: &HorizonModel,
        key: &str,
        session: NaiveDate,
        predicted: Predicted,
        values: &[f64],
    ) -> Reasons {
        let amounts = model.fitted.contributions(values);
        let contribution = |(feature, amount): (usize, f64)| Contribution {
            feature: self.artefact.features[feature].clone(),
            value: values[feature],
            deviations: self.artefact.distance(model, feature, values[feature]),
            amount,
        };
        Reasons {
            session,
            predicted,
            base: model.fitted.base(key),
            contributions: amounts.into_iter().enumerate().map(contribution).collect(),
        }
    }
}

fn outcome_in<'a>(forecasts: &'a [Forecast], key: &str, horizon: usize) -> Option<&'a Outcome> {
    let found = forecasts.iter().find(|forecast| forecast.horizon == horizon && forecast.key == key);
    found.map(|forecast| &forecast.outcome)
}

#[cfg(test)]
mod tests;

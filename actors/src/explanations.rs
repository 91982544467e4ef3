//! Explanations: a published prediction is made again, from the artefact of its version and the data its event names,
//! held against what was published, and taken apart.
//!
//! It is no actor: somebody asks, and nothing is written. Making a session again costs as much as a round, so what was
//! made for one prediction is kept for the others of its session, one is made at a time, and only so many may wait.

use std::sync::{Arc, Mutex, PoisonError};

use almanac_domain::prediction as domain;
use almanac_domain::values::{Digest, Session};
use almanac_ml::explain::{Explainer, Explanation};
use almanac_ml::features::SENTIMENT;
use almanac_ml::{Abstention, Artefact, Inputs, Outcome};
use almanac_projections::models;
use almanac_projections::predictions::Prediction;
use almanac_store::StoreError;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::forecaster::{abstention, in_decimals};
use crate::market::Market;
use crate::parts::Parts;
use crate::trade::TradeError;

/// Sessions that are kept; one of 500 instruments over five years holds some 150 MB.
const KEPT: usize = 2;
/// How many may wait for theirs at the same time.
const ROOM: usize = 16;
/// Past cases that are looked up.
const CASES: usize = 50;
/// The last decimal place of what is published: rounding may move it where a number differs by far less.
const LAST_PLACE: Decimal = Decimal::from_parts(1, 0, 0, false, 10);

/// Makes explanations, and keeps what several of them share.
pub struct Explanations {
    kept: Mutex<Vec<(Grounds, Arc<Explainer>)>>,
    making: tokio::sync::Mutex<()>,
    room: Semaphore,
}

/// What the predictions of one version for one session stand on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Grounds {
    artefact: String,
    dataset: Digest,
    session: NaiveDate,
}

/// A prediction made again and taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// Whether the numbers are those that were published.
    pub rebuilt: Rebuilt,
    /// The digest of the artefact that made it.
    pub artefact: String,
    /// What it is made of, or why it was abstained from.
    pub outcome: Result<Explanation, Unsaid>,
}

/// Why there was nothing to take apart.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unsaid {
    /// The version itself abstains.
    #[error(transparent)]
    Abstained(#[from] Abstention),
    /// The version was too old to be asked.
    #[error("the version learnt from data up to {trained_through}, too long ago to speak of the session")]
    Expired {
        /// The last session it learnt from.
        trained_through: Session,
    },
}

/// Whether a prediction that was made again is the one that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuilt {
    /// Every number, to the last digit.
    Same,
    /// Every number but for the last digit of some, as on another kind of processor.
    Rounding,
    /// Something else came out.
    Differs,
}

/// Why there is no explanation.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// Too many wait already.
    #[error("too many explanations are being made just now")]
    Busy,
    /// The version that made it does not know the instrument or the horizon on these data.
    #[error("the version no longer says anything of this slot")]
    NothingSaid,
    /// Ours.
    #[error(transparent)]
    Trade(#[from] TradeError),
}

impl Default for Explanations {
    fn default() -> Self {
        Self { kept: Mutex::default(), making: tokio::sync::Mutex::default(), room: Semaphore::new(ROOM) }
    }
}

impl Explanations {
    /// Makes a prediction again and takes it apart.
    ///
    /// # Errors
    /// When too many ask, or what it stands on is missing or is not what was registered.
    pub async fn of(&self, parts: &Parts, prediction: &Prediction) -> Result<Explained, ExplainError> {
        let _room = self.room.try_acquire().map_err(|_| ExplainError::Busy)?;
        let version = models::version(parts.database.pool(), &prediction.model, prediction.version).await;
        let version = version.map_err(TradeError::from)?.ok_or(ExplainError::NothingSaid)?;
        let trained_through = version.trained_through;
        if abstained(prediction, domain::Abstention::ExpiredModel)
            && parts.is_expired(trained_through, prediction.as_of)
        {
            let outcome = Err(Unsaid::Expired { trained_through });
            return Ok(Explained {
                rebuilt: Rebuilt::Same,
                artefact: version.artefact.sha256.to_string(),
                outcome,
            });
        }
        let grounds = Grounds {
            artefact: version.artefact.sha256.to_string(),
            dataset: prediction.dataset.clone(),
            session: prediction.as_of,
        };
        let explainer = self.explainer(parts, prediction, &grounds, &version.artefact.key).await?;
        let (key, horizon) = (prediction.instrument.id.to_string(), prediction.horizon.sessions() as usize);
        let work = tokio::task::spawn_blocking(move || explainer.explain(&key, horizon, CASES));
        let reasons = work.await.map_err(TradeError::broken("could not explain a prediction"))?;
        let outcome = reasons.ok_or(ExplainError::NothingSaid)?;
        let rebuilt = match &outcome {
            Ok(explanation) => compare(prediction, &Outcome::Predicted(explanation.reasons.predicted)),
            Err(reason) => compare(prediction, &Outcome::Abstained(reason.clone())),
        };
        Ok(Explained { rebuilt, artefact: grounds.artefact, outcome: outcome.map_err(Unsaid::Abstained) })
    }

    async fn explainer(
        &self,
        parts: &Parts,
        prediction: &Prediction,
        grounds: &Grounds,
        artefact: &str,
    ) -> Result<Arc<Explainer>, TradeError> {
        if let Some(kept) = self.find(grounds) {
            return Ok(kept);
        }
        let _one_at_a_time = self.making.lock().await;
        if let Some(kept) = self.find(grounds) {
            return Ok(kept);
        }
        let bytes = parts.objects.get(artefact).await.map_err(StoreError::from)?;
        let artefact = Artefact::open(&bytes, &grounds.artefact)
            .map_err(TradeError::broken("the artefact of a version cannot be used"))?;
        let market = if prediction.mode == parts.settings.mode {
            Arc::clone(&parts.market)
        } else {
            Arc::new(Market::new(&parts.database, &parts.objects, prediction.mode))
        };
        let view = market.view_of(&grounds.dataset, grounds.session).await?;
        let reads_news = artefact.features.iter().any(|name| name == SENTIMENT);
        let news = if reads_news { Some(parts.news.sentiment().await?) } else { None };
        let session = grounds.session;
        let made = tokio::task::spawn_blocking(move || {
            let panel = view.panel(session);
            Explainer::new(artefact, &Inputs::new(&panel, news.as_deref()), session)
        });
        let made = made.await.map_err(TradeError::broken("could not make a session again"))?;
        let made = Arc::new(made.map_err(TradeError::broken("the artefact does not fit this program"))?);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT - 1);
        kept.insert(0, (grounds.clone(), Arc::clone(&made)));
        Ok(made)
    }

    fn find(&self, grounds: &Grounds) -> Option<Arc<Explainer>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(of, _)| of == grounds)?;
        // What was asked for last stays longest.
        kept[..=place].rotate_right(1);
        Some(Arc::clone(&kept[0].1))
    }
}

/// Holds what came out now against what was published.
fn compare(prediction: &Prediction, outcome: &Outcome) -> Rebuilt {
    let abstained = |why| if abstained(prediction, why) { Rebuilt::Same } else { Rebuilt::Differs };
    match (outcome, &prediction.forecast) {
        (Outcome::Abstained(reason), None) => abstained(abstention(reason)),
        (Outcome::Abstained(_), Some(_)) => Rebuilt::Differs,
        (Outcome::Predicted(predicted), published) => match (in_decimals(predicted, 0.0), published) {
            (Err(_), None) => abstained(domain::Abstention::NotFinite),
            (Err(_), Some(_)) | (Ok(_), None) => Rebuilt::Differs,
            (Ok(mut made), Some(published)) => {
                // What was published before these numbers were says nothing of them.
                if published.volatility.is_none() {
                    (made.volatility, made.fifths) = (None, None);
                }
                let (made, published) = (numbers(&made), numbers(published));
                if made.len() != published.len() {
                    return Rebuilt::Differs;
                }
                let apart = made.iter().zip(&published).map(|(made, published)| (made - published).abs());
                match apart.max() {
                    Some(apart) if apart > LAST_PLACE => Rebuilt::Differs,
                    Some(apart) if !apart.is_zero() => Rebuilt::Rounding,
                    Some(_) | None => Rebuilt::Same,
                }
            }
        },
    }
}

/// Whether a prediction was abstained from for this reason.
fn abstained(prediction: &Prediction, why: domain::Abstention) -> bool {
    let word = serde_json::to_value(why).ok();
    word.as_ref().and_then(Value::as_str).is_some_and(|word| Some(word) == prediction.abstention.as_deref())
}

/// Every number that the version itself says, in the order of their names; the drift beside it is the data's.
fn numbers(forecast: &impl Serialize) -> Vec<Decimal> {
    fn collect(value: &Value, into: &mut Vec<Decimal>) {
        match value {
            Value::String(number) => into.extend(number.parse::<Decimal>()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().filter(|(name, _)| *name != "drift").collect();
                fields.sort_unstable_by_key(|(name, _)| name.as_str());
                for (_, value) in fields {
                    collect(value, into);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::to_value(forecast) {
        collect(&value, &mut found);
    }
    found
}

//! A walk-forward evaluation on the command line: everything a training does, and nothing is written down.

use almanac_domain::model::EvaluationMeasure;
use almanac_domain::training_run::TrainingPlan;
use almanac_domain::values::{Digest, Session};
use serde::Serialize;
use serde_json::{Value, json};

use super::job::learn;
use super::watched::watched;
use super::{Watch, measures};
use crate::parts::Parts;
use crate::trade::TradeError;

/// How a plan would have done on the data at hand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluateReport {
    /// What was learnt.
    pub plan: TrainingPlan,
    /// The last session of the data.
    pub as_of: Session,
    /// The digest of the manifest of the data.
    pub dataset: Digest,
    /// Bars in the data.
    pub rows: u64,
    /// Instruments in the data.
    pub instruments: u64,
    /// The measures that are shown first.
    pub measures: Vec<EvaluationMeasure>,
    /// Whether it is better than its baselines, in words, for each horizon in order.
    pub verdicts: Vec<String>,
    /// The whole, as it is stored beside a version: `{"evaluation": …, "leak_report": …}`.
    pub full: Value,
}

/// Why nothing was evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// There are no bars.
    #[error("there are no bars to learn from: ingest some first")]
    NoBars,
    /// The plan or the data are not enough.
    #[error(transparent)]
    Train(#[from] almanac_ml::TrainError),
    /// Ours.
    #[error(transparent)]
    Trade(#[from] TradeError),
}

/// Trains by a plan, walking forward through all data at hand, and throws the model away.
///
/// # Errors
/// When there is nothing to learn from, or the training fails.
pub async fn evaluate_now(
    parts: &Parts,
    plan: TrainingPlan,
    progress: &mut (dyn FnMut(almanac_ml::Progress) + Send),
) -> Result<EvaluateReport, EvaluateError> {
    let view = parts.market.view().await?;
    let as_of = view.last_session().ok_or(EvaluateError::NoBars)?;
    let (panel, dataset) = (view.panel(as_of), view.dataset());
    let (rows, instruments) = (panel.len() as u64, panel.keys().len() as u64);
    let news = if plan.sentiment { Some(parts.news.sentiment().await?) } else { None };
    let asked = plan.clone();
    let work = move |watch: &Watch| learn(&panel, news.as_deref(), &asked, as_of, watch);
    let trained = watched(work, progress).await??;
    Ok(EvaluateReport {
        measures: measures::shown(&trained),
        verdicts: measures::verdicts(&trained),
        full: json!({ "evaluation": trained.evaluation, "leak_report": trained.leak_report }),
        plan,
        as_of,
        dataset,
        rows,
        instruments,
    })
}

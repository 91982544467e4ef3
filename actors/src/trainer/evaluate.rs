//! A walk-forward evaluation on the command line: everything a training does, and nothing is written down.

use std::sync::Arc;
use std::time::Duration;

use almanac_domain::model::EvaluationMeasure;
use almanac_domain::training_run::TrainingPlan;
use almanac_domain::values::{Digest, Session};
use serde::Serialize;
use serde_json::{Value, json};

use super::job::learn;
use super::{Watch, measures};
use crate::parts::Parts;
use crate::trade::TradeError;

/// How often it is looked how far it has come.
const LOOK: Duration = Duration::from_millis(100);

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
    let watch = Arc::<Watch>::default();
    let mut work = {
        let (plan, watch) = (plan.clone(), Arc::clone(&watch));
        tokio::task::spawn_blocking(move || learn(&panel, news.as_deref(), &plan, as_of, &watch))
    };
    let mut told = None;
    let trained = loop {
        let done = tokio::time::timeout(LOOK, &mut work).await;
        let now = watch.now();
        if now != told {
            told = now;
            now.into_iter().for_each(&mut *progress);
        }
        if let Ok(done) = done {
            break done.map_err(TradeError::broken("could not evaluate"))??;
        }
    };
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

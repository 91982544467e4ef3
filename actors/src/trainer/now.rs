//! A training on the command line: the same steps as the actor's, one after the other.

use std::time::Instant;

use almanac_domain::training_run::{TrainingPlan, TrainingReason};
use almanac_domain::values::Session;
use serde::Serialize;
use uuid::Uuid;

use super::job::{Ended, Job, TakenUp, Wanted};
use super::schedule::request;
use super::watched::Steps;
use super::{LOOK_AGAIN, fail, gate, measures, registration, see};
use crate::parts::Parts;
use crate::trade::TradeError;

/// What a training on the command line has made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrainReport {
    /// The run.
    pub run: Uuid,
    /// The number of the version.
    pub version: u32,
    /// Whether the gate made it champion.
    pub promoted: bool,
    /// The last session of its data.
    pub as_of: Session,
    /// Bars in its data.
    pub rows: u64,
    /// Instruments in its data.
    pub instruments: u64,
    /// Whether it is better than its baselines, in words, for each horizon in order.
    pub verdicts: Vec<String>,
    /// SHA-256 of the artefact.
    pub artefact: String,
}

/// Why a training on the command line made nothing.
#[derive(Debug, thiserror::Error)]
pub enum TrainNowError {
    /// There are no bars.
    #[error("there are no bars to learn from: ingest some first")]
    NoBars,
    /// Another process is training; it takes up what was asked for here.
    #[error("another process is training: the request is recorded, and that process takes it up")]
    Busy,
    /// It was tried and failed; the reason is recorded.
    #[error("{detail}")]
    Failed {
        /// A stable word.
        reason: String,
        /// A sentence.
        detail: String,
    },
    /// Ours.
    #[error(transparent)]
    Trade(#[from] TradeError),
}

/// Trains a version now, as the actor would, and lets the gate decide. The tables must be level with the log, and kept
/// so while it runs.
///
/// # Errors
/// When there is nothing to learn from, the training fails, or another process is at it.
pub async fn train_now(
    parts: &Parts,
    plan: TrainingPlan,
    progress: &mut (dyn FnMut(almanac_ml::Progress) + Send),
) -> Result<TrainReport, TrainNowError> {
    if parts.market.view().await?.last_session().is_none() {
        return Err(TrainNowError::NoBars);
    }
    let run = parts.entropy.uuid_v7(parts.clock.now());
    let event = request(parts, run, (TrainingReason::Manual, vec![]), plan.clone(), None).await?;
    see(parts, event.as_ref()).await?;
    let asked = Instant::now();
    let mut job = loop {
        let wanted = Wanted { run, model: parts.settings.model.clone(), plan: plan.clone(), import: None };
        match Job::begin(parts, wanted).await? {
            TakenUp::Begun(job) => break job,
            // That a trainer was killed shows when its lease has rested for as long as it lasts.
            TakenUp::Elsewhere if asked.elapsed() <= parts.settings.training.lease => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            TakenUp::Elsewhere | TakenUp::Ended(_) | TakenUp::Nothing => return Err(TrainNowError::Busy),
        }
    };
    let mut steps = Steps::new(progress);
    let ended = loop {
        let ended = job.look_after(parts).await?;
        steps.tell(job.progress());
        if let Some(ended) = ended {
            break ended;
        }
    };
    let outcome = match ended {
        Ended::Trained(trained) => {
            let verdicts = measures::verdicts(&trained);
            match registration::register(parts, &job, *trained).await? {
                Some(done) => {
                    see(parts, done.last.as_ref()).await?;
                    Ok(TrainReport {
                        run,
                        version: done.version,
                        promoted: gate::decide(parts).await?,
                        as_of: job.as_of(),
                        rows: job.rows(),
                        instruments: job.instruments(),
                        verdicts,
                        artefact: done.artefact,
                    })
                }
                None => Err(cancelled()),
            }
        }
        Ended::Failed { reason, detail } => {
            fail(parts, run, &reason, &detail).await?;
            Err(TrainNowError::Failed { reason, detail })
        }
        Ended::BrokenOff => Err(cancelled()),
    };
    job.release(parts).await?;
    outcome
}

fn cancelled() -> TrainNowError {
    TrainNowError::Failed { reason: "cancelled".into(), detail: "the training was cancelled".into() }
}

//! When a run is asked for without a person: the first, and one after so many sessions since the last.

use almanac_domain::ids;
use almanac_domain::training_run::{
    TrainingPlan, TrainingReason, TrainingRequested, TrainingRun, TrainingRunCommand, TrainingRunRefusal,
};
use almanac_domain::values::Session;
use almanac_projections::{ingestions, training_runs};
use almanac_store::log::{CommandError, EventKey, Issued};
use chrono::TimeDelta;
use uuid::Uuid;

use crate::parts::Parts;
use crate::trade::TradeError;

/// Asks for a run when one is due by the data.
pub(super) async fn request_due(parts: &Parts) -> Result<Option<EventKey>, TradeError> {
    let (pool, settings) = (parts.database.pool(), &parts.settings);
    let Some(last) = ingestions::last_bars_session(pool, settings.mode).await? else { return Ok(None) };
    let (reason, first, needed) = if let Some(run) = training_runs::last_of(pool, &settings.model).await? {
        if run.ended_at.is_none() {
            return Ok(None);
        }
        let since: Session = run.as_of.unwrap_or_else(|| run.requested_at.date_naive());
        (TrainingReason::Schedule, since + TimeDelta::days(1), settings.training.retrain_every as usize)
    } else {
        let batches = ingestions::bar_batches(pool, settings.mode, i64::MAX).await?;
        let first = batches.iter().map(|batch| batch.first_session).min().unwrap_or(last);
        (TrainingReason::FirstVersion, first, settings.training.least_sessions)
    };
    if parts.calendar().sessions(first, last).count() < needed {
        return Ok(None);
    }
    let run = ids::reaction("training run", &format!("{} {last}", settings.model));
    let plan = settings.training.plan();
    request(parts, run, reason, plan).await
}

/// Asks for a run; that it was asked for before is as good.
pub(super) async fn request(
    parts: &Parts,
    run: Uuid,
    reason: TrainingReason,
    plan: TrainingPlan,
) -> Result<Option<EventKey>, TradeError> {
    let model = parts.settings.model.clone();
    let request = TrainingRequested { model, reason, plan, requested_by: None };
    let issued = Issued::new(run);
    let command = TrainingRunCommand::RequestTraining(request);
    match parts.bus.execute::<TrainingRun>(&run.to_string(), command, &issued).await {
        Ok(committed) => Ok(committed.last().cloned()),
        Err(CommandError::Refused(TrainingRunRefusal::AlreadyRequested)) => Ok(None),
        Err(CommandError::Broken(error)) => Err(error.into()),
        Err(error) => Err(TradeError::broken("could not ask for a training")(error)),
    }
}

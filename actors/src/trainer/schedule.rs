//! When a run is asked for without a person: the first, one after so many sessions since the last, and one between when
//! what is published says so (`watch.rs`).

use almanac_domain::ids;
use almanac_domain::training_run::{
    TrainingFigure, TrainingPlan, TrainingReason, TrainingRequested, TrainingRun, TrainingRunCommand,
    TrainingRunRefusal,
};
use almanac_domain::values::Session;
use almanac_projections::{ingestions, training_runs};
use almanac_store::log::{Cause, CommandError, EventKey, Issued, LogReader};
use chrono::TimeDelta;
use uuid::Uuid;

use super::watch;
use crate::parts::Parts;
use crate::trade::TradeError;

/// Asks for a run when one is due by the data. `watched` is the session that what is published was looked at for: it is
/// looked at once a session.
pub(super) async fn request_due(
    parts: &Parts,
    watched: &mut Option<Session>,
) -> Result<Option<EventKey>, TradeError> {
    let (pool, settings) = (parts.database.pool(), &parts.settings);
    let Some(last) = ingestions::last_bars_session(pool, settings.mode).await? else { return Ok(None) };
    let training = &settings.training;
    let why = if let Some(run) = training_runs::last_of(pool, &settings.model).await? {
        if run.ended_at.is_none() {
            return Ok(None);
        }
        let since: Session = run.as_of.unwrap_or_else(|| run.requested_at.date_naive());
        let since = sessions(parts, since + TimeDelta::days(1), last);
        if training.retrain_every > 0 && since >= training.retrain_every as usize {
            Some((TrainingReason::Schedule, vec![]))
        } else if since >= training.watch.pause as usize && watched.replace(last) != Some(last) {
            watch::due(parts, last).await?
        } else {
            None
        }
    } else {
        let batches = ingestions::bar_batches(pool, settings.mode, i64::MAX).await?;
        let first = batches.iter().map(|batch| batch.first_session).min().unwrap_or(last);
        let is_enough = sessions(parts, first, last) >= training.least_sessions;
        is_enough.then(|| (TrainingReason::FirstVersion, vec![]))
    };
    let Some((reason, figures)) = why else { return Ok(None) };
    let run = ids::reaction("training run", &format!("{} {last}", settings.model));
    let plan = settings.training.plan();
    let cause = match ingestions::bar_batches(pool, settings.mode, i64::MAX).await?.last() {
        Some(batch) => LogReader::new(&parts.database).at_ordinal(batch.ordinal).await?,
        None => None,
    };
    request(parts, run, (reason, figures), plan, cause.as_ref().map(Cause::from)).await
}

/// The sessions from `first` to `last`.
fn sessions(parts: &Parts, first: Session, last: Session) -> usize {
    if last < first { 0 } else { parts.calendar().sessions(first, last).count() }
}

/// Asks for a run; that it was asked for before is as good.
pub(super) async fn request(
    parts: &Parts,
    run: Uuid,
    (reason, figures): (TrainingReason, Vec<TrainingFigure>),
    plan: TrainingPlan,
    cause: Option<Cause>,
) -> Result<Option<EventKey>, TradeError> {
    let model = parts.settings.model.clone();
    let request = TrainingRequested { model, reason, figures, plan, import: None, requested_by: None };
    let issued = Issued::new(run).caused_by_any(cause);
    let command = TrainingRunCommand::RequestTraining(request);
    match parts.bus.execute::<TrainingRun>(&run.to_string(), command, &issued).await {
        Ok(committed) => Ok(committed.last().cloned()),
        Err(CommandError::Refused(TrainingRunRefusal::AlreadyRequested)) => Ok(None),
        Err(CommandError::Broken(error)) => Err(error.into()),
        Err(error) => Err(TradeError::broken("could not ask for a training")(error)),
    }
}

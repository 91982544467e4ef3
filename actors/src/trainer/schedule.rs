//! When a run is asked for without a person: the first, one after so many sessions since the last, and one between when
//! what is published says so (`watch.rs`).

use almanac_domain::calendar::Calendar;
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
use crate::settings::TrainingSettings;
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
        let since = sessions_after(parts.calendar(), since, last);
        match turn(training, since) {
            Turn::Schedule => Some((TrainingReason::Schedule, vec![])),
            Turn::Watch if watched.replace(last) != Some(last) => watch::due(parts, last).await?,
            Turn::Watch | Turn::Pause => None,
        }
    } else {
        let batches = ingestions::bar_batches(pool, settings.mode, i64::MAX).await?;
        let first = batches.iter().map(|batch| batch.first_session).min().unwrap_or(last);
        let is_enough = parts.calendar().sessions(first, last).count() >= training.least_sessions;
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

/// Whose turn it is so many sessions after the data of the last run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// A run is due whatever has been published.
    Schedule,
    /// One is due if what has been published says so.
    Watch,
    /// None is.
    Pause,
}

fn turn(training: &TrainingSettings, since: u32) -> Turn {
    if training.retrain_every > 0 && since >= training.retrain_every {
        Turn::Schedule
    } else if since >= training.watch.pause {
        Turn::Watch
    } else {
        Turn::Pause
    }
}

/// How many sessions there are after `session`, up to `last`.
pub(super) fn sessions_after(calendar: Calendar, session: Session, last: Session) -> u32 {
    calendar.sessions(session + TimeDelta::days(1), last).count() as u32
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::WatchSettings;

    #[test]
    fn the_schedule_comes_before_what_is_published_and_nothing_before_the_pause() {
        let watch = WatchSettings { pause: 10, ..WatchSettings::default() };
        let training = TrainingSettings { retrain_every: 21, watch, ..TrainingSettings::default() };
        for (since, whose) in [(9, Turn::Pause), (10, Turn::Watch), (20, Turn::Watch), (21, Turn::Schedule)] {
            assert_eq!(turn(&training, since), whose, "{since}");
        }
        let unscheduled = TrainingSettings { retrain_every: 0, ..training };
        assert_eq!(turn(&unscheduled, 500), Turn::Watch);
    }

    #[test]
    fn sessions_are_counted_after_the_one_that_data_ended_with() {
        let day = |text: &str| text.parse().unwrap();
        let count = |last| sessions_after(Calendar::UnitedStates, day("2024-01-05"), day(last));
        // A Friday; the weekend has none, and the fifteenth is a holiday.
        let counted = ["2024-01-04", "2024-01-05", "2024-01-07", "2024-01-08", "2024-01-16"].map(count);
        assert_eq!(counted, [0, 0, 0, 1, 6]);
    }
}

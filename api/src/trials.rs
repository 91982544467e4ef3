//! `/models/{name}/trials`: challengers beside the champion, by rules fixed beforehand, and what came of them.

use actix_web::{get, web};
use almanac_actors::umpire::{self, SessionLoss};
use almanac_domain::trial;
use almanac_domain::values::{Measure, ModelName};
use almanac_projections::moment::{Known, Moment};
use almanac_projections::predictions::NAME as PREDICTIONS;
use almanac_projections::trials::{self, NAME as TRIALS, PairedSession, Trial, TrialPoint, TrialState};
use almanac_projections::{ingestions, models};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::models::{name, no_such_model};
use crate::problem::{Kind, Problem};
use crate::reads::AsOfQuery;
use crate::state::State;

/// A place in the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct KnownAt {
    /// The place this answer stands for: nothing later has a part in it.
    pub ordinal: i64,
    /// The time of that place; null before the first event.
    pub as_of: Option<DateTime<Utc>>,
}

/// One trial as known at a place in the log, session by session.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrialAsKnown {
    /// The place in the log this answer stands for.
    pub known_at: KnownAt,
    /// The trial.
    #[serde(flatten)]
    pub trial: Trial,
    /// The sessions that could be compared, oldest first.
    pub points: Vec<TrialPoint>,
}

fn no_such_trial() -> Problem {
    Problem::with(Kind::Absent, "there is no such trial")
}

/// The trials of a model, newest first.
#[utoipa::path(
    tag = "models",
    params(AsOfQuery),
    responses((status = 200, description = "The trials as known then", body = Known<Trial>))
)]
#[get("/models/{name}/trials")]
pub async fn list_trials(
    state: web::Data<State>,
    path: web::Path<String>,
    as_of: web::Query<AsOfQuery>,
) -> Result<web::Json<Known<Trial>>, Problem> {
    let name = name(&path)?;
    let moment = moment(&state, &as_of).await?;
    let pool = state.parts.database.pool();
    if models::find(pool, &name, moment.ordinal).await?.is_none() {
        return Err(no_such_model());
    }
    let mut items = trials::list(pool, &name, moment.ordinal).await?;
    for trial in items.iter_mut().filter(|trial| trial.figures.is_none()) {
        let sessions = trials::sessions(pool, trial.id, trial.champion, moment.ordinal).await?;
        add_progress(&state, trial, &sessions).await?;
    }
    Ok(web::Json(Known::of(moment, items)))
}

/// One trial with the losses of both sides, session by session.
#[utoipa::path(
    tag = "models",
    params(AsOfQuery),
    responses((status = 200, description = "The trial as known then", body = TrialAsKnown))
)]
#[get("/models/{name}/trials/{id}")]
pub async fn get_trial(
    state: web::Data<State>,
    path: web::Path<(String, Uuid)>,
    as_of: web::Query<AsOfQuery>,
) -> Result<web::Json<TrialAsKnown>, Problem> {
    let (model, id) = path.into_inner();
    let moment = moment(&state, &as_of).await?;
    let mut trial = find(&state, &name(&model)?, id, moment.ordinal).await?;
    let pool = state.parts.database.pool();
    let sessions = trials::sessions(pool, id, trial.champion, moment.ordinal).await?;
    if trial.figures.is_none() {
        add_progress(&state, &mut trial, &sessions).await?;
    }
    let losses = umpire::losses(&rule_of(&trial), &sessions);
    let counted = trial.rule.decide_after as usize;
    let points = losses.iter().enumerate().filter_map(|(place, loss)| point(loss, place < counted)).collect();
    let known_at = KnownAt { ordinal: moment.ordinal, as_of: moment.as_of };
    Ok(web::Json(TrialAsKnown { known_at, trial, points }))
}

async fn moment(state: &State, as_of: &AsOfQuery) -> Result<Moment, Problem> {
    let moment = state.moment(as_of, TRIALS).await?;
    // Both tables have to have come as far as the answer says.
    state.moment(as_of, PREDICTIONS).await?;
    Ok(moment)
}

/// One trial of a model.
async fn find(state: &State, name: &ModelName, id: Uuid, as_of: i64) -> Result<Trial, Problem> {
    let found = trials::find(state.parts.database.pool(), name, id, as_of).await?;
    found.ok_or_else(no_such_trial)
}

fn rule_of(trial: &Trial) -> trial::TrialRule {
    let rule = trial.rule.clone();
    trial::TrialRule {
        loss: rule.loss,
        test: rule.test,
        horizons: rule.horizons,
        decide_after: rule.decide_after,
        latest: rule.latest,
        significance: rule.significance,
        dry_run: rule.dry_run,
    }
}

/// How far a trial has come that was not decided on evidence, and, while it is open, what it shows so far: it is decided on
/// at its time and not before.
async fn add_progress(state: &State, trial: &mut Trial, sessions: &[PairedSession]) -> Result<(), Problem> {
    let parts = &state.parts;
    let last = match trial.decided_at {
        Some(at) => Some(parts.calendar().last_closed(at)),
        None => ingestions::last_bars_session(parts.database.pool(), parts.settings.mode).await?,
    };
    let Some(last) = last else { return Ok(()) };
    let so_far = umpire::so_far(parts, &rule_of(trial), trial.opened_at, sessions, last);
    trial.progress.sessions = so_far.sessions;
    trial.progress.paired_sessions = so_far.paired_sessions;
    if trial.state == TrialState::Open {
        trial.figures = Some(so_far.into());
    }
    Ok(())
}

/// None where a loss is no finite number, which scores rule out.
fn point(loss: &SessionLoss, counted: bool) -> Option<TrialPoint> {
    Some(TrialPoint {
        session: loss.session,
        pairs: loss.pairs,
        loss_champion: Measure::from_f64(loss.champion).ok()?,
        loss_challenger: Measure::from_f64(loss.challenger).ok()?,
        difference: Measure::from_f64(loss.challenger - loss.champion).ok()?,
        counted,
    })
}

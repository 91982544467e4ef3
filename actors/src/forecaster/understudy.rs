//! The Understudy: fills the slots of complete rounds in shadow, by the challenger of an open trial.
//!
//! 1. What is due is every complete round that the trial's champion opened after the trial, oldest first, with slots the
//!    challenger has not filled. In live mode a round whose next session has opened is over.
//! 2. The challenger stands on the data the round stood on, and fills or abstains from each slot at the rule's horizons.
//!    Every id follows from the slot and the trial: cut off anywhere, what was written counts as done.
//! 3. Nothing of it is published: the role stands in the event, and whoever shows, mails or calls leaves it out. The
//!    Scorer measures it by the same rule as what is published.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use almanac_domain::ids;
use almanac_domain::prediction::{Abstention, PredictionAbstained, PredictionCommand, Role, Slot};
use almanac_domain::values::{Mode, Session};
use almanac_ml::Outcome;
use almanac_projections::predictions::rounds::{self, Round};
use almanac_projections::predictions::{self, OpenSlot};
use almanac_projections::trials::{self, OpenTrial};
use almanac_projections::{ingestions, instruments, models};
use almanac_store::log::{EventKey, LogReader, Until, wait_for};
use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::wisdom::Library;
use super::{SEEING, publication};
use crate::market::View;
use crate::parts::Parts;
use crate::trade::{Progress, Trade, TradeError};

/// Fills slots in shadow.
pub struct Understudy {
    parts: Parts,
    library: Library,
    last: Mutex<Option<Shadow>>,
}

/// The round that was filled last.
#[derive(Debug, Clone, Copy, Serialize)]
struct Shadow {
    trial: Uuid,
    session: Session,
    filled: u64,
    abstained: u64,
}

impl Understudy {
    /// An understudy that has opened no artefact yet.
    pub fn new(parts: &Parts) -> Self {
        Self { parts: parts.clone(), library: Library::default(), last: Mutex::new(None) }
    }

    fn last(&self) -> Option<Shadow> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Trade for Understudy {
    fn name(&self) -> &'static str {
        "understudy"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[ingestions::NAME, instruments::NAME, models::NAME, predictions::NAME, trials::NAME]
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let Some(trial) = trials::open(self.parts.database.pool(), &self.parts.settings.model).await? else {
            return Ok(Progress::Idle);
        };
        // What was filled before this process began is looked through once.
        let seen = self.last().filter(|last| last.trial == trial.id).map(|last| last.session);
        let Some((round, slots)) = due(&self.parts, &trial, seen).await? else { return Ok(Progress::Idle) };
        let session = round.session;
        let (filled, abstained) = self.fill(&trial, &round, slots).await?;
        let shadow = Shadow { trial: trial.id, session, filled, abstained };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(shadow);
        Ok(Progress::More)
    }

    fn observe(&self) -> Value {
        json!({ "last_shadow": self.last() })
    }
}

impl Understudy {
    async fn fill(
        &self,
        trial: &OpenTrial,
        round: &Round,
        slots: Vec<OpenSlot>,
    ) -> Result<(u64, u64), TradeError> {
        let parts = &self.parts;
        let challenger = models::on_trial(parts.database.pool(), &trial.model, trial.ordinal).await?;
        let Some(challenger) = challenger else {
            return Err(TradeError::Held(format!("version {} is not in the tables", trial.version)));
        };
        let view = view_of(parts, round).await?;
        let dataset = view.dataset();
        let wisdom = self.library.of(parts, &challenger, &view).await?;
        let forecasts = publication::forecasts(parts, &wisdom, view, round.session).await?;
        let outcomes: HashMap<(&str, usize), &Outcome> =
            forecasts.iter().map(|made| ((made.key.as_str(), made.horizon), &made.outcome)).collect();
        let is_expired = parts.is_expired(challenger.trained_through, round.session);
        let calendar = parts.calendar();
        let role = Role::Trial { trial: trial.id };
        let commands: Vec<(String, PredictionCommand)> = slots
            .into_iter()
            .map(|open| {
                let OpenSlot { instrument, horizon, target, target_closes_at } = open;
                let slot = Slot {
                    model: trial.model.clone(),
                    version: trial.version,
                    model_sequence: challenger.sequence,
                    role,
                    round: round.id,
                    instrument,
                    as_of: round.session,
                    horizon,
                    target,
                    target_closes_at,
                    next_opens_at: calendar.opens_at(calendar.next(round.session)),
                    mode: round.mode,
                    dataset: dataset.clone(),
                };
                let key = instrument.to_string();
                let id = ids::prediction(&trial.model, instrument, round.session, horizon, role);
                let command = match outcomes.get(&(key.as_str(), horizon.sessions() as usize)) {
                    Some(outcome) => publication::fill(parts, slot, outcome, &wisdom, is_expired),
                    // A slot of which the challenger knows nothing is left empty, so that the round has an end.
                    None => PredictionCommand::Abstain(Box::new(PredictionAbstained {
                        slot,
                        reason: Abstention::TooLittleHistory,
                        abstained_at: parts.clock.now(),
                    })),
                };
                (id.to_string(), command)
            })
            .collect();
        let last = commands.last().map(|(id, _)| id.clone());
        let completed = EventKey {
            aggregate_type: "forecast_round".into(),
            aggregate_id: round.id.to_string(),
            sequence: 2,
        };
        let cause = LogReader::new(&parts.database).cause(&completed).await?;
        let what = format!("fill {} {}", round.id, trial.id);
        let filled = publication::fill_all(parts, round.id, &what, commands, cause).await?;
        if let Some(id) = last {
            let event = EventKey { aggregate_type: "prediction".into(), aggregate_id: id, sequence: 1 };
            wait_for(&parts.database, Until::Event(&event), predictions::NAME, SEEING).await?;
        }
        Ok(filled)
    }
}

/// The bars the round stood on.
async fn view_of(parts: &Parts, round: &Round) -> Result<Arc<View>, TradeError> {
    let view = parts.market.view().await?;
    if view.dataset() == round.dataset {
        Ok(view)
    } else {
        Ok(Arc::new(parts.market.view_at(round.ordinal).await?))
    }
}

/// The oldest round after the session `seen` that the challenger of `trial` still has slots of to fill, and these slots.
pub(crate) async fn due(
    parts: &Parts,
    trial: &OpenTrial,
    seen: Option<Session>,
) -> Result<Option<(Round, Vec<OpenSlot>)>, TradeError> {
    let (pool, calendar) = (parts.database.pool(), parts.calendar());
    for round in rounds::of_version(pool, &trial.model, trial.champion, trial.ordinal, seen).await? {
        let next_opens_at = calendar.opens_at(calendar.next(round.session));
        if round.mode == Mode::Live && parts.clock.now() >= next_opens_at {
            continue;
        }
        let slots = predictions::open_slots(pool, round.id, trial.id, &trial.rule.horizons).await?;
        if !slots.is_empty() {
            return Ok(Some((round, slots)));
        }
    }
    Ok(None)
}

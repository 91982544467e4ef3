//! The Umpire: decides trials, when their rule says so and not before.
//!
//! 1. A session counts when both sides have been scored at every horizon of the rule. Its loss is the mean over the horizons
//!    of the mean pinball loss of its pairs by the square root of the horizon.
//! 2. When the first sessions are there that the rule decides on, and none before them waits for its outcome, the test is
//!    made on exactly these: one look. What follows from it is decided in the domain.
//! 3. At its latest session a trial ends on what there is. Whatever waits longer than a prediction is voided after is not
//!    waited for.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use almanac_domain::ids;
use almanac_domain::model::{Model, ModelCommand, ModelRefusal};
use almanac_domain::paired::paired_test;
use almanac_domain::trial::{TrialEvidence, TrialRule};
use almanac_domain::values::{Horizon, Measure, Probability, Session};
use almanac_projections::trials::{self, OpenTrial, PairedSession};
use almanac_projections::{ingestions, models, predictions};
use almanac_store::log::{Cause, CommandError, EventKey, Issued, LogReader, Until, wait_for};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Value, json};

use crate::forecaster::shadow_due;
use crate::parts::Parts;
use crate::trade::{Progress, Trade, TradeError};

/// How long a pass waits to see its decision in the tables.
const SEEING: Duration = Duration::from_secs(5);

/// So many sessions after its latest one a trial ends by the clock, should bars have stopped coming.
const WITHOUT_BARS: u32 = 20;

/// Decides trials.
pub struct Umpire {
    parts: Parts,
    shown: Mutex<Option<Value>>,
}

impl Umpire {
    /// An umpire that has not looked yet.
    pub fn new(parts: &Parts) -> Self {
        Self { parts: parts.clone(), shown: Mutex::new(None) }
    }

    fn show(&self, shown: Option<Value>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }
}

#[async_trait]
impl Trade for Umpire {
    fn name(&self) -> &'static str {
        "umpire"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[ingestions::NAME, models::NAME, predictions::NAME, trials::NAME]
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let Some(trial) = trials::open(self.parts.database.pool(), &self.parts.settings.model).await? else {
            self.show(None);
            return Ok(Progress::Idle);
        };
        self.show(Some(json!({ "trial": trial.id, "version": trial.version })));
        match due(&self.parts, &trial).await? {
            Some(evidence) => decide(&self.parts, &trial, evidence).await,
            None => Ok(Progress::Idle),
        }
    }

    fn observe(&self) -> Value {
        json!({ "open": *self.shown.lock().unwrap_or_else(PoisonError::into_inner) })
    }
}

/// What the trial is to be decided on now, if it is due.
async fn due(parts: &Parts, trial: &OpenTrial) -> Result<Option<TrialEvidence>, TradeError> {
    let pool = parts.database.pool();
    let Some(last) = ingestions::last_bars_session(pool, parts.settings.mode).await? else { return Ok(None) };
    let (rule, calendar) = (&trial.rule, parts.calendar());
    let lived = sessions_since(parts, trial.opened_at, last);
    let by_the_clock = sessions_since(parts, trial.opened_at, parts.last_settled_session());
    let sessions = trials::sessions(pool, trial.id, trial.champion, i64::MAX).await?;
    // Outcomes that are missing at a session before this one are given up, as the predictions are.
    let given_up = (0..=parts.settings.void_after)
        .fold(last, |session, _| calendar.at_or_before(session - TimeDelta::days(1)));
    let settled: Vec<PairedSession> = sessions
        .iter()
        .take_while(|session| !waits(session, rule, given_up, Session::MAX))
        .cloned()
        .collect();
    let compared = losses(rule, &settled);
    if compared.len() >= rule.decide_after as usize {
        let is_whole = shadow_due(parts, trial, None).await?.is_none();
        return Ok(is_whole.then(|| evidence(rule, &compared, lived)));
    }
    let is_over = lived >= rule.latest
        && !sessions.iter().any(|session| waits(session, rule, given_up, last))
        && shadow_due(parts, trial, None).await?.is_none();
    if is_over || by_the_clock >= rule.latest + WITHOUT_BARS.max(parts.settings.void_after) {
        return Ok(Some(evidence(rule, &losses(rule, &sessions), lived.max(by_the_clock))));
    }
    Ok(None)
}

async fn decide(parts: &Parts, trial: &OpenTrial, evidence: TrialEvidence) -> Result<Progress, TradeError> {
    let stream = trial.model.as_str();
    let command =
        ModelCommand::DecideTrial { trial: trial.id, evidence: Box::new(evidence), at: parts.clock.now() };
    let opening = LogReader::new(&parts.database).at_ordinal(trial.ordinal).await?;
    let issued = Issued::new(ids::reaction("umpire", &trial.id.to_string()))
        .caused_by_any(opening.as_ref().map(Cause::from));
    match parts.bus.execute::<Model>(stream, command, &issued).await {
        Ok(committed) => {
            if let Some(event) = committed.last() {
                see(parts, event).await?;
            }
            Ok(Progress::More)
        }
        // Somebody has ended it a moment ago.
        Err(CommandError::Refused(ModelRefusal::TrialEnded)) => Ok(Progress::Idle),
        Err(CommandError::Broken(error)) => Err(error.into()),
        Err(error) => Err(TradeError::broken("could not decide a trial")(error)),
    }
}

async fn see(parts: &Parts, event: &EventKey) -> Result<(), TradeError> {
    for subscription in [trials::NAME, models::NAME] {
        wait_for(&parts.database, Until::Event(event), subscription, SEEING).await?;
    }
    Ok(())
}

/// Sessions after the one that had closed when the trial was opened, up to `last`.
fn sessions_since(parts: &Parts, opened_at: DateTime<Utc>, last: Session) -> u32 {
    let calendar = parts.calendar();
    let first = calendar.next(calendar.last_closed(opened_at));
    if last < first { 0 } else { calendar.sessions(first, last).count() as u32 }
}

/// Whether an outcome of the session is still to come, from a target after `given_up` and up to `last`.
fn waits(session: &PairedSession, rule: &TrialRule, given_up: Session, last: Session) -> bool {
    rule.horizons
        .iter()
        .filter_map(|horizon| session.horizons.get(horizon))
        .any(|pairs| pairs.target.is_some_and(|target| given_up < target && target <= last))
}

/// What both sides lost at one session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionLoss {
    /// The as-of session.
    pub session: Session,
    /// Pairs compared.
    pub pairs: u64,
    /// The champion's loss by [`almanac_domain::trial::LOSS`], in log return.
    pub champion: f64,
    /// The challenger's.
    pub challenger: f64,
}

/// The sessions that count: those with a scored pair at every horizon of the rule.
pub fn losses(rule: &TrialRule, sessions: &[PairedSession]) -> Vec<SessionLoss> {
    sessions.iter().filter_map(|session| loss(&rule.horizons, session)).collect()
}

fn loss(horizons: &[Horizon], session: &PairedSession) -> Option<SessionLoss> {
    let mut loss = SessionLoss { session: session.session, pairs: 0, champion: 0.0, challenger: 0.0 };
    for horizon in horizons {
        let pairs = session.horizons.get(horizon).filter(|pairs| pairs.pairs > 0)?;
        let unit = pairs.pairs as f64 * f64::from(horizon.sessions()).sqrt() * horizons.len() as f64;
        loss.pairs += pairs.pairs;
        loss.champion += pairs.champion.to_f64()? / unit;
        loss.challenger += pairs.challenger.to_f64()? / unit;
    }
    Some(loss)
}

/// The test of the rule on the first sessions that it decides on, or on those that are there. `lived` counts the sessions
/// since the opening.
pub fn evidence(rule: &TrialRule, losses: &[SessionLoss], lived: u32) -> TrialEvidence {
    let losses = &losses[..losses.len().min(rule.decide_after as usize)];
    let measure = |value: f64| Measure::from_f64(value).ok();
    let mean = |of: fn(&SessionLoss) -> f64| {
        (!losses.is_empty()).then(|| losses.iter().map(of).sum::<f64>() / losses.len() as f64)
    };
    let differences: Vec<f64> = losses.iter().map(|loss| loss.challenger - loss.champion).collect();
    let test = paired_test(&differences, rule.longest() as usize, rule.significance.to_f64());
    TrialEvidence {
        sessions: lived,
        paired_sessions: losses.len() as u32,
        pairs: losses.iter().map(|loss| loss.pairs).sum(),
        loss_champion: mean(|loss| loss.champion).and_then(measure),
        loss_challenger: mean(|loss| loss.challenger).and_then(measure),
        mean_difference: test.and_then(|test| measure(test.mean_difference)),
        standard_error: test.and_then(|test| test.standard_error).and_then(measure),
        statistic: test.and_then(|test| test.statistic).and_then(measure),
        degrees_of_freedom: test.map_or(0, |test| test.degrees_of_freedom as u32),
        p: test.and_then(|test| test.p).and_then(|p| Probability::from_f64(p).ok()),
        more_sessions: test.and_then(|test| test.more_sessions),
    }
}

/// What a trial shows so far, of the sessions as they were read.
pub fn so_far(
    parts: &Parts,
    trial: &TrialRule,
    opened_at: DateTime<Utc>,
    sessions: &[PairedSession],
    last: Session,
) -> TrialEvidence {
    evidence(trial, &losses(trial, sessions), sessions_since(parts, opened_at, last))
}

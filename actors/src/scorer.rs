//! The Scorer: measures predictions whose day has come, by the rule they were published with.
//!
//! 1. What is due is every open prediction whose target session has bars in the market.
//! 2. The outcome is the log return from the close of the as-of session to the close of the target, both on one share
//!    count, with the bars as they are known now; the score names the batches they came from.
//!    While the price moved like a split that is not recorded, the prediction stays open.
//! 3. Where the target's bar stays missing for as many sessions as the published rule says, the prediction is voided.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use almanac_domain::ids;
use almanac_domain::prediction::{Prediction, PredictionCommand, PredictionRefusal};
use almanac_domain::values::{LogReturn, Price, Session};
use almanac_projections::predictions::{self, OpenPrediction};
use almanac_projections::{ingestions, instruments};
use almanac_store::log::{CommandError, EventKey, Issued, LogReader, Until, wait_for};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::market::View;
use crate::parts::Parts;
use crate::trade::{Progress, Trade, TradeError};

/// So many predictions are looked at together.
const PAGE: i64 = 2_000;
/// How long a pass waits to see its scores in the tables.
const SEEING: Duration = Duration::from_secs(5);

/// Scores and voids.
pub struct Scorer {
    parts: Parts,
    done: Mutex<Done>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Done {
    scored: u64,
    voided: u64,
}

impl Scorer {
    /// A scorer.
    pub fn new(parts: &Parts) -> Self {
        Self { parts: parts.clone(), done: Mutex::default() }
    }

    /// Executes commands of one kind, each of which answers a publication; the last event and how many had an effect.
    async fn execute(
        &self,
        what: &str,
        commands: Vec<(String, PredictionCommand)>,
    ) -> Result<(Option<EventKey>, u64), TradeError> {
        let issued = Issued::new(ids::reaction("scorer", what));
        let keys: Vec<EventKey> = commands.iter().map(|(id, _)| publication(id)).collect();
        let mut causes = LogReader::new(&self.parts.database).causes(&keys).await?;
        let reactions = commands.into_iter().zip(keys);
        let reactions = reactions.map(|((id, command), key)| (id, command, causes.remove(&key))).collect();
        let (mut last, mut count) = (None, 0);
        for outcome in self.parts.bus.execute_reactions::<Prediction>(reactions, &issued).await? {
            match outcome {
                Ok(committed) => {
                    count += u64::from(!committed.repeated);
                    last = committed.last().cloned().or(last);
                }
                Err(CommandError::Refused(PredictionRefusal::AlreadyScored | PredictionRefusal::Voided)) => {}
                Err(CommandError::Refused(refusal)) => {
                    tracing::warn!(%refusal, "a prediction was not measured");
                }
                Err(CommandError::Broken(error)) => return Err(error.into()),
                Err(error) => return Err(TradeError::broken("could not measure a prediction")(error)),
            }
        }
        Ok((last, count))
    }
}

#[async_trait]
impl Trade for Scorer {
    fn name(&self) -> &'static str {
        "scorer"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[ingestions::NAME, instruments::NAME, predictions::NAME]
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let (pool, mode) = (self.parts.database.pool(), self.parts.settings.mode);
        let Some(last_session) = ingestions::last_bars_session(pool, mode).await? else {
            return Ok(Progress::Idle);
        };
        let (mut after, mut progress) = (0, Progress::Idle);
        loop {
            let page = predictions::due(pool, last_session, mode, after, PAGE).await?;
            let Some(end) = page.last().map(|prediction| prediction.ordinal) else { return Ok(progress) };
            after = end;
            let view = self.parts.market.view().await?;
            let sorted = sort(&self.parts, &view, page, last_session);
            let (last_score, scored) = self.execute("score", sorted.scores).await?;
            let (last_void, voided) = self.execute("void", sorted.voids).await?;
            if let Some(event) = last_void.or(last_score) {
                wait_for(&self.parts.database, Until::Event(&event), predictions::NAME, SEEING).await?;
            }
            if scored + voided > 0 {
                progress = Progress::More;
                let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
                done.scored += scored;
                done.voided += voided;
            }
        }
    }

    fn observe(&self) -> Value {
        let done = *self.done.lock().unwrap_or_else(PoisonError::into_inner);
        json!({ "scored": done.scored, "voided": done.voided })
    }
}

/// The event that published a prediction: the first of its stream.
fn publication(id: &str) -> EventKey {
    EventKey { aggregate_type: "prediction".into(), aggregate_id: id.to_owned(), sequence: 1 }
}

#[derive(Default)]
struct Sorted {
    scores: Vec<(String, PredictionCommand)>,
    voids: Vec<(String, PredictionCommand)>,
}

/// Those that can be measured, and those whose outcome has been missing for too long; the others wait.
fn sort(parts: &Parts, view: &View, page: Vec<OpenPrediction>, last_session: Session) -> Sorted {
    let now = parts.clock.now();
    let mut batches: HashMap<(Session, Session), Vec<Uuid>> = HashMap::new();
    let mut sorted = Sorted::default();
    for prediction in page.into_iter().filter(|prediction| prediction.target_closes_at <= now) {
        let id = prediction.id.to_string();
        if let Some((before, close)) = view.closes(prediction.instrument, prediction.as_of, prediction.target)
        {
            // The rows would measure the share count; it is scored when the split is recorded or the rows corrected.
            if view.has_unrecorded_split(prediction.instrument, prediction.as_of, prediction.target) {
                continue;
            }
            let batches = batches.entry((prediction.as_of, prediction.target)).or_insert_with(|| {
                let mut both = view.batches_of(prediction.as_of);
                both.extend(view.batches_of(prediction.target));
                both.sort_unstable();
                both.dedup();
                both
            });
            sorted
                .scores
                .extend(measured(&prediction, before, close, batches, now).map(|command| (id, command)));
            continue;
        }
        // Counted by the sessions that closed while the target's bar stayed missing.
        let missing = parts.calendar().sessions(prediction.target, last_session).count() as u32;
        if missing >= prediction.void_after_sessions {
            let command = PredictionCommand::VoidPrediction { sessions_without_bar: missing, at: now };
            sorted.voids.push((id, command));
        }
    }
    sorted
}

/// None where the closes give no finite return, which checked bars rule out.
fn measured(
    prediction: &OpenPrediction,
    before: f64,
    close: f64,
    batches: &[Uuid],
    at: DateTime<Utc>,
) -> Option<PredictionCommand> {
    Some(PredictionCommand::ScorePrediction {
        session: prediction.target,
        realised: LogReturn::from_f64((close / before).ln()).ok()?,
        close: Price::from_f64(close).ok()?,
        batches: batches.to_vec(),
        at,
    })
}

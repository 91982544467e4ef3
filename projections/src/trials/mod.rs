//! Trials: which challengers were compared with which champions, by which rule, and what came of it.
//!
//! The table holds the trials themselves. What one shows session by session is added up from the predictions, whose
//! tables may stand at another place of the log: [`sessions`] takes the ordinal it answers for.

mod read;

use almanac_domain::Event;
use almanac_domain::model::ModelEvent;
use almanac_domain::trial::{self, TrialDecided, TrialEnd, TrialOpened, TrialOutcome};
use almanac_domain::values::{Horizon, Measure, ModelName, Probability, Session};
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::models::decider;
use crate::row;

pub use read::{HorizonPairs, OpenTrial, PairedSession, find, list, open, sessions};

/// The subscription that reads of trials wait for.
pub const NAME: &str = "trials";

/// How a trial is decided, fixed when it was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrialRule {
    /// What is compared, by name.
    pub loss: String,
    /// How it is compared, by name.
    pub test: String,
    /// The horizons that count, in sessions.
    #[schema(value_type = Vec<u32>)]
    pub horizons: Vec<Horizon>,
    /// It is decided on the first so many sessions at which both have been scored, and looked at once.
    pub decide_after: u32,
    /// After so many sessions since its opening it ends anyway.
    pub latest: u32,
    /// The challenger wins when chance alone would favour it as much with at most this probability.
    #[schema(value_type = String)]
    pub significance: Probability,
    /// Whether a win is only written down.
    pub dry_run: bool,
}

/// What a trial shows. Differences are the challenger's loss minus the champion's: below zero it is better.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrialFigures {
    /// Sessions since its opening.
    pub sessions: u32,
    /// Sessions compared: both scored at every horizon of the rule.
    pub paired_sessions: u32,
    /// Pairs of predictions compared.
    pub pairs: u64,
    /// The champion's mean loss over the sessions, in log return.
    #[schema(value_type = Option<String>)]
    pub loss_champion: Option<Measure>,
    /// The challenger's.
    #[schema(value_type = Option<String>)]
    pub loss_challenger: Option<Measure>,
    /// The mean of the sessions' differences.
    #[schema(value_type = Option<String>)]
    pub mean_difference: Option<Measure>,
    /// Its standard error, overlapping outcomes allowed for.
    #[schema(value_type = Option<String>)]
    pub standard_error: Option<Measure>,
    /// The difference in standard errors.
    #[schema(value_type = Option<String>)]
    pub statistic: Option<Measure>,
    /// The degrees of freedom of Student's distribution that it is held against.
    pub degrees_of_freedom: u32,
    /// The probability of a statistic as low as this if the two were equally good.
    #[schema(value_type = Option<String>)]
    pub p: Option<Probability>,
    /// About so many more sessions would be needed to tell, if the difference stayed as it is.
    pub more_sessions: Option<u64>,
}

/// How far a trial has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrialProgress {
    /// Sessions since its opening.
    pub sessions: u32,
    /// Sessions compared.
    pub paired_sessions: u32,
    /// Sessions it is decided on.
    pub needed: u32,
    /// Sessions after which it ends anyway.
    pub latest: u32,
}

/// Whether a trial goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// It goes on.
    Open,
    /// It has ended.
    Decided,
}

/// One trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Trial {
    /// Its id.
    pub id: Uuid,
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// The challenger.
    pub version: u32,
    /// The champion it is compared with.
    pub champion: u32,
    /// Whether it goes on.
    pub state: TrialState,
    /// How it is decided.
    pub rule: TrialRule,
    /// `administrator`, or `gate: ` and the rule's name.
    pub opened_by: String,
    /// Why it was opened.
    pub reason: String,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// The place of its opening in the log.
    pub ordinal: i64,
    /// How far it has come, or had when it ended.
    pub progress: TrialProgress,
    /// What it shows: while it is open so far, which decides nothing; then what it was decided on, if it came to that.
    pub figures: Option<TrialFigures>,
    /// `promote`, `keep` or `underpowered`, once it has ended.
    #[schema(value_type = Option<String>)]
    pub outcome: Option<TrialOutcome>,
    /// Why it ended: `better`, `not_better`, `cannot_be_told`, `too_few_sessions`, `champion_changed`,
    /// `challenger_retired`, `challenger_quarantined` or `closed`.
    #[schema(value_type = Option<String>)]
    pub ended_by: Option<TrialEnd>,
    /// Why it ended, in words.
    pub verdict: Option<String>,
    /// Who decided, where that is known.
    pub decided_by: Option<String>,
    /// When it ended.
    pub decided_at: Option<DateTime<Utc>>,
    /// The place of its end in the log.
    pub decided_ordinal: Option<i64>,
}

/// One session of a trial, both scored at every horizon of the rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrialPoint {
    /// The as-of session.
    #[schema(value_type = chrono::NaiveDate)]
    pub session: Session,
    /// Pairs of predictions compared.
    pub pairs: u64,
    /// The champion's loss, in log return.
    #[schema(value_type = String)]
    pub loss_champion: Measure,
    /// The challenger's.
    #[schema(value_type = String)]
    pub loss_challenger: Measure,
    /// The challenger's minus the champion's.
    #[schema(value_type = String)]
    pub difference: Measure,
    /// Whether it is one of the sessions that the rule decides on.
    pub counted: bool,
}

impl From<trial::TrialRule> for TrialRule {
    fn from(rule: trial::TrialRule) -> Self {
        let trial::TrialRule { loss, test, horizons, decide_after, latest, significance, dry_run } = rule;
        Self { loss, test, horizons, decide_after, latest, significance, dry_run }
    }
}

impl From<trial::TrialEvidence> for TrialFigures {
    fn from(evidence: trial::TrialEvidence) -> Self {
        Self {
            sessions: evidence.sessions,
            paired_sessions: evidence.paired_sessions,
            pairs: evidence.pairs,
            loss_champion: evidence.loss_champion,
            loss_challenger: evidence.loss_challenger,
            mean_difference: evidence.mean_difference,
            standard_error: evidence.standard_error,
            statistic: evidence.statistic,
            degrees_of_freedom: evidence.degrees_of_freedom,
            p: evidence.p,
            more_sessions: evidence.more_sessions,
        }
    }
}

/// Keeps the trials.
#[derive(Debug, Clone, Copy)]
pub struct Trials;

#[async_trait]
impl Handler for Trials {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../../sql/trials.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["model"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::Model(ModelEvent::TrialOpened(opened)) => begin(conn, event, &opened).await,
            Event::Model(ModelEvent::TrialDecided(decided)) => end(conn, event, &decided).await,
            Event::Model(
                ModelEvent::ModelVersionRegistered(_)
                | ModelEvent::ModelVersionPromoted(_)
                | ModelEvent::PromotionRolledBack(_)
                | ModelEvent::ModelVersionRetired(_)
                | ModelEvent::ModelVersionQuarantined(_),
            )
            | Event::Account(_)
            | Event::Watchlist(_)
            | Event::Instrument(_)
            | Event::Ingestion(_)
            | Event::TrainingRun(_)
            | Event::ForecastRound(_)
            | Event::Prediction(_)
            | Event::WebhookEndpoint(_) => Ok(()),
        }
    }
}

async fn begin(conn: &mut PgConnection, event: &Recorded, opened: &TrialOpened) -> Result<(), HandlerError> {
    sqlx::query(
        "insert into trials (id, model, version, champion, rule, opened_by, reason, opened_at, ordinal)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (id) do nothing",
    )
    .bind(opened.trial)
    .bind(&event.key.aggregate_id)
    .bind(opened.version as i32)
    .bind(opened.champion as i32)
    .bind(Json(&opened.rule))
    .bind(decider(&opened.by))
    .bind(&opened.reason)
    .bind(opened.opened_at)
    .bind(event.ordinal)
    .execute(conn)
    .await?;
    Ok(())
}

async fn end(conn: &mut PgConnection, event: &Recorded, decided: &TrialDecided) -> Result<(), HandlerError> {
    sqlx::query("update trials set decision = $2, decided_by = $3, decided_ordinal = $4 where id = $1")
        .bind(decided.trial)
        .bind(Json(decided))
        .bind(decided.by.as_ref().map(decider))
        .bind(event.ordinal)
        .execute(conn)
        .await?;
    Ok(())
}

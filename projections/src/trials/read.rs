//! The queries that show trials, and that those who run them ask.

use std::collections::BTreeMap;

use almanac_domain::trial::{self, TrialDecided};
use almanac_domain::values::{Horizon, ModelName, Session};
use almanac_store::StoreError;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::{Trial, TrialProgress, TrialState};
use crate::row;

/// A trial under way, as those who run it need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTrial {
    /// The trial.
    pub id: Uuid,
    /// The model.
    pub model: ModelName,
    /// The challenger.
    pub version: u32,
    /// The champion it is compared with.
    pub champion: u32,
    /// How it is decided.
    pub rule: trial::TrialRule,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// The place of its opening in the log.
    pub ordinal: i64,
}

/// What both sides scored at one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairedSession {
    /// The as-of session.
    pub session: Session,
    /// By horizon; one that has no slots is not there.
    pub horizons: BTreeMap<Horizon, HorizonPairs>,
}

/// The pairs of one session and horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HorizonPairs {
    /// Pairs of which both sides are scored.
    pub pairs: u64,
    /// Sum of the champion's mean pinball losses over them, in log return.
    pub champion: Decimal,
    /// Sum of the challenger's.
    pub challenger: Decimal,
    /// Pairs that wait for their outcome.
    pub waiting: u64,
    /// The session at which their outcome is known, where some wait.
    pub target: Option<Session>,
}

const SHOWN: &str = "select id, model, version, champion, rule, opened_by, reason, opened_at, ordinal,
       case when decided_ordinal <= $2 then decision end as decision,
       case when decided_ordinal <= $2 then decided_by end as decided_by,
       case when decided_ordinal <= $2 then decided_ordinal end as decided_ordinal
  from trials";

fn shown(row: &PgRow) -> Result<Trial, sqlx::Error> {
    let rule: trial::TrialRule = row::json(row, "rule")?;
    let decided: Option<TrialDecided> = row::json_or_none(row, "decision")?;
    let evidence = decided.as_ref().and_then(|decided| decided.evidence.as_ref());
    let progress = TrialProgress {
        sessions: evidence.map_or(0, |evidence| evidence.sessions),
        paired_sessions: evidence.map_or(0, |evidence| evidence.paired_sessions),
        needed: rule.decide_after,
        latest: rule.latest,
    };
    let trial = Trial {
        id: row.try_get("id")?,
        model: row::word(row, "model")?,
        version: row::number(row, "version")?,
        champion: row::number(row, "champion")?,
        state: TrialState::Open,
        rule: rule.into(),
        opened_by: row.try_get("opened_by")?,
        reason: row.try_get("reason")?,
        opened_at: row.try_get("opened_at")?,
        ordinal: row.try_get("ordinal")?,
        progress,
        figures: None,
        outcome: None,
        ended_by: None,
        verdict: None,
        decided_by: row.try_get("decided_by")?,
        decided_at: None,
        decided_ordinal: row.try_get("decided_ordinal")?,
    };
    let Some(decided) = decided else { return Ok(trial) };
    Ok(Trial {
        state: TrialState::Decided,
        figures: decided.evidence.map(Into::into),
        outcome: Some(decided.outcome),
        ended_by: Some(decided.ended_by),
        verdict: Some(decided.reason),
        decided_at: Some(decided.decided_at),
        ..trial
    })
}

/// The trials of a model as they were known at the ordinal `as_of`, newest first. Those that were not decided on
/// evidence show no figures and no progress: [`sessions`] has them.
pub async fn list(pool: &PgPool, model: &ModelName, as_of: i64) -> Result<Vec<Trial>, StoreError> {
    let select = format!("{SHOWN} where model = $1 and ordinal <= $2 order by ordinal desc");
    let rows = sqlx::query(&select).bind(model.as_str()).bind(as_of).try_map(|row| shown(&row));
    Ok(rows.fetch_all(pool).await?)
}

/// One trial of a model as it was known at the ordinal `as_of`.
pub async fn find(
    pool: &PgPool,
    model: &ModelName,
    id: Uuid,
    as_of: i64,
) -> Result<Option<Trial>, StoreError> {
    let select = format!("{SHOWN} where model = $1 and ordinal <= $2 and id = $3");
    let rows = sqlx::query(&select).bind(model.as_str()).bind(as_of).bind(id).try_map(|row| shown(&row));
    Ok(rows.fetch_optional(pool).await?)
}

/// The trial of a model that is under way.
pub async fn open(pool: &PgPool, model: &ModelName) -> Result<Option<OpenTrial>, StoreError> {
    let rows = sqlx::query(
        "select id, model, version, champion, rule, opened_at, ordinal from trials
          where model = $1 and decided_ordinal is null order by ordinal desc limit 1",
    );
    let open = |row: PgRow| {
        Ok(OpenTrial {
            id: row.try_get("id")?,
            model: row::word(&row, "model")?,
            version: row::number(&row, "version")?,
            champion: row::number(&row, "champion")?,
            rule: row::json(&row, "rule")?,
            opened_at: row.try_get("opened_at")?,
            ordinal: row.try_get("ordinal")?,
        })
    };
    Ok(rows.bind(model.as_str()).try_map(open).fetch_optional(pool).await?)
}

/// What both sides of a trial scored, session by session, as it was known at the ordinal `as_of`. A pair is the
/// challenger's prediction and what `champion` published for the same slot; one of which a side abstained or was voided
/// is none.
pub async fn sessions(
    pool: &PgPool,
    trial: Uuid,
    champion: u32,
    as_of: i64,
) -> Result<Vec<PairedSession>, StoreError> {
    let rows = sqlx::query(
        "with pairs as (
             select t.as_of, t.horizon, t.target, p.pinball as champion, t.pinball as challenger,
                    coalesce(p.scored_ordinal <= $3 and t.scored_ordinal <= $3, false) as is_scored,
                    coalesce(p.voided_ordinal <= $3, false) or coalesce(t.voided_ordinal <= $3, false)
                        or p.abstention is not null or t.abstention is not null as is_none
               from predictions t
               join predictions p on p.round = t.round and p.instrument = t.instrument and p.horizon = t.horizon
              where t.trial = $1 and t.ordinal <= $3 and p.trial is null and p.version = $2)
         select as_of, horizon, count(*) filter (where is_scored) as pairs,
                coalesce(sum(champion) filter (where is_scored), 0) as champion,
                coalesce(sum(challenger) filter (where is_scored), 0) as challenger,
                count(*) filter (where not is_scored and not is_none) as waiting,
                min(target) filter (where not is_scored and not is_none) as target
           from pairs group by as_of, horizon order by as_of, horizon",
    );
    let read = |row: PgRow| {
        let pairs = HorizonPairs {
            pairs: row::count(&row, "pairs")?,
            champion: row.try_get("champion")?,
            challenger: row.try_get("challenger")?,
            waiting: row::count(&row, "waiting")?,
            target: row.try_get("target")?,
        };
        Ok((row.try_get::<Session, _>("as_of")?, row::horizon(&row, "horizon")?, pairs))
    };
    let rows = rows.bind(trial).bind(champion as i32).bind(as_of).try_map(read).fetch_all(pool).await?;
    let mut sessions: Vec<PairedSession> = Vec::new();
    for (session, horizon, pairs) in rows {
        match sessions.last_mut() {
            Some(last) if last.session == session => {
                last.horizons.insert(horizon, pairs);
            }
            Some(_) | None => {
                sessions.push(PairedSession { session, horizons: BTreeMap::from([(horizon, pairs)]) });
            }
        }
    }
    Ok(sessions)
}

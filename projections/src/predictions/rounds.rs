//! Rounds: which sessions are published for.

use almanac_domain::values::{Digest, Horizon, Measure, Mode, ModelName, Session};
use almanac_store::StoreError;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::row;

/// What a horizon's intervals are calibrated with after a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Calibration {
    /// The horizon.
    #[schema(value_type = u32)]
    pub horizon: Horizon,
    /// Out-of-sample scores the quantiles were taken from.
    pub scores: u64,
    /// Half-width of the 80% interval in units of the scale.
    #[schema(value_type = String)]
    pub half_width_80: Measure,
    /// Half-width of the 95% interval in units of the scale.
    #[schema(value_type = String)]
    pub half_width_95: Measure,
    /// By what the misses of the last sessions have multiplied the scale; none where nothing was predicted, and of rounds
    /// that did not say.
    #[schema(value_type = Option<String>)]
    pub level: Option<Measure>,
}

/// All predictions of one model for one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Round {
    /// Its id.
    pub id: Uuid,
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelName,
    /// The version that published.
    pub version: u32,
    /// The session whose close is the last thing known.
    #[schema(value_type = chrono::NaiveDate)]
    pub session: Session,
    /// Real or simulated prices, by which clock.
    #[schema(value_type = String)]
    pub mode: Mode,
    /// The digest of the manifest of the data it stands on.
    #[schema(value_type = String)]
    pub dataset: Digest,
    /// `open` or `complete`.
    pub state: String,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// When it was closed.
    pub completed_at: Option<DateTime<Utc>>,
    /// Predictions published.
    pub published: u64,
    /// Predictions abstained from.
    pub abstained: u64,
    /// The calibration that holds after it.
    pub calibration: Vec<Calibration>,
    /// The place of its opening in the log.
    pub ordinal: i64,
}

impl Round {
    /// Whether every prediction of it is made.
    pub fn is_complete(&self) -> bool {
        self.completed_at.is_some()
    }
}

const SHOWN: &str =
    "select id, model, version, session, mode, dataset, state, opened_at, completed_at, published,
       abstained, calibration, ordinal
  from rounds";

fn shown(row: &PgRow) -> Result<Round, sqlx::Error> {
    Ok(Round {
        id: row.try_get("id")?,
        model: row::word(row, "model")?,
        version: row::number(row, "version")?,
        session: row.try_get("session")?,
        mode: row::word(row, "mode")?,
        dataset: row::word(row, "dataset")?,
        state: row.try_get("state")?,
        opened_at: row.try_get("opened_at")?,
        completed_at: row.try_get("completed_at")?,
        published: row::count(row, "published")?,
        abstained: row::count(row, "abstained")?,
        calibration: row::json(row, "calibration")?,
        ordinal: row.try_get("ordinal")?,
    })
}

/// The round of `model` for `session`, if one was opened.
pub async fn of_session(
    pool: &PgPool,
    model: &ModelName,
    session: Session,
) -> Result<Option<Round>, StoreError> {
    let select = format!("{SHOWN} where model = $1 and session = $2");
    let found = sqlx::query(&select).bind(model.as_str()).bind(session).try_map(|row| shown(&row));
    Ok(found.fetch_optional(pool).await?)
}

/// One round.
pub async fn find(pool: &PgPool, id: Uuid) -> Result<Option<Round>, StoreError> {
    let select = format!("{SHOWN} where id = $1");
    Ok(sqlx::query(&select).bind(id).try_map(|row| shown(&row)).fetch_optional(pool).await?)
}

/// The rounds of `model` that were opened and not completed, oldest session first.
pub async fn open(pool: &PgPool, model: &ModelName) -> Result<Vec<Round>, StoreError> {
    let select = format!("{SHOWN} where model = $1 and state = 'open' order by session");
    Ok(sqlx::query(&select).bind(model.as_str()).try_map(|row| shown(&row)).fetch_all(pool).await?)
}

/// The complete round of `model` for the latest session.
pub async fn last_complete(pool: &PgPool, model: &ModelName) -> Result<Option<Round>, StoreError> {
    let select = format!("{SHOWN} where model = $1 and state = 'complete' order by session desc limit 1");
    Ok(sqlx::query(&select).bind(model.as_str()).try_map(|row| shown(&row)).fetch_optional(pool).await?)
}

/// The complete rounds of `model` that `version` opened after `ordinal`, for sessions after `session`, oldest first.
pub async fn of_version(
    pool: &PgPool,
    model: &ModelName,
    version: u32,
    ordinal: i64,
    session: Option<Session>,
) -> Result<Vec<Round>, StoreError> {
    let select = format!(
        "{SHOWN} where model = $1 and version = $2 and state = 'complete' and ordinal > $3
            and ($4::date is null or session > $4) order by session"
    );
    let rounds = sqlx::query(&select).bind(model.as_str()).bind(version as i32).bind(ordinal).bind(session);
    Ok(rounds.try_map(|row| shown(&row)).fetch_all(pool).await?)
}

/// How many rounds of `model` were completed after `ordinal`: the sessions its champion of then has published for.
pub async fn complete_since(pool: &PgPool, model: &ModelName, ordinal: i64) -> Result<i64, StoreError> {
    let count = sqlx::query_scalar("select count(*) from rounds where model = $1 and completed_ordinal > $2");
    Ok(count.bind(model.as_str()).bind(ordinal).fetch_one(pool).await?)
}

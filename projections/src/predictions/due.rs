//! What the Scorer and the Forecaster ask: what is open and due, and what of a round is done.

use almanac_domain::values::{Horizon, Mode, ModelName, Price, Session};
use almanac_store::StoreError;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::State;
use crate::row;

/// A published prediction that waits for its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPrediction {
    /// Its id.
    pub id: Uuid,
    /// The model that made it.
    pub model: ModelName,
    /// The version that made it.
    pub version: u32,
    /// The round it belongs to.
    pub round: Uuid,
    /// What it is about.
    pub instrument: Uuid,
    /// The session whose close it started from.
    pub as_of: Session,
    /// The session whose close decides.
    pub target: Session,
    /// When that session closes.
    pub target_closes_at: DateTime<Utc>,
    /// Sessions ahead.
    pub horizon: Horizon,
    /// Real or simulated prices, by which clock.
    pub mode: Mode,
    /// The close of the as-of session as it was published.
    pub close: Price,
    /// It is voided after this many sessions without a bar.
    pub void_after_sessions: u32,
    /// The place of its publication in the log.
    pub ordinal: i64,
}

/// Open predictions, trials included, whose target is `last_session` or earlier, in the order they were published.
///
/// Page on with the last ordinal as `after`: one that cannot be scored yet stays open and would otherwise be
/// answered again and again.
pub async fn due(
    pool: &PgPool,
    last_session: Session,
    mode: Mode,
    after: i64,
    limit: i64,
) -> Result<Vec<OpenPrediction>, StoreError> {
    let rows = sqlx::query(
        "select id, model, version, round, instrument, as_of, target, target_closes_at, horizon, mode, close,
                void_after, ordinal
           from predictions where state = 'open' and target <= $1 and mode = $2 and ordinal > $3
          order by ordinal limit $4",
    );
    let open = |row: PgRow| {
        Ok(OpenPrediction {
            id: row.try_get("id")?,
            model: row::word(&row, "model")?,
            version: row::number(&row, "version")?,
            round: row.try_get("round")?,
            instrument: row.try_get("instrument")?,
            as_of: row.try_get("as_of")?,
            target: row.try_get("target")?,
            target_closes_at: row.try_get("target_closes_at")?,
            horizon: row::horizon(&row, "horizon")?,
            mode: row::word(&row, "mode")?,
            close: Price::new(row.try_get("close")?),
            void_after_sessions: row::number(&row, "void_after")?,
            ordinal: row.try_get("ordinal")?,
        })
    };
    let rows = rows.bind(last_session).bind(mode.as_str()).bind(after).bind(limit);
    Ok(rows.try_map(open).fetch_all(pool).await?)
}

/// A slot that was published or abstained from, and that a challenger on trial has not filled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSlot {
    /// What it is about.
    pub instrument: Uuid,
    /// Sessions ahead.
    pub horizon: Horizon,
    /// The session whose close decides.
    pub target: Session,
    /// When that session closes.
    pub target_closes_at: DateTime<Utc>,
}

/// The slots of a round at some horizons that `trial` has not filled.
pub async fn open_slots(
    pool: &PgPool,
    round: Uuid,
    trial: Uuid,
    horizons: &[Horizon],
) -> Result<Vec<OpenSlot>, StoreError> {
    let rows = sqlx::query(
        "select p.instrument, p.horizon, p.target, p.target_closes_at from predictions p
          where p.round = $1 and p.trial is null and p.horizon = any($3) and not exists (
                select from predictions t where t.round = $1 and t.trial = $2
                   and t.instrument = p.instrument and t.horizon = p.horizon)
          order by p.ordinal",
    );
    let slot = |row: PgRow| {
        Ok(OpenSlot {
            instrument: row.try_get("instrument")?,
            horizon: row::horizon(&row, "horizon")?,
            target: row.try_get("target")?,
            target_closes_at: row.try_get("target_closes_at")?,
        })
    };
    let horizons: Vec<i32> = horizons.iter().map(|horizon| horizon.sessions() as i32).collect();
    Ok(rows.bind(round).bind(trial).bind(horizons).try_map(slot).fetch_all(pool).await?)
}

/// What of a round is published or abstained from already: instrument, horizon and what became of it.
pub async fn slots_of_round(pool: &PgPool, round: Uuid) -> Result<Vec<(Uuid, Horizon, State)>, StoreError> {
    let rows = sqlx::query(
        "select instrument, horizon, state from predictions where round = $1 and trial is null order by ordinal",
    );
    let slot = |row: PgRow| {
        Ok((row.try_get("instrument")?, row::horizon(&row, "horizon")?, row::word(&row, "state")?))
    };
    Ok(rows.bind(round).try_map(slot).fetch_all(pool).await?)
}

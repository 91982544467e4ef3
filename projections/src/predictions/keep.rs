//! How events become rows of predictions and rounds.

use almanac_domain::forecast_round::{ForecastRoundEvent, RoundCompleted, RoundOpened};
use almanac_domain::instrument::InstrumentEvent;
use almanac_domain::prediction::{
    PredictionAbstained, PredictionEvent, PredictionPublished, PredictionScored, Role,
};
use almanac_store::log::{HandlerError, Recorded};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::State;
use crate::row;

pub(super) async fn prediction(
    conn: &mut PgConnection,
    event: &Recorded,
    happened: PredictionEvent,
) -> Result<(), HandlerError> {
    let id = row::id(event)?;
    match happened {
        PredictionEvent::PredictionPublished(published) => {
            fill(conn, id, event.ordinal, Filling::Forecast(&published)).await
        }
        PredictionEvent::PredictionAbstained(abstained) => {
            fill(conn, id, event.ordinal, Filling::Nothing(&abstained)).await
        }
        PredictionEvent::PredictionScored(scored) => score(conn, id, event.ordinal, &scored).await,
        PredictionEvent::PredictionVoided(_) => {
            sqlx::query("update predictions set state = 'voided', voided_ordinal = $2 where id = $1")
                .bind(id)
                .bind(event.ordinal)
                .execute(conn)
                .await?;
            Ok(())
        }
    }
}

/// What a slot was filled with.
enum Filling<'a> {
    Forecast(&'a PredictionPublished),
    Nothing(&'a PredictionAbstained),
}

/// Writes the row of a slot, once: a slot is never filled again.
async fn fill(
    conn: &mut PgConnection,
    id: Uuid,
    ordinal: i64,
    filling: Filling<'_>,
) -> Result<(), HandlerError> {
    let (slot, state, at, published) = match filling {
        Filling::Forecast(published) => {
            (&published.slot, State::Open, published.published_at, Some(published))
        }
        Filling::Nothing(abstained) => (&abstained.slot, State::Abstained, abstained.abstained_at, None),
    };
    let abstention = match filling {
        Filling::Forecast(_) => None,
        Filling::Nothing(abstained) => Some(row::written(&abstained.reason)?),
    };
    let trial = match slot.role {
        Role::Published => None,
        Role::Trial { trial } => Some(trial),
    };
    sqlx::query(
        "insert into predictions (id, model, version, trial, round, instrument, as_of, horizon, target,
                target_closes_at, mode, dataset, state, published_at, ordinal, abstention, close, void_after, forecast)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
         on conflict (id) do nothing",
    )
    .bind(id)
    .bind(slot.model.as_str())
    .bind(slot.version as i32)
    .bind(trial)
    .bind(slot.round)
    .bind(slot.instrument)
    .bind(slot.as_of)
    .bind(slot.horizon.sessions() as i32)
    .bind(slot.target)
    .bind(slot.target_closes_at)
    .bind(slot.mode.as_str())
    .bind(slot.dataset.as_str())
    .bind(state.as_str())
    .bind(at)
    .bind(ordinal)
    .bind(abstention)
    .bind(published.map(|published| published.forecast.close.decimal()))
    .bind(published.map(|published| published.void_after_sessions as i32))
    .bind(published.map(|published| Json(&published.forecast)))
    .execute(conn)
    .await?;
    Ok(())
}

async fn score(
    conn: &mut PgConnection,
    id: Uuid,
    ordinal: i64,
    scored: &PredictionScored,
) -> Result<(), HandlerError> {
    let score = &scored.score;
    sqlx::query(
        "update predictions set state = 'scored', scored_ordinal = $2, scored_at = $3, realised = $4,
                target_close = $5, score = $6, squared_error = $7, squared_error_zero = $8,
                squared_error_drift = $9, hit = $10, inside_80 = $11, inside_95 = $12, interval_score_80 = $13,
                interval_score_95 = $14, brier = $15, pinball = $16
          where id = $1",
    )
    .bind(id)
    .bind(ordinal)
    .bind(scored.scored_at)
    .bind(scored.realised.decimal())
    .bind(scored.close.decimal())
    .bind(Json(score))
    .bind(score.squared_error.model.decimal())
    .bind(score.squared_error.zero.decimal())
    .bind(score.squared_error.drift.decimal())
    .bind(score.hit)
    .bind(score.inside_80)
    .bind(score.inside_95)
    .bind(score.interval_score_80.decimal())
    .bind(score.interval_score_95.decimal())
    .bind(score.brier.decimal())
    .bind(score.pinball.decimal())
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn round(
    conn: &mut PgConnection,
    event: &Recorded,
    happened: ForecastRoundEvent,
) -> Result<(), HandlerError> {
    let id = row::id(event)?;
    match happened {
        ForecastRoundEvent::RoundOpened(opened) => open(conn, id, event.ordinal, &opened).await,
        ForecastRoundEvent::RoundCompleted(completed) => complete(conn, id, event.ordinal, &completed).await,
    }
}

async fn open(
    conn: &mut PgConnection,
    id: Uuid,
    ordinal: i64,
    opened: &RoundOpened,
) -> Result<(), HandlerError> {
    sqlx::query(
        "insert into rounds (id, model, version, session, mode, dataset, state, opened_at, ordinal)
         values ($1, $2, $3, $4, $5, $6, 'open', $7, $8) on conflict (id) do nothing",
    )
    .bind(id)
    .bind(opened.model.as_str())
    .bind(opened.version as i32)
    .bind(opened.session)
    .bind(opened.mode.as_str())
    .bind(opened.dataset.as_str())
    .bind(opened.opened_at)
    .bind(ordinal)
    .execute(conn)
    .await?;
    Ok(())
}

async fn complete(
    conn: &mut PgConnection,
    id: Uuid,
    ordinal: i64,
    completed: &RoundCompleted,
) -> Result<(), HandlerError> {
    sqlx::query(
        "update rounds set state = 'complete', completed_at = $2, published = $3, abstained = $4, calibration = $5,
                completed_ordinal = $6 where id = $1",
    )
    .bind(id)
    .bind(completed.completed_at)
    .bind(completed.published as i64)
    .bind(completed.abstained as i64)
    .bind(Json(&completed.calibration))
    .bind(ordinal)
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn instrument(
    conn: &mut PgConnection,
    event: &Recorded,
    happened: InstrumentEvent,
) -> Result<(), HandlerError> {
    match happened {
        InstrumentEvent::InstrumentListed(listed) => {
            sqlx::query(
                "insert into prediction_instruments (id, symbol, name) values ($1, $2, $3)
                 on conflict (id) do nothing",
            )
            .bind(row::id(event)?)
            .bind(listed.symbol.as_str())
            .bind(listed.name)
            .execute(conn)
            .await?;
        }
        InstrumentEvent::InstrumentRenamed(renamed) => {
            sqlx::query("update prediction_instruments set symbol = $2 where id = $1")
                .bind(row::id(event)?)
                .bind(renamed.symbol.as_str())
                .execute(conn)
                .await?;
        }
        InstrumentEvent::CorporateActionRecorded(_)
        | InstrumentEvent::InstrumentHalted(_)
        | InstrumentEvent::InstrumentDelisted(_) => {}
    }
    Ok(())
}

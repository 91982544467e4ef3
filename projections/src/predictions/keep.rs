//! How events become rows of rounds and instruments, which are few: one statement each.

use almanac_domain::forecast_round::{ForecastRoundEvent, RoundCompleted, RoundOpened};
use almanac_domain::instrument::InstrumentEvent;
use almanac_store::log::HandlerError;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

pub(super) async fn round(
    conn: &mut PgConnection,
    id: Uuid,
    ordinal: i64,
    happened: &ForecastRoundEvent,
) -> Result<(), HandlerError> {
    match happened {
        ForecastRoundEvent::RoundOpened(opened) => open(conn, id, ordinal, opened).await,
        ForecastRoundEvent::RoundCompleted(completed) => complete(conn, id, ordinal, completed).await,
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
    id: Uuid,
    happened: &InstrumentEvent,
) -> Result<(), HandlerError> {
    match happened {
        InstrumentEvent::InstrumentListed(listed) => {
            sqlx::query(
                "insert into prediction_instruments (id, symbol, name) values ($1, $2, $3)
                 on conflict (id) do nothing",
            )
            .bind(id)
            .bind(listed.symbol.as_str())
            .bind(&listed.name)
            .execute(conn)
            .await?;
        }
        InstrumentEvent::InstrumentRenamed(renamed) => {
            sqlx::query("update prediction_instruments set symbol = $2 where id = $1")
                .bind(id)
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

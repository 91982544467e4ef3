//! The queries that show predictions.

use almanac_domain::values::{ModelName, Price, Session};
use almanac_store::StoreError;
use rust_decimal::Decimal;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::{Prediction, State};
use crate::instruments::InstrumentRef;
use crate::paging::List;
use crate::row;

/// Which predictions to list; what is none does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this instrument.
    pub instrument: Option<Uuid>,
    /// By this model.
    pub model: Option<ModelName>,
    /// This many sessions ahead.
    pub horizon: Option<u32>,
    /// Made as of this session.
    pub as_of_session: Option<Session>,
    /// In this state.
    pub state: Option<State>,
}

/// The columns of a prediction `p` with its instrument `i`, and where they come from.
pub(crate) const SHOWN: &str = "select p.id, p.model, p.version, p.instrument, coalesce(i.symbol, '-') as symbol,
       i.name, p.as_of, p.horizon, p.target, p.target_closes_at, p.mode, p.state, p.published_at, p.close,
       p.forecast, p.abstention, p.realised, p.target_close, p.score, p.scored_at, p.dataset, p.round, p.ordinal
  from predictions p left join prediction_instruments i on i.id = p.instrument";

pub(crate) fn shown(row: &PgRow) -> Result<Prediction, sqlx::Error> {
    let price =
        |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<Decimal>, _>(column)?.map(Price::new));
    Ok(Prediction {
        id: row.try_get("id")?,
        model: row::word(row, "model")?,
        version: row::number(row, "version")?,
        instrument: InstrumentRef {
            id: row.try_get("instrument")?,
            symbol: row::word(row, "symbol")?,
            name: row.try_get("name")?,
        },
        as_of: row.try_get("as_of")?,
        horizon: row::horizon(row, "horizon")?,
        target: row.try_get("target")?,
        target_closes_at: row.try_get("target_closes_at")?,
        mode: row::word(row, "mode")?,
        state: row::word(row, "state")?,
        published_at: row.try_get("published_at")?,
        close: price("close")?,
        forecast: row::json_or_none(row, "forecast")?,
        abstention: row.try_get("abstention")?,
        realised: row::decimal_or_none(row, "realised")?,
        target_close: price("target_close")?,
        score: row::json_or_none(row, "score")?,
        scored_at: row.try_get("scored_at")?,
        dataset: row::word(row, "dataset")?,
        round: row.try_get("round")?,
        ordinal: row.try_get("ordinal")?,
    })
}

/// The predictions that pass `filter`, newest first; `cursor` is the ordinal of the last one seen.
pub async fn list(
    pool: &PgPool,
    filter: &Filter,
    cursor: Option<i64>,
    limit: i64,
) -> Result<List<Prediction>, StoreError> {
    let select = format!(
        "{SHOWN} where p.trial is null and p.ordinal < $1 and ($2::uuid is null or p.instrument = $2)
            and ($3::text is null or p.model = $3) and ($4::integer is null or p.horizon = $4)
            and ($5::date is null or p.as_of = $5) and ($6::text is null or p.state = $6)
          order by p.ordinal desc limit $7"
    );
    let rows = sqlx::query(&select)
        .bind(cursor.unwrap_or(i64::MAX))
        .bind(filter.instrument)
        .bind(filter.model.as_ref().map(ModelName::as_str))
        .bind(filter.horizon.map(|horizon| horizon as i32))
        .bind(filter.as_of_session)
        .bind(filter.state.map(State::as_str))
        .bind(limit + 1)
        .try_map(|row| shown(&row))
        .fetch_all(pool)
        .await?;
    Ok(List::cut(rows, limit, |last| last.ordinal.to_string()))
}

/// One prediction.
pub async fn find(pool: &PgPool, id: Uuid) -> Result<Option<Prediction>, StoreError> {
    let select = format!("{SHOWN} where p.trial is null and p.id = $1");
    Ok(sqlx::query(&select).bind(id).try_map(|row| shown(&row)).fetch_optional(pool).await?)
}

/// The newest prediction of each of `instruments` for each horizon; without instruments, everything in the newest
/// complete round, or in the newest one where none is. By symbol and horizon.
pub async fn latest(
    pool: &PgPool,
    model: Option<&ModelName>,
    instruments: Option<&[Uuid]>,
) -> Result<Vec<Prediction>, StoreError> {
    let model = model.map(ModelName::as_str);
    let Some(instruments) = instruments else {
        let select = format!(
            "{SHOWN} where p.trial is null and p.round = coalesce(
                 (select r.id from rounds r where ($1::text is null or r.model = $1) and r.state = 'complete'
                   order by r.session desc, r.ordinal desc limit 1),
                 (select r.id from rounds r where $1::text is null or r.model = $1
                   order by r.session desc, r.ordinal desc limit 1))
              order by symbol, p.instrument, p.horizon"
        );
        return Ok(sqlx::query(&select).bind(model).try_map(|row| shown(&row)).fetch_all(pool).await?);
    };
    // The instruments are named twice, because for those of a whole watchlist PostgreSQL would rather read every prediction
    // than look up each of the chosen ones by its id.
    let select = format!(
        "{SHOWN} where p.instrument = any($1) and p.id in (
             select distinct on (n.instrument, n.horizon) n.id from predictions n
              where n.trial is null and n.instrument = any($1) and ($2::text is null or n.model = $2)
              order by n.instrument, n.horizon, n.as_of desc, n.ordinal desc)
          order by symbol, p.instrument, p.horizon"
    );
    Ok(sqlx::query(&select).bind(instruments).bind(model).try_map(|row| shown(&row)).fetch_all(pool).await?)
}

//! Instruments: what can be watched and forecast, under their present symbols.

use std::fmt;
use std::str::FromStr;

use almanac_domain::Event;
use almanac_domain::instrument::{CorporateActionRecorded, InstrumentEvent, InstrumentListed};
use almanac_domain::values::{Exchange, Price, Session, Symbol};
use almanac_store::StoreError;
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use async_trait::async_trait;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::paging::List;
use crate::row;

/// The subscription that reads of instruments wait for.
pub const NAME: &str = "instruments";

/// An instrument as everybody sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Instrument {
    /// Its id, which outlives its symbol.
    pub id: Uuid,
    /// Its present ticker symbol.
    #[schema(value_type = String)]
    pub symbol: Symbol,
    /// Where it trades: a market identifier code, or `-`.
    #[schema(value_type = String)]
    pub exchange: Exchange,
    /// The company's name, where known.
    pub name: Option<String>,
    /// The company's sector, where known.
    pub sector: Option<String>,
    /// The first session it was seen on.
    #[schema(value_type = chrono::NaiveDate)]
    pub first_session: Session,
    /// The session of its last known bar.
    #[schema(value_type = Option<chrono::NaiveDate>)]
    pub last_session: Option<Session>,
    /// Whether it trades no more.
    pub delisted: bool,
    /// The close of the last known bar.
    #[schema(value_type = Option<String>)]
    pub close: Option<Price>,
    /// The close of the bar before, split-adjusted like `close`.
    #[schema(value_type = Option<String>)]
    pub previous_close: Option<Price>,
}

/// An instrument in few words, where another thing speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InstrumentRef {
    /// Its id.
    pub id: Uuid,
    /// Its present ticker symbol.
    #[schema(value_type = String)]
    pub symbol: Symbol,
    /// The company's name, where known.
    pub name: Option<String>,
}

/// An instrument as those who compute need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Its id.
    pub id: Uuid,
    /// Its present ticker symbol.
    pub symbol: Symbol,
    /// Where it trades.
    pub exchange: Exchange,
    /// The company's name, where known.
    pub name: Option<String>,
    /// The company's sector, where known.
    pub sector: Option<String>,
    /// The first session it was seen on.
    pub first_session: Session,
    /// The splits and dividends known, by the day they take effect.
    pub actions: Vec<CorporateActionRecorded>,
    /// The first session of a halt that goes on.
    pub halted_from: Option<Session>,
    /// The last session it traded, once it trades no more.
    pub delisted_after: Option<Session>,
}

/// The place after which the next page of instruments begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    symbol: Symbol,
    id: Uuid,
}

/// A text that no answer ever gave as a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not a cursor of this list")]
pub struct BadCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.symbol, self.id)
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        let (symbol, id) = text.split_once('~').ok_or(BadCursor)?;
        Ok(Self { symbol: symbol.parse().map_err(|_| BadCursor)?, id: id.parse().map_err(|_| BadCursor)? })
    }
}

/// Keeps the instruments.
#[derive(Debug, Clone, Copy)]
pub struct Instruments;

#[async_trait]
impl Handler for Instruments {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../sql/instruments.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["instrument"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::Instrument(happened) => apply(conn, row::id(event)?, event.ordinal, happened).await,
            Event::Account(_)
            | Event::Watchlist(_)
            | Event::Ingestion(_)
            | Event::TrainingRun(_)
            | Event::Model(_)
            | Event::ForecastRound(_)
            | Event::Prediction(_)
            | Event::WebhookEndpoint(_) => Ok(()),
        }
    }
}

async fn apply(
    conn: &mut PgConnection,
    id: Uuid,
    ordinal: i64,
    happened: InstrumentEvent,
) -> Result<(), HandlerError> {
    match happened {
        InstrumentEvent::InstrumentListed(listed) => list(conn, id, ordinal, &listed).await?,
        InstrumentEvent::InstrumentRenamed(renamed) => {
            sqlx::query("update instruments set symbol = $2 where id = $1")
                .bind(id)
                .bind(renamed.symbol.as_str())
                .execute(conn)
                .await?;
        }
        InstrumentEvent::CorporateActionRecorded(recorded) => {
            sqlx::query(
                "insert into instrument_actions (instrument, ordinal, effective, action) values ($1, $2, $3, $4)
                 on conflict (instrument, ordinal) do nothing",
            )
            .bind(id)
            .bind(ordinal)
            .bind(recorded.effective)
            .bind(Json(recorded.action))
            .execute(conn)
            .await?;
        }
        InstrumentEvent::InstrumentHalted(halted) => {
            sqlx::query("update instruments set halted_from = $2 where id = $1")
                .bind(id)
                .bind(halted.from)
                .execute(conn)
                .await?;
        }
        InstrumentEvent::InstrumentDelisted(delisted) => {
            sqlx::query("update instruments set delisted_after = $2 where id = $1")
                .bind(id)
                .bind(delisted.last_session)
                .execute(conn)
                .await?;
        }
    }
    Ok(())
}

async fn list(
    conn: &mut PgConnection,
    id: Uuid,
    ordinal: i64,
    listed: &InstrumentListed,
) -> Result<(), HandlerError> {
    sqlx::query(
        "insert into instruments (id, symbol, exchange, name, sector, first_session, listed_ordinal)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (id) do nothing",
    )
    .bind(id)
    .bind(listed.symbol.as_str())
    .bind(listed.exchange.as_str())
    .bind(&listed.name)
    .bind(&listed.sector)
    .bind(listed.first_session)
    .bind(ordinal)
    .execute(conn)
    .await?;
    Ok(())
}

const SHOWN: &str = "id, symbol, exchange, name, sector, first_session, delisted_after";

fn shown(row: &PgRow) -> Result<Instrument, sqlx::Error> {
    let delisted_after: Option<Session> = row.try_get("delisted_after")?;
    Ok(Instrument {
        id: row.try_get("id")?,
        symbol: row::word(row, "symbol")?,
        exchange: row::word(row, "exchange")?,
        name: row.try_get("name")?,
        sector: row.try_get("sector")?,
        first_session: row.try_get("first_session")?,
        last_session: delisted_after,
        delisted: delisted_after.is_some(),
        close: None,
        previous_close: None,
    })
}

/// The instruments whose symbol begins with `search` or whose name contains it, by symbol.
///
/// Prices are not in the log but in the stored bars: `close`, `previous_close` and, unless it is delisted,
/// `last_session` are left for whoever holds the bars.
pub async fn search(
    pool: &PgPool,
    search: Option<&str>,
    cursor: Option<&Cursor>,
    limit: i64,
) -> Result<List<Instrument>, StoreError> {
    let select = format!(
        "select {SHOWN} from instruments
          where ($1::text is null or starts_with(symbol, upper($1)) or position(lower($1) in lower(name)) > 0)
            and ($2::text is null or (symbol, id) > ($2, $3))
          order by symbol, id limit $4"
    );
    let rows = sqlx::query(&select)
        .bind(search.map(str::trim).filter(|text| !text.is_empty()))
        .bind(cursor.map(|cursor| cursor.symbol.as_str()))
        .bind(cursor.map(|cursor| cursor.id))
        .bind(limit + 1)
        .try_map(|row| shown(&row))
        .fetch_all(pool)
        .await?;
    let cursor = |last: &Instrument| Cursor { symbol: last.symbol.clone(), id: last.id }.to_string();
    Ok(List::cut(rows, limit, cursor))
}

/// One instrument.
pub async fn find(pool: &PgPool, id: Uuid) -> Result<Option<Instrument>, StoreError> {
    Ok(by_ids(pool, &[id]).await?.pop())
}

/// The instruments with these ids, by symbol.
pub async fn by_ids(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Instrument>, StoreError> {
    let select = format!("select {SHOWN} from instruments where id = any($1) order by symbol, id");
    Ok(sqlx::query(&select).bind(ids).try_map(|row| shown(&row)).fetch_all(pool).await?)
}

const LISTED: &str = "select id, symbol, exchange, name, sector, first_session, halted_from, delisted_after,
       coalesce((select jsonb_agg(jsonb_build_object('action', a.action, 'effective', a.effective)
                                  order by a.effective, a.ordinal)
                   from instrument_actions a where a.instrument = i.id), '[]') as actions
  from instruments i";

fn listing(row: &PgRow) -> Result<Listing, sqlx::Error> {
    Ok(Listing {
        id: row.try_get("id")?,
        symbol: row::word(row, "symbol")?,
        exchange: row::word(row, "exchange")?,
        name: row.try_get("name")?,
        sector: row.try_get("sector")?,
        first_session: row.try_get("first_session")?,
        actions: row::json(row, "actions")?,
        halted_from: row.try_get("halted_from")?,
        delisted_after: row.try_get("delisted_after")?,
    })
}

/// Every instrument with its splits and dividends, by symbol.
pub async fn listings(pool: &PgPool) -> Result<Vec<Listing>, StoreError> {
    let select = format!("{LISTED} order by symbol, id");
    Ok(sqlx::query(&select).try_map(|row| listing(&row)).fetch_all(pool).await?)
}

/// The instruments with these ids and their splits and dividends, by symbol.
pub async fn listings_by_ids(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Listing>, StoreError> {
    let select = format!("{LISTED} where id = any($1) order by symbol, id");
    Ok(sqlx::query(&select).bind(ids).try_map(|row| listing(&row)).fetch_all(pool).await?)
}

/// The instrument that trades under this symbol now.
pub async fn listed_as(
    pool: &PgPool,
    exchange: &Exchange,
    symbol: &Symbol,
) -> Result<Option<Listing>, StoreError> {
    let select = format!("{LISTED} where symbol = $1 and exchange = $2 and delisted_after is null limit 1");
    let found = sqlx::query(&select)
        .bind(symbol.as_str())
        .bind(exchange.as_str())
        .try_map(|row| listing(&row))
        .fetch_optional(pool)
        .await?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_cursor_reads_back_what_it_wrote_and_nothing_else() {
        let cursor = Cursor { symbol: "BRK.B".parse().unwrap(), id: Uuid::from_u128(7) };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "BRK.B", "~", "brk~00000000-0000-0000-0000-000000000007", "BRK.B~7x"] {
            assert_eq!(text.parse::<Cursor>(), Err(BadCursor), "{text}");
        }
    }
}

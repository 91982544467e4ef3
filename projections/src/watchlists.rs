//! Watchlists: the instruments their owners want to hear of, with the latest predictions for each.

use almanac_domain::Event;
use almanac_domain::account::AccountEvent;
use almanac_domain::values::ModelName;
use almanac_domain::watchlist::WatchlistEvent;
use almanac_store::StoreError;
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use async_trait::async_trait;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::instruments::{self, Instrument};
use crate::predictions::{self, Prediction};
use crate::row;

/// The subscription that reads of watchlists wait for.
pub const NAME: &str = "watchlists";

pub use almanac_domain::account::vault::WATCHLIST_NAME as NAME_KIND;

/// A list with everything on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Watchlist {
    /// Its id.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// What is on it, by symbol.
    pub instruments: Vec<WatchedInstrument>,
}

/// An instrument on a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WatchedInstrument {
    /// The instrument itself.
    #[serde(flatten)]
    pub instrument: Instrument,
    /// Its newest prediction for each horizon.
    pub latest: Vec<Prediction>,
}

/// Keeps the watchlists.
#[derive(Debug, Clone, Copy)]
pub struct Watchlists;

#[async_trait]
impl Handler for Watchlists {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../sql/watchlists.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["account", "watchlist"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::Watchlist(happened) => apply(conn, row::id(event)?, event.ordinal, happened).await,
            Event::Account(AccountEvent::AccountErased(_)) => forget(conn, row::id(event)?).await,
            Event::Account(
                AccountEvent::AccountOpened(_)
                | AccountEvent::EmailConfirmed(_)
                | AccountEvent::RoleGranted(_)
                | AccountEvent::RoleRevoked(_)
                | AccountEvent::NotificationPreferencesSet(_)
                | AccountEvent::AccountSuspended(_)
                | AccountEvent::AccountReinstated(_),
            )
            | Event::Instrument(_)
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
    happened: WatchlistEvent,
) -> Result<(), HandlerError> {
    match happened {
        WatchlistEvent::WatchlistCreated(created) => {
            sqlx::query(
                "insert into watchlists (id, owner, name, created_ordinal) values ($1, $2, $3, $4)
                 on conflict (id) do nothing",
            )
            .bind(id)
            .bind(created.owner)
            .bind(created.name)
            .bind(ordinal)
            .execute(conn)
            .await?;
        }
        WatchlistEvent::WatchlistRenamed(renamed) => {
            sqlx::query("update watchlists set name = $2 where id = $1")
                .bind(id)
                .bind(renamed.name)
                .execute(conn)
                .await?;
        }
        WatchlistEvent::AddedToWatchlist(added) => {
            sqlx::query(
                "insert into watched (watchlist, instrument, added_ordinal) values ($1, $2, $3)
                 on conflict (watchlist, instrument) do nothing",
            )
            .bind(id)
            .bind(added.instrument)
            .bind(ordinal)
            .execute(conn)
            .await?;
        }
        WatchlistEvent::RemovedFromWatchlist(removed) => {
            sqlx::query("delete from watched where watchlist = $1 and instrument = $2")
                .bind(id)
                .bind(removed.instrument)
                .execute(conn)
                .await?;
        }
        WatchlistEvent::WatchlistDeleted(_) => {
            sqlx::query("delete from watched where watchlist = $1").bind(id).execute(&mut *conn).await?;
            sqlx::query("delete from watchlists where id = $1").bind(id).execute(conn).await?;
        }
    }
    Ok(())
}

async fn forget(conn: &mut PgConnection, account: Uuid) -> Result<(), HandlerError> {
    sqlx::query("delete from watched where watchlist in (select id from watchlists where owner = $1)")
        .bind(account)
        .execute(&mut *conn)
        .await?;
    sqlx::query("delete from watchlists where owner = $1").bind(account).execute(conn).await?;
    Ok(())
}

/// The lists of an account in the order they were made, with the latest predictions of `model` (or of all).
pub async fn of_account(
    pool: &PgPool,
    account: Uuid,
    model: Option<&ModelName>,
) -> Result<Vec<Watchlist>, StoreError> {
    let lists: Vec<(Uuid, String)> = sqlx::query_as(
        "select w.id, coalesce(v.value, '') from watchlists w left join vault v on v.id = w.name
          where w.owner = $1 order by w.created_ordinal",
    )
    .bind(account)
    .fetch_all(pool)
    .await?;
    let ids: Vec<Uuid> = lists.iter().map(|(id, _)| *id).collect();
    let watched: Vec<(Uuid, Uuid)> =
        sqlx::query_as("select watchlist, instrument from watched where watchlist = any($1)")
            .bind(&ids)
            .fetch_all(pool)
            .await?;
    let wanted: Vec<Uuid> = watched.iter().map(|(_, instrument)| *instrument).collect();
    let known = instruments::by_ids(pool, &wanted).await?;
    let latest = predictions::latest(pool, model, Some(&wanted)).await?;
    let list = |(id, name): (Uuid, String)| Watchlist {
        id,
        name,
        instruments: known
            .iter()
            .filter(|instrument| watched.contains(&(id, instrument.id)))
            .map(|instrument| WatchedInstrument {
                instrument: instrument.clone(),
                latest: latest.iter().filter(|made| made.instrument.id == instrument.id).cloned().collect(),
            })
            .collect(),
    };
    Ok(lists.into_iter().map(list).collect())
}

/// Whose list it is.
pub async fn owner(pool: &PgPool, watchlist: Uuid) -> Result<Option<Uuid>, StoreError> {
    let owner = sqlx::query_scalar("select owner from watchlists where id = $1");
    Ok(owner.bind(watchlist).fetch_optional(pool).await?)
}

/// What is on a list, in the order it was added.
pub async fn instruments_of(pool: &PgPool, watchlist: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let ids =
        sqlx::query_scalar("select instrument from watched where watchlist = $1 order by added_ordinal");
    Ok(ids.bind(watchlist).fetch_all(pool).await?)
}

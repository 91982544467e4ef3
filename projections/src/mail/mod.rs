//! Mails: who gets one when a round is complete, and what stands in it.
//!
//! The step decides and writes the outbox, one row for each account under the key `session:<round>:<account>`;
//! writing and sending the mail is the Notifier's, who asks [`session_mail`] for its content.

mod read;

use almanac_domain::Event;
use almanac_domain::account::{AccountEvent, NotificationPreferences};
use almanac_domain::forecast_round::{ForecastRoundEvent, RoundCompleted};
use almanac_domain::prediction::{PredictionEvent, PredictionPublished, Role};
use almanac_domain::watchlist::WatchlistEvent;
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use almanac_store::outbox::mail::{NewMail, put};
use async_trait::async_trait;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::row;

pub use read::{Mail, OwnRecord, SentMail, SessionItem, SessionMail, sent_to, session_mail};

/// The subscription that decides on mails.
pub const NAME: &str = "mail";

/// The kind of the mail that tells of a session's predictions.
pub const SESSION: &str = "session";

/// Decides who is told of a round.
#[derive(Debug, Clone, Copy)]
pub struct MailDecisions;

#[async_trait]
impl Handler for MailDecisions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../../sql/mail.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["account", "forecast_round", "prediction", "watchlist"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::Account(happened) => account(conn, row::id(event)?, happened).await,
            Event::Watchlist(happened) => watchlist(conn, row::id(event)?, happened).await,
            Event::Prediction(PredictionEvent::PredictionPublished(published)) => {
                published_for(conn, &published).await
            }
            Event::ForecastRound(ForecastRoundEvent::RoundCompleted(completed)) => {
                tell(conn, event, &completed).await
            }
            Event::Prediction(
                PredictionEvent::PredictionAbstained(_)
                | PredictionEvent::PredictionScored(_)
                | PredictionEvent::PredictionVoided(_),
            )
            | Event::ForecastRound(ForecastRoundEvent::RoundOpened(_))
            | Event::Instrument(_)
            | Event::Ingestion(_)
            | Event::TrainingRun(_)
            | Event::Model(_)
            | Event::WebhookEndpoint(_) => Ok(()),
        }
    }
}

async fn account(conn: &mut PgConnection, id: Uuid, happened: AccountEvent) -> Result<(), HandlerError> {
    match happened {
        AccountEvent::AccountOpened(_) => {
            sqlx::query(
                "insert into mail_accounts (id, session_mail) values ($1, $2)
                 on conflict (id) do nothing",
            )
            .bind(id)
            .bind(NotificationPreferences::default().session_mail)
            .execute(conn)
            .await?;
        }
        AccountEvent::NotificationPreferencesSet(chosen) => {
            sqlx::query("update mail_accounts set session_mail = $2 where id = $1")
                .bind(id)
                .bind(chosen.preferences.session_mail)
                .execute(conn)
                .await?;
        }
        AccountEvent::AccountSuspended(_) => suspend(conn, id, true).await?,
        AccountEvent::AccountReinstated(_) => suspend(conn, id, false).await?,
        AccountEvent::AccountErased(_) => {
            sqlx::query(
                "delete from mail_watched where watchlist in (select id from mail_watchlists where owner = $1)",
            )
            .bind(id)
            .execute(&mut *conn)
            .await?;
            sqlx::query("delete from mail_watchlists where owner = $1").bind(id).execute(&mut *conn).await?;
            sqlx::query("delete from mail_accounts where id = $1").bind(id).execute(conn).await?;
        }
        AccountEvent::EmailConfirmed(_) | AccountEvent::RoleGranted(_) | AccountEvent::RoleRevoked(_) => {}
    }
    Ok(())
}

async fn suspend(conn: &mut PgConnection, id: Uuid, suspended: bool) -> Result<(), HandlerError> {
    let update = sqlx::query("update mail_accounts set suspended = $2 where id = $1");
    update.bind(id).bind(suspended).execute(conn).await?;
    Ok(())
}

async fn watchlist(conn: &mut PgConnection, id: Uuid, happened: WatchlistEvent) -> Result<(), HandlerError> {
    match happened {
        WatchlistEvent::WatchlistCreated(created) => {
            sqlx::query(
                "insert into mail_watchlists (id, owner) values ($1, $2)
                 on conflict (id) do nothing",
            )
            .bind(id)
            .bind(created.owner)
            .execute(conn)
            .await?;
        }
        WatchlistEvent::AddedToWatchlist(added) => {
            sqlx::query(
                "insert into mail_watched (watchlist, instrument) values ($1, $2) on conflict do nothing",
            )
            .bind(id)
            .bind(added.instrument)
            .execute(conn)
            .await?;
        }
        WatchlistEvent::RemovedFromWatchlist(removed) => {
            sqlx::query("delete from mail_watched where watchlist = $1 and instrument = $2")
                .bind(id)
                .bind(removed.instrument)
                .execute(conn)
                .await?;
        }
        WatchlistEvent::WatchlistDeleted(_) => {
            sqlx::query("delete from mail_watched where watchlist = $1").bind(id).execute(&mut *conn).await?;
            sqlx::query("delete from mail_watchlists where id = $1").bind(id).execute(conn).await?;
        }
        WatchlistEvent::WatchlistRenamed(_) => {}
    }
    Ok(())
}

async fn published_for(conn: &mut PgConnection, published: &PredictionPublished) -> Result<(), HandlerError> {
    match published.slot.role {
        Role::Published => {
            sqlx::query(
                "insert into mail_round_instruments (round, instrument) values ($1, $2) on conflict do nothing",
            )
            .bind(published.slot.round)
            .bind(published.slot.instrument)
            .execute(conn)
            .await?;
        }
        Role::Trial { .. } => {}
    }
    Ok(())
}

async fn tell(
    conn: &mut PgConnection,
    event: &Recorded,
    completed: &RoundCompleted,
) -> Result<(), HandlerError> {
    let round = row::id(event)?;
    let accounts: Vec<Uuid> = sqlx::query_scalar(
        "select distinct a.id
           from mail_round_instruments r
           join mail_watched w on w.instrument = r.instrument
           join mail_watchlists l on l.id = w.watchlist
           join mail_accounts a on a.id = l.owner
          where r.round = $1 and a.session_mail and not a.suspended order by a.id",
    )
    .bind(round)
    .fetch_all(&mut *conn)
    .await?;
    for account in accounts {
        let key = format!("{SESSION}:{round}:{account}");
        let mail = NewMail {
            // Neither account nor round can be read out of the id that the mail carries through the world.
            message_id: format!("<{}@almanac>", Uuid::new_v5(&round, key.as_bytes())),
            key,
            account,
            kind: SESSION.to_owned(),
            payload: json!({ "round": round, "session": completed.session, "model": completed.model }),
            ordinal: event.ordinal,
            due_at: event.at(),
        };
        put(conn, &mail).await?;
    }
    sqlx::query("delete from mail_round_instruments where round = $1").bind(round).execute(conn).await?;
    Ok(())
}

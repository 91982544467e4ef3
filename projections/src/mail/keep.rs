//! Who is told: accounts that want mail, what they watch, and the mails that are decided on.

use almanac_domain::account::{AccountEvent, NotificationPreferences};
use almanac_domain::watchlist::WatchlistEvent;
use almanac_store::log::HandlerError;
use almanac_store::outbox::mail::{NewMail, put};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::SESSION;
use super::bulk::Completed;

/// Keeps who wants mail.
pub(super) async fn account(
    conn: &mut PgConnection,
    id: Uuid,
    happened: &AccountEvent,
) -> Result<(), HandlerError> {
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

/// Keeps who watches what.
pub(super) async fn watchlist(
    conn: &mut PgConnection,
    id: Uuid,
    happened: &WatchlistEvent,
) -> Result<(), HandlerError> {
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

/// Decides on a mail for every account that watches something of the round.
pub(super) async fn tell(conn: &mut PgConnection, completed: &Completed) -> Result<(), HandlerError> {
    let Completed { round, ordinal, at, happened } = completed;
    let accounts: Vec<Uuid> = sqlx::query_scalar(
        "select distinct a.id
           from mail_round_instruments r
           join mail_watched w on w.instrument = r.instrument
           join mail_watchlists l on l.id = w.watchlist
           join mail_accounts a on a.id = l.owner
          where r.round = $1 and a.session_mail and not a.suspended order by a.id",
    )
    .bind(*round)
    .fetch_all(&mut *conn)
    .await?;
    for account in accounts {
        let key = format!("{SESSION}:{round}:{account}");
        let mail = NewMail {
            // Neither account nor round can be read out of the id that the mail carries through the world.
            message_id: format!("<{}@almanac>", Uuid::new_v5(round, key.as_bytes())),
            key,
            account,
            kind: SESSION.to_owned(),
            payload: json!({ "round": round, "session": happened.session, "model": happened.model }),
            ordinal: *ordinal,
            due_at: *at,
        };
        put(conn, &mail).await?;
    }
    sqlx::query("delete from mail_round_instruments where round = $1").bind(*round).execute(conn).await?;
    Ok(())
}

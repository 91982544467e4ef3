//! Accounts: who may sign in, what they may do and what they are told.
//!
//! The e-mail address and the password's digest lie in the vault with the account as owner, under the kinds [`EMAIL`]
//! and [`PASSWORD`]; erasing an account deletes them, and the account is gone for every query here at once.

use almanac_domain::Event;
use almanac_domain::account::{AccountEvent, NotificationPreferences, Role};
use almanac_store::StoreError;
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use async_trait::async_trait;
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::row;

/// The subscription that reads of accounts wait for.
pub const NAME: &str = "accounts";

pub use almanac_domain::account::vault::{EMAIL, PASSWORD};

/// An account as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema, sqlx::FromRow)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// Its e-mail address.
    pub email: String,
    /// Whether it steers models and the pipeline.
    pub admin: bool,
    /// Whether it gets one mail for each session with the stocks it watches.
    pub session_mail: bool,
    /// Whether it is shut out.
    #[serde(skip)]
    pub suspended: bool,
}

/// Keeps the accounts.
#[derive(Debug, Clone, Copy)]
pub struct Accounts;

#[async_trait]
impl Handler for Accounts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../sql/accounts.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["account"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::Account(happened) => apply(conn, row::id(event)?, event.ordinal, happened).await,
            Event::Watchlist(_)
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
    happened: AccountEvent,
) -> Result<(), HandlerError> {
    match happened {
        AccountEvent::AccountOpened(_) => open(conn, id, ordinal).await,
        // Nothing is held back from an address that is not confirmed.
        AccountEvent::EmailConfirmed(_) => Ok(()),
        AccountEvent::RoleGranted(granted) => set_role(conn, id, granted.role, true).await,
        AccountEvent::RoleRevoked(revoked) => set_role(conn, id, revoked.role, false).await,
        AccountEvent::NotificationPreferencesSet(chosen) => {
            let wanted = chosen.preferences.session_mail;
            set(conn, "update accounts set session_mail = $2 where id = $1", id, wanted).await
        }
        AccountEvent::AccountSuspended(_) => {
            set(conn, "update accounts set suspended = $2 where id = $1", id, true).await
        }
        AccountEvent::AccountReinstated(_) => {
            set(conn, "update accounts set suspended = $2 where id = $1", id, false).await
        }
        AccountEvent::AccountErased(_) => {
            sqlx::query("delete from accounts where id = $1").bind(id).execute(conn).await?;
            Ok(())
        }
    }
}

async fn open(conn: &mut PgConnection, id: Uuid, ordinal: i64) -> Result<(), HandlerError> {
    sqlx::query(
        "insert into accounts (id, session_mail, opened_ordinal) values ($1, $2, $3)
         on conflict (id) do nothing",
    )
    .bind(id)
    .bind(NotificationPreferences::default().session_mail)
    .bind(ordinal)
    .execute(conn)
    .await?;
    Ok(())
}

async fn set_role(conn: &mut PgConnection, id: Uuid, role: Role, given: bool) -> Result<(), HandlerError> {
    match role {
        Role::Admin => set(conn, "update accounts set admin = $2 where id = $1", id, given).await,
    }
}

async fn set(
    conn: &mut PgConnection,
    update: &'static str,
    id: Uuid,
    value: bool,
) -> Result<(), HandlerError> {
    sqlx::query(update).bind(id).bind(value).execute(conn).await?;
    Ok(())
}

/// The account, unless it was never opened or is erased.
pub async fn find(pool: &PgPool, id: Uuid) -> Result<Option<Account>, StoreError> {
    let found = sqlx::query_as(
        "select a.id, v.value as email, a.admin, a.session_mail, a.suspended
           from accounts a join vault v on v.owner = a.id and v.kind = $2 where a.id = $1
          order by v.put_at desc limit 1",
    )
    .bind(id)
    .bind(EMAIL)
    .fetch_optional(pool)
    .await?;
    Ok(found)
}

/// Every administrator, in the order their accounts were opened.
pub async fn admins(pool: &PgPool) -> Result<Vec<Account>, StoreError> {
    let found = sqlx::query_as(
        "select a.id, v.value as email, a.admin, a.session_mail, a.suspended
           from accounts a join vault v on v.owner = a.id and v.kind = $1 where a.admin
          order by a.opened_ordinal",
    )
    .bind(EMAIL)
    .fetch_all(pool)
    .await?;
    Ok(found)
}

/// How many accounts there are.
pub async fn count(pool: &PgPool) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("select count(*) from accounts").fetch_one(pool).await?)
}

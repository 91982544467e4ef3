//! Webhook endpoints: where integrators want to be called, and about what.
//!
//! The URL and the secret lie in the vault with the account as owner, under ids that follow from the endpoint's:
//! [`url_row`] and [`secret_row`].

use almanac_domain::Event;
use almanac_domain::account::AccountEvent;
use almanac_domain::account::vault;
use almanac_domain::webhook_endpoint::WebhookEndpointEvent;
use almanac_store::StoreError;
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::row;

/// The subscription that reads of endpoints wait for.
pub const NAME: &str = "webhook_endpoints";

/// The vault row that holds the URL of `endpoint`.
pub fn url_row(endpoint: Uuid) -> Uuid {
    vault::row(vault::ENDPOINT_URL, endpoint)
}

/// The vault row that holds the secret of `endpoint`.
pub fn secret_row(endpoint: Uuid) -> Uuid {
    vault::row(vault::ENDPOINT_SECRET, endpoint)
}

/// An endpoint as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebhookEndpoint {
    /// Its id.
    pub id: Uuid,
    /// Where it is called.
    pub url: String,
    /// What it asks for.
    pub event_types: Vec<String>,
    /// Whether it is called.
    pub enabled: bool,
    /// Why it is not, as a stable word.
    pub disabled_reason: Option<String>,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// An endpoint as those who call it need it.
#[derive(Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Target {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub owner: Uuid,
    /// Where it is called.
    pub url: String,
    /// What its messages are signed with.
    pub secret: String,
    /// Whether it is called.
    pub enabled: bool,
    /// What it asks for.
    pub event_types: Vec<String>,
}

impl std::fmt::Debug for Target {
    /// Everything but the secret, which no log may hold.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("id", &self.id).field("enabled", &self.enabled).finish_non_exhaustive()
    }
}

/// Keeps the webhook endpoints.
#[derive(Debug, Clone, Copy)]
pub struct WebhookEndpoints;

#[async_trait]
impl Handler for WebhookEndpoints {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../sql/webhook_endpoints.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&["account", "webhook_endpoint"])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::WebhookEndpoint(happened) => apply(conn, event, happened).await,
            Event::Account(AccountEvent::AccountErased(_)) => {
                let forget = sqlx::query("delete from webhook_endpoints where owner = $1");
                forget.bind(row::id(event)?).execute(conn).await?;
                Ok(())
            }
            Event::Account(
                AccountEvent::AccountOpened(_)
                | AccountEvent::EmailConfirmed(_)
                | AccountEvent::RoleGranted(_)
                | AccountEvent::RoleRevoked(_)
                | AccountEvent::NotificationPreferencesSet(_)
                | AccountEvent::AccountSuspended(_)
                | AccountEvent::AccountReinstated(_),
            )
            | Event::Watchlist(_)
            | Event::Instrument(_)
            | Event::Ingestion(_)
            | Event::TrainingRun(_)
            | Event::Model(_)
            | Event::ForecastRound(_)
            | Event::Prediction(_) => Ok(()),
        }
    }
}

async fn apply(
    conn: &mut PgConnection,
    event: &Recorded,
    happened: WebhookEndpointEvent,
) -> Result<(), HandlerError> {
    let id = row::id(event)?;
    match happened {
        WebhookEndpointEvent::EndpointRegistered(registered) => {
            sqlx::query(
                "insert into webhook_endpoints (id, owner, event_types, created_at, ordinal)
                 values ($1, $2, $3, $4, $5)
                 on conflict (id) do nothing",
            )
            .bind(id)
            .bind(registered.owner)
            .bind(registered.event_types)
            .bind(event.at())
            .bind(event.ordinal)
            .execute(conn)
            .await?;
        }
        WebhookEndpointEvent::EndpointChanged(changed) => {
            sqlx::query("update webhook_endpoints set event_types = $2 where id = $1")
                .bind(id)
                .bind(changed.event_types)
                .execute(conn)
                .await?;
        }
        WebhookEndpointEvent::SecretRotated(_) => {}
        WebhookEndpointEvent::EndpointDisabled(disabled) => {
            sqlx::query("update webhook_endpoints set enabled = false, disabled_reason = $2 where id = $1")
                .bind(id)
                .bind(disabled.reason)
                .execute(conn)
                .await?;
        }
        WebhookEndpointEvent::EndpointEnabled(_) => {
            sqlx::query("update webhook_endpoints set enabled = true, disabled_reason = null where id = $1")
                .bind(id)
                .execute(conn)
                .await?;
        }
        WebhookEndpointEvent::EndpointRemoved(_) => {
            sqlx::query("delete from webhook_endpoints where id = $1").bind(id).execute(conn).await?;
        }
    }
    Ok(())
}

type Row = (Uuid, Vec<String>, bool, Option<String>, DateTime<Utc>);

async fn with_urls(pool: &PgPool, rows: Vec<Row>) -> Result<Vec<WebhookEndpoint>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| url_row(row.0)).collect();
    let urls = almanac_store::vault::get_many(pool, &ids).await?;
    let url = |endpoint: Uuid| {
        urls.iter().find(|row| row.id == url_row(endpoint)).map(|row| row.value.clone()).unwrap_or_default()
    };
    let shown = |(id, event_types, enabled, disabled_reason, created_at): Row| WebhookEndpoint {
        id,
        url: url(id),
        event_types,
        enabled,
        disabled_reason,
        created_at,
    };
    Ok(rows.into_iter().map(shown).collect())
}

/// The endpoints of an account, in the order they were registered.
pub async fn of_account(pool: &PgPool, account: Uuid) -> Result<Vec<WebhookEndpoint>, StoreError> {
    let rows = sqlx::query_as(
        "select id, event_types, enabled, disabled_reason, created_at from webhook_endpoints
          where owner = $1 order by ordinal",
    );
    with_urls(pool, rows.bind(account).fetch_all(pool).await?).await
}

/// One endpoint of an account; somebody else's is as absent as one that never was.
pub async fn find(pool: &PgPool, account: Uuid, id: Uuid) -> Result<Option<WebhookEndpoint>, StoreError> {
    let row = sqlx::query_as(
        "select id, event_types, enabled, disabled_reason, created_at from webhook_endpoints
          where owner = $1 and id = $2",
    );
    let row = row.bind(account).bind(id).fetch_optional(pool).await?;
    Ok(with_urls(pool, row.into_iter().collect()).await?.pop())
}

/// Where and how to call an endpoint; none once it or its account is gone.
pub async fn target(pool: &PgPool, id: Uuid) -> Result<Option<Target>, StoreError> {
    let found = sqlx::query_as(
        "select e.id, e.owner, u.value as url, s.value as secret, e.enabled, e.event_types
           from webhook_endpoints e join vault u on u.id = $2 join vault s on s.id = $3 where e.id = $1",
    );
    let found = found.bind(id).bind(url_row(id)).bind(secret_row(id));
    Ok(found.fetch_optional(pool).await?)
}

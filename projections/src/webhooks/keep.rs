//! What the fan-out keeps of its own: filters and symbols.

use almanac_domain::account::AccountEvent;
use almanac_domain::instrument::InstrumentEvent;
use almanac_domain::webhook_endpoint::WebhookEndpointEvent;
use almanac_store::log::HandlerError;
use sqlx::PgConnection;
use uuid::Uuid;

pub(super) async fn account(
    conn: &mut PgConnection,
    id: Uuid,
    happened: &AccountEvent,
) -> Result<(), HandlerError> {
    match happened {
        AccountEvent::AccountSuspended(_) => suspend(conn, id, true).await,
        AccountEvent::AccountReinstated(_) => suspend(conn, id, false).await,
        AccountEvent::AccountErased(_) => {
            sqlx::query("delete from webhook_filters where owner = $1").bind(id).execute(conn).await?;
            Ok(())
        }
        AccountEvent::AccountOpened(_)
        | AccountEvent::EmailConfirmed(_)
        | AccountEvent::RoleGranted(_)
        | AccountEvent::RoleRevoked(_)
        | AccountEvent::NotificationPreferencesSet(_) => Ok(()),
    }
}

async fn suspend(conn: &mut PgConnection, owner: Uuid, suspended: bool) -> Result<(), HandlerError> {
    let update = sqlx::query("update webhook_filters set suspended = $2 where owner = $1");
    update.bind(owner).bind(suspended).execute(conn).await?;
    Ok(())
}

pub(super) async fn endpoint(
    conn: &mut PgConnection,
    id: Uuid,
    happened: &WebhookEndpointEvent,
) -> Result<(), HandlerError> {
    match happened {
        WebhookEndpointEvent::EndpointRegistered(registered) => {
            sqlx::query(
                "insert into webhook_filters (endpoint, owner, event_types) values ($1, $2, $3)
                 on conflict (endpoint) do nothing",
            )
            .bind(id)
            .bind(registered.owner)
            .bind(&registered.event_types)
            .execute(conn)
            .await?;
        }
        WebhookEndpointEvent::EndpointChanged(changed) => {
            sqlx::query("update webhook_filters set event_types = $2 where endpoint = $1")
                .bind(id)
                .bind(&changed.event_types)
                .execute(conn)
                .await?;
        }
        WebhookEndpointEvent::EndpointDisabled(_) => enable(conn, id, false).await?,
        WebhookEndpointEvent::EndpointEnabled(_) => enable(conn, id, true).await?,
        WebhookEndpointEvent::EndpointRemoved(_) => {
            sqlx::query("delete from webhook_filters where endpoint = $1").bind(id).execute(conn).await?;
        }
        WebhookEndpointEvent::SecretRotated(_) => {}
    }
    Ok(())
}

async fn enable(conn: &mut PgConnection, id: Uuid, enabled: bool) -> Result<(), HandlerError> {
    let update = sqlx::query("update webhook_filters set enabled = $2 where endpoint = $1");
    update.bind(id).bind(enabled).execute(conn).await?;
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
                "insert into webhook_instruments (id, symbol, exchange) values ($1, $2, $3)
                 on conflict (id) do nothing",
            )
            .bind(id)
            .bind(listed.symbol.as_str())
            .bind(listed.exchange.as_str())
            .execute(conn)
            .await?;
        }
        InstrumentEvent::InstrumentRenamed(renamed) => {
            sqlx::query("update webhook_instruments set symbol = $2 where id = $1")
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

//! Webhooks: which endpoints are told of an event, and the message they get.
//!
//! The step writes one delivery for each endpoint that asked, under the key `<ordinal>:<endpoint>`; calling is the
//! Dispatcher's. A message speaks of markets and models only: no account, no address, no text a person typed. It
//! carries the newest signed head of the log, for the receiver to keep.

mod keep;
mod message;
mod read;

use almanac_domain::Event;
use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded};
use almanac_store::outbox::webhook::{NewDelivery, put};
use almanac_store::transparency::checkpoint;
use async_trait::async_trait;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::row;

pub use message::body;
pub use read::{Attempt, Delivery, attempts, deliveries, delivery_endpoint};

/// The subscription that decides on webhook messages.
pub const NAME: &str = "webhooks";

/// An endpoint that asks for this takes every event type.
pub const EVERYTHING: &str = "*";

/// Decides who is called about what.
#[derive(Debug, Clone, Copy)]
pub struct WebhookDecisions;

#[async_trait]
impl Handler for WebhookDecisions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> i32 {
        2
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(include_str!("../../sql/webhooks.sql"))
    }

    fn on_unknown(&self) -> OnUnknown {
        OnUnknown::StopAt(&[
            "account",
            "forecast_round",
            "ingestion",
            "instrument",
            "model",
            "prediction",
            "webhook_endpoint",
        ])
    }

    async fn apply(&self, conn: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        match row::read(event)? {
            Event::Account(happened) => keep::account(conn, row::id(event)?, happened).await,
            Event::WebhookEndpoint(happened) => keep::endpoint(conn, row::id(event)?, happened).await,
            Event::Instrument(happened) => keep::instrument(conn, row::id(event)?, happened).await,
            Event::Prediction(happened) => {
                let Some(message) = message::of_prediction(conn, row::id(event)?, happened).await? else {
                    return Ok(());
                };
                fan_out(conn, event, message).await
            }
            Event::ForecastRound(happened) => {
                fan_out_if_any(conn, event, message::of_round(row::id(event)?, happened)).await
            }
            Event::Model(happened) => {
                fan_out_if_any(conn, event, message::of_model(&event.key.aggregate_id, happened)).await
            }
            Event::Ingestion(happened) => {
                fan_out_if_any(conn, event, message::of_ingestion(row::id(event)?, happened)).await
            }
            Event::Watchlist(_) | Event::TrainingRun(_) => Ok(()),
        }
    }
}

async fn fan_out_if_any(
    conn: &mut PgConnection,
    event: &Recorded,
    message: Option<message::Message>,
) -> Result<(), HandlerError> {
    match message {
        Some(message) => fan_out(conn, event, message).await,
        None => Ok(()),
    }
}

async fn fan_out(
    conn: &mut PgConnection,
    event: &Recorded,
    message: message::Message,
) -> Result<(), HandlerError> {
    let asking: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "select endpoint, owner from webhook_filters
          where enabled and not suspended and event_types && array[$1, $2] order by endpoint",
    )
    .bind(message.event_type)
    .bind(EVERYTHING)
    .fetch_all(&mut *conn)
    .await?;
    if asking.is_empty() {
        return Ok(());
    }
    let mut payload = body(message.event_type, event.event_id, event.at(), message.data);
    // Written down with the message, so that a repetition says the same.
    if let (Value::Object(fields), Some(newest)) = (&mut payload, checkpoint::newest(&mut *conn).await?) {
        fields.insert("checkpoint".to_owned(), newest.note.into());
    }
    for (endpoint, account) in asking {
        let key = format!("{}:{endpoint}", event.ordinal);
        let delivery = NewDelivery {
            id: Uuid::new_v5(&endpoint, key.as_bytes()),
            key,
            endpoint,
            account,
            ordinal: event.ordinal,
            event_type: message.event_type.to_owned(),
            payload: payload.clone(),
            due_at: event.at(),
        };
        put(conn, &delivery).await?;
    }
    Ok(())
}

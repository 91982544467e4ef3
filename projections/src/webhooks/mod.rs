//! Webhooks: which endpoints are told of an event, and the message they get.
//!
//! The step writes one delivery for each endpoint that asked, under the key `<ordinal>:<endpoint>`; calling is the
//! Dispatcher's. A message speaks of markets and models only: no account, no address, no text a person typed. It
//! carries the newest signed head of the log, for the receiver to keep.

mod bulk;
mod keep;
mod message;
mod read;

use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded, Rows};
use async_trait::async_trait;
use sqlx::PgConnection;

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
        bulk::Bulk::of(std::slice::from_ref(event))?.write(conn).await
    }

    fn rows(&self, events: &[Recorded]) -> Result<Option<Box<dyn Rows>>, HandlerError> {
        Ok(Some(Box::new(bulk::Bulk::of(events)?)))
    }
}

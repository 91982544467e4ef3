//! Mails: who gets one when a round is complete, and what stands in it.
//!
//! The step decides and writes the outbox, one row for each account under the key `session:<round>:<account>`;
//! writing and sending the mail is the Notifier's, who asks [`session_mail`] for its content.

mod bulk;
mod keep;
mod read;

use almanac_store::log::{Handler, HandlerError, OnUnknown, Recorded, Rows};
use async_trait::async_trait;
use sqlx::PgConnection;

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
        bulk::Bulk::of(std::slice::from_ref(event))?.write(conn).await
    }

    fn rows(&self, events: &[Recorded]) -> Result<Option<Box<dyn Rows>>, HandlerError> {
        Ok(Some(Box::new(bulk::Bulk::of(events)?)))
    }
}

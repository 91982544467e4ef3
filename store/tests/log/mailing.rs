//! A projection that tells somebody of every event, so that a doubled or lost effect shows.

use almanac_store::Database;
use almanac_store::log::{Handler, HandlerError, Recorded};
use almanac_store::outbox::mail::{self, NewMail};
use async_trait::async_trait;
use sqlx::PgConnection;

use crate::counter::{Totals, an_account, noon};

/// Mails somebody for every event, and counts like [`Totals`].
pub struct Mailing(pub i32);

#[async_trait]
impl Handler for Mailing {
    fn name(&self) -> &'static str {
        "totals"
    }

    fn version(&self) -> i32 {
        self.0
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Totals { version: 1 }.schema_sql()
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        Totals { version: self.0 }.apply(connection, event).await?;
        let mail = NewMail {
            // A new version that counts its mails otherwise must not mail all of history again.
            key: format!("v{}:{}", self.0, event.ordinal),
            account: an_account(),
            kind: "counted".into(),
            payload: serde_json::json!({}),
            ordinal: event.ordinal,
            message_id: format!("<{}.{}@example.com>", self.0, event.ordinal),
            due_at: noon(),
        };
        mail::put(connection, &mail).await?;
        Ok(())
    }
}

pub async fn mails(database: &Database) -> Vec<String> {
    sqlx::query_scalar("select key from mail_outbox order by ordinal, key")
        .fetch_all(database.pool())
        .await
        .unwrap()
}

//! `/mails`: the mails written to the signed-in account, where they go to a folder instead of a mail server.

use actix_web::{get, web};
use almanac_actors::notifier::{StoredMail, read_mails};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::caller::Caller;
use crate::problem::Problem;
use crate::reads::Items;
use crate::state::State;

/// A mail as it was written.
#[derive(Debug, Serialize, ToSchema)]
pub struct Mail {
    /// Its identity.
    pub id: Uuid,
    /// Its subject.
    pub subject: String,
    /// Whom it was written to.
    pub to: String,
    /// When.
    pub sent_at: DateTime<Utc>,
    /// The session it speaks of.
    pub session: Option<NaiveDate>,
    /// Its body as HTML.
    pub html: String,
    /// Its body as text.
    pub text: String,
}

impl From<StoredMail> for Mail {
    fn from(mail: StoredMail) -> Self {
        let StoredMail { id, subject, to, sent_at, session, html, text, message_id: _ } = mail;
        Self { id, subject, to, sent_at, session, html, text }
    }
}

/// The mails written to the signed-in account, newest first; empty where mail goes to a mail server.
#[utoipa::path(
    tag = "mails",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The mails", body = Items<Mail>))
)]
#[get("/mails")]
pub async fn list_mails(state: web::Data<State>, caller: Caller) -> Result<web::Json<Items<Mail>>, Problem> {
    if state.config.smtp_url.is_some() {
        return Ok(web::Json(Vec::new().into()));
    }
    let mails = read_mails(&state.outbox(), &caller.account.email).await.map_err(Problem::broken)?;
    let mails: Vec<Mail> = mails.into_iter().map(Mail::from).collect();
    Ok(web::Json(mails.into()))
}

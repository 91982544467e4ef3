//! What stands in a mail, and which mails were sent.

use almanac_domain::values::{Horizon, Session};
use almanac_store::StoreError;
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts;
use crate::instruments::InstrumentRef;
use crate::predictions::rounds::{self, Round};
use crate::predictions::{self, Prediction};
use crate::row;

/// The content of the mail that tells one account of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionMail {
    /// Who gets it.
    pub account: Uuid,
    /// Where it goes.
    pub email: String,
    /// The round.
    pub round: Round,
    /// What it says, by symbol.
    pub items: Vec<SessionItem>,
}

/// What the mail says of one watched instrument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionItem {
    /// The instrument.
    pub instrument: InstrumentRef,
    /// Its predictions in the round, by horizon.
    pub predictions: Vec<Prediction>,
    /// How earlier predictions for it did, by horizon.
    pub records: Vec<OwnRecord>,
}

/// How the published predictions for one instrument did so far at one horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnRecord {
    /// Sessions ahead.
    pub horizon: Horizon,
    /// Predictions measured.
    pub scored: u64,
    /// Right signs.
    pub hits: u64,
    /// Predictions where there was a sign to get right.
    pub hit_predictions: u64,
    /// Outcomes inside the 80% interval.
    pub inside_80: u64,
    /// Outcomes inside the 95% interval.
    pub inside_95: u64,
}

/// A mail as its reader sees it, where mails go to a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mail {
    /// Its id.
    pub id: String,
    /// Its subject.
    pub subject: String,
    /// The address it went to.
    pub to: String,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// The session it tells of.
    #[schema(value_type = Option<chrono::NaiveDate>)]
    pub session: Option<Session>,
    /// Its content as HTML.
    pub html: String,
    /// Its content as text.
    pub text: String,
}

/// A mail that was sent, without its content.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct SentMail {
    /// Names it in the outbox.
    pub key: String,
    /// Its `Message-ID`.
    pub message_id: String,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// The session it tells of.
    pub session: Option<Session>,
}

/// The content of the mail for `account` about `round`; none when the account is gone, the round is unknown, or the
/// account watches none of its instruments any more.
///
/// The subscriptions `accounts`, `watchlists` and `predictions` must have passed the event that made the mail due.
pub async fn session_mail(
    pool: &PgPool,
    account: Uuid,
    round: Uuid,
) -> Result<Option<SessionMail>, StoreError> {
    let (Some(account), Some(round)) =
        (accounts::find(pool, account).await?, rounds::find(pool, round).await?)
    else {
        return Ok(None);
    };
    let select = format!(
        "{} where p.trial is null and p.round = $1 and p.instrument in (
             select w.instrument from watched w join watchlists l on l.id = w.watchlist where l.owner = $2)
          order by symbol, p.instrument, p.horizon",
        predictions::SHOWN
    );
    let made = sqlx::query(&select).bind(round.id).bind(account.id).try_map(|row| predictions::shown(&row));
    let mut items: Vec<SessionItem> = Vec::new();
    for prediction in made.fetch_all(pool).await? {
        match items.last_mut() {
            Some(item) if item.instrument.id == prediction.instrument.id => item.predictions.push(prediction),
            Some(_) | None => items.push(SessionItem {
                instrument: prediction.instrument.clone(),
                predictions: vec![prediction],
                records: Vec::new(),
            }),
        }
    }
    if items.is_empty() {
        return Ok(None);
    }
    for (instrument, record) in own_records(pool, &round, &items).await? {
        if let Some(item) = items.iter_mut().find(|item| item.instrument.id == instrument) {
            item.records.push(record);
        }
    }
    Ok(Some(SessionMail { account: account.id, email: account.email, round, items }))
}

async fn own_records(
    pool: &PgPool,
    round: &Round,
    items: &[SessionItem],
) -> Result<Vec<(Uuid, OwnRecord)>, StoreError> {
    let instruments: Vec<Uuid> = items.iter().map(|item| item.instrument.id).collect();
    let rows = sqlx::query(
        "select instrument, horizon, count(*) as scored, count(*) filter (where hit) as hits,
                count(hit) as hit_predictions, count(*) filter (where inside_80) as inside_80,
                count(*) filter (where inside_95) as inside_95
           from predictions
          where trial is null and state = 'scored' and instrument = any($1) and model = $2 and mode = $3
          group by instrument, horizon order by instrument, horizon",
    );
    let record = |row: PgRow| {
        let record = OwnRecord {
            horizon: row::horizon(&row, "horizon")?,
            scored: row::count(&row, "scored")?,
            hits: row::count(&row, "hits")?,
            hit_predictions: row::count(&row, "hit_predictions")?,
            inside_80: row::count(&row, "inside_80")?,
            inside_95: row::count(&row, "inside_95")?,
        };
        Ok((row.try_get("instrument")?, record))
    };
    let rows = rows.bind(instruments).bind(round.model.as_str()).bind(round.mode.as_str());
    Ok(rows.try_map(record).fetch_all(pool).await?)
}

/// The mails that were sent to an account, newest first.
pub async fn sent_to(pool: &PgPool, account: Uuid, limit: i64) -> Result<Vec<SentMail>, StoreError> {
    let sent = sqlx::query_as(
        "select key, message_id, sent_at, (payload ->> 'session')::date as session from mail_outbox
          where account = $1 and state = 'sent' order by ordinal desc, key limit $2",
    );
    Ok(sent.bind(account).bind(limit).fetch_all(pool).await?)
}

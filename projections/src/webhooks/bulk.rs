//! What events come to, of one event or of many: symbols, filters and checkpoint are looked up once for all predictions
//! that follow each other, and their messages are written in few statements, about [`AT_ONCE`] in each.

use std::collections::HashMap;

use almanac_domain::Event;
use almanac_domain::account::AccountEvent;
use almanac_domain::instrument::InstrumentEvent;
use almanac_domain::prediction::{PredictionEvent, PredictionPublished, PredictionScored, Role};
use almanac_domain::webhook_endpoint::WebhookEndpointEvent;
use almanac_store::log::{CopyIn, HandlerError, Recorded, Rows};
use almanac_store::outbox::webhook::{NewDelivery, put};
use almanac_store::transparency::checkpoint;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::message::{self, Message, body};
use super::{EVERYTHING, keep};
use crate::row;

/// Messages that are written in one statement, about.
const AT_ONCE: usize = 2_000;

/// What events come to, in their order.
pub(super) struct Bulk(Vec<Piece>);

/// Events of one kind that follow each other.
enum Piece {
    Published(Vec<(Origin, Uuid, PredictionPublished)>),
    /// Predictions that are open no longer; those that were voided without a score.
    Closed(Vec<(Origin, Uuid, Option<PredictionScored>)>),
    Message(Origin, Message),
    Account(Uuid, AccountEvent),
    Endpoint(Uuid, WebhookEndpointEvent),
    Instrument(Uuid, InstrumentEvent),
}

/// The event that a message tells of.
#[derive(Clone, Copy)]
struct Origin {
    event: Uuid,
    ordinal: i64,
    at: DateTime<Utc>,
}

impl Origin {
    fn of(event: &Recorded) -> Self {
        Self { event: event.event_id, ordinal: event.ordinal, at: event.at() }
    }
}

impl Bulk {
    /// Takes in events that follow each other.
    pub(super) fn of(events: &[Recorded]) -> Result<Self, HandlerError> {
        let mut bulk = Self(vec![]);
        for event in events {
            match row::read(event)? {
                Event::Account(happened) => bulk.0.push(Piece::Account(row::id(event)?, happened)),
                Event::WebhookEndpoint(happened) => bulk.0.push(Piece::Endpoint(row::id(event)?, happened)),
                Event::Instrument(happened) => bulk.0.push(Piece::Instrument(row::id(event)?, happened)),
                Event::Prediction(happened) => bulk.prediction(event, happened)?,
                Event::ForecastRound(happened) => {
                    bulk.message(event, message::of_round(row::id(event)?, happened));
                }
                Event::Model(happened) => {
                    bulk.message(event, message::of_model(&event.key.aggregate_id, happened));
                }
                Event::Ingestion(happened) => {
                    bulk.message(event, message::of_ingestion(row::id(event)?, happened));
                }
                Event::Watchlist(_) | Event::TrainingRun(_) => {}
            }
        }
        Ok(bulk)
    }

    fn message(&mut self, event: &Recorded, message: Option<Message>) {
        self.0.extend(message.map(|message| Piece::Message(Origin::of(event), message)));
    }

    fn prediction(&mut self, event: &Recorded, happened: PredictionEvent) -> Result<(), HandlerError> {
        match happened {
            PredictionEvent::PredictionPublished(published) => match published.slot.role {
                Role::Published => {
                    let published = (Origin::of(event), row::id(event)?, published);
                    match self.0.last_mut() {
                        Some(Piece::Published(others)) => others.push(published),
                        _ => self.0.push(Piece::Published(vec![published])),
                    }
                }
                Role::Trial { .. } => {}
            },
            PredictionEvent::PredictionScored(scored) => self.close(event, Some(scored))?,
            PredictionEvent::PredictionVoided(_) => self.close(event, None)?,
            PredictionEvent::PredictionAbstained(_) => {}
        }
        Ok(())
    }

    fn close(&mut self, event: &Recorded, scored: Option<PredictionScored>) -> Result<(), HandlerError> {
        let closed = (Origin::of(event), row::id(event)?, scored);
        match self.0.last_mut() {
            Some(Piece::Closed(others)) => others.push(closed),
            _ => self.0.push(Piece::Closed(vec![closed])),
        }
        Ok(())
    }
}

#[async_trait]
impl Rows for Bulk {
    async fn write(&self, conn: &mut PgConnection) -> Result<(), HandlerError> {
        for piece in &self.0 {
            match piece {
                Piece::Published(published) => write_published(conn, published).await?,
                Piece::Closed(closed) => write_closed(conn, closed).await?,
                Piece::Message(origin, message) => {
                    fan_out(conn, message.event_type, &[(*origin, &message.data)]).await?;
                }
                Piece::Account(id, happened) => keep::account(conn, *id, happened).await?,
                Piece::Endpoint(id, happened) => keep::endpoint(conn, *id, happened).await?,
                Piece::Instrument(id, happened) => keep::instrument(conn, *id, happened).await?,
            }
        }
        Ok(())
    }
}

/// Tells of predictions, and keeps what was said until they are scored.
async fn write_published(
    conn: &mut PgConnection,
    published: &[(Origin, Uuid, PredictionPublished)],
) -> Result<(), HandlerError> {
    let mut instruments: Vec<Uuid> =
        published.iter().map(|(_, _, published)| published.slot.instrument).collect();
    instruments.sort_unstable();
    instruments.dedup();
    let named: Vec<(Uuid, String, String)> =
        sqlx::query_as("select id, symbol, exchange from webhook_instruments where id = any($1)")
            .bind(&instruments)
            .fetch_all(&mut *conn)
            .await?;
    let named: HashMap<Uuid, (String, String)> =
        named.into_iter().map(|(id, symbol, exchange)| (id, (symbol, exchange))).collect();
    let data: Vec<Value> = published
        .iter()
        .map(|(_, id, published)| {
            message::published_data(*id, published, named.get(&published.slot.instrument))
        })
        .collect();
    let mut open = CopyIn::new("webhook_open_predictions (id, data)", 2);
    for ((_, id, _), data) in published.iter().zip(&data) {
        open.row().with(id)?.with(Json(data))?;
    }
    open.write_missing(conn).await?;
    let told: Vec<_> = published.iter().map(|(origin, _, _)| *origin).zip(&data).collect();
    fan_out(conn, "prediction.published", &told).await
}

/// Tells of outcomes, together with what was said when they were predicted. Nothing is said of a prediction on trial.
async fn write_closed(
    conn: &mut PgConnection,
    closed: &[(Origin, Uuid, Option<PredictionScored>)],
) -> Result<(), HandlerError> {
    let ids: Vec<Uuid> = closed.iter().map(|(_, id, _)| *id).collect();
    let open: Vec<(Uuid, Value)> =
        sqlx::query_as("delete from webhook_open_predictions where id = any($1) returning id, data")
            .bind(&ids)
            .fetch_all(&mut *conn)
            .await?;
    let mut open: HashMap<Uuid, Value> = open.into_iter().collect();
    let scored: Vec<(Origin, Value)> = closed
        .iter()
        .filter_map(|(origin, id, scored)| {
            let said = open.remove(id)?;
            Some((*origin, message::scored_data(said, scored.as_ref()?)))
        })
        .collect();
    let told: Vec<_> = scored.iter().map(|(origin, data)| (*origin, data)).collect();
    fan_out(conn, "prediction.scored", &told).await
}

/// Writes a message about each event for every endpoint that asks for its kind.
async fn fan_out(
    conn: &mut PgConnection,
    event_type: &str,
    told: &[(Origin, &Value)],
) -> Result<(), HandlerError> {
    if told.is_empty() {
        return Ok(());
    }
    let asking: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "select endpoint, owner from webhook_filters
          where enabled and not suspended and event_types && array[$1, $2] order by endpoint",
    )
    .bind(event_type)
    .bind(EVERYTHING)
    .fetch_all(&mut *conn)
    .await?;
    if asking.is_empty() {
        return Ok(());
    }
    let newest = checkpoint::newest(&mut *conn).await?.map(|newest| newest.note);
    for told in told.chunks((AT_ONCE / asking.len()).max(1)) {
        put(conn, &deliveries(event_type, told, &asking, newest.as_deref())).await?;
    }
    Ok(())
}

/// The message about each event for each of some endpoints and their owners.
fn deliveries(
    event_type: &str,
    told: &[(Origin, &Value)],
    asking: &[(Uuid, Uuid)],
    checkpoint: Option<&str>,
) -> Vec<NewDelivery> {
    let mut deliveries = Vec::with_capacity(told.len() * asking.len());
    for &(origin, data) in told {
        let mut payload = body(event_type, origin.event, origin.at, data.clone());
        // Written down with the message, so that a repetition says the same.
        if let (Value::Object(fields), Some(note)) = (&mut payload, checkpoint) {
            fields.insert("checkpoint".to_owned(), note.into());
        }
        deliveries.extend(asking.iter().map(|&(endpoint, account)| {
            let key = format!("{}:{endpoint}", origin.ordinal);
            NewDelivery {
                id: Uuid::new_v5(&endpoint, key.as_bytes()),
                key,
                endpoint,
                account,
                ordinal: origin.ordinal,
                event_type: event_type.to_owned(),
                payload: payload.clone(),
                due_at: origin.at,
            }
        }));
    }
    deliveries
}

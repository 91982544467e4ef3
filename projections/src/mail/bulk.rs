//! What events come to, of one event or of many: all instruments that were predicted one after the other are noted in one
//! statement.

use almanac_domain::Event;
use almanac_domain::account::AccountEvent;
use almanac_domain::forecast_round::{ForecastRoundEvent, RoundCompleted};
use almanac_domain::prediction::{PredictionEvent, Role};
use almanac_domain::watchlist::WatchlistEvent;
use almanac_store::log::{HandlerError, Recorded, Rows};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::keep;
use crate::row;

/// What events come to, in their order.
pub(super) struct Bulk(Vec<Piece>);

/// An event, or predictions that follow each other.
enum Piece {
    Published(Predicted),
    Completed(Completed),
    Account(Uuid, AccountEvent),
    Watchlist(Uuid, WatchlistEvent),
}

/// Which instruments were predicted in which round.
#[derive(Default)]
struct Predicted {
    round: Vec<Uuid>,
    instrument: Vec<Uuid>,
}

/// A round that is complete, and the event that says so.
pub(super) struct Completed {
    pub round: Uuid,
    pub ordinal: i64,
    pub at: DateTime<Utc>,
    pub happened: RoundCompleted,
}

impl Bulk {
    /// Takes in events that follow each other.
    pub(super) fn of(events: &[Recorded]) -> Result<Self, HandlerError> {
        let mut bulk = Self(vec![]);
        for event in events {
            match row::read(event)? {
                Event::Account(happened) => bulk.0.push(Piece::Account(row::id(event)?, happened)),
                Event::Watchlist(happened) => bulk.0.push(Piece::Watchlist(row::id(event)?, happened)),
                Event::Prediction(PredictionEvent::PredictionPublished(published)) => {
                    if published.slot.role == Role::Published {
                        bulk.predicted(published.slot.round, published.slot.instrument);
                    }
                }
                Event::ForecastRound(ForecastRoundEvent::RoundCompleted(happened)) => {
                    let (round, ordinal, at) = (row::id(event)?, event.ordinal, event.at());
                    bulk.0.push(Piece::Completed(Completed { round, ordinal, at, happened }));
                }
                Event::Prediction(
                    PredictionEvent::PredictionAbstained(_)
                    | PredictionEvent::PredictionScored(_)
                    | PredictionEvent::PredictionVoided(_),
                )
                | Event::ForecastRound(ForecastRoundEvent::RoundOpened(_))
                | Event::Instrument(_)
                | Event::Ingestion(_)
                | Event::TrainingRun(_)
                | Event::Model(_)
                | Event::WebhookEndpoint(_) => {}
            }
        }
        Ok(bulk)
    }

    fn predicted(&mut self, round: Uuid, instrument: Uuid) {
        if !matches!(self.0.last(), Some(Piece::Published(_))) {
            self.0.push(Piece::Published(Predicted::default()));
        }
        if let Some(Piece::Published(predicted)) = self.0.last_mut() {
            predicted.round.push(round);
            predicted.instrument.push(instrument);
        }
    }
}

#[async_trait]
impl Rows for Bulk {
    async fn write(&self, conn: &mut PgConnection) -> Result<(), HandlerError> {
        for piece in &self.0 {
            match piece {
                Piece::Published(predicted) => predicted.write(conn).await?,
                Piece::Completed(completed) => keep::tell(conn, completed).await?,
                Piece::Account(id, happened) => keep::account(conn, *id, happened).await?,
                Piece::Watchlist(id, happened) => keep::watchlist(conn, *id, happened).await?,
            }
        }
        Ok(())
    }
}

impl Predicted {
    async fn write(&self, conn: &mut PgConnection) -> Result<(), HandlerError> {
        sqlx::query(
            "insert into mail_round_instruments (round, instrument)
             select * from unnest($1::uuid[], $2::uuid[]) on conflict do nothing",
        )
        .bind(&self.round)
        .bind(&self.instrument)
        .execute(conn)
        .await?;
        Ok(())
    }
}

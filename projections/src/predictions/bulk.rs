//! How events become rows of predictions, of one event or of many: one copy for all slots that are filled, one statement
//! for all outcomes.
//!
//! The result is that of the events one after the other. A prediction is filled in before it is scored or voided, and
//! only once, so all of the first kind may go before all of the others; rounds and instruments stand in tables of
//! their own.

use almanac_domain::Event;
use almanac_domain::forecast_round::ForecastRoundEvent;
use almanac_domain::instrument::InstrumentEvent;
use almanac_domain::prediction::{
    PredictionAbstained, PredictionEvent, PredictionPublished, PredictionScored, Role, Slot,
};
use almanac_store::log::{CopyIn, HandlerError, Recorded, Rows};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{State, keep};
use crate::row;

/// The columns that are known when a slot is filled.
const FILLED: &str = "predictions (id, model, version, trial, round, instrument, as_of, horizon, target, \
     target_closes_at, mode, dataset, state, published_at, ordinal, abstention, close, void_after, forecast)";

/// What events do to predictions, rounds and instruments.
pub(super) struct Bulk {
    filled: CopyIn,
    scored: Scored,
    voided: Voided,
    rounds: Vec<(Uuid, i64, ForecastRoundEvent)>,
    instruments: Vec<(Uuid, InstrumentEvent)>,
}

/// The columns of outcomes.
#[derive(Default)]
struct Scored {
    id: Vec<Uuid>,
    ordinal: Vec<i64>,
    event: Vec<PredictionScored>,
}

#[derive(Default)]
struct Voided {
    id: Vec<Uuid>,
    ordinal: Vec<i64>,
}

impl Bulk {
    /// Takes in events that follow each other.
    pub(super) fn of(events: &[Recorded]) -> Result<Self, HandlerError> {
        let mut bulk = Self {
            filled: CopyIn::new(FILLED, 19),
            scored: Scored::default(),
            voided: Voided::default(),
            rounds: vec![],
            instruments: vec![],
        };
        for event in events {
            match row::read(event)? {
                Event::Prediction(happened) => bulk.take(event, happened)?,
                Event::ForecastRound(happened) => {
                    bulk.rounds.push((row::id(event)?, event.ordinal, happened));
                }
                Event::Instrument(happened) => bulk.instruments.push((row::id(event)?, happened)),
                Event::Account(_)
                | Event::Watchlist(_)
                | Event::Ingestion(_)
                | Event::TrainingRun(_)
                | Event::Model(_)
                | Event::WebhookEndpoint(_) => {}
            }
        }
        Ok(bulk)
    }

    fn take(&mut self, event: &Recorded, happened: PredictionEvent) -> Result<(), HandlerError> {
        let id = row::id(event)?;
        match happened {
            PredictionEvent::PredictionPublished(published) => {
                self.fill(id, event.ordinal, &Filling::Forecast(&published))?;
            }
            PredictionEvent::PredictionAbstained(abstained) => {
                self.fill(id, event.ordinal, &Filling::Nothing(&abstained))?;
            }
            PredictionEvent::PredictionScored(scored) => {
                self.scored.id.push(id);
                self.scored.ordinal.push(event.ordinal);
                self.scored.event.push(scored);
            }
            PredictionEvent::PredictionVoided(_) => {
                self.voided.id.push(id);
                self.voided.ordinal.push(event.ordinal);
            }
        }
        Ok(())
    }

    fn fill(&mut self, id: Uuid, ordinal: i64, filling: &Filling<'_>) -> Result<(), HandlerError> {
        let (slot, published) = (filling.slot(), filling.published());
        self.filled
            .row()
            .with(id)?
            .with(slot.model.as_str())?
            .with(slot.version as i32)?
            .with(filling.trial())?
            .with(slot.round)?
            .with(slot.instrument)?
            .with(slot.as_of)?
            .with(slot.horizon.sessions() as i32)?
            .with(slot.target)?
            .with(slot.target_closes_at)?
            .with(slot.mode.as_str())?
            .with(slot.dataset.as_str())?
            .with(filling.state().as_str())?
            .with(filling.at())?
            .with(ordinal)?
            .with(filling.abstention()?)?
            .with(published.map(|published| published.forecast.close.decimal()))?
            .with(published.map(|published| published.void_after_sessions as i32))?
            .with(published.map(|published| Json(&published.forecast)))?;
        Ok(())
    }
}

#[async_trait]
impl Rows for Bulk {
    async fn write(&self, conn: &mut PgConnection) -> Result<(), HandlerError> {
        self.filled.write_missing(conn).await?;
        self.scored.write(conn).await?;
        self.voided.write(conn).await?;
        for (id, ordinal, happened) in &self.rounds {
            keep::round(conn, *id, *ordinal, happened).await?;
        }
        for (id, happened) in &self.instruments {
            keep::instrument(conn, *id, happened).await?;
        }
        Ok(())
    }
}

/// What a slot was filled with.
enum Filling<'a> {
    Forecast(&'a PredictionPublished),
    Nothing(&'a PredictionAbstained),
}

impl<'a> Filling<'a> {
    fn slot(&self) -> &'a Slot {
        match self {
            Self::Forecast(published) => &published.slot,
            Self::Nothing(abstained) => &abstained.slot,
        }
    }

    fn state(&self) -> State {
        match self {
            Self::Forecast(_) => State::Open,
            Self::Nothing(_) => State::Abstained,
        }
    }

    fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Forecast(published) => published.published_at,
            Self::Nothing(abstained) => abstained.abstained_at,
        }
    }

    fn published(&self) -> Option<&'a PredictionPublished> {
        match self {
            Self::Forecast(published) => Some(published),
            Self::Nothing(_) => None,
        }
    }

    fn abstention(&self) -> Result<Option<String>, HandlerError> {
        match self {
            Self::Forecast(_) => Ok(None),
            Self::Nothing(abstained) => Ok(Some(row::written(&abstained.reason)?)),
        }
    }

    fn trial(&self) -> Option<Uuid> {
        match self.slot().role {
            Role::Published => None,
            Role::Trial { trial } => Some(trial),
        }
    }
}

impl Scored {
    async fn write(&self, conn: &mut PgConnection) -> Result<(), HandlerError> {
        if self.id.is_empty() {
            return Ok(());
        }
        let events = &self.event;
        let column = |of: fn(&PredictionScored) -> Decimal| events.iter().map(of).collect::<Vec<_>>();
        let truth = |of: fn(&PredictionScored) -> bool| events.iter().map(of).collect::<Vec<_>>();
        // Planned each time: a plan from when the table was small would walk over all of it later.
        sqlx::query(
            "update predictions p set state = 'scored', scored_ordinal = s.scored_ordinal, scored_at = s.scored_at,
                    realised = s.realised, target_close = s.target_close, score = s.score,
                    squared_error = s.squared_error, squared_error_zero = s.squared_error_zero,
                    squared_error_drift = s.squared_error_drift, hit = s.hit, inside_80 = s.inside_80,
                    inside_95 = s.inside_95, interval_score_80 = s.interval_score_80,
                    interval_score_95 = s.interval_score_95, brier = s.brier, pinball = s.pinball
               from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::jsonb[],
                    $7::numeric[], $8::numeric[], $9::numeric[], $10::bool[], $11::bool[], $12::bool[], $13::numeric[],
                    $14::numeric[], $15::numeric[], $16::numeric[])
                 as s (id, scored_ordinal, scored_at, realised, target_close, score, squared_error, squared_error_zero,
                       squared_error_drift, hit, inside_80, inside_95, interval_score_80, interval_score_95, brier, pinball)
              where p.id = s.id",
        )
        .persistent(false)
        .bind(&self.id)
        .bind(&self.ordinal)
        .bind(events.iter().map(|scored| scored.scored_at).collect::<Vec<_>>())
        .bind(column(|scored| scored.realised.decimal()))
        .bind(column(|scored| scored.close.decimal()))
        .bind(events.iter().map(|scored| Json(&scored.score)).collect::<Vec<_>>())
        .bind(column(|scored| scored.score.squared_error.model.decimal()))
        .bind(column(|scored| scored.score.squared_error.zero.decimal()))
        .bind(column(|scored| scored.score.squared_error.drift.decimal()))
        .bind(events.iter().map(|scored| scored.score.hit).collect::<Vec<_>>())
        .bind(truth(|scored| scored.score.inside_80))
        .bind(truth(|scored| scored.score.inside_95))
        .bind(column(|scored| scored.score.interval_score_80.decimal()))
        .bind(column(|scored| scored.score.interval_score_95.decimal()))
        .bind(column(|scored| scored.score.brier.decimal()))
        .bind(column(|scored| scored.score.pinball.decimal()))
        .execute(conn)
        .await?;
        Ok(())
    }
}

impl Voided {
    async fn write(&self, conn: &mut PgConnection) -> Result<(), HandlerError> {
        if self.id.is_empty() {
            return Ok(());
        }
        sqlx::query(
            "update predictions p set state = 'voided', voided_ordinal = v.ordinal
               from unnest($1::uuid[], $2::bigint[]) as v (id, ordinal) where p.id = v.id",
        )
        .persistent(false)
        .bind(&self.id)
        .bind(&self.ordinal)
        .execute(conn)
        .await?;
        Ok(())
    }
}

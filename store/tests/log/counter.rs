//! An aggregate and a projection just large enough to break the log with.

use std::sync::Arc;

use almanac_domain::clock::SetClock;
use almanac_store::Database;
use almanac_store::clock::Entropy;
use almanac_store::log::{CommandBus, EventKey, Handler, HandlerError, Issued, Recorded, Subscription};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

/// Counts up to 40 and no further.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub total: i64,
    pub events: i64,
}

#[derive(Debug, Clone)]
pub enum Command {
    Count { by: i64 },
    CountTwice,
    Say(String),
    DoNothing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Counted { by: i64 },
    Said { text: String },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it would count beyond 40")]
pub struct TooFar;

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        match self {
            Self::Counted { .. } => "Counted".to_owned(),
            Self::Said { .. } => "Said".to_owned(),
        }
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Counter {
    const TYPE: &'static str = "counter";
    type Command = Command;
    type Event = Event;
    type Error = TooFar;
    type Services = ();

    async fn handle(&mut self, command: Command, (): &(), sink: &EventSink<Self>) -> Result<(), TooFar> {
        let events = match command {
            Command::Count { by } if self.total + by > 40 => return Err(TooFar),
            Command::Count { by } => vec![Event::Counted { by }],
            Command::CountTwice => vec![Event::Counted { by: 1 }, Event::Counted { by: 1 }],
            Command::Say(text) => vec![Event::Said { text }],
            Command::DoNothing => vec![],
        };
        for event in events {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        self.events += 1;
        match event {
            Event::Counted { by } => self.total += by,
            Event::Said { .. } => {}
        }
    }
}

/// The moment at which the tests take place.
pub fn noon() -> DateTime<Utc> {
    "2024-05-06T12:00:00Z".parse().unwrap()
}

pub fn clock() -> Arc<SetClock> {
    Arc::new(SetClock::at(noon()))
}

pub fn bus(database: &Database) -> CommandBus {
    CommandBus::new(database.clone(), clock(), Entropy::system())
}

pub fn issued() -> Issued {
    Issued::new(Entropy::system().uuid_v7(noon()))
}

/// Counts one in each of the given counters, one command after the other.
pub async fn count(database: &Database, ids: &[&str]) {
    let bus = bus(database);
    for id in ids {
        bus.execute::<Counter>(id, Command::Count { by: 1 }, &issued()).await.unwrap();
    }
}

/// Writes one event past the bus, inside a transaction of the test's own.
pub async fn insert(connection: &mut PgConnection, id: &str, sequence: i64) {
    sqlx::query(
        "insert into events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         values ('counter', $1, $2, 'Counted', '1.0', '{\"Counted\": {\"by\": 1}}', '{}')",
    )
    .bind(id)
    .bind(sequence)
    .execute(connection)
    .await
    .unwrap();
}

pub fn key(id: &str, sequence: i64) -> EventKey {
    EventKey { aggregate_type: "counter".into(), aggregate_id: id.into(), sequence }
}

/// Adds up what every counter has counted, and notes every event, so that a doubled effect shows.
#[derive(Debug, Clone, Copy)]
pub struct Totals {
    pub version: i32,
}

#[async_trait]
impl Handler for Totals {
    fn name(&self) -> &'static str {
        "totals"
    }

    fn version(&self) -> i32 {
        self.version
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Some(
            "create table totals (id text primary key, total bigint not null, version int not null);
             create table seen (ordinal bigint not null)",
        )
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        sqlx::query("insert into seen values ($1)").bind(event.ordinal).execute(&mut *connection).await?;
        match event.decode::<Event>()? {
            Event::Said { text } if text == "poison" => Err(HandlerError::Unfit("it is poisoned".into())),
            Event::Said { .. } => Ok(()),
            Event::Counted { by } => {
                sqlx::query(
                    "insert into totals values ($1, $2, $3)
                     on conflict (id) do update set total = totals.total + excluded.total",
                )
                .bind(&event.key.aggregate_id)
                .bind(by)
                .bind(self.version)
                .execute(connection)
                .await?;
                Ok(())
            }
        }
    }
}

pub async fn totals(database: &Database) -> Subscription {
    Subscription::install(database, Arc::new(Totals { version: 1 })).await.unwrap()
}

/// What readers see: (counter, total), by counter.
pub async fn shown(database: &Database) -> Vec<(String, i64)> {
    sqlx::query_as("select id, total from totals order by id").fetch_all(database.pool()).await.unwrap()
}

/// The ordinals the projection has seen, in the order it saw them.
pub async fn seen(database: &Database) -> Vec<i64> {
    sqlx::query_scalar("select ordinal from seen order by ordinal").fetch_all(database.pool()).await.unwrap()
}

/// The sealed order: (counter, sequence).
pub async fn sealed(database: &Database) -> Vec<(String, i64)> {
    let reader = almanac_store::log::LogReader::new(database);
    let events = reader.after(0, 100_000).await.unwrap();
    for (place, event) in events.iter().enumerate() {
        assert_eq!(event.ordinal, place as i64 + 1, "ordinals are contiguous");
        assert_eq!(event.recomputed_hash(), event.event_hash, "the event is what was sealed");
    }
    events.into_iter().map(|event| (event.key.aggregate_id, event.key.sequence)).collect()
}

pub fn an_account() -> Uuid {
    Entropy::system().uuid_v7(noon())
}

//! The event that is written: about 700 bytes with what the log adds, as most of the real ones.

use std::sync::Arc;

use almanac_domain::clock::Clock;
use almanac_store::Database;
use almanac_store::clock::{Entropy, SystemClock};
use almanac_store::log::{CommandBus, Issued};
use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What one event says.
pub const TEXT: &str = "The intervals hold: replaying the last sessions of many long histories, the interval that \
should hold four times in five held eight hundred and one in a thousand, and the wider one nine hundred and forty-eight. \
What the numbers say of the expected returns is less cheerful: on this set the model is no better than plain drift at \
the horizon of one session, and a little worse at the horizon of five.";

/// A stream of notes that refuses nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Note {
    written: u64,
}

/// Writes so many notes.
#[derive(Debug, Clone, Copy)]
pub struct Write(pub usize);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Written { text: String },
}

#[derive(Debug, thiserror::Error)]
#[error("a note refuses nothing")]
pub struct Refusal;

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        "Written".to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}

impl Aggregate for Note {
    const TYPE: &'static str = "note";
    type Command = Write;
    type Event = Event;
    type Error = Refusal;
    type Services = ();

    async fn handle(&mut self, Write(events): Write, (): &(), sink: &EventSink<Self>) -> Result<(), Refusal> {
        for _ in 0..events {
            sink.write(Event::Written { text: TEXT.to_owned() }, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, _: Event) {
        self.written += 1;
    }
}

pub fn bus(database: &Database) -> CommandBus {
    CommandBus::new(database.clone(), Arc::new(SystemClock), Entropy::system())
}

/// A fresh id, without order, as most streams have.
pub fn id() -> Uuid {
    Uuid::from_bytes(Entropy::system().bytes())
}

pub fn issued() -> Issued {
    Issued::new(Entropy::system().uuid_v7(SystemClock.now())).by(id())
}

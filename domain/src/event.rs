//! Every event of the service in one type, as readers of the whole log see it.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::account::{Account, AccountEvent};
use crate::evolution::{self, Kind, UnreadableEvent};
use crate::forecast_round::{ForecastRound, ForecastRoundEvent};
use crate::ingestion::{Ingestion, IngestionEvent};
use crate::instrument::{Instrument, InstrumentEvent};
use crate::model::{Model, ModelEvent};
use crate::prediction::{Prediction, PredictionEvent};
use crate::training_run::{TrainingRun, TrainingRunEvent};
use crate::watchlist::{Watchlist, WatchlistEvent};
use crate::webhook_endpoint::{WebhookEndpoint, WebhookEndpointEvent};

/// What an aggregate can tell: its stored name, what its events are about, and their kinds.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// The stored name of the aggregate.
    pub aggregate: &'static str,
    /// What its events are about.
    pub about: &'static str,
    /// Its events.
    pub kinds: &'static [Kind],
}

macro_rules! all_events {
    ($($aggregate:ident: $event:ident,)+) => {
        /// An event of any aggregate. Matching it without a wildcard makes the compiler ask for every new event.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Event {
            $(
                #[doc = concat!("Of [`", stringify!($aggregate), "`].")]
                $aggregate($event),
            )+
        }

        /// Every aggregate with its events.
        pub const STREAMS: &[Stream] = &[$(Stream {
            aggregate: <$aggregate as cqrs_es::Aggregate>::TYPE,
            about: $event::ABOUT,
            kinds: $event::KINDS,
        },)+];

        impl Event {
            /// Reads a stored event of any version there has been.
            ///
            /// # Errors
            /// [`UnreadableEvent`] when this version of the program does not know the aggregate, the event or its
            /// version, or the payload has another shape than they promise.
            pub fn read(
                aggregate_type: &str,
                event_type: &str,
                event_version: &str,
                payload: &Value,
            ) -> Result<Self, UnreadableEvent> {
                let payload = Self::current(aggregate_type, event_type, event_version, payload)?;
                match aggregate_type {
                    $(
                        name if name == <$aggregate as cqrs_es::Aggregate>::TYPE => {
                            parsed::<$event>(aggregate_type, &payload).map(Self::$aggregate)
                        }
                    )+
                    unknown => Err(UnreadableEvent::UnknownAggregate(unknown.to_owned())),
                }
            }

            /// Reads the payload of an event of the [present](Event::is_present) version.
            ///
            /// # Errors
            /// [`UnreadableEvent`] when the aggregate is not known or the payload has another shape.
            pub fn parse(aggregate_type: &str, payload: &str) -> Result<Self, UnreadableEvent> {
                match aggregate_type {
                    $(
                        name if name == <$aggregate as cqrs_es::Aggregate>::TYPE => {
                            serde_json::from_str(payload).map(Self::$aggregate).map_err(|source| {
                                UnreadableEvent::Shape { aggregate: aggregate_type.to_owned(), source }
                            })
                        }
                    )+
                    unknown => Err(UnreadableEvent::UnknownAggregate(unknown.to_owned())),
                }
            }

            /// The event as it would be written today.
            ///
            /// # Errors
            /// When it cannot be written as JSON.
            pub fn written(&self) -> Result<Value, serde_json::Error> {
                match self {
                    $(Self::$aggregate(event) => serde_json::to_value(event),)+
                }
            }
        }
    };
}

all_events! {
    Account: AccountEvent,
    Watchlist: WatchlistEvent,
    Instrument: InstrumentEvent,
    Ingestion: IngestionEvent,
    TrainingRun: TrainingRunEvent,
    Model: ModelEvent,
    ForecastRound: ForecastRoundEvent,
    Prediction: PredictionEvent,
    WebhookEndpoint: WebhookEndpointEvent,
}

impl Event {
    /// Every stored event: its aggregate, name and present version.
    pub fn stored() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        STREAMS
            .iter()
            .flat_map(|stream| stream.kinds.iter().map(|kind| (stream.aggregate, kind.name, kind.version)))
    }

    /// A stored payload of any version there has been in the shape that is written today.
    ///
    /// # Errors
    /// [`UnreadableEvent`] when this version of the program does not know the aggregate, the event or its version.
    pub fn current<'a>(
        aggregate_type: &str,
        event_type: &str,
        event_version: &str,
        payload: &'a Value,
    ) -> Result<Cow<'a, Value>, UnreadableEvent> {
        kind(aggregate_type, event_type)?.modernised(event_version, payload)
    }

    /// Whether a stored payload of this version can be read as it stands.
    ///
    /// # Errors
    /// [`UnreadableEvent`] when this version of the program does not know the aggregate or the event.
    pub fn is_present(
        aggregate_type: &str,
        event_type: &str,
        event_version: &str,
    ) -> Result<bool, UnreadableEvent> {
        Ok(kind(aggregate_type, event_type)?.is_present(event_version))
    }
}

fn kind(aggregate_type: &str, event_type: &str) -> Result<&'static Kind, UnreadableEvent> {
    let stream = STREAMS
        .iter()
        .find(|stream| stream.aggregate == aggregate_type)
        .ok_or_else(|| UnreadableEvent::UnknownAggregate(aggregate_type.to_owned()))?;
    evolution::kind(aggregate_type, stream.kinds, event_type)
}

fn parsed<E: DeserializeOwned>(aggregate: &str, payload: &Value) -> Result<E, UnreadableEvent> {
    E::deserialize(payload)
        .map_err(|source| UnreadableEvent::Shape { aggregate: aggregate.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Role, RoleGranted};

    #[test]
    fn a_stored_payload_is_read_back() {
        let event = AccountEvent::from(RoleGranted { role: Role::Admin });
        let payload = serde_json::to_value(&event).expect("serialises");
        assert_eq!(payload, serde_json::json!({ "RoleGranted": { "role": "admin" } }));
        let read = Event::read("account", "RoleGranted", "1.0", &payload).expect("reads");
        assert_eq!(Event::parse("account", &payload.to_string()).expect("parses"), read);
        assert_eq!(read.written().expect("serialises"), payload);
        assert_eq!(read, Event::Account(event));
    }

    #[test]
    fn an_event_of_a_newer_program_is_named_not_guessed() {
        let payload = serde_json::json!({ "AccountOpened": {} });
        for (aggregate, event, version) in [
            ("portfolio", "AccountOpened", "1.0"),
            ("watchlist", "AccountOpened", "1.0"),
            ("account", "AccountMerged", "1.0"),
            ("account", "AccountOpened", "2.0"),
        ] {
            let refused = Event::read(aggregate, event, version, &payload).expect_err("is not known");
            assert!(refused.is_unknown(), "{aggregate} {event} {version}: {refused}");
        }
        let misshapen = serde_json::json!({ "RoleGranted": { "role": "king" } });
        let refused = Event::read("account", "RoleGranted", "1.0", &misshapen).expect_err("is misshapen");
        assert!(!refused.is_unknown(), "{refused}");
    }

    #[test]
    fn no_two_events_share_a_name() {
        let mut names: Vec<_> = Event::stored().map(|(_, name, _)| name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}

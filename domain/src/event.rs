//! Every event of the service in one type, as readers of the whole log see it.

use serde::de::DeserializeOwned;

use crate::account::{Account, AccountEvent};
use crate::forecast_round::{ForecastRound, ForecastRoundEvent};
use crate::ingestion::{Ingestion, IngestionEvent};
use crate::instrument::{Instrument, InstrumentEvent};
use crate::model::{Model, ModelEvent};
use crate::prediction::{Prediction, PredictionEvent};
use crate::training_run::{TrainingRun, TrainingRunEvent};
use crate::watchlist::{Watchlist, WatchlistEvent};
use crate::webhook_endpoint::{WebhookEndpoint, WebhookEndpointEvent};

/// An event that this version of the program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// No aggregate of this name is known.
    #[error("no aggregate is called `{0}` in this version of the program")]
    UnknownAggregate(String),
    /// The payload does not have the shape of any event of its aggregate.
    #[error("an event of `{aggregate}` cannot be read")]
    Shape {
        /// The aggregate.
        aggregate: String,
        /// What the parser said.
        source: serde_json::Error,
    },
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

        impl Event {
            /// Every stored event: its aggregate, name and current version.
            pub fn stored() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
                [$((<$aggregate as cqrs_es::Aggregate>::TYPE, $event::STORED),)+]
                    .into_iter()
                    .flat_map(|(aggregate, stored)| {
                        stored.iter().map(move |(name, version)| (aggregate, *name, *version))
                    })
            }

            /// Reads a stored payload of `aggregate_type`.
            ///
            /// # Errors
            /// [`UnreadableEvent`] when this version of the program does not know the aggregate or the shape.
            pub fn read(aggregate_type: &str, payload: &serde_json::Value) -> Result<Self, UnreadableEvent> {
                match aggregate_type {
                    $(
                        name if name == <$aggregate as cqrs_es::Aggregate>::TYPE => {
                            parsed::<$event>(aggregate_type, payload).map(Self::$aggregate)
                        }
                    )+
                    unknown => Err(UnreadableEvent::UnknownAggregate(unknown.to_owned())),
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

fn parsed<E: DeserializeOwned>(aggregate: &str, payload: &serde_json::Value) -> Result<E, UnreadableEvent> {
    E::deserialize(payload)
        .map_err(|source| UnreadableEvent::Shape { aggregate: aggregate.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{AccountOpened, Role, RoleGranted};

    #[test]
    fn a_stored_payload_is_read_back() {
        let event = AccountEvent::from(RoleGranted { role: Role::Admin });
        let payload = serde_json::to_value(&event).expect("serialises");
        assert_eq!(payload, serde_json::json!({ "RoleGranted": { "role": "admin" } }));
        assert_eq!(Event::read("account", &payload).expect("reads"), Event::Account(event));
    }

    #[test]
    fn an_event_of_a_newer_program_is_named_not_guessed() {
        let payload = serde_json::to_value(AccountEvent::from(AccountOpened {})).expect("serialises");
        assert!(matches!(Event::read("portfolio", &payload), Err(UnreadableEvent::UnknownAggregate(_))));
        assert!(matches!(Event::read("watchlist", &payload), Err(UnreadableEvent::Shape { .. })));
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

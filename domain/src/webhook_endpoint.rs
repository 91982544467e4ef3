//! A webhook endpoint: where an integrator wants to be called, and about what. Its URL and secret lie in the
//! vault, never here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_sourced::{event_sourced, events};

/// The event types an endpoint may ask for; `*` asks for all of them.
pub const OFFERED: [&str; 9] = [
    "prediction.published",
    "prediction.scored",
    "round.completed",
    "model.registered",
    "model.promoted",
    "model.rolled_back",
    "model.trial_decided",
    "bars.ingested",
    "endpoint.tested",
];

/// What can be asked of an endpoint; `by` is the account that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookEndpointCommand {
    /// Registers it.
    RegisterEndpoint {
        /// Who will own it.
        by: Uuid,
        /// What it asks for.
        event_types: Vec<String>,
    },
    /// Changes what it asks for.
    ChangeEndpoint {
        /// Who asks.
        by: Uuid,
        /// What it asks for from now on; nothing where that stays.
        event_types: Option<Vec<String>>,
    },
    /// Replaces its secret.
    RotateSecret {
        /// Who asks.
        by: Uuid,
        /// How often it had been replaced when the new one was made, which signs beside that of then.
        seen: u32,
    },
    /// Stops calling it.
    DisableEndpoint {
        /// Who asks; none when the dispatcher gave up on it.
        by: Option<Uuid>,
        /// Why, as a stable word.
        reason: String,
    },
    /// Calls it again.
    EnableEndpoint {
        /// Who asks.
        by: Uuid,
    },
    /// Removes it.
    RemoveEndpoint {
        /// Who asks.
        by: Uuid,
    },
}

/// An endpoint was registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointRegistered {
    /// The account that owns it.
    pub owner: Uuid,
    /// What it asks for.
    pub event_types: Vec<String>,
}

/// An endpoint asks for other events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointChanged {
    /// What it asks for from now on.
    pub event_types: Vec<String>,
}

/// An endpoint has a new secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRotated {}

/// An endpoint is not called any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointDisabled {
    /// Why, as a stable word.
    pub reason: String,
}

/// An endpoint is called again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointEnabled {}

/// An endpoint is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointRemoved {}

events! {
    /// What happened to an endpoint.
    pub enum WebhookEndpointEvent {
        EndpointRegistered = "EndpointRegistered" "1.0" by "the owner",
        EndpointChanged = "EndpointChanged" "1.0" by "the owner",
        SecretRotated = "SecretRotated" "1.0" by "the owner",
        EndpointDisabled = "EndpointDisabled" "1.0"
            by "the owner; the Dispatcher, when the receiver answers that it is gone",
        EndpointEnabled = "EndpointEnabled" "1.0" by "the owner",
        EndpointRemoved = "EndpointRemoved" "1.0" by "the owner",
    }
}

/// Why an endpoint refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookEndpointRefusal {
    /// There is no such endpoint, or it is somebody else's: the answer is the same.
    #[error("there is no such webhook endpoint")]
    Absent,
    /// The id is taken.
    #[error("the webhook endpoint exists already")]
    AlreadyExists,
    /// The secret was replaced by somebody else meanwhile.
    #[error("the secret was replaced a moment ago")]
    SecretReplaced,
    /// It asks for nothing.
    #[error("a webhook endpoint asks for at least one event type")]
    NoEventType,
    /// It asks for something that is not offered.
    #[error("`{0}` is not an event type that is offered")]
    UnknownEventType(String),
}

/// The present state of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WebhookEndpoint {
    /// Never registered.
    #[default]
    Absent,
    /// In use.
    Registered {
        /// The account that owns it.
        owner: Uuid,
        /// What it asks for.
        event_types: Vec<String>,
        /// Whether it is called.
        enabled: bool,
        /// How often its secret was replaced.
        rotations: u32,
    },
    /// Removed for good.
    Removed,
}

impl WebhookEndpoint {
    /// Decides what follows from `command`. Asking for what already holds is granted and changes nothing.
    pub fn decide(
        &self,
        command: WebhookEndpointCommand,
    ) -> Result<Vec<WebhookEndpointEvent>, WebhookEndpointRefusal> {
        use WebhookEndpointCommand as C;
        let (owner, asked, enabled, rotations) = match (self, &command) {
            (Self::Absent, C::RegisterEndpoint { by, event_types }) => {
                offered(event_types)?;
                return Ok(vec![EndpointRegistered { owner: *by, event_types: event_types.clone() }.into()]);
            }
            (Self::Registered { .. } | Self::Removed, C::RegisterEndpoint { .. }) => {
                return Err(WebhookEndpointRefusal::AlreadyExists);
            }
            (Self::Absent | Self::Removed, _) => return Err(WebhookEndpointRefusal::Absent),
            (Self::Registered { owner, event_types, enabled, rotations }, _) => {
                (*owner, event_types, *enabled, *rotations)
            }
        };
        let mine = |by: Uuid| if by == owner { Ok(()) } else { Err(WebhookEndpointRefusal::Absent) };
        let change: Option<WebhookEndpointEvent> = match command {
            C::RegisterEndpoint { .. } => None,
            C::ChangeEndpoint { by, event_types } => {
                mine(by)?;
                event_types.as_deref().map_or(Ok(()), offered)?;
                event_types
                    .filter(|event_types| event_types != asked)
                    .map(|event_types| EndpointChanged { event_types }.into())
            }
            C::RotateSecret { by, seen } => {
                mine(by)?;
                if seen != rotations {
                    return Err(WebhookEndpointRefusal::SecretReplaced);
                }
                Some(SecretRotated {}.into())
            }
            C::DisableEndpoint { by, reason } => {
                by.map_or(Ok(()), mine)?;
                enabled.then(|| EndpointDisabled { reason }.into())
            }
            C::EnableEndpoint { by } => {
                mine(by)?;
                (!enabled).then(|| EndpointEnabled {}.into())
            }
            C::RemoveEndpoint { by } => {
                mine(by)?;
                Some(EndpointRemoved {}.into())
            }
        };
        Ok(change.into_iter().collect())
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: WebhookEndpointEvent) {
        match (&mut *self, event) {
            (state, WebhookEndpointEvent::EndpointRegistered(registered)) => {
                let EndpointRegistered { owner, event_types } = registered;
                *state = Self::Registered { owner, event_types, enabled: true, rotations: 0 };
            }
            (state, WebhookEndpointEvent::EndpointRemoved(_)) => *state = Self::Removed,
            (Self::Registered { event_types, .. }, WebhookEndpointEvent::EndpointChanged(changed)) => {
                *event_types = changed.event_types;
            }
            (Self::Registered { enabled, .. }, WebhookEndpointEvent::EndpointDisabled(_)) => *enabled = false,
            (Self::Registered { enabled, .. }, WebhookEndpointEvent::EndpointEnabled(_)) => *enabled = true,
            (Self::Registered { rotations, .. }, WebhookEndpointEvent::SecretRotated(_)) => *rotations += 1,
            (Self::Absent | Self::Removed, _) => {}
        }
    }
}

fn offered(event_types: &[String]) -> Result<(), WebhookEndpointRefusal> {
    if event_types.is_empty() {
        return Err(WebhookEndpointRefusal::NoEventType);
    }
    let unknown = event_types.iter().find(|asked| *asked != "*" && !OFFERED.contains(&asked.as_str()));
    unknown.map_or(Ok(()), |asked| Err(WebhookEndpointRefusal::UnknownEventType(asked.clone())))
}

event_sourced!(
    WebhookEndpoint,
    "webhook_endpoint",
    WebhookEndpointCommand,
    WebhookEndpointEvent,
    WebhookEndpointRefusal
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_sourced::testing::given;

    const OWNER: Uuid = Uuid::from_u128(1);
    const STRANGER: Uuid = Uuid::from_u128(2);

    fn registered() -> WebhookEndpointEvent {
        EndpointRegistered { owner: OWNER, event_types: vec!["*".into()] }.into()
    }

    #[test]
    fn an_endpoint_asks_for_events_that_are_offered() {
        let register = |event_types: Vec<String>| {
            WebhookEndpoint::default()
                .decide(WebhookEndpointCommand::RegisterEndpoint { by: OWNER, event_types })
        };
        assert_eq!(register(vec![]), Err(WebhookEndpointRefusal::NoEventType));
        let unknown = register(vec!["weather.changed".into()]);
        assert_eq!(unknown, Err(WebhookEndpointRefusal::UnknownEventType("weather.changed".into())));
        assert!(register(vec!["prediction.published".into()]).is_ok());
    }

    #[test]
    fn a_stranger_learns_nothing_of_the_endpoint() {
        let endpoint: WebhookEndpoint = given([registered()]);
        for command in [
            WebhookEndpointCommand::RotateSecret { by: STRANGER, seen: 0 },
            WebhookEndpointCommand::RemoveEndpoint { by: STRANGER },
            WebhookEndpointCommand::EnableEndpoint { by: STRANGER },
            WebhookEndpointCommand::DisableEndpoint { by: Some(STRANGER), reason: "owner".into() },
        ] {
            assert_eq!(endpoint.decide(command), Err(WebhookEndpointRefusal::Absent));
        }
    }

    #[test]
    fn a_secret_made_beside_one_that_is_replaced_meanwhile_is_refused() {
        let mut endpoint: WebhookEndpoint = given([registered()]);
        let rotate = |seen| WebhookEndpointCommand::RotateSecret { by: OWNER, seen };
        let rotated = endpoint.decide(rotate(0)).expect("granted");
        for event in rotated {
            endpoint.apply(event);
        }
        assert_eq!(endpoint.decide(rotate(0)), Err(WebhookEndpointRefusal::SecretReplaced));
        assert_eq!(endpoint.decide(rotate(1)).map(|events| events.len()), Ok(1));
    }

    #[test]
    fn what_a_change_leaves_out_stays() {
        let endpoint: WebhookEndpoint = given([registered()]);
        let change =
            |event_types| endpoint.decide(WebhookEndpointCommand::ChangeEndpoint { by: OWNER, event_types });
        assert_eq!(change(None), Ok(vec![]));
        assert_eq!(change(Some(vec![])), Err(WebhookEndpointRefusal::NoEventType));
        assert_eq!(change(Some(vec!["model.promoted".into()])).map(|events| events.len()), Ok(1));
    }

    #[test]
    fn disabling_twice_changes_nothing_the_second_time() {
        let disable = WebhookEndpointCommand::DisableEndpoint { by: Some(OWNER), reason: "owner".into() };
        let mut endpoint: WebhookEndpoint = given([registered()]);
        let events = endpoint.decide(disable.clone()).expect("granted");
        assert_eq!(events.len(), 1);
        for event in events {
            endpoint.apply(event);
        }
        assert_eq!(endpoint.decide(disable), Ok(vec![]));
    }

    #[test]
    fn a_removed_endpoint_is_gone_for_good() {
        let gone: WebhookEndpoint = given([registered(), EndpointRemoved {}.into()]);
        let rotate = WebhookEndpointCommand::RotateSecret { by: OWNER, seen: 0 };
        assert_eq!(gone.decide(rotate), Err(WebhookEndpointRefusal::Absent));
        let again = WebhookEndpointCommand::RegisterEndpoint { by: OWNER, event_types: vec!["*".into()] };
        assert_eq!(gone.decide(again), Err(WebhookEndpointRefusal::AlreadyExists));
    }
}

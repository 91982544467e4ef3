//! Identities that follow from what a thing is, so that making it twice makes it once.

use uuid::Uuid;

use crate::prediction::Role;
use crate::values::{Exchange, Horizon, ModelName, Session, Symbol};

/// The namespace of all identities of this service (a version 4 uuid chosen once).
const NAMESPACE: Uuid = Uuid::from_u128(0x8f3c_2a51_6d0e_4b7a_9c15_e2f4_7a90_63bd);

fn derived(kind: &str, parts: &[&str]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("{kind}\n{}", parts.join("\n")).as_bytes())
}

/// An instrument: its exchange (or `-`), symbol and the first session it was seen on.
pub fn instrument(exchange: &Exchange, symbol: &Symbol, first_session: Session) -> Uuid {
    derived("instrument", &[exchange.as_str(), symbol.as_str(), &first_session.to_string()])
}

/// The round of `model` for `session`.
pub fn forecast_round(model: &ModelName, session: Session) -> Uuid {
    derived("round", &[model.as_str(), &session.to_string()])
}

/// One slot of one model in one role: publishing it twice is harmless.
pub fn prediction(model: &ModelName, instrument: Uuid, as_of: Session, horizon: Horizon, role: Role) -> Uuid {
    let role = match role {
        Role::Published => "published".to_owned(),
        Role::Trial { trial } => trial.to_string(),
    };
    derived(
        "prediction",
        &[
            model.as_str(),
            &instrument.to_string(),
            &as_of.to_string(),
            &horizon.sessions().to_string(),
            &role,
        ],
    )
}

/// A batch of the same bytes from the same source: ingesting it again is refused as known.
pub fn ingestion(source: &str, sha256: &str) -> Uuid {
    derived("ingestion", &[source, sha256])
}

/// A command that follows from a fact: the same reaction to the same cause has the same id.
pub fn reaction(reactor: &str, cause: &str) -> Uuid {
    derived("reaction", &[reactor, cause])
}

/// The story that a request of an account begins, which the account named by its `X-Request-Id`. Nobody can name
/// somebody else's.
pub fn story(account: Uuid, request_id: &str) -> Uuid {
    derived("story", &[&account.to_string(), request_id])
}

/// The command an account named by its `Idempotency-Key`.
pub fn idempotent_command(account: Uuid, key: &str) -> Uuid {
    derived("command", &[&account.to_string(), key])
}

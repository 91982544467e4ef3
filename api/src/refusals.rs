//! Which problem each refusal of the business is. The matches have no wildcard: a new refusal asks here for its name.

use std::error::Error;

use almanac_domain::account::AccountRefusal;
use almanac_domain::model::ModelRefusal;
use almanac_domain::training_run::TrainingRunRefusal;
use almanac_domain::watchlist::WatchlistRefusal;
use almanac_domain::webhook_endpoint::WebhookEndpointRefusal;
use almanac_store::StoreError;
use almanac_store::log::CommandError;

use crate::problem::{Kind, Problem};

/// A rule of the business that said no, as the edge names it.
pub trait Refusal: Error + 'static {
    /// The kind of problem it is for a caller.
    fn kind(&self) -> Kind;

    /// The field at fault, where the refusal speaks of one.
    fn field(&self) -> Option<&'static str> {
        None
    }
}

impl Refusal for AccountRefusal {
    fn kind(&self) -> Kind {
        match self {
            Self::Absent => Kind::Absent,
            Self::AlreadyOpen => Kind::Refused,
            Self::Suspended => Kind::Suspended,
        }
    }
}

impl Refusal for WatchlistRefusal {
    fn kind(&self) -> Kind {
        match self {
            Self::Absent => Kind::Absent,
            Self::AlreadyExists => Kind::Refused,
            Self::Full => Kind::WatchlistFull,
        }
    }
}

impl Refusal for ModelRefusal {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchVersion(_) | Self::NoSuchTrial => Kind::Absent,
            Self::NotTheNextVersion { .. }
            | Self::NotChecked
            | Self::AlreadyRegistered(_)
            | Self::NoChampion
            | Self::NotTheChampion(_)
            | Self::TrialNotDue { .. } => Kind::Refused,
            Self::AlreadyChampion(_) => Kind::AlreadyChampion,
            Self::IsChampion(_) => Kind::IsChampion,
            Self::OutOfService(_) | Self::InQuarantine(_) => Kind::OutOfService,
            Self::NothingToRollBackTo => Kind::NothingToRollBackTo,
            Self::TrialOpen(_) => Kind::TrialOpen,
            Self::TrialEnded => Kind::TrialEnded,
            Self::BadRule(_) => Kind::Invalid,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::BadRule(bad) => Some(bad.field),
            Self::NoSuchVersion(_)
            | Self::NotTheNextVersion { .. }
            | Self::NotChecked
            | Self::AlreadyRegistered(_)
            | Self::AlreadyChampion(_)
            | Self::IsChampion(_)
            | Self::NotTheChampion(_)
            | Self::OutOfService(_)
            | Self::InQuarantine(_)
            | Self::NothingToRollBackTo
            | Self::TrialOpen(_)
            | Self::TrialEnded
            | Self::NoSuchTrial
            | Self::NoChampion
            | Self::TrialNotDue { .. } => None,
        }
    }
}

impl Refusal for TrainingRunRefusal {
    fn kind(&self) -> Kind {
        match self {
            Self::Absent => Kind::Absent,
            Self::AlreadyRequested | Self::NotStarted => Kind::Refused,
            Self::Ended => Kind::RunEnded,
            Self::NoHorizon | Self::NotOneFileEach => Kind::Invalid,
        }
    }

    fn field(&self) -> Option<&'static str> {
        match self {
            Self::NoHorizon => Some("horizons"),
            Self::NotOneFileEach => Some("files"),
            Self::Absent | Self::AlreadyRequested | Self::Ended | Self::NotStarted => None,
        }
    }
}

impl Refusal for WebhookEndpointRefusal {
    fn kind(&self) -> Kind {
        match self {
            Self::Absent => Kind::Absent,
            Self::AlreadyExists => Kind::Refused,
            Self::SecretReplaced => Kind::Conflict,
            Self::NoEventType | Self::UnknownEventType(_) => Kind::Invalid,
        }
    }

    fn field(&self) -> Option<&'static str> {
        matches!(self, Self::NoEventType | Self::UnknownEventType(_)).then_some("event_types")
    }
}

impl<R: Refusal> From<CommandError<R>> for Problem {
    fn from(error: CommandError<R>) -> Self {
        match error {
            CommandError::Refused(refusal) => match refusal.field() {
                Some(field) => Self::invalid(field, refusal),
                None => Self::with(refusal.kind(), refusal.to_string()),
            },
            CommandError::Conflict => Kind::Conflict.into(),
            CommandError::ClaimTaken { kind } if kind == "email" => Kind::EmailTaken.into(),
            CommandError::ClaimTaken { kind } => {
                Self::with(Kind::Refused, format!("the {kind} is already taken"))
            }
            CommandError::IdempotencyMismatch => Kind::IdempotencyMismatch.into(),
            CommandError::Unstorable(unstorable) => Self::with(Kind::Invalid, unstorable.to_string()),
            CommandError::Broken(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if error.is_passing() {
            tracing::warn!(error = %error, "the database is not available just now");
            Kind::Unavailable.into()
        } else if error.is_unstorable() {
            Self::with(Kind::Malformed, "the request holds a character or a date that cannot be stored")
        } else if let StoreError::UnreadableStream(unreadable) = &error
            && unreadable.is_unknown()
        {
            // Another node of a newer version can; a client that asks again may reach it.
            tracing::warn!(error = %error, "this version of the program is too old for a stream");
            Self::with(Kind::Unavailable, error.to_string())
        } else {
            Self::broken(error)
        }
    }
}

impl From<almanac_actors::trade::TradeError> for Problem {
    fn from(error: almanac_actors::trade::TradeError) -> Self {
        Self::broken(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use actix_web::ResponseError;
    use actix_web::body::to_bytes;
    use almanac_domain::UnreadableEvent;

    use super::*;

    async fn sent(problem: Problem) -> (u16, serde_json::Value) {
        let response = problem.error_response();
        let status = response.status().as_u16();
        assert_eq!(response.headers().get("content-type").unwrap(), "application/problem+json");
        (status, serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap())
    }

    #[actix_web::test]
    async fn a_rule_that_says_no_is_named_and_explained() {
        let refused = CommandError::Refused(ModelRefusal::IsChampion(3));
        let (status, body) = sent(refused.into()).await;
        assert_eq!(status, 409);
        assert_eq!(body["type"], "/problems/is-champion");
        assert_eq!(body["detail"], "version 3 is the champion; promote another version first");
    }

    #[actix_web::test]
    async fn what_is_not_ones_own_is_absent() {
        for problem in [
            Problem::from(CommandError::Refused(WatchlistRefusal::Absent)),
            CommandError::Refused(WebhookEndpointRefusal::Absent).into(),
            CommandError::Refused(TrainingRunRefusal::Absent).into(),
            CommandError::Refused(AccountRefusal::Absent).into(),
        ] {
            assert_eq!(sent(problem).await.0, 404);
        }
    }

    #[actix_web::test]
    async fn a_refusal_of_a_field_names_the_field() {
        let refused = CommandError::Refused(WebhookEndpointRefusal::UnknownEventType("weather".to_owned()));
        let (status, body) = sent(refused.into()).await;
        assert_eq!(status, 422);
        assert_eq!(body["errors"]["event_types"], "`weather` is not an event type that is offered");
    }

    #[actix_web::test]
    async fn what_is_broken_shows_nothing_of_itself() {
        let broken = StoreError::Broken("password=hunter2 at 10.0.0.7".to_owned());
        let (status, body) = sent(broken.into()).await;
        assert_eq!(status, 500);
        assert_eq!(body["type"], "/problems/internal");
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }

    #[actix_web::test]
    async fn a_stream_of_a_newer_program_is_said_to_be_one() {
        let unknown = UnreadableEvent::UnknownEvent { aggregate: "model".into(), event: "ModelSold".into() };
        let (status, body) = sent(StoreError::UnreadableStream(unknown).into()).await;
        assert_eq!((status, body["type"].as_str()), (503, Some("/problems/unavailable")));
        assert!(body["detail"].as_str().unwrap().contains("a newer version of the program"), "{body}");
    }

    #[actix_web::test]
    async fn the_claim_of_an_e_mail_address_is_named() {
        let taken: CommandError<AccountRefusal> = CommandError::ClaimTaken { kind: "email".to_owned() };
        assert_eq!(sent(taken.into()).await.1["type"], "/problems/email-taken");
    }
}

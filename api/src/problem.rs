//! What the edge answers when it cannot do what was asked: RFC 9457 `application/problem+json`.
//!
//! [`Kind`] is the whole list of what can go wrong as a caller sees it, each with a stable `type`. A [`Problem`] is one
//! occurrence: its kind, a sentence, the fields at fault, and, for what is broken on our side, the error itself, which is
//! logged here once and never shown.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// The media type of every problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $status:literal $slug:literal $title:literal,)+) => {
        /// Every kind of problem this service answers with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)+
        }

        impl Kind {
            /// All kinds, in the order of the list.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// The stable address of the kind: a reference, relative to the service.
            pub const fn address(self) -> &'static str {
                match self { $(Self::$kind => $slug,)+ }
            }

            /// The HTTP status that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$kind => $status,)+ }
            }

            /// What it is called, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)+ }
            }
        }
    };
}

kinds! {
    /// The events a read was asked to wait for are sealed or shown a moment later: ask again.
    NotYet = 202 "/problems/not-yet" "What was asked for is not shown yet",
    /// The request is not JSON, or not of the shape the operation takes.
    Malformed = 400 "/problems/malformed-request" "The request cannot be read",
    /// The operation needs a sign-in.
    NotSignedIn = 401 "/problems/not-signed-in" "Nobody is signed in",
    /// E-mail address and password do not belong together, or there is no such account.
    WrongCredentials = 401 "/problems/wrong-credentials" "The e-mail address or the password is wrong",
    /// The operation is for administrators.
    NotAdmin = 403 "/problems/not-admin" "Only an administrator may do this",
    /// A request that changes something came with a cookie from another site.
    ForeignOrigin = 403 "/problems/foreign-origin" "The request comes from another site",
    /// The account is suspended.
    Suspended = 403 "/problems/account-suspended" "The account is suspended",
    /// There is no such thing, or it belongs to somebody else.
    Absent = 404 "/problems/not-found" "There is no such thing",
    /// The route exists, but not for this method.
    MethodNotAllowed = 405 "/problems/method-not-allowed" "This cannot be done here",
    /// An account with this e-mail address exists.
    EmailTaken = 409 "/problems/email-taken" "The e-mail address is taken",
    /// No signed checkpoint covers what a proof was asked for: one is signed every few minutes.
    NotCovered = 409 "/problems/not-covered-yet" "No signed checkpoint covers it yet",
    /// Somebody else changed the same thing at the same time.
    Conflict = 409 "/problems/conflict" "Somebody else was faster",
    /// A rule of the thing itself says no; `detail` says which.
    Refused = 409 "/problems/refused" "A rule says no",
    /// The version is the champion already.
    AlreadyChampion = 409 "/problems/already-champion" "The version is the champion already",
    /// The champion serves; promote another version first.
    IsChampion = 409 "/problems/is-champion" "The version is the champion",
    /// The version is retired or in quarantine.
    OutOfService = 409 "/problems/out-of-service" "The version is no longer in service",
    /// There is no earlier champion.
    NothingToRollBackTo = 409 "/problems/nothing-to-roll-back-to" "There is no earlier champion",
    /// Another version is on trial: one trial at a time.
    TrialOpen = 409 "/problems/trial-open" "Another version is on trial",
    /// The trial was decided or closed.
    TrialEnded = 409 "/problems/trial-ended" "The trial has ended",
    /// The training run has ended.
    RunEnded = 409 "/problems/training-run-ended" "The training run has ended",
    /// The watchlist holds the most it can.
    WatchlistFull = 409 "/problems/watchlist-full" "The watchlist is full",
    /// The body is larger than this operation takes.
    TooLarge = 413 "/problems/too-large" "The request is too large",
    /// The body is not `application/json`.
    UnsupportedMediaType = 415 "/problems/unsupported-media-type" "The media type is not supported",
    /// Fields have values that cannot be; `errors` names each.
    Invalid = 422 "/problems/invalid" "Some values cannot be accepted",
    /// The `Idempotency-Key` was used before with another request.
    IdempotencyMismatch = 422 "/problems/idempotency-key-reused" "The idempotency key belongs to another request",
    /// Something is broken on our side; it is logged.
    Broken = 500 "/problems/internal" "Something is broken on our side",
    /// The service is starting or stopping, or its database cannot be reached.
    Unavailable = 503 "/problems/unavailable" "The service is not available just now",
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.address())
    }
}

impl PartialSchema for Kind {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The stable address of a kind of problem."))
            .enum_values(Some(Self::ALL.iter().map(|kind| kind.address())))
            .into()
    }
}

impl ToSchema for Kind {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ProblemType")
    }
}

/// One occurrence of a problem.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: Option<String>,
    errors: BTreeMap<String, String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// A problem as it is sent (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body {
    /// The stable address of the kind.
    #[serde(rename = "type")]
    kind: Kind,
    /// What the kind is called.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened this time, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The fields at fault, each with its reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: BTreeMap<String, String>,
}

impl Problem {
    /// A problem of this kind, said in its own words.
    pub fn with(kind: Kind, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::from(kind) }
    }

    /// One field has a value that cannot be.
    pub fn invalid(field: &str, reason: impl fmt::Display) -> Self {
        let errors = BTreeMap::from([(field.to_owned(), reason.to_string())]);
        Self { errors, ..Self::from(Kind::Invalid) }
    }

    /// Fields have values that cannot be; `errors` maps each to its reason.
    pub fn invalid_fields(errors: BTreeMap<String, String>) -> Self {
        Self { errors, ..Self::from(Kind::Invalid) }
    }

    /// Something of ours is broken. The error is logged when the answer is made.
    pub fn broken(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..Self::from(Kind::Broken) }
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    fn body(&self) -> Body {
        Body {
            kind: self.kind,
            title: self.kind.title(),
            status: self.kind.status(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
        }
    }
}

impl From<Kind> for Problem {
    fn from(kind: Kind) -> Self {
        Self { kind, detail: None, errors: BTreeMap::new(), source: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => f.write_str(detail),
            None => f.write_str(self.kind.title()),
        }
    }
}

impl Error for Problem {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        if let Some(source) = &self.source {
            tracing::error!(problem = self.kind.address(), error = %in_full(source.as_ref()), "a request failed");
        }
        let mut response = HttpResponse::build(self.status_code());
        if matches!(self.kind, Kind::NotYet | Kind::NotCovered | Kind::Unavailable) {
            response.insert_header(("Retry-After", "1"));
        }
        response.content_type(MEDIA_TYPE).json(self.body())
    }
}

/// An error with all its causes in one line.
fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use actix_web::body::to_bytes;

    use super::*;

    #[actix_web::test]
    async fn every_kind_is_sent_as_its_own_status_and_type() {
        let mut addresses = BTreeSet::new();
        for kind in Kind::ALL {
            let response = Problem::from(*kind).error_response();
            assert_eq!(response.status().as_u16(), kind.status());
            assert_eq!(response.headers().get("content-type").unwrap(), MEDIA_TYPE);
            let body: serde_json::Value =
                serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap();
            assert_eq!(body["type"], kind.address());
            assert_eq!(body["status"], kind.status());
            assert_eq!(body["title"], kind.title());
            assert!(kind.address().starts_with("/problems/"));
            assert!(addresses.insert(kind.address()), "{} is there twice", kind.address());
        }
    }

    #[test]
    fn every_kind_stands_in_the_openapi_document() {
        let document = serde_json::to_value(crate::openapi::document()).unwrap();
        let offered = document.pointer("/components/schemas/ProblemType/enum").unwrap();
        let offered: Vec<&str> =
            offered.as_array().unwrap().iter().filter_map(|value| value.as_str()).collect();
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.address()).collect();
        assert_eq!(offered, kinds);
    }
}

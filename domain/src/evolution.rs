//! How the shapes of events change over the years while every event ever stored stays readable.
//!
//! A stored event is never rewritten. Its version says which shape it has, and the [`Kind`] of its name knows every
//! shape there has been: each older one has an *upcaster*, a pure function from its body to that of the version that
//! followed. Whoever reads, an aggregate or a projection, gets today's shape.
//!
//! A version is `major.minor`. A higher minor only adds what an older program may ignore, so an older program reads
//! it as the version it knows. A higher major, and a name that is not known, may mean anything: it is
//! [unknown](UnreadableEvent::is_unknown), and who reads must refuse, stop or pass over it by its declared policy.
//!
//! To change an event: give it the next version in its `events!`, name the upcaster there, and add the golden file of
//! the new version (`tests/golden`). The old file stays for good.

use std::borrow::Cow;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

/// Turns the body of an event into that of the version that followed. Pure: it knows the body and nothing else.
pub type Upcast = fn(Value) -> Value;

/// A kind of event: its stored name, its present version, and how older versions become it.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The stored name.
    pub name: &'static str,
    /// The version that is written now.
    pub version: &'static str,
    /// The versions before, oldest first.
    pub older: &'static [Older],
    /// Who makes it happen.
    pub emitted_by: &'static str,
    /// The JSON schema of the present body.
    pub(crate) schema: fn(&mut SchemaGenerator) -> Schema,
}

/// A version that is written no more.
#[derive(Debug, Clone, Copy)]
pub struct Older {
    /// The version.
    pub version: &'static str,
    /// To the version after it.
    pub upcast: Upcast,
}

/// An event that this version of the program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableEvent {
    /// No aggregate of this name is known.
    #[error("no aggregate is called `{0}` here: a newer version of the program wrote this event")]
    UnknownAggregate(String),
    /// The aggregate has no event of this name.
    #[error("no event of `{aggregate}` is called `{event}` here: a newer version of the program wrote it")]
    UnknownEvent {
        /// The aggregate.
        aggregate: String,
        /// The event's stored name.
        event: String,
    },
    /// The event has a version whose shape is not known.
    #[error("`{event}` is known up to version {known} here: a newer version of the program wrote {version}")]
    UnknownVersion {
        /// The event's stored name.
        event: String,
        /// Its version.
        version: String,
        /// The version this program writes.
        known: &'static str,
    },
    /// The payload does not have the shape its name and version promise.
    #[error("an event of `{aggregate}` cannot be read")]
    Shape {
        /// The aggregate.
        aggregate: String,
        /// What the parser said.
        source: serde_json::Error,
    },
}

impl UnreadableEvent {
    /// Whether nothing is wrong with the event but that this program is too old for it.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::UnknownAggregate(_) | Self::UnknownEvent { .. } | Self::UnknownVersion { .. } => true,
            Self::Shape { .. } => false,
        }
    }
}

impl Kind {
    /// Every version there has been, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.older.iter().map(|older| older.version).chain([self.version])
    }

    /// Whether a payload of `version` has the present shape, or one that only adds to it.
    pub(crate) fn is_present(&self, version: &str) -> bool {
        version == self.version || adds_to(version, self.version)
    }

    /// A payload of `version` in the present shape.
    pub(crate) fn modernised<'a>(
        &self,
        version: &str,
        payload: &'a Value,
    ) -> Result<Cow<'a, Value>, UnreadableEvent> {
        if self.is_present(version) {
            return Ok(Cow::Borrowed(payload));
        }
        let unknown = || UnreadableEvent::UnknownVersion {
            event: self.name.to_owned(),
            version: version.to_owned(),
            known: self.version,
        };
        let from = self.older.iter().position(|older| older.version == version).ok_or_else(unknown)?;
        let body = payload.get(self.name).cloned().unwrap_or(Value::Null);
        let body = self.older[from..].iter().fold(body, |body, older| (older.upcast)(body));
        Ok(Cow::Owned(json!({ self.name: body })))
    }
}

/// The one of `kinds` of `aggregate` that is called `event_type`.
pub(crate) fn kind<'k>(
    aggregate: &str,
    kinds: &'k [Kind],
    event_type: &str,
) -> Result<&'k Kind, UnreadableEvent> {
    kinds.iter().find(|kind| kind.name == event_type).ok_or_else(|| UnreadableEvent::UnknownEvent {
        aggregate: aggregate.to_owned(),
        event: event_type.to_owned(),
    })
}

/// Whether `version` only adds to `known`: the same major, a higher minor.
fn adds_to(version: &str, known: &str) -> bool {
    match (parsed(version), parsed(known)) {
        (Some((major, minor)), Some((known_major, known_minor))) => {
            major == known_major && minor > known_minor
        }
        _ => false,
    }
}

fn parsed(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event that was renamed inside twice: `dollars` became `amount`, which became `amount` with a `currency`.
    const PAID: Kind = Kind {
        name: "Paid",
        version: "3.0",
        older: &[
            Older { version: "1.0", upcast: |body| json!({ "amount": body["dollars"] }) },
            Older { version: "2.0", upcast: |body| json!({ "amount": body["amount"], "currency": "USD" }) },
        ],
        emitted_by: "a test",
        schema: |_| Schema::from(true),
    };

    fn read(version: &str, body: Value) -> Result<Value, UnreadableEvent> {
        kind("till", &[PAID], "Paid")?.modernised(version, &json!({ "Paid": body })).map(Cow::into_owned)
    }

    #[test]
    fn upcasters_are_chained_from_any_version_to_the_present_one() {
        let today = json!({ "Paid": { "amount": "5", "currency": "USD" } });
        assert_eq!(read("1.0", json!({ "dollars": "5" })).expect("reads"), today);
        assert_eq!(read("2.0", json!({ "amount": "5" })).expect("reads"), today);
        assert_eq!(read("3.0", today["Paid"].clone()).expect("reads"), today);
        assert_eq!(PAID.versions().collect::<Vec<_>>(), ["1.0", "2.0", "3.0"]);
    }

    #[test]
    fn a_higher_minor_is_read_as_what_is_known_and_a_higher_major_is_not() {
        let newer = json!({ "amount": "5", "currency": "EUR", "note": "added later" });
        assert_eq!(read("3.7", newer.clone()).expect("reads"), json!({ "Paid": newer }));
        for version in ["4.0", "2.1", "0.9", "3", "three"] {
            let refused = read(version, newer.clone()).expect_err("is not known");
            assert!(matches!(refused, UnreadableEvent::UnknownVersion { .. }), "{version}: {refused}");
            assert!(refused.is_unknown());
        }
    }

    #[test]
    fn an_event_nobody_here_has_heard_of_is_unknown_and_not_guessed() {
        let refused = kind("till", &[PAID], "Refunded").expect_err("is not known");
        assert!(refused.is_unknown(), "{refused}");
        assert!(refused.to_string().contains("Refunded"), "{refused}");
    }
}

//! A sealed event as everyone reads it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use almanac_domain::{Event, UnreadableEvent};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::copied::Fields;
use super::document::Document;
use super::event_hash::Hashed;
use super::tree::Hash;

/// The name of an event: `type:id:sequence`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey {
    /// The stored type of the aggregate.
    pub aggregate_type: String,
    /// The id of the aggregate.
    pub aggregate_id: String,
    /// The place in the aggregate's own stream, from 1.
    pub sequence: i64,
}

impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.aggregate_type, self.aggregate_id, self.sequence)
    }
}

/// A text that is not an event key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an event key has the form type:id:sequence")]
pub struct BadEventKey;

impl FromStr for EventKey {
    type Err = BadEventKey;

    /// The id may contain colons; the type and the sequence may not.
    fn from_str(text: &str) -> Result<Self, BadEventKey> {
        let (aggregate_type, rest) = text.split_once(':').ok_or(BadEventKey)?;
        let (aggregate_id, sequence) = rest.rsplit_once(':').ok_or(BadEventKey)?;
        let sequence = sequence.parse().ok().filter(|sequence| *sequence >= 1).ok_or(BadEventKey)?;
        if aggregate_type.is_empty() || aggregate_id.is_empty() {
            return Err(BadEventKey);
        }
        Ok(Self {
            aggregate_type: aggregate_type.to_owned(),
            aggregate_id: aggregate_id.to_owned(),
            sequence,
        })
    }
}

impl Serialize for EventKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An event with its place in the sealed log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The place in the log, contiguous from 1.
    pub ordinal: i64,
    /// The moment, in the service's time, from which on this event is known; it never falls along the log.
    pub as_of: DateTime<Utc>,
    /// The event's name.
    pub key: EventKey,
    /// The stored name of the kind of event, e.g. `PredictionPublished`.
    pub event_type: String,
    /// The version of the event's shape.
    pub event_version: String,
    /// The event as it was stored.
    pub payload: Document,
    /// Who, when, why: all values are strings.
    pub metadata: Document,
    /// The database's time of writing; evidence only.
    pub recorded_at: DateTime<Utc>,
    /// A unique id of the event.
    pub event_id: Uuid,
    /// The digest over everything above but `as_of`.
    pub event_hash: Hash,
}

/// What a sealed event is read from, as `l` and `e`, in the order of [`Recorded::from_fields`].
pub(crate) const COLUMNS: &str = "l.ordinal, l.as_of, l.event_hash, e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, \
     e.payload, e.metadata, e.recorded_at, e.event_id";

impl Recorded {
    /// The event as the domain knows it today, whatever version it was stored in.
    ///
    /// # Errors
    /// When this version of the program does not know it, or it has another shape than its version promises.
    pub fn event(&self) -> Result<Event, UnreadableEvent> {
        let aggregate = &self.key.aggregate_type;
        match self.payload.text() {
            Some(text) if Event::is_present(aggregate, &self.event_type, &self.event_version)? => {
                Event::parse(aggregate, text)
            }
            Some(_) | None => Event::read(aggregate, &self.event_type, &self.event_version, &self.payload),
        }
    }

    /// The event as `E`, for an aggregate whose events are known by their type alone.
    ///
    /// # Errors
    /// As [`Recorded::event`].
    pub fn decode<E: DeserializeOwned>(&self) -> Result<E, UnreadableEvent> {
        let aggregate = &self.key.aggregate_type;
        let payload = current(aggregate, &self.event_type, &self.event_version, &self.payload)?;
        E::deserialize(payload.as_ref())
            .map_err(|source| UnreadableEvent::Shape { aggregate: aggregate.clone(), source })
    }

    /// The service's time at which the event was decided.
    pub fn at(&self) -> DateTime<Utc> {
        service_time(&self.metadata).unwrap_or(self.recorded_at)
    }

    /// The digest of the event as it reads now; it equals `event_hash` as long as nobody has touched the
    /// event.
    pub fn recomputed_hash(&self) -> Hash {
        Hashed {
            ordinal: self.ordinal,
            key: &self.key,
            event_type: &self.event_type,
            event_version: &self.event_version,
            payload: &self.payload,
            metadata: &self.metadata,
            recorded_at: self.recorded_at,
            event_id: self.event_id,
        }
        .hash()
    }

    /// The id that all consequences of one request share.
    pub fn correlation_id(&self) -> Option<Uuid> {
        self.metadata_uuid("correlation_id")
    }

    /// The account that acted; none when the service itself did.
    pub fn account(&self) -> Option<Uuid> {
        self.metadata_uuid("account")
    }

    fn metadata_uuid(&self, name: &str) -> Option<Uuid> {
        self.metadata.get(name)?.as_str()?.parse().ok()
    }

    /// From a copy of [`COLUMNS`].
    pub(crate) fn from_fields(fields: &mut Fields<'_>) -> Result<Self, sqlx::Error> {
        Ok(Self {
            ordinal: fields.bigint()?,
            as_of: fields.moment()?,
            event_hash: fields.array()?,
            key: EventKey {
                aggregate_type: fields.text()?,
                aggregate_id: fields.text()?,
                sequence: fields.bigint()?,
            },
            event_type: fields.text()?,
            event_version: fields.text()?,
            payload: fields.document()?,
            metadata: fields.document()?,
            recorded_at: fields.moment()?,
            event_id: fields.uuid()?,
        })
    }

    pub(crate) fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let event_hash: Vec<u8> = row.try_get("event_hash")?;
        Ok(Self {
            ordinal: row.try_get("ordinal")?,
            as_of: row.try_get("as_of")?,
            key: key_from_row(row)?,
            event_type: row.try_get("event_type")?,
            event_version: row.try_get("event_version")?,
            payload: row.try_get("payload")?,
            metadata: row.try_get("metadata")?,
            recorded_at: row.try_get("recorded_at")?,
            event_id: row.try_get("event_id")?,
            event_hash: event_hash
                .try_into()
                .map_err(|_| sqlx::Error::Decode("an event hash does not have 32 bytes".into()))?,
        })
    }
}

pub(crate) fn key_from_row(row: &PgRow) -> Result<EventKey, sqlx::Error> {
    Ok(EventKey {
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
        sequence: row.try_get("sequence")?,
    })
}

/// A stored payload in the shape of today. An aggregate the domain does not have, such as a test's, has had one shape
/// only.
pub(crate) fn current<'a>(
    aggregate_type: &str,
    event_type: &str,
    event_version: &str,
    payload: &'a Value,
) -> Result<Cow<'a, Value>, UnreadableEvent> {
    match Event::current(aggregate_type, event_type, event_version, payload) {
        Err(UnreadableEvent::UnknownAggregate(_)) => Ok(Cow::Borrowed(payload)),
        current => current,
    }
}

/// The service's time in an event's metadata.
pub(crate) fn service_time(metadata: &Document) -> Option<DateTime<Utc>> {
    #[derive(Deserialize)]
    struct Metadata {
        at: String,
    }
    let at = match metadata.text() {
        Some(text) => Cow::Owned(serde_json::from_str::<Metadata>(text).ok()?.at),
        None => Cow::Borrowed(metadata.get("at")?.as_str()?),
    };
    DateTime::parse_from_rfc3339(&at).ok().map(|at| at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_event_key_reads_back_what_it_wrote_even_with_colons_in_the_id() {
        let key = EventKey { aggregate_type: "model".into(), aggregate_id: "us:daily".into(), sequence: 12 };
        assert_eq!(key.to_string(), "model:us:daily:12");
        assert_eq!(key.to_string().parse(), Ok(key.clone()));
        assert_eq!(serde_json::to_string(&key).unwrap(), "\"model:us:daily:12\"");
    }

    #[test]
    fn what_is_not_an_event_key_is_refused() {
        for text in ["", "a", "a:b", "a:b:c", "a:b:0", "a:b:-1", ":b:1", "a::1"] {
            assert_eq!(text.parse::<EventKey>(), Err(BadEventKey), "{text}");
        }
    }
}

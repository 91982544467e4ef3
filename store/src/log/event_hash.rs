//! The digest of one event, from which the tree over the log is made.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::canonical::canonical;
use super::recorded::EventKey;
use super::tree::Hash;

/// Keeps these digests apart from every other use of SHA-256, and names the version of their making.
const DOMAIN_TAG: &[u8] = b"almanac/event\x00v1\x00";

/// What an event's digest covers: everything but the database's own bookkeeping (transaction, position, time
/// of sealing), so that an export imports with the same digests.
pub(crate) struct Hashed<'a> {
    pub ordinal: i64,
    pub key: &'a EventKey,
    pub event_type: &'a str,
    pub event_version: &'a str,
    pub payload: &'a Value,
    pub metadata: &'a Value,
    pub recorded_at: DateTime<Utc>,
    pub event_id: Uuid,
}

impl Hashed<'_> {
    /// SHA-256 over the domain tag and the canonical form.
    pub fn hash(&self) -> Hash {
        let form = canonical(&json!({
            "aggregate_type": self.key.aggregate_type,
            "aggregate_id": self.key.aggregate_id,
            "sequence": self.key.sequence,
            "event_type": self.event_type,
            "event_version": self.event_version,
            "payload": self.payload,
            "metadata": self.metadata,
            "event_id": self.event_id,
            "recorded_at": self.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "ordinal": self.ordinal,
        }));
        Sha256::new().chain_update(DOMAIN_TAG).chain_update(form).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_a_known_event_never_changes() {
        let key = EventKey { aggregate_type: "counter".into(), aggregate_id: "a".into(), sequence: 1 };
        let hashed = Hashed {
            ordinal: 1,
            key: &key,
            event_type: "Counted",
            event_version: "1.0",
            payload: &json!({"Counted": {"by": 2, "€": "\u{1f600}"}}),
            metadata: &json!({"at": "2024-01-02T03:04:05.000006Z"}),
            recorded_at: DateTime::UNIX_EPOCH,
            event_id: Uuid::nil(),
        };
        let form = r#"{"aggregate_id":"a","aggregate_type":"counter","event_id":"00000000-0000-0000-0000-000000000000","event_type":"Counted","event_version":"1.0","metadata":{"at":"2024-01-02T03:04:05.000006Z"},"ordinal":1,"payload":{"Counted":{"by":2,"€":"😀"}},"recorded_at":"1970-01-01T00:00:00.000000Z","sequence":1}"#;
        let expected: Hash = Sha256::digest([DOMAIN_TAG, form.as_bytes()].concat()).into();
        assert_eq!(hex::encode(hashed.hash()), hex::encode(expected));
    }
}

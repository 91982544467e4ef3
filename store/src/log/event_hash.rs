//! The digest of one event, from which the tree over the log is made.

use chrono::{DateTime, SecondsFormat, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::canonical::{write_number, write_text};
use super::document::Document;
use super::recorded::EventKey;
use super::tree::Hash;

/// Keeps these digests apart from every other use of SHA-256, and names the version of their making.
const DOMAIN_TAG: &[u8] = b"almanac/event\x00v1\x00";

/// Room for the canonical form of most events, in bytes.
const ROOM: usize = 1_536;

/// What an event's digest covers: everything but the database's own bookkeeping (transaction, position, time
/// of sealing), so that an export imports with the same digests.
pub(crate) struct Hashed<'a> {
    pub ordinal: i64,
    pub key: &'a EventKey,
    pub event_type: &'a str,
    pub event_version: &'a str,
    pub payload: &'a Document,
    pub metadata: &'a Document,
    pub recorded_at: DateTime<Utc>,
    pub event_id: Uuid,
}

impl Hashed<'_> {
    /// SHA-256 over the domain tag and the canonical form.
    pub fn hash(&self) -> Hash {
        Sha256::new().chain_update(DOMAIN_TAG).chain_update(self.form()).finalize().into()
    }

    /// The canonical form of an object with these members, written in one go: the names stand in their order, and
    /// a verification of the log does this for every event.
    fn form(&self) -> String {
        let mut form = String::with_capacity(ROOM);
        let mut id = Uuid::encode_buffer();
        let recorded_at = self.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true);
        form.push_str("{\"aggregate_id\":");
        write_text(&self.key.aggregate_id, &mut form);
        form.push_str(",\"aggregate_type\":");
        write_text(&self.key.aggregate_type, &mut form);
        form.push_str(",\"event_id\":");
        write_text(self.event_id.hyphenated().encode_lower(&mut id), &mut form);
        form.push_str(",\"event_type\":");
        write_text(self.event_type, &mut form);
        form.push_str(",\"event_version\":");
        write_text(self.event_version, &mut form);
        form.push_str(",\"metadata\":");
        self.metadata.write(&mut form);
        form.push_str(",\"ordinal\":");
        write_number(&self.ordinal.into(), &mut form);
        form.push_str(",\"payload\":");
        self.payload.write(&mut form);
        form.push_str(",\"recorded_at\":");
        write_text(&recorded_at, &mut form);
        form.push_str(",\"sequence\":");
        write_number(&self.key.sequence.into(), &mut form);
        form.push('}');
        form
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::canonical::canonical;
    use super::*;

    #[test]
    fn the_digest_of_a_known_event_never_changes() {
        let key = EventKey { aggregate_type: "counter".into(), aggregate_id: "a".into(), sequence: 1 };
        let hashed = Hashed {
            ordinal: 1,
            key: &key,
            event_type: "Counted",
            event_version: "1.0",
            payload: &json!({"Counted": {"by": 2, "€": "\u{1f600}"}}).into(),
            metadata: &json!({"at": "2024-01-02T03:04:05.000006Z"}).into(),
            recorded_at: DateTime::UNIX_EPOCH,
            event_id: Uuid::nil(),
        };
        let form = r#"{"aggregate_id":"a","aggregate_type":"counter","event_id":"00000000-0000-0000-0000-000000000000","event_type":"Counted","event_version":"1.0","metadata":{"at":"2024-01-02T03:04:05.000006Z"},"ordinal":1,"payload":{"Counted":{"by":2,"€":"😀"}},"recorded_at":"1970-01-01T00:00:00.000000Z","sequence":1}"#;
        let expected: Hash = Sha256::digest([DOMAIN_TAG, form.as_bytes()].concat()).into();
        assert_eq!(hex::encode(hashed.hash()), hex::encode(expected));
    }

    #[test]
    fn the_form_written_in_one_go_is_the_canonical_form_of_the_whole() {
        let key = EventKey { aggregate_type: "a\"\\".into(), aggregate_id: "\u{1}é".into(), sequence: 7 };
        let hashed = Hashed {
            ordinal: i64::MAX,
            key: &key,
            event_type: "B\n",
            event_version: "1.0",
            payload: &json!({"\u{1f600}": 1, "\u{fb33}": [null, {"b": true, "a": -5}]}).into(),
            metadata: &json!({"z": "", "": "z"}).into(),
            recorded_at: DateTime::UNIX_EPOCH,
            event_id: Uuid::max(),
        };
        let whole = canonical(&json!({
            "aggregate_type": key.aggregate_type,
            "aggregate_id": key.aggregate_id,
            "sequence": key.sequence,
            "event_type": hashed.event_type,
            "event_version": hashed.event_version,
            "payload": **hashed.payload,
            "metadata": **hashed.metadata,
            "event_id": hashed.event_id,
            "recorded_at": "1970-01-01T00:00:00.000000Z",
            "ordinal": hashed.ordinal,
        }));
        assert_eq!(hashed.form(), whole);
    }
}

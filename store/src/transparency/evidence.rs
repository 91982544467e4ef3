//! Evidence: the events of one aggregate with everything that proves them, to carry away and verify anywhere.
//!
//! Verification needs no database and no service, only the evidence; and to know whose log it is, the log's key from
//! a source the reader trusts.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use super::checkpoint::{self, CheckpointRefused, TreeHead};
use super::hex_text;
use super::key::VerifierKey;
use super::proof::{InclusionProof, ProofRefused};
use super::tiles::LogTree;
use crate::log::canonical::numbers_are_plain;
use crate::log::event_hash::Hashed;
use crate::log::{EventKey, Hash, LogReader, Recorded};
use crate::{Database, StoreError};

/// The form of evidence that this program writes and reads.
const VERSION: u32 = 1;

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum NoEvidence {
    /// No such events are sealed.
    #[error("no such events are sealed")]
    Absent,
    /// No published head covers them yet.
    #[error("no published head of the log covers these events yet")]
    NotYet,
    /// Something below failed.
    #[error("the log could not be read")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for NoEvidence {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Why evidence proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceRefused {
    /// A form this program does not know.
    #[error("evidence of version {0} is not known to this program")]
    Version(u32),
    /// It is of another log than the one that is trusted.
    #[error("the evidence is of the log {found}, not of the trusted {trusted}")]
    OtherLog {
        /// The key in the evidence.
        found: VerifierKey,
        /// The key that is trusted.
        trusted: VerifierKey,
    },
    /// The signed head in it is none.
    #[error("the signed head is not accepted: {0}")]
    Head(#[from] CheckpointRefused),
    /// It holds no event, or not one stream from its beginning.
    #[error("the events are not the beginning of one stream")]
    Stream,
    /// An event reads differently from what was sealed.
    #[error("event {ordinal} reads differently from what was sealed")]
    Altered {
        /// Which.
        ordinal: i64,
    },
    /// An event is not under the signed head.
    #[error("event {ordinal} is not shown to be in the log: {source}")]
    Unproven {
        /// Which.
        ordinal: i64,
        /// Why.
        source: ProofRefused,
    },
}

/// The events of one aggregate, proven to be in the log under a signed head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The form, 1.
    pub version: u32,
    /// The key of the log. Whoever makes evidence up can put any key here: compare it with one you trust.
    pub verifier_key: VerifierKey,
    /// The signed head of the log.
    pub checkpoint: String,
    /// The events, from the first of their stream on.
    pub events: Vec<ProvenEvent>,
}

/// An event and what leads from it to the signed head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProvenEvent {
    /// The place in the log, from 1.
    pub ordinal: i64,
    /// The stored type of the aggregate.
    pub aggregate_type: String,
    /// The id of the aggregate.
    pub aggregate_id: String,
    /// The place in the aggregate's own stream, from 1.
    pub sequence: i64,
    /// The stored name of the kind of event.
    pub event_type: String,
    /// The version of the event's shape.
    pub event_version: String,
    /// The event.
    pub payload: Value,
    /// Who, when, why.
    pub metadata: Value,
    /// A unique id of the event.
    pub event_id: Uuid,
    /// The database's time of writing, with the six digits that are hashed.
    #[serde(serialize_with = "with_six_digits")]
    pub recorded_at: DateTime<Utc>,
    /// The digest over everything above.
    #[serde(with = "hex_text")]
    pub hash: Hash,
    /// The hashes that lead from the digest to the root in the signed head, from the bottom up.
    #[serde(with = "hex_text::list")]
    pub inclusion: Vec<Hash>,
}

fn with_six_digits<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// What evidence has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// The head under which the events are.
    pub head: TreeHead,
    /// The key that has signed it.
    pub key: VerifierKey,
    /// Whether that key is one the reader brought, not just the one in the evidence.
    pub key_is_trusted: bool,
    /// How many events are proven.
    pub events: usize,
}

impl Evidence {
    /// Evidence of all events of an aggregate that the newest published head covers.
    ///
    /// # Errors
    /// [`NoEvidence::Absent`] and [`NoEvidence::NotYet`] when there is none; otherwise when the database fails.
    pub async fn of(
        database: &Database,
        aggregate_type: &str,
        aggregate_id: &str,
    ) -> Result<Self, NoEvidence> {
        let sealed = LogReader::new(database).stream(aggregate_type, aggregate_id).await?;
        if sealed.is_empty() {
            return Err(NoEvidence::Absent);
        }
        let newest = checkpoint::newest(database.pool()).await?.ok_or(NoEvidence::NotYet)?;
        let verifier_key = checkpoint::key_of_log(database.pool()).await?.ok_or(NoEvidence::NotYet)?;
        let covered: Vec<Recorded> =
            sealed.into_iter().filter(|event| event.ordinal <= newest.size).collect();
        if covered.is_empty() {
            return Err(NoEvidence::NotYet);
        }
        let ordinals: Vec<i64> = covered.iter().map(|event| event.ordinal).collect();
        let proofs = LogTree::new(database).inclusions(&ordinals, newest.size).await?;
        let proofs = proofs.ok_or(NoEvidence::NotYet)?;
        let events =
            covered.into_iter().zip(proofs).map(|(event, proof)| ProvenEvent::new(event, proof)).collect();
        Ok(Self { version: VERSION, verifier_key, checkpoint: newest.note, events })
    }

    /// Verifies everything in it: the signature under the head, the digest of each event, and the way from each
    /// digest to the head. Without a `trusted` key it shows only that the evidence agrees with itself.
    ///
    /// # Errors
    /// Names the first thing that is not as it should be.
    pub fn verify(&self, trusted: Option<&VerifierKey>) -> Result<Proven, EvidenceRefused> {
        if self.version != VERSION {
            return Err(EvidenceRefused::Version(self.version));
        }
        if let Some(trusted) = trusted.filter(|trusted| **trusted != self.verifier_key) {
            let found = self.verifier_key.clone();
            return Err(EvidenceRefused::OtherLog { found, trusted: trusted.clone() });
        }
        let head = TreeHead::open(&self.checkpoint, &self.verifier_key)?;
        self.check_stream()?;
        for event in &self.events {
            event.verify(&head)?;
        }
        Ok(Proven {
            head,
            key: self.verifier_key.clone(),
            key_is_trusted: trusted.is_some(),
            events: self.events.len(),
        })
    }

    /// An event left out before another one of its stream would show.
    fn check_stream(&self) -> Result<(), EvidenceRefused> {
        let first = self.events.first().ok_or(EvidenceRefused::Stream)?;
        let is_stream = self.events.iter().zip(1..).all(|(event, sequence)| {
            event.sequence == sequence
                && event.aggregate_type == first.aggregate_type
                && event.aggregate_id == first.aggregate_id
        });
        if is_stream && self.events.is_sorted_by_key(|event| event.ordinal) {
            Ok(())
        } else {
            Err(EvidenceRefused::Stream)
        }
    }
}

impl ProvenEvent {
    fn new(event: Recorded, proof: InclusionProof) -> Self {
        Self {
            ordinal: event.ordinal,
            aggregate_type: event.key.aggregate_type,
            aggregate_id: event.key.aggregate_id,
            sequence: event.key.sequence,
            event_type: event.event_type,
            event_version: event.event_version,
            payload: event.payload.into_value(),
            metadata: event.metadata.into_value(),
            event_id: event.event_id,
            recorded_at: event.recorded_at,
            hash: event.event_hash,
            inclusion: proof.hashes,
        }
    }

    fn verify(&self, head: &TreeHead) -> Result<(), EvidenceRefused> {
        let key = EventKey {
            aggregate_type: self.aggregate_type.clone(),
            aggregate_id: self.aggregate_id.clone(),
            sequence: self.sequence,
        };
        let hash = Hashed {
            ordinal: self.ordinal,
            key: &key,
            event_type: &self.event_type,
            event_version: &self.event_version,
            payload: &self.payload.clone().into(),
            metadata: &self.metadata.clone().into(),
            recorded_at: self.recorded_at,
            event_id: self.event_id,
        }
        .hash();
        // Numbers the log would have refused could have several readings with one digest.
        if hash != self.hash || !numbers_are_plain(&self.payload) || !numbers_are_plain(&self.metadata) {
            return Err(EvidenceRefused::Altered { ordinal: self.ordinal });
        }
        let proof = InclusionProof {
            ordinal: self.ordinal,
            size: head.size,
            leaf: self.hash,
            hashes: self.inclusion.clone(),
        };
        proof.verify(&head.root).map_err(|source| EvidenceRefused::Unproven { ordinal: self.ordinal, source })
    }
}

//! What a verification of the whole log has found.

use serde::{Serialize, Serializer};

use crate::log::{EventKey, Hash};
use crate::transparency::hex_text;

/// Flaws beyond so many are only counted.
pub(super) const MOST_NAMED: usize = 100;

/// How far a verification is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events verified so far.
    pub done: u64,
    /// How many there are, where that is known.
    pub total: Option<u64>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many events the log has, those that are missing included, and those before a part.
    pub events: u64,
    /// The root of the tree over them.
    #[serde(with = "hex_text")]
    pub root: Hash,
    /// The flaw with the lowest ordinal.
    pub first_bad: Option<Bad>,
    /// The first flaws, at most 100.
    pub flaws: Vec<Bad>,
    /// How many flaws there are.
    pub flaw_count: u64,
    /// Committed events that have no ordinal yet; some is usual in a running service.
    pub unsealed: u64,
    /// The published heads.
    pub checkpoints: Checked,
}

impl Report {
    /// True when nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.flaw_count == 0 && self.checkpoints.failures.is_empty()
    }
}

/// How the published heads fared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// How many were compared with the log.
    pub checked: u64,
    /// How many cover less than the events before the part that was verified, and could not be.
    pub earlier: u64,
    /// The ones that do not fit.
    pub failures: Vec<CheckpointFailure>,
}

/// A published head that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckpointFailure {
    /// The number of events it covers, where that can be read.
    pub size: Option<i64>,
    /// The note.
    pub note: String,
    /// What is wrong.
    pub reason: String,
    /// Whether it was brought by the reader, not read from the database.
    pub given: bool,
}

/// Where something is wrong, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// The first ordinal that is, or can be, wrong.
    pub ordinal: i64,
    /// When the exact place cannot be told, the last ordinal at which it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// What is wrong.
    #[serde(flatten)]
    pub what: Flaw,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Flaw {
    /// A sealed event, or its row in the log, reads differently from what was sealed.
    #[error("the event reads differently from what was sealed")]
    Altered,
    /// The event is gone.
    #[error("the event is missing")]
    Missing,
    /// Two events stand in each other's place.
    #[error("the event has changed places with event {with}")]
    Swapped {
        /// The other one.
        with: i64,
    },
    /// The events of its stream are not complete, or not in their order.
    #[error("the event {key} stands where number {expected} of its stream should be")]
    OutOfStream {
        /// The event.
        #[serde(serialize_with = "as_text")]
        key: EventKey,
        /// The sequence number that should be here.
        expected: i64,
    },
    /// The moment from which on the event counts as known is not the one that follows from the log.
    #[error("the moment from which on the event is known was changed")]
    Misdated,
    /// The event holds a number the log would have refused; such numbers have several readings with one digest.
    #[error("the event holds a number that the log does not take, and that can be read in several ways")]
    Ambiguous,
    /// The event has another digest than the one proofs were made from.
    #[error("the event was hashed anew: proofs about it were made from another digest")]
    Rehashed,
    /// Inner hashes of the tree, kept so that proofs need not be made from all events, are not those of the events.
    #[error("the hashes that proofs are made from were changed: tile {index} of level {level}")]
    Tile {
        /// The level of the tile; 0 is that of the leaves.
        level: i16,
        /// Its place in the level, from 0.
        index: i64,
    },
    /// The events up to here lead to another root than the head of this size.
    #[error("the log was rewritten: it leads to another root than the head of {size} events")]
    Rewritten {
        /// The size of the head.
        size: i64,
    },
    /// Events that a published head covers are gone from the end.
    #[error("the end of the log was cut: a head of {published} events was published")]
    TailCut {
        /// The size of the largest published head.
        published: i64,
    },
    /// A committed event was passed over: it belongs before this place and is not in the log.
    #[error("the event {key} belongs before this place and is not in the log")]
    PassedOver {
        /// The event.
        #[serde(serialize_with = "as_text")]
        key: EventKey,
    },
}

fn as_text<S: Serializer>(key: &EventKey, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(key)
}

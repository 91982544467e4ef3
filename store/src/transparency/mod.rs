//! Tamper evidence: signed heads of the log, proofs under them, and verification of all of it.
//!
//! Each event has a digest, the digests are the leaves of a tree (RFC 6962), and its head is signed and published.
//! From then on nobody who holds the database can change, remove or reorder what the head covers without the head
//! contradicting it; before, they can. [`checkpoint`] makes and records heads, [`LogTree`] proves things under them,
//! [`Evidence`] is a proof that somebody can carry away, and [`verify`] re-reads everything.

pub mod checkpoint;
mod evidence;
mod hex_text;
mod key;
mod note;
mod proof;
mod tiles;
pub mod verify;

pub use checkpoint::{Checkpoint, CheckpointRefused, TreeHead};
pub use evidence::{Evidence, EvidenceRefused, NoEvidence, Proven, ProvenEvent};
pub use key::{ALGORITHM, BadKey, KeyFileError, KeyId, SigningKey, VerifierKey, is_key_name};
pub use note::{Note, NoteRefused};
pub use proof::{ConsistencyProof, InclusionProof, ProofRefused};
pub use tiles::LogTree;

//! The sealed log as files, and back: for a copy that outlives the database, for other tools, and for moving house.
//!
//! An export is a folder of segments, each a file of events that is written once and never changed, and a
//! [`Manifest`] that names them with their digests and the root of the tree over the log. Segments are JSON Lines or
//! Parquet; both carry everything a digest is made of, so [`import`] gives a database with the same ordinals and the
//! same root, and anybody can check an export without one.
//!
//! An export may also lie in object storage: [`export_to`] and [`fetch`] bring it there and back.
//!
//! Start with [`export`] and [`Archive::open`]. What is not in the log is not in an export either: the vault with
//! everything personal, claims, sign-ins, outboxes and objects.

mod chain;
mod checkpoints;
mod claimed;
mod columns;
mod error;
mod export;
mod folder;
mod import;
mod lines;
mod manifest;
mod read;
mod remote;
mod segment;
mod target;

pub use claimed::{Claim, Claims};
pub use error::{ArchiveError, Damage};
pub use export::{ExportWish, Exported, export};
pub use import::{Identity, Imported, import};
pub use manifest::{Format, Head, Manifest, Segment};
pub use read::Archive;
pub use remote::{export_to, fetch};
pub use target::check_finished;

/// How far an export or import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The last event that is done.
    pub done: i64,
    /// The last event there is to do.
    pub of: i64,
}

/// Is told now and then how far the work has come.
pub type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

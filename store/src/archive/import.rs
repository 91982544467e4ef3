//! Bringing an export into a database.

use std::iter::Peekable;

use futures::{Stream, TryStreamExt};

use super::chain::Chain;
use super::claimed::{Claimed, Claims};
use super::error::{ArchiveError, Damage};
use super::manifest::{self, Head};
use super::read::Archive;
use super::target::Target;
use super::{OnProgress, Progress, checkpoints};
use crate::log::Recorded;
use crate::transparency::{Checkpoint, LogTree, TreeHead, VerifierKey, checkpoint};
use crate::{Database, StoreError};

/// Which name the log publishes its heads under from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Its own: checkpoints and their key come along, and whoever seals must hold that key.
    Kept,
    /// A new one: checkpoints stay behind.
    New,
}

/// What an import has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// How many events this run has written.
    pub events: i64,
    /// The log as it is in the database now.
    pub head: Head,
    /// How many checkpoints came along.
    pub checkpoints: usize,
}

/// Brings an export into a database that is empty, or holds the beginning of the same log: identical in ordinals,
/// digests, moments and ids.
///
/// Each event is checked against its digest before it is written, and the root at the end. An import that was
/// interrupted goes on where it stopped; until it has ended, [`super::check_finished`] keeps everybody else out.
///
/// # Errors
/// [`ArchiveError::Damaged`] names the place in the export; [`ArchiveError::Refused`] says why it does not fit the
/// database; otherwise when a file or the database fails.
pub async fn import(
    database: &Database,
    archive: &Archive,
    identity: Identity,
    claims: Claims,
    progress: OnProgress<'_>,
) -> Result<Imported, ArchiveError> {
    let manifest = archive.manifest();
    let (size, root) = (manifest.head.size, manifest.head.root);
    let key = key_of(archive)?;
    let heads = heads(archive, key.as_ref(), size)?;
    let (mut target, there) = Target::seize(database).await?;
    let refuse = |reason: String| Err(ArchiveError::Refused(reason));
    if there.size() > size {
        return refuse(format!("the database holds {} events, the export {size}", there.size()));
    }
    if there.size() < manifest.after.size {
        let begins = manifest.after.size + 1;
        return refuse(format!("the export begins at event {begins}, the database ends at {}", there.size()));
    }
    let unfit = || StoreError::Broken("the manifest was checked when it was read".to_owned());
    let chain = manifest.after.chain().ok_or_else(unfit)?;
    let mut reading = Reading {
        archive,
        batches: archive.batches(),
        chain,
        due: heads.iter().zip(1..).peekable(),
        claims,
        claimed: Claimed::default(),
    };
    // What is there already is compared before anything is written or noted.
    let mut rest = Vec::new();
    while reading.chain.size() < there.size() {
        let mut batch = reading.next().await?;
        let known = (there.size() - reading.chain.size()).unsigned_abs() as usize;
        rest = batch.split_off(known.min(batch.len()));
        reading.add(&batch)?;
    }
    if reading.chain != there {
        return refuse(format!(
            "the {} events in the database are not the first ones of the export: an import needs an empty database",
            there.size()
        ));
    }
    let tree = LogTree::new(database);
    for (head, row) in heads.iter().zip(1..).filter(|(head, _)| head.size <= manifest.after.size) {
        if tree.root(head.size).await? != Some(head.root) {
            return Err(checkpoints::damaged(
                row,
                format!("the log has another root at {} events", head.size),
            ));
        }
    }
    let key = key.filter(|_| identity == Identity::Kept);
    if let (Some(known), Some(brought)) = (checkpoint::key_of_log(database.pool()).await?, &key)
        && known != *brought
    {
        return refuse(format!("the database publishes under the key {known}, the export under {brought}"));
    }
    if there.size() == size && !target.is_under_way().await? {
        return Ok(Imported { events: 0, head: manifest.head.clone(), checkpoints: 0 });
    }
    target.begin(manifest, there.size()).await?;
    while reading.chain.size() < size {
        let batch = if rest.is_empty() { reading.next().await? } else { std::mem::take(&mut rest) };
        reading.add(&batch)?;
        target.append(&batch, &reading.chain).await?;
        progress(Progress { done: reading.chain.size(), of: size });
    }
    if reading.chain.root() != root.0 {
        return Err(damaged_manifest("its events do not have the root it names".to_owned()));
    }
    let claimed = reading.claimed;
    let heads = if identity == Identity::Kept { heads } else { Vec::new() };
    target.finish(size, &claimed, &heads, key.as_ref()).await?;
    Ok(Imported { events: size - there.size(), head: manifest.head.clone(), checkpoints: heads.len() })
}

/// An export as far as it was read.
struct Reading<'a, Batches, Due: Iterator> {
    archive: &'a Archive,
    batches: Batches,
    chain: Chain,
    /// The checkpoints that were not compared yet, by size, each with its place in its file.
    due: Peekable<Due>,
    claims: Claims,
    claimed: Claimed,
}

impl<'a, Batches, Due> Reading<'a, Batches, Due>
where
    Batches: Stream<Item = Result<Vec<Recorded>, ArchiveError>> + Unpin,
    Due: Iterator<Item = (&'a Checkpoint, u64)>,
{
    async fn next(&mut self) -> Result<Vec<Recorded>, ArchiveError> {
        let batch = self.batches.try_next().await?;
        batch.ok_or_else(|| self.damaged(self.chain.size() + 1, "it is missing"))
    }

    /// Adds events, each of which must have its digest, and each checkpoint the root it names.
    fn add(&mut self, events: &[Recorded]) -> Result<(), ArchiveError> {
        for event in events {
            let due = self.chain.size() + 1;
            self.chain.add(event).map_err(|misfit| self.damaged(due, &misfit.to_string()))?;
            self.claimed.add(event, self.claims)?;
            while let Some((head, row)) = self.due.next_if(|(head, _)| head.size <= due) {
                if head.size == due && head.root != self.chain.root() {
                    let reason = format!("the log has another root at {due} events");
                    return Err(checkpoints::damaged(row, reason));
                }
            }
        }
        Ok(())
    }

    fn damaged(&self, ordinal: i64, reason: &str) -> ArchiveError {
        ArchiveError::Damaged(self.archive.place_of(ordinal, reason.to_owned()))
    }
}

fn damaged_manifest(reason: String) -> ArchiveError {
    ArchiveError::Damaged(Damage { file: manifest::FILE.to_owned(), row: None, ordinal: None, reason })
}

/// The key the checkpoints of an export are signed by.
fn key_of(archive: &Archive) -> Result<Option<VerifierKey>, ArchiveError> {
    let read = |text: &String| {
        text.parse::<VerifierKey>().map_err(|bad| damaged_manifest(format!("`verifier_key`: {bad}")))
    };
    archive.manifest().verifier_key.as_ref().map(read).transpose()
}

/// The checkpoints of an export, each signed by its key, smallest first, none beyond the export's `size`: one that is
/// proves that events were cut off.
fn heads(archive: &Archive, key: Option<&VerifierKey>, size: i64) -> Result<Vec<Checkpoint>, ArchiveError> {
    let heads = archive.checkpoints()?;
    let mut before = 0;
    for (head, row) in heads.iter().zip(1..) {
        let Some(key) = key else {
            return Err(checkpoints::damaged(row, "the export names no key for it".to_owned()));
        };
        let signed = TreeHead::open(&head.note, key)
            .map_err(|refused| checkpoints::damaged(row, refused.to_string()))?;
        if (signed.size, signed.root) != (head.size, head.root) {
            return Err(checkpoints::damaged(row, "the note speaks of another head".to_owned()));
        }
        if head.size <= before {
            return Err(checkpoints::damaged(row, "it does not cover more than the one before".to_owned()));
        }
        if head.size > size {
            let reason = format!("it covers {} events, the export has {size}", head.size);
            return Err(checkpoints::damaged(row, reason));
        }
        before = head.size;
    }
    Ok(heads)
}

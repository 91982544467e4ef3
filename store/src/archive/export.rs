//! Writing the sealed log into a folder.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use futures::TryStreamExt;
use sqlx::PgPool;

use super::chain::Chain;
use super::error::ArchiveError;
use super::folder;
use super::manifest::{self, Format, Head, Hex, Manifest, Segment};
use super::segment::SegmentWriter;
use super::{OnProgress, Progress, checkpoints, target};
use crate::log::{LogReader, Recorded};
use crate::transparency::{LogTree, checkpoint};
use crate::{Database, StoreError};

/// So many events are read at a time.
const AT_ONCE: i64 = 1_000;

/// Held as long as a run writes into the folder.
const LOCK: &str = "export.lock";

/// How an export is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportWish {
    /// How events are written; as those in the folder unless said otherwise, JSON Lines in a new one.
    pub format: Option<Format>,
    /// The first event; as in the folder unless said otherwise, 1 in a new one.
    pub from: Option<i64>,
    /// A file of events ends where its last ordinal is a multiple of this, which is at least 1.
    pub segment_events: i64,
}

impl Default for ExportWish {
    fn default() -> Self {
        Self { format: None, from: None, segment_events: 100_000 }
    }
}

/// What an export has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// What the folder holds now.
    pub manifest: Manifest,
    /// How many events this run has added to it.
    pub events: i64,
    /// The size of the files this run has added, in bytes.
    pub bytes: u64,
    /// How many checkpoints go with it.
    pub checkpoints: usize,
}

/// Writes the log, as far as it is sealed now, into `folder`.
///
/// A folder that holds an export is gone on with: its segments are never changed. Killed at any moment, the folder
/// holds an export of as many whole segments as there were, and the next run goes on from there.
///
/// # Errors
/// [`ArchiveError::Tampered`] names the first event that is not what was sealed; otherwise when the folder holds the
/// export of another log, or a file or the database fails.
pub async fn export(
    database: &Database,
    folder: &Path,
    wish: &ExportWish,
    progress: OnProgress<'_>,
) -> Result<Exported, ArchiveError> {
    fs::create_dir_all(folder).map_err(ArchiveError::io(folder))?;
    let _lock = lock(folder)?;
    let sealed = target::sealed(database.pool()).await?;
    let mut manifest = begin(database, folder, wish, &sealed).await?;
    let known = manifest.segments.len();
    let before = manifest.head.size;
    if before < sealed.size() {
        manifest.complete = false;
        manifest.write(folder)?;
        write_segments(database, folder, wish, &sealed, &mut manifest, progress).await?;
    }
    if manifest.head.root.0 != sealed.root() {
        return Err(ArchiveError::Tampered {
            ordinal: manifest.head.size,
            reason: "the events up to it do not have the root that was sealed".to_owned(),
        });
    }
    let key = checkpoint::key_of_log(database.pool()).await?;
    let checkpoints = checkpoints::up_to(database.pool(), sealed.size()).await?;
    checkpoints::write(folder, &checkpoints, key.as_ref())?;
    manifest.origin = key.as_ref().map(|key| key.name().to_owned());
    manifest.verifier_key = key.as_ref().map(ToString::to_string);
    manifest.complete = true;
    manifest.write(folder)?;
    Ok(Exported {
        events: manifest.head.size - before,
        bytes: manifest.segments[known..].iter().map(|segment| segment.bytes).sum(),
        checkpoints: checkpoints.len(),
        manifest,
    })
}

fn lock(folder: &Path) -> Result<File, ArchiveError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(ArchiveError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(ArchiveError::Refused(format!("another process is exporting into {}", folder.display())))
        }
        Err(TryLockError::Error(source)) => Err(ArchiveError::Io { path, source }),
    }
}

/// The manifest to go on with: the one in the folder, if it fits the wish and the log, or a new one.
async fn begin(
    database: &Database,
    folder: &Path,
    wish: &ExportWish,
    sealed: &Chain,
) -> Result<Manifest, ArchiveError> {
    let refuse = |reason: String| Err(ArchiveError::Refused(format!("{}: {reason}", folder.display())));
    let manifest = if let Some(manifest) = Manifest::read(folder)? {
        manifest
    } else {
        let after = wish.from.unwrap_or(1) - 1;
        if !(0..=sealed.size()).contains(&after) {
            return refuse(format!("the log ends at event {}", sealed.size()));
        }
        Manifest::new(wish.format.unwrap_or(Format::Jsonl), &up_to(database.pool(), after).await?)
    };
    if let Some(format) = wish.format.filter(|format| *format != manifest.format) {
        return refuse(format!("it holds an export as {}, not as {format}", manifest.format));
    }
    if let Some(from) = wish.from.filter(|from| *from != manifest.after.size + 1) {
        return refuse(format!("its export begins at event {}, not at {from}", manifest.after.size + 1));
    }
    let Head { size, root, .. } = manifest.head;
    if size > sealed.size() {
        return refuse(format!("it holds {size} events, the log only {}", sealed.size()));
    }
    if size > 0 && LogTree::new(database).root(size).await?.map(Hex) != Some(root) {
        return refuse(format!("its first {size} events are not those of this log"));
    }
    let segments: Vec<_> = manifest.segments.iter().map(|segment| segment.file.as_str()).collect();
    let is_ours =
        |name: &str| name == manifest::FILE || checkpoints::NAMES.contains(&name) || Segment::is_name(name);
    folder::tidy(folder, is_ours, |name| Segment::is_name(name) && !segments.contains(&name))?;
    Ok(manifest)
}

/// The log up to `size`, made from its digests.
async fn up_to(pool: &PgPool, size: i64) -> Result<Chain, ArchiveError> {
    let mut chain = Chain::default();
    if size == 0 {
        return Ok(chain);
    }
    let mut digests = sqlx::query_scalar::<_, Vec<u8>>(
        "select event_hash from event_log where ordinal <= $1 order by ordinal",
    )
    .bind(size)
    .fetch(pool);
    while let Some(digest) = digests.try_next().await? {
        let digest = digest.try_into();
        let digest =
            digest.map_err(|_| StoreError::Broken("an event hash does not have 32 bytes".to_owned()))?;
        chain.frontier.push(&digest);
    }
    chain.as_of = sqlx::query_scalar("select as_of from event_log where ordinal = $1")
        .bind(size)
        .fetch_one(pool)
        .await?;
    Ok(chain)
}

/// Writes what the manifest does not have, and the manifest after each whole segment.
async fn write_segments(
    database: &Database,
    folder: &Path,
    wish: &ExportWish,
    sealed: &Chain,
    manifest: &mut Manifest,
    progress: OnProgress<'_>,
) -> Result<(), ArchiveError> {
    let (reader, of) = (LogReader::new(database), sealed.size());
    let unfit = || StoreError::Broken("the manifest was checked when it was read".to_owned());
    let mut chain = manifest.head.chain().ok_or_else(unfit)?;
    let mut segment: Option<SegmentWriter> = None;
    let mut batch = read(&reader, chain.size(), segment_end(chain.size(), wish, of)).await?;
    while chain.size() < of {
        let (first, done) = (chain.size() + 1, chain.size() + batch.len() as i64);
        if batch.is_empty() {
            return Err(tampered(first, "it is missing"));
        }
        let writer = match segment.take() {
            Some(writer) => writer,
            None => SegmentWriter::begin(folder, manifest.format, first, segment_end(first - 1, wish, of))?,
        };
        // The next events are read while these are written.
        let writing = tokio::task::spawn_blocking(move || write(writer, chain, &batch));
        let ahead =
            if done < of { read(&reader, done, segment_end(done, wish, of)).await? } else { Vec::new() };
        let (writer, after) =
            writing.await.map_err(|_| StoreError::Broken("writing a segment has panicked".to_owned()))??;
        (batch, chain) = (ahead, after);
        if chain.size() == writer.last() {
            manifest.segments.push(writer.finish()?);
            manifest.head = Head::of(&chain);
            manifest.write(folder)?;
        } else {
            segment = Some(writer);
        }
        progress(Progress { done: chain.size(), of });
    }
    Ok(())
}

/// The last event of the segment that holds the one after `ordinal`.
fn segment_end(ordinal: i64, wish: &ExportWish, of: i64) -> i64 {
    ((ordinal / wish.segment_events + 1) * wish.segment_events).min(of)
}

async fn read(reader: &LogReader, after: i64, end: i64) -> Result<Vec<Recorded>, StoreError> {
    reader.after(after, (end - after).min(AT_ONCE)).await
}

/// Checks and writes events of one segment.
fn write(
    mut writer: SegmentWriter,
    mut chain: Chain,
    events: &[Recorded],
) -> Result<(SegmentWriter, Chain), ArchiveError> {
    for event in events {
        chain.add(event).map_err(|misfit| tampered(chain.size() + 1, &misfit.to_string()))?;
        writer.push(event)?;
    }
    Ok((writer, chain))
}

fn tampered(ordinal: i64, reason: &str) -> ArchiveError {
    ArchiveError::Tampered { ordinal, reason: reason.to_owned() }
}

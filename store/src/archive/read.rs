//! Reading an export: what it says of itself, and its events in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use futures::{Stream, stream};
use tokio::sync::mpsc;

use super::checkpoints;
use super::error::{ArchiveError, Damage};
use super::manifest::{self, Manifest, Segment};
use super::segment::{self, SegmentReader};
use crate::StoreError;
use crate::log::Recorded;
use crate::transparency::Checkpoint;
use crate::transparency::verify::Start;

/// So many events are handed over at a time: an import writes them in one transaction, well below 50 ms.
const AT_ONCE: usize = 1_000;

/// So many hand-overs are read ahead of whoever takes them.
const AHEAD: usize = 2;

/// An export in a folder.
#[derive(Debug, Clone)]
pub struct Archive {
    folder: PathBuf,
    manifest: Manifest,
}

/// Whether a segment is read whose bytes are not those that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damaged {
    Refused,
    Read,
}

impl Archive {
    /// Opens the export in `folder`.
    ///
    /// # Errors
    /// When there is none, or its manifest is damaged or of another version.
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        let manifest = Manifest::read(folder)?.ok_or_else(|| ArchiveError::NotAnExport(folder.to_owned()))?;
        Ok(Self { folder: folder.to_owned(), manifest })
    }

    /// What the export says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What comes before its first event.
    ///
    /// # Errors
    /// When the manifest contradicts itself, which is seen when it is opened.
    pub fn start(&self) -> Result<Start, ArchiveError> {
        let chain = self.manifest.after.chain();
        let chain = chain
            .ok_or_else(|| StoreError::Broken("the manifest was checked when it was read".to_owned()))?;
        Ok(Start { frontier: chain.frontier, as_of: chain.as_of })
    }

    /// The signed heads of the log that the export covers, by size.
    ///
    /// # Errors
    /// When the file that holds them cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, ArchiveError> {
        checkpoints::read(&self.folder)
    }

    /// Checks that the bytes of a segment are those that were written. It blocks: a segment is many megabytes.
    ///
    /// # Errors
    /// Names the file when they are not, or when it is missing.
    pub fn check(&self, segment: &Segment) -> Result<(), ArchiveError> {
        segment::check(&self.folder, segment)
    }

    /// Where in the export an event stands.
    pub(super) fn place_of(&self, ordinal: i64, reason: String) -> Damage {
        let segment = self.manifest.segments.iter().find(|segment| segment.last >= ordinal);
        let (file, row) = match segment {
            Some(segment) => (segment.file.clone(), Some((ordinal - segment.first).unsigned_abs() + 1)),
            None => (manifest::FILE.to_owned(), None),
        };
        Damage { file, row, ordinal: Some(ordinal), reason }
    }

    /// The events in order and in batches, as far as segments are what was written; it ends with the first error.
    /// Only their form and their ordinals are checked here, neither digests nor the root.
    pub fn batches(&self) -> impl Stream<Item = Result<Vec<Recorded>, ArchiveError>> + Send + Unpin + use<> {
        self.read(Damaged::Refused)
    }

    /// The same, but with the events of segments whose bytes are not what was written: to find the place. It ends with
    /// the first event that cannot be read.
    pub fn batches_though_damaged(
        &self,
    ) -> impl Stream<Item = Result<Vec<Recorded>, ArchiveError>> + Send + Unpin + use<> {
        self.read(Damaged::Read)
    }

    /// Reads ahead on a thread of its own, which ends when nobody listens any more.
    fn read(
        &self,
        damaged: Damaged,
    ) -> impl Stream<Item = Result<Vec<Recorded>, ArchiveError>> + Send + Unpin + use<> {
        let (hand_over, batches) = mpsc::channel(AHEAD);
        let archive = self.clone();
        std::thread::spawn(move || {
            for segment in &archive.manifest.segments {
                // A damaged file must not take the process with it, whatever the decoder makes of it.
                let read =
                    catch_unwind(AssertUnwindSafe(|| archive.read_segment(segment, damaged, &hand_over)));
                let failed = match read {
                    Ok(Ok(true)) => continue,
                    Ok(Ok(false)) => return,
                    Ok(Err(error)) => error,
                    Err(_) => ArchiveError::Damaged(Damage {
                        file: segment.file.clone(),
                        row: None,
                        ordinal: None,
                        reason: "it cannot be decoded".to_owned(),
                    }),
                };
                // Whoever does not listen any more does not want to know.
                let _ = hand_over.blocking_send(Err(failed));
                return;
            }
        });
        Box::pin(stream::unfold(batches, |mut batches| async { Some((batches.recv().await?, batches)) }))
    }

    /// Hands over the events of a segment; false when nobody listens any more.
    fn read_segment(
        &self,
        segment: &Segment,
        damaged: Damaged,
        hand_over: &mpsc::Sender<Result<Vec<Recorded>, ArchiveError>>,
    ) -> Result<bool, ArchiveError> {
        if damaged == Damaged::Refused {
            self.check(segment)?;
        }
        let mut reader = SegmentReader::open(&self.folder, segment, self.manifest.format)?;
        let mut batch = Vec::with_capacity(AT_ONCE);
        let ended = loop {
            match reader.next() {
                Ok(Some(event)) => batch.push(event),
                Ok(None) => break Ok(true),
                Err(error) => break Err(error),
            }
            if batch.len() == AT_ONCE {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(AT_ONCE));
                if hand_over.blocking_send(Ok(full)).is_err() {
                    return Ok(false);
                }
            }
        };
        // Events before a bad one are still events.
        let heard = batch.is_empty() || hand_over.blocking_send(Ok(batch)).is_ok();
        if heard { ended } else { Ok(false) }
    }
}

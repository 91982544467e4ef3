//! Ingestion: from bytes to recorded batches. The Ingestor and the command line use the same functions.
//!
//! For each batch of a source:
//! 1. the bars are decoded and checked (`bars.rs`), and rows that are known already are left out;
//! 2. instruments that were never seen are listed (`listing.rs`);
//! 3. headlines are scored and recorded (`headlines.rs`), splits, dividends and delistings likewise;
//! 4. the good rows and the findings go to object storage, and then `RecordBars` makes them known.
//!
//! What the bars say of progress comes last, so that a crash before it makes everything happen again, and happening
//! again is harmless: every id follows from what the bytes are.

mod actions;
mod bars;
mod headlines;
mod listing;
mod reclaim;

use std::path::Path;

use almanac_domain::ids;
use almanac_domain::ingestion::{FindingCount, Ingestion, IngestionCommand, IngestionFailed};
use almanac_domain::values::{Digest, InvalidValue, Session, StoredObject};
use almanac_store::StoreError;
use almanac_store::log::{CommandError, EventKey, Issued};
use almanac_store::objects::{ObjectError, ObjectRef};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

pub use self::reclaim::reclaim;
use crate::parts::Parts;
use crate::sources::folder::Folder;
use crate::sources::{Batch, MarketData, Part, SourceError, Wanted};
use crate::trade::TradeError;

/// What an ingestion has done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct IngestReport {
    /// The batches that were recorded.
    pub recorded: Vec<RecordedBatch>,
    /// What could not be used, with the reason that was recorded for it.
    pub failures: Vec<Unusable>,
    /// Instruments that became known.
    pub listed: usize,
    /// Whether everything there was to read had been recorded before.
    pub known_already: bool,
    /// The last event, by which a reader can wait for all of it.
    #[serde(skip)]
    pub last: Option<EventKey>,
}

/// A batch as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordedBatch {
    /// Its id.
    pub id: Uuid,
    /// `bars` or `headlines`.
    pub kind: &'static str,
    /// Good rows.
    pub rows: u64,
    /// Rows kept out.
    pub quarantined: u64,
    /// Instruments it speaks of.
    pub instruments: u64,
    /// The first session or day in it.
    pub first: Session,
    /// The last session or day in it.
    pub last: Session,
    /// What was found, counted.
    pub findings: Vec<FindingCount>,
}

/// Something that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{label}: {detail}")]
pub struct Unusable {
    /// Where it came from, such as a file's name.
    pub label: String,
    /// Why, as a stable word.
    pub reason: String,
    /// Why, in a sentence.
    pub detail: String,
}

/// How far an ingestion has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum IngestProgress {
    /// Reading what the source has.
    Reading,
    /// Checking this many tables.
    Checking {
        /// Tables of bars.
        tables: usize,
    },
    /// Making instruments known.
    Listing {
        /// Done.
        done: usize,
        /// All that are new.
        of: usize,
    },
    /// Writing this many rows.
    Storing {
        /// Good rows.
        rows: usize,
    },
}

/// Why nothing was ingested.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The source gave nothing.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Everything the source gave was unusable; the first reason.
    #[error(transparent)]
    Unusable(Unusable),
    /// There is nothing to read.
    #[error("there is no table of bars in `{0}`: .csv or .parquet files are looked for")]
    Nothing(String),
    /// A rule said no.
    #[error("the batch was refused: {0}")]
    Refused(String),
    /// Ours.
    #[error(transparent)]
    Trade(#[from] TradeError),
}

impl From<StoreError> for IngestError {
    fn from(error: StoreError) -> Self {
        Self::Trade(error.into())
    }
}

impl From<ObjectError> for IngestError {
    fn from(error: ObjectError) -> Self {
        Self::Trade(StoreError::from(error).into())
    }
}

impl From<InvalidValue> for IngestError {
    fn from(error: InvalidValue) -> Self {
        Self::Refused(error.to_string())
    }
}

impl<E: std::error::Error + 'static> From<CommandError<E>> for IngestError {
    fn from(error: CommandError<E>) -> Self {
        match error {
            CommandError::Broken(error) => error.into(),
            refused => Self::Refused(refused.to_string()),
        }
    }
}

/// Tells how far it is.
pub type OnProgress<'a> = &'a mut (dyn FnMut(IngestProgress) + Send);

/// Ingests a file or folder of CSV and Parquet, for the command line.
///
/// # Errors
/// When nothing of it could be used; the reason is recorded as `IngestionFailed`, and nothing else has changed.
pub async fn ingest_path(
    parts: &Parts,
    path: &Path,
    progress: OnProgress<'_>,
) -> Result<IngestReport, IngestError> {
    progress(IngestProgress::Reading);
    let folder = Folder::new(path);
    let wanted = Wanted {
        after: None,
        until: parts.calendar().last_closed(parts.clock.now()),
        now: parts.clock.now(),
    };
    let mut report = IngestReport::default();
    let batches = folder.fetch(&wanted).await?;
    if batches.is_empty() {
        return Err(IngestError::Nothing(path.display().to_string()));
    }
    for batch in batches {
        ingest_batch(parts, &folder, batch, &mut report, progress).await?;
    }
    match report.failures.first() {
        Some(failure) if report.recorded.is_empty() && !report.known_already => {
            Err(IngestError::Unusable(failure.clone()))
        }
        _ => Ok(report),
    }
}

/// Ingests one batch of a source and adds to `report` what came of it.
///
/// # Errors
/// When storage fails. A table that cannot be used is recorded as failed and is no error of the batch.
pub async fn ingest_batch(
    parts: &Parts,
    source: &dyn MarketData,
    mut batch: Batch,
    report: &mut IngestReport,
    progress: OnProgress<'_>,
) -> Result<(), IngestError> {
    let parts_of_it = batch.bars.iter().chain(&batch.headlines).map(|part| part.label.clone());
    let labels: Vec<_> = parts_of_it.chain(batch.actions_from.iter().cloned()).collect();
    progress(IngestProgress::Checking { tables: batch.bars.len() });
    let checked = bars::check(parts, source, &mut batch).await?;
    let story = story_of(parts, source, checked.received.as_ref(), &labels);
    let unreadable = std::mem::take(&mut batch.failures).into_iter().map(|(label, error)| Unusable {
        label,
        reason: error.reason().to_owned(),
        detail: error.to_string(),
    });
    for failure in unreadable.chain(checked.failures.iter().cloned()) {
        fail(parts, source, report, failure, story).await?;
    }
    report.known_already |= checked.recorded_before;
    let instruments =
        listing::instruments(parts, &checked.bars, &batch.companies, report, progress, story).await?;
    headlines::record(parts, source, &batch, &instruments, report, story).await?;
    actions::record(parts, &batch.actions, &instruments, report, story).await?;
    bars::record(parts, source, checked, &instruments, report, progress, story).await?;
    for label in &labels {
        source.settled(label);
    }
    Ok(())
}

/// What everything that comes of one batch has in common: the id of its bars, or of the list of what it holds.
fn story_of(parts: &Parts, source: &dyn MarketData, bars: Option<&Digest>, labels: &[String]) -> Uuid {
    if let Some(digest) = bars {
        return ids::ingestion(source.name(), digest.as_str());
    }
    let cause = format!("{}\n{}\n{}", source.name(), labels.join("\n"), parts.last_settled_session());
    ids::reaction("ingestion", &cause)
}

/// Records that something could not be used: once for each thing, reason and session, however often it is tried.
async fn fail(
    parts: &Parts,
    source: &dyn MarketData,
    report: &mut IngestReport,
    failure: Unusable,
    story: Uuid,
) -> Result<(), IngestError> {
    tracing::warn!(source = source.name(), label = failure.label, detail = failure.detail, "nothing usable");
    let session = parts.last_settled_session();
    let cause = format!("{}\n{}\n{}\n{session}", source.name(), failure.label, failure.reason);
    let id = ids::reaction("ingestion failure", &cause);
    let command = IngestionCommand::FailIngestion(IngestionFailed {
        source: source.name().to_owned(),
        reason: failure.reason.clone(),
        detail: failure.to_string(),
        failed_at: parts.clock.now(),
    });
    let committed =
        parts.bus.execute::<Ingestion>(&id.to_string(), command, &Issued::new(id).correlated(story)).await?;
    report.last = committed.last().cloned().or(report.last.take());
    report.failures.push(failure);
    Ok(())
}

/// The digest of what was received: of the bytes when it is one table, otherwise of the list of the tables' digests.
fn received(tables: &[Part]) -> Result<Digest, InvalidValue> {
    let sha256 = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    match tables {
        [one] => sha256(&one.bytes),
        many => {
            let mut lines: Vec<String> =
                many.iter().map(|part| format!("{}  {}\n", sha256(&part.bytes), part.label)).collect();
            lines.sort();
            sha256(lines.concat().as_bytes())
        }
    }
    .parse()
}

fn stored(object: ObjectRef) -> Result<StoredObject, InvalidValue> {
    Ok(StoredObject { key: object.key, sha256: object.sha256.parse()?, bytes: object.len })
}

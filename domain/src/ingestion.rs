//! An ingestion: one batch from a source, stored once and never changed.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event_sourced::{event_sourced, events};
use crate::values::{Digest, Mode, Session, StoredObject};

/// How often something was found in a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingCount {
    /// The finding's name, such as `high_below_low`.
    pub finding: String,
    /// Rows it was found in.
    pub rows: u64,
    /// Whether those rows were kept out.
    pub quarantined: bool,
}

/// What can be asked of an ingestion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IngestionCommand {
    /// Records a stored batch of bars.
    RecordBars(BarsIngested),
    /// Records a stored batch of headlines.
    RecordHeadlines(HeadlinesIngested),
    /// Records that a source gave nothing usable.
    FailIngestion(IngestionFailed),
}

/// A batch of daily bars lies in object storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BarsIngested {
    /// The kind of source: `folder`, `http` or `simulator`.
    pub source: String,
    /// Real or simulated prices, by which clock.
    pub mode: Mode,
    /// SHA-256 of what the source gave.
    pub source_sha256: Digest,
    /// The first session in the batch.
    pub first_session: Session,
    /// The last session in the batch.
    pub last_session: Session,
    /// Good rows stored.
    pub rows: u64,
    /// Rows kept out.
    pub quarantined: u64,
    /// How many instruments the batch speaks of.
    pub instruments: u64,
    /// The Parquet object with the good rows.
    pub object: StoredObject,
    /// The JSON object with every finding, where there are any.
    pub findings_object: Option<StoredObject>,
    /// What was found, counted.
    pub findings: Vec<FindingCount>,
    /// When the source was read: the batch is known from this moment on.
    pub observed_at: DateTime<Utc>,
}

/// A batch of headlines lies in object storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeadlinesIngested {
    /// The kind of source.
    pub source: String,
    /// Real or simulated, by which clock.
    pub mode: Mode,
    /// SHA-256 of what the source gave.
    pub source_sha256: Digest,
    /// The earliest publication in the batch.
    pub first_published_at: DateTime<Utc>,
    /// The latest publication in the batch.
    pub last_published_at: DateTime<Utc>,
    /// Good rows stored.
    pub rows: u64,
    /// Rows kept out.
    pub quarantined: u64,
    /// The Parquet object with the headlines and their sentiment.
    pub object: StoredObject,
    /// What was found, counted.
    pub findings: Vec<FindingCount>,
    /// The lexicon that scored them, with its version.
    pub sentiment_model: String,
    /// When the headlines were first seen here; features may use them from this moment on.
    pub observed_at: DateTime<Utc>,
}

/// A source gave nothing usable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IngestionFailed {
    /// The kind of source.
    pub source: String,
    /// What went wrong, as a stable word such as `missing_column`.
    pub reason: String,
    /// What went wrong, in a sentence without anything personal.
    pub detail: String,
    /// When it went wrong.
    pub failed_at: DateTime<Utc>,
}

events! {
    /// What happened to a batch.
    pub enum IngestionEvent {
        BarsIngested = "BarsIngested" "1.0" by "the Ingestor and `almanac ingest`",
        HeadlinesIngested = "HeadlinesIngested" "1.0" by "the Ingestor and `almanac ingest`",
        IngestionFailed = "IngestionFailed" "1.0" by "the Ingestor and `almanac ingest`",
    }
}

/// Why an ingestion refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestionRefusal {
    /// The same bytes from the same source were recorded before.
    #[error("this batch is recorded already")]
    AlreadyRecorded,
    /// A batch without rows says nothing.
    #[error("a batch without rows is not recorded")]
    Empty,
    /// The range runs backwards.
    #[error("the batch ends before it begins")]
    Backwards,
}

/// The present state of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ingestion {
    /// Not recorded.
    #[default]
    Absent,
    /// Tried without success; may be tried again.
    Failed,
    /// Recorded for good.
    Recorded,
}

impl Ingestion {
    /// Decides what follows from `command`.
    pub fn decide(&self, command: IngestionCommand) -> Result<Vec<IngestionEvent>, IngestionRefusal> {
        if *self == Self::Recorded {
            return Err(IngestionRefusal::AlreadyRecorded);
        }
        match command {
            IngestionCommand::RecordBars(bars) => {
                checked(bars.rows, bars.first_session <= bars.last_session)?;
                Ok(vec![bars.into()])
            }
            IngestionCommand::RecordHeadlines(headlines) => {
                checked(headlines.rows, headlines.first_published_at <= headlines.last_published_at)?;
                Ok(vec![headlines.into()])
            }
            IngestionCommand::FailIngestion(failure) => Ok(vec![failure.into()]),
        }
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: IngestionEvent) {
        *self = match event {
            IngestionEvent::BarsIngested(_) | IngestionEvent::HeadlinesIngested(_) => Self::Recorded,
            IngestionEvent::IngestionFailed(_) => Self::Failed,
        };
    }
}

fn checked(rows: u64, forwards: bool) -> Result<(), IngestionRefusal> {
    if rows == 0 {
        Err(IngestionRefusal::Empty)
    } else if forwards {
        Ok(())
    } else {
        Err(IngestionRefusal::Backwards)
    }
}

event_sourced!(Ingestion, "ingestion", IngestionCommand, IngestionEvent, IngestionRefusal);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_sourced::testing::given;

    fn bars(rows: u64) -> BarsIngested {
        let sha256: Digest = "a".repeat(64).parse().expect("valid");
        let session = Session::from_ymd_opt(2024, 1, 5).expect("a date");
        BarsIngested {
            source: "folder".into(),
            mode: Mode::Replayed,
            source_sha256: sha256.clone(),
            first_session: session,
            last_session: session,
            rows,
            quarantined: 0,
            instruments: 1,
            object: StoredObject { key: "bars/a.parquet".into(), sha256, bytes: 1 },
            findings_object: None,
            findings: vec![],
            observed_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_same_batch_is_recorded_once() {
        let recorded: Ingestion = given([bars(1).into()]);
        assert_eq!(
            recorded.decide(IngestionCommand::RecordBars(bars(1))),
            Err(IngestionRefusal::AlreadyRecorded)
        );
    }

    #[test]
    fn a_batch_without_rows_is_refused() {
        let refused = Ingestion::default().decide(IngestionCommand::RecordBars(bars(0)));
        assert_eq!(refused, Err(IngestionRefusal::Empty));
    }

    #[test]
    fn a_batch_that_ends_before_it_begins_is_refused() {
        let mut backwards = bars(1);
        backwards.first_session = backwards.last_session.succ_opt().expect("a date");
        let refused = Ingestion::default().decide(IngestionCommand::RecordBars(backwards));
        assert_eq!(refused, Err(IngestionRefusal::Backwards));
    }

    #[test]
    fn a_failed_batch_may_be_tried_again() {
        let failure = IngestionFailed {
            source: "http".into(),
            reason: "timeout".into(),
            detail: "the source did not answer in time".into(),
            failed_at: DateTime::UNIX_EPOCH,
        };
        let failed: Ingestion = given([failure.into()]);
        assert!(failed.decide(IngestionCommand::RecordBars(bars(1))).is_ok());
    }
}

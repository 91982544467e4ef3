//! The Ingestor: fetches what the sources have of sessions that closed and settled, and records it.
//!
//! 1. A pass asks every source for what is new since the last session there are bars of.
//! 2. What comes is ingested batch by batch (`ingestion/`); one source that fails holds up no other.
//! 3. A source that cannot be reached is asked again by the next pass, at the pace its own breaker allows.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use almanac_projections::{ingestions, instruments};
use almanac_store::log::{Until, wait_for};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::ingestion::{IngestError, IngestReport, ingest_batch};
use crate::parts::Parts;
use crate::sources::{MarketData, Wanted};
use crate::trade::{Progress, Trade, TradeError};

/// How long a pass waits to see in the tables what it has recorded.
const SEEING: Duration = Duration::from_secs(5);

/// Fetches and records.
pub struct Ingestor {
    parts: Parts,
    sources: Vec<Arc<dyn MarketData>>,
    done: Mutex<Done>,
}

#[derive(Debug, Clone, Default)]
struct Done {
    batches: usize,
    rows: u64,
    last_failure: Option<String>,
}

impl Ingestor {
    /// An ingestor of these sources.
    pub fn new(parts: &Parts, sources: Vec<Arc<dyn MarketData>>) -> Self {
        Self { parts: parts.clone(), sources, done: Mutex::default() }
    }

    async fn ingest_from(
        &self,
        source: &dyn MarketData,
        wanted: &Wanted,
    ) -> Result<IngestReport, TradeError> {
        let mut report = IngestReport::default();
        let batches = match source.fetch(wanted).await {
            Ok(batches) => batches,
            Err(error) => {
                self.note(|done| done.last_failure = Some(format!("{}: {error}", source.name())));
                return Ok(report);
            }
        };
        for batch in batches {
            match ingest_batch(&self.parts, source, batch, &mut report, &mut |_| {}).await {
                Ok(()) => {}
                Err(IngestError::Trade(error)) => return Err(error),
                Err(error) => return Err(TradeError::broken("could not record a batch")(error)),
            }
        }
        self.note(|done| {
            done.batches += report.recorded.len();
            done.rows += report.recorded.iter().map(|batch| batch.rows).sum::<u64>();
            done.last_failure =
                report.failures.last().map(ToString::to_string).or_else(|| done.last_failure.take());
        });
        Ok(report)
    }

    fn note(&self, change: impl FnOnce(&mut Done)) {
        change(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[async_trait]
impl Trade for Ingestor {
    fn name(&self) -> &'static str {
        "ingestor"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[ingestions::NAME, instruments::NAME]
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let mut progress = Progress::Idle;
        for source in &self.sources {
            let wanted = Wanted {
                after: ingestions::last_bars_session(self.parts.database.pool(), self.parts.settings.mode)
                    .await?,
                until: self.parts.last_settled_session(),
                now: self.parts.clock.now(),
            };
            let report = self.ingest_from(source.as_ref(), &wanted).await?;
            if let Some(last) = &report.last {
                // Otherwise the next pass would fetch the same again to find that it is known.
                let event = Until::Event(last);
                wait_for(&self.parts.database, event, ingestions::NAME, SEEING).await?;
            }
            if !report.recorded.is_empty() {
                progress = Progress::More;
            }
        }
        Ok(progress)
    }

    fn observe(&self) -> Value {
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json!({ "batches": done.batches, "rows": done.rows, "last_failure": done.last_failure })
    }
}

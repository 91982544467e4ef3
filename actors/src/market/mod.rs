//! The market: all bars as they are known, from the batches that the log lists.
//!
//! Batches are immutable, so what was loaded once stays loaded: a new session costs one small object, not a history.
//! A later batch wins over an earlier one, row by row; splits are applied when somebody asks as of a session.

mod view;

use std::sync::{Arc, Mutex, PoisonError};

use almanac_domain::instrument::CorporateAction;
use almanac_domain::values::{Mode, Session};
use almanac_ml::bars::{Bar, Bars, read_parquet};
use almanac_ml::{Panel, Split};
use almanac_projections::ingestions::{self, Batch};
use almanac_projections::instruments;
use almanac_store::objects::Objects;
use almanac_store::{Database, StoreError};
use rust_decimal::prelude::ToPrimitive;
use uuid::Uuid;

use crate::trade::TradeError;

pub use view::View;

/// Keeps the bars of one mode in memory, level with the log.
pub struct Market {
    database: Database,
    objects: Objects,
    mode: Mode,
    latest: Mutex<Option<Arc<View>>>,
    /// One loads at a time; the others wait for what it finds.
    loading: tokio::sync::Mutex<()>,
}

/// Bars to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownBars {
    /// The bars, oldest first, on the share count of `adjusted_as_of`.
    pub bars: Vec<Bar>,
    /// The session whose share count the prices stand on; none when there are no bars at all.
    pub adjusted_as_of: Option<Session>,
}

impl Market {
    /// The market of `mode`; nothing is loaded before somebody asks.
    pub fn new(database: &Database, objects: &Objects, mode: Mode) -> Self {
        Self {
            database: database.clone(),
            objects: objects.clone(),
            mode,
            latest: Mutex::new(None),
            loading: tokio::sync::Mutex::new(()),
        }
    }

    /// Everything that is known now.
    pub async fn view(&self) -> Result<Arc<View>, TradeError> {
        let _one_at_a_time = self.loading.lock().await;
        let batches = ingestions::bar_batches(self.database.pool(), self.mode, i64::MAX).await?;
        let splits = self.splits().await?;
        let known = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(view) = &known
            && view.stands_on(&batches, &splits)
        {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(self.load(known, batches, splits).await?);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&view));
        Ok(view)
    }

    /// What was known at an ordinal of the log. It is loaded anew each time.
    pub async fn view_at(&self, ordinal: i64) -> Result<View, TradeError> {
        let batches = ingestions::bar_batches(self.database.pool(), self.mode, ordinal).await?;
        let splits = self.splits().await?;
        self.load(None, batches, splits).await
    }

    /// The newest `limit` bars of an instrument between two sessions, adjusted for splits.
    pub async fn bars(
        &self,
        instrument: Uuid,
        from: Option<Session>,
        to: Option<Session>,
        limit: usize,
    ) -> Result<ShownBars, TradeError> {
        let view = self.view().await?;
        Ok(ShownBars { bars: view.bars(instrument, from, to, limit), adjusted_as_of: view.last_session() })
    }

    async fn splits(&self) -> Result<Vec<Split>, StoreError> {
        let listings = instruments::listings(self.database.pool()).await?;
        let mut splits = Vec::new();
        for listing in listings {
            for record in listing.actions {
                match record.action {
                    CorporateAction::Split { ratio } => splits.push(Split {
                        key: listing.id.to_string(),
                        effective: record.effective,
                        ratio: ratio.to_f64().unwrap_or(1.0),
                    }),
                    CorporateAction::Dividend { .. } => {}
                }
            }
        }
        splits.sort_by(|a, b| (&a.key, a.effective).cmp(&(&b.key, b.effective)));
        Ok(splits)
    }

    /// Loads what `known` lacks of `batches`.
    async fn load(
        &self,
        known: Option<Arc<View>>,
        batches: Vec<Batch>,
        splits: Vec<Split>,
    ) -> Result<View, TradeError> {
        let known = known.filter(|view| view.is_beginning_of(&batches));
        let loaded = known.as_ref().map_or(0, |view| view.batches().len());
        let mut objects = Vec::with_capacity(batches.len() - loaded);
        for batch in &batches[loaded..] {
            let bytes = self.objects.get(&batch.object.key).await.map_err(StoreError::from)?;
            objects.push(bytes);
        }
        let panel = tokio::task::spawn_blocking(move || -> Result<Arc<Panel>, TradeError> {
            let mut tables: Vec<Bars> = Vec::with_capacity(objects.len() + 1);
            if let Some(known) = known {
                if objects.is_empty() {
                    return Ok(known.raw());
                }
                tables.push(known.raw().bars().clone());
            }
            for bytes in &objects {
                let table = read_parquet(bytes);
                tables.push(table.map_err(TradeError::broken("a stored batch of bars cannot be read"))?);
            }
            Ok(Arc::new(Panel::new(Bars::merge(tables))))
        })
        .await
        .map_err(TradeError::broken("could not load the bars"))??;
        Ok(View::new(panel, splits, batches))
    }
}

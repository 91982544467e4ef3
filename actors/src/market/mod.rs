//! The market: all bars as they are known, from the batches that the log lists.
//!
//! Batches are immutable, so what was loaded once stays loaded: a new session costs one small object, not a history.
//! A later batch wins over an earlier one, row by row; splits are applied when somebody asks as of a session.

mod manifest;
mod view;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use almanac_domain::instrument::CorporateAction;
use almanac_domain::values::{Digest, Mode, Session};
use almanac_ml::bars::{Bar, Bars, read_parquet};
use almanac_ml::{Panel, Split};
use almanac_projections::ingestions::{self, Batch};
use almanac_projections::instruments;
use almanac_store::objects::Objects;
use almanac_store::{Database, StoreError};
use rust_decimal::prelude::ToPrimitive;
use uuid::Uuid;

use crate::trade::TradeError;

pub use manifest::{Manifest, NamedBatch};
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

    /// The bars that a dataset names, for computing as of `as_of`: what it holds of later sessions may be more than was
    /// known when the dataset was written down.
    ///
    /// # Errors
    /// When the manifest or a batch it names is missing, or is not what it was then.
    pub async fn view_of(&self, dataset: &Digest, as_of: Session) -> Result<View, TradeError> {
        let bytes = self.objects.get(&format!("datasets/{dataset}.json")).await.map_err(StoreError::from)?;
        let manifest = Manifest::parse(&bytes)
            .ok_or_else(|| TradeError::Held(format!("the manifest of {dataset} cannot be read")))?;
        let latest = self.view().await?;
        let (known, later) = latest.batches().split_at(manifest.batches.len().min(latest.batches().len()));
        let as_it_was = known.iter().map(NamedBatch::from).eq(manifest.batches.iter().cloned());
        if as_it_was && later.iter().all(|batch| batch.first_session > as_of) {
            return Ok(View::new(latest.raw(), manifest.splits, known.to_vec()));
        }
        self.of_manifest(&manifest).await
    }

    /// The bars that a manifest names, as they were; what has come or was corrected since has no part in them.
    ///
    /// # Errors
    /// When a batch is not in the log, its digest is another, or its object is missing or damaged.
    pub async fn of_manifest(&self, manifest: &Manifest) -> Result<View, TradeError> {
        let all = ingestions::bar_batches(self.database.pool(), self.mode, i64::MAX).await?;
        let batches = known(&manifest.batches, all)?;
        self.load(None, batches, manifest.splits.clone()).await
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

/// The batches of these names among `all`, in the order of the names.
pub(crate) fn known(names: &[NamedBatch], all: Vec<Batch>) -> Result<Vec<Batch>, TradeError> {
    let mut all: HashMap<Uuid, Batch> = all.into_iter().map(|batch| (batch.id, batch)).collect();
    let find = |name: &NamedBatch| {
        let found = all.remove(&name.id).filter(|batch| batch.object.sha256 == name.sha256);
        found.ok_or_else(|| {
            let missing = format!("the log has no batch {} with the digest {}", name.id, name.sha256);
            TradeError::broken("the data cannot be brought together again")(missing)
        })
    };
    names.iter().map(find).collect()
}

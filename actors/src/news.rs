//! The news: all headlines as they are known, from the batches that the log lists, loaded once each.

use std::sync::{Arc, Mutex, PoisonError};

use almanac_domain::calendar::Calendar;
use almanac_domain::values::{Mode, Session};
use almanac_ml::DailySentiment;
use almanac_ml::headlines::{DailyTone, ScoredHeadline, daily, decode_parquet, session_of};
use almanac_projections::ingestions::{self, Batch};
use almanac_store::objects::Objects;
use almanac_store::{Database, StoreError};
use uuid::Uuid;

use crate::market::{self, NamedBatch};
use crate::settings::Settings;
use crate::trade::TradeError;

/// Keeps the headlines of one mode in memory, level with the log.
pub struct News {
    database: Database,
    objects: Objects,
    mode: Mode,
    calendar: Calendar,
    latest: Mutex<Arc<Known>>,
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    batches: Vec<NamedBatch>,
    headlines: Vec<ScoredHeadline>,
}

/// The headlines of one instrument that became known for one session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayOfNews {
    /// The session.
    pub session: Session,
    /// Their mean score and number.
    pub tone: DailyTone,
}

impl News {
    /// The news of the service with these settings; nothing is loaded before somebody asks.
    pub fn new(database: &Database, objects: &Objects, settings: &Settings) -> Self {
        Self {
            database: database.clone(),
            objects: objects.clone(),
            mode: settings.mode,
            calendar: Calendar::of(&settings.exchange),
            latest: Mutex::default(),
            loading: tokio::sync::Mutex::new(()),
        }
    }

    /// The tone of an instrument's headlines by session, oldest first, joined by the moment they were first seen.
    pub async fn daily(&self, instrument: Uuid) -> Result<Vec<DayOfNews>, TradeError> {
        let headlines = self.of(instrument).await?;
        let tones = daily(&headlines, |seen| session_of(self.calendar, seen));
        Ok(tones.into_iter().map(|((_, session), tone)| DayOfNews { session, tone }).collect())
    }

    /// The newest `limit` headlines of an instrument, newest publication first, each once.
    pub async fn latest(&self, instrument: Uuid, limit: usize) -> Result<Vec<ScoredHeadline>, TradeError> {
        let mut headlines = self.of(instrument).await?;
        headlines.sort_by(|a, b| {
            b.published_at
                .cmp(&a.published_at)
                .then_with(|| a.headline.cmp(&b.headline))
                .then(a.first_seen_at.cmp(&b.first_seen_at))
        });
        headlines.dedup_by(|a, b| (a.published_at, &a.headline) == (b.published_at, &b.headline));
        headlines.truncate(limit);
        Ok(headlines)
    }

    /// The daily tone of every instrument, as features take it.
    pub async fn sentiment(&self) -> Result<Vec<DailySentiment>, TradeError> {
        Ok(self.tones(&self.known().await?.headlines))
    }

    /// The same, with the batches it comes from.
    pub async fn named_sentiment(&self) -> Result<(Vec<NamedBatch>, Vec<DailySentiment>), TradeError> {
        let known = self.known().await?;
        Ok((known.batches.clone(), self.tones(&known.headlines)))
    }

    /// The same from these batches alone, as it was when there were no others.
    ///
    /// # Errors
    /// When a batch is not in the log, its digest is another, or its object is missing or damaged.
    pub async fn sentiment_of(&self, names: &[NamedBatch]) -> Result<Vec<DailySentiment>, TradeError> {
        let all = ingestions::headline_batches(self.database.pool(), self.mode, i64::MAX).await?;
        let mut headlines = Vec::new();
        for batch in market::known(names, all)? {
            headlines.extend(self.load(&batch).await?);
        }
        Ok(self.tones(&headlines))
    }

    fn tones(&self, headlines: &[ScoredHeadline]) -> Vec<DailySentiment> {
        let tones = daily(headlines, |seen| session_of(self.calendar, seen));
        let sentiment = |((key, session), tone): ((String, Session), DailyTone)| DailySentiment {
            key,
            published: session,
            first_seen: session,
            value: tone.mean,
        };
        tones.into_iter().map(sentiment).collect()
    }

    async fn load(&self, batch: &Batch) -> Result<Vec<ScoredHeadline>, TradeError> {
        let bytes = self.objects.get(&batch.object.key).await.map_err(StoreError::from)?;
        decode_parquet(&bytes).map_err(TradeError::broken("stored headlines cannot be read"))
    }

    async fn of(&self, instrument: Uuid) -> Result<Vec<ScoredHeadline>, TradeError> {
        let (known, key) = (self.known().await?, instrument.to_string());
        Ok(known.headlines.iter().filter(|headline| headline.instrument == key).cloned().collect())
    }

    async fn known(&self) -> Result<Arc<Known>, TradeError> {
        let _one_at_a_time = self.loading.lock().await;
        let batches = ingestions::headline_batches(self.database.pool(), self.mode, i64::MAX).await?;
        let known = Arc::clone(&self.latest.lock().unwrap_or_else(PoisonError::into_inner));
        if batches.len() == known.batches.len() {
            return Ok(known);
        }
        let mut grown = Known { batches: known.batches.clone(), headlines: known.headlines.clone() };
        for batch in batches {
            let name = NamedBatch::from(&batch);
            if !grown.batches.contains(&name) {
                grown.headlines.extend(self.load(&batch).await?);
                grown.batches.push(name);
            }
        }
        let grown = Arc::new(grown);
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&grown);
        Ok(grown)
    }
}

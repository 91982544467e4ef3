//! The replay source: the files of a folder, given out session by session as the clock passes them.
//!
//! Everything is read and checked once; the rows of a session are handed over when it has closed, as if a provider had
//! sent them that evening.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use almanac_domain::calendar::Calendar;
use almanac_domain::values::Session;
use almanac_ml::bars::{self, Bars, Finding, Rules};
use almanac_ml::days;
use almanac_ml::headlines::{self, Headline};
use async_trait::async_trait;
use chrono::{DateTime, SecondsFormat, Utc};

use super::folder::Folder;
use super::{Action, Batch, Codec, Company, MarketData, Part, Seen, SourceError, Wanted};

/// A folder whose content becomes known little by little.
pub struct Replay {
    folder: Folder,
    calendar: Calendar,
    content: Mutex<Option<Arc<Content>>>,
}

/// All there will be to give out.
struct Content {
    bars: Bars,
    headlines: Vec<Headline>,
    actions: Vec<Action>,
    companies: Vec<Company>,
    findings: Vec<Finding>,
    failures: Vec<(String, SourceError)>,
}

impl Replay {
    /// Replays the folder or file at `path` by the sessions of `calendar`.
    pub fn new(path: &Path, calendar: Calendar) -> Self {
        Self { folder: Folder::new(path), calendar, content: Mutex::new(None) }
    }

    fn content(&self) -> Result<Arc<Content>, SourceError> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(content) = &*content {
            return Ok(Arc::clone(content));
        }
        let read = Arc::new(self.read()?);
        *content = Some(Arc::clone(&read));
        Ok(read)
    }

    fn read(&self) -> Result<Content, SourceError> {
        let batch = self.folder.read()?;
        let is_session = |date| self.calendar.is_session(date);
        // The files are of the past; what lies in the future is kept back by the clock, not quarantined.
        let rules = Rules { latest_session: Session::MAX, is_session: &is_session };
        let (mut tables, mut findings, mut failures) = (Vec::new(), Vec::new(), batch.failures);
        for part in &batch.bars {
            let symbol = part.default_symbol.as_deref();
            let decoded = match part.codec {
                Codec::Csv => bars::decode_csv(&part.bytes, symbol, &rules),
                Codec::Parquet => bars::decode_parquet(&part.bytes, &rules),
            };
            match decoded {
                Ok(decoded) => {
                    findings.extend(decoded.findings);
                    tables.push(decoded.bars);
                }
                Err(error) => failures.push(failure(part, &error)),
            }
        }
        let mut all_headlines = Vec::new();
        for part in &batch.headlines {
            match headlines::decode_csv(&part.bytes, DateTime::<Utc>::MAX_UTC) {
                Ok(decoded) => all_headlines.extend(decoded.headlines),
                Err(error) => failures.push(failure(part, &error)),
            }
        }
        Ok(Content {
            bars: Bars::merge(tables),
            headlines: all_headlines,
            actions: batch.actions,
            companies: batch.companies,
            findings,
            failures,
        })
    }
}

#[async_trait]
impl MarketData for Replay {
    fn name(&self) -> &'static str {
        "folder"
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Vec<Batch>, SourceError> {
        if wanted.after.is_some_and(|after| after >= wanted.until) {
            return Ok(vec![]);
        }
        let content = self.content()?;
        let due =
            |session: Session| wanted.after.is_none_or(|after| session > after) && session <= wanted.until;
        let bars = rows_of(&content.bars, |day| due(days::date(day)));
        if bars.is_empty() {
            return Ok(vec![]);
        }
        let label = format!("up to {}", wanted.until);
        let bytes = bars::encode_parquet(&bars)
            .map_err(|error| SourceError::Malformed { path: label.clone(), detail: error.to_string() })?;
        let part = |bytes, codec| Part { label: label.clone(), bytes, codec, default_symbol: None };
        let headlines = headlines_csv(&content.headlines, |published_at| {
            due(headlines::session_of(self.calendar, published_at))
        });
        let first = wanted.after.is_none();
        Ok(vec![Batch {
            bars: vec![part(bytes, Codec::Parquet)],
            headlines: headlines.map(|text| part(text.into_bytes(), Codec::Csv)).into_iter().collect(),
            headlines_seen: Seen::Now,
            actions: content.actions.iter().filter(|action| due(action.session)).cloned().collect(),
            actions_from: vec![],
            companies: content.companies.clone(),
            findings: if first { content.findings.clone() } else { vec![] },
            failures: if first { content.failures.clone() } else { vec![] },
        }])
    }

    fn settled(&self, _label: &str) {
        // What is settled lies before `wanted.after` from then on.
    }
}

fn failure(part: &Part, error: &impl ToString) -> (String, SourceError) {
    let path = part.label.clone();
    (path.clone(), SourceError::Malformed { path, detail: error.to_string() })
}

/// The rows of the days that are wanted.
fn rows_of(all: &Bars, wanted: impl Fn(i32) -> bool) -> Bars {
    let rows: Vec<usize> = (0..all.len()).filter(|&row| wanted(all.session[row])).collect();
    let floats = |column: &[f64]| rows.iter().map(|&row| column[row]).collect();
    Bars {
        keys: all.keys.clone(),
        key: rows.iter().map(|&row| all.key[row]).collect(),
        session: rows.iter().map(|&row| all.session[row]).collect(),
        open: floats(&all.open),
        high: floats(&all.high),
        low: floats(&all.low),
        close: floats(&all.close),
        volume: floats(&all.volume),
    }
    .into_sorted()
}

fn headlines_csv(all: &[Headline], wanted: impl Fn(DateTime<Utc>) -> bool) -> Option<String> {
    let rows: Vec<String> = all
        .iter()
        .filter(|headline| wanted(headline.published_at))
        .map(|Headline { symbol, published_at, headline }| {
            let published_at = published_at.to_rfc3339_opts(SecondsFormat::Micros, true);
            format!("{symbol},{published_at},\"{}\"\n", headline.replace('"', "\"\""))
        })
        .collect();
    (!rows.is_empty()).then(|| format!("symbol,published_at,headline\n{}", rows.concat()))
}

//! Headlines: decoded, joined to instruments, scored by the lexicon, stored and recorded.

use std::collections::{BTreeMap, HashMap};

use almanac_domain::ids;
use almanac_domain::ingestion::{
    FindingCount, HeadlinesIngested, Ingestion, IngestionCommand, IngestionRefusal,
};
use almanac_ml::headlines::{Headline, ScoredHeadline, decode_csv, encode_parquet};
use almanac_ml::sentiment;
use almanac_store::log::{CommandError, Issued};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{IngestError, IngestReport, RecordedBatch, Unusable, fail, received, stored};
use crate::parts::Parts;
use crate::sources::{Batch, MarketData, Part, Seen};
use crate::trade::TradeError;

/// A row that speaks of a share nobody has prices of.
const UNKNOWN_SYMBOL: &str = "unknown_symbol";

/// Records each table of headlines of a batch.
pub(super) async fn record(
    parts: &Parts,
    source: &dyn MarketData,
    batch: &Batch,
    instruments: &HashMap<String, Uuid>,
    report: &mut IngestReport,
    story: Uuid,
) -> Result<(), IngestError> {
    for table in &batch.headlines {
        let failure = match record_table(
            parts,
            source,
            table,
            batch.headlines_seen,
            instruments,
            report,
            story,
        )
        .await
        {
            Ok(()) => continue,
            Err(TableError::Unusable { reason, detail }) => {
                Unusable { label: table.label.clone(), reason: reason.to_owned(), detail }
            }
            Err(TableError::Failed(error)) => return Err(error),
        };
        fail(parts, source, report, failure, story).await?;
    }
    Ok(())
}

enum TableError {
    Unusable { reason: &'static str, detail: String },
    Failed(IngestError),
}

impl<E: Into<IngestError>> From<E> for TableError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn record_table(
    parts: &Parts,
    source: &dyn MarketData,
    table: &Part,
    seen: Seen,
    instruments: &HashMap<String, Uuid>,
    report: &mut IngestReport,
    story: Uuid,
) -> Result<(), TableError> {
    let digest = received(std::slice::from_ref(table))?;
    let id = ids::ingestion(source.name(), digest.as_str());
    if parts.bus.load::<Ingestion>(&id.to_string()).await? == Ingestion::Recorded {
        report.known_already = true;
        return Ok(());
    }
    let now = parts.clock.now();
    let decoded = decode_csv(&table.bytes, now)
        .map_err(|error| TableError::Unusable { reason: "headlines", detail: error.to_string() })?;
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for finding in &decoded.findings {
        *counts.entry(finding.kind.as_str()).or_default() += 1;
    }
    let mut scored = Vec::with_capacity(decoded.headlines.len());
    for headline in decoded.headlines {
        match instruments.get(headline.symbol.as_str()) {
            Some(instrument) => scored.push(score(headline, *instrument, seen, now)),
            None => *counts.entry(UNKNOWN_SYMBOL).or_default() += 1,
        }
    }
    let published = || scored.iter().map(|headline| headline.published_at);
    let (Some(first), Some(last)) = (published().min(), published().max()) else {
        let detail = "no headline speaks of a share that is known here".to_owned();
        return Err(TableError::Unusable { reason: UNKNOWN_SYMBOL, detail });
    };
    let findings: Vec<FindingCount> = counts
        .into_iter()
        .map(|(finding, rows)| FindingCount { finding: finding.to_owned(), rows, quarantined: true })
        .collect();
    let quarantined = findings.iter().map(|finding| finding.rows).sum();
    let mut shares: Vec<&str> = scored.iter().map(|headline| headline.instrument.as_str()).collect();
    shares.sort_unstable();
    shares.dedup();
    let recorded = RecordedBatch {
        id,
        kind: "headlines",
        rows: scored.len() as u64,
        quarantined,
        instruments: shares.len() as u64,
        first: first.date_naive(),
        last: last.date_naive(),
        findings: findings.clone(),
    };
    let bytes = encode_parquet(&scored).map_err(TradeError::broken("could not write the headlines"))?;
    let object = stored(parts.objects.put("headlines", bytes, "parquet").await?)?;
    let command = IngestionCommand::RecordHeadlines(HeadlinesIngested {
        source: source.name().to_owned(),
        mode: parts.settings.mode,
        source_sha256: digest,
        first_published_at: first,
        last_published_at: last,
        rows: recorded.rows,
        quarantined,
        object,
        findings,
        sentiment_model: sentiment::MODEL.to_owned(),
        observed_at: now,
    });
    match parts.bus.execute::<Ingestion>(&id.to_string(), command, &Issued::new(id).correlated(story)).await {
        Ok(committed) => {
            report.last = committed.last().cloned().or(report.last.take());
            report.recorded.push(recorded);
        }
        Err(CommandError::Refused(IngestionRefusal::AlreadyRecorded)) => report.known_already = true,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn score(headline: Headline, instrument: Uuid, seen: Seen, now: DateTime<Utc>) -> ScoredHeadline {
    ScoredHeadline {
        instrument: instrument.to_string(),
        symbol: headline.symbol.into(),
        published_at: headline.published_at,
        first_seen_at: match seen {
            Seen::Now => now,
            Seen::WhenPublished => headline.published_at,
        },
        score: sentiment::score(&headline.headline).score,
        headline: headline.headline,
    }
}

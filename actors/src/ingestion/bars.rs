//! Bars: decoded, checked, cleared of what is known, stored and recorded.

use std::collections::{BTreeMap, HashMap};

use almanac_domain::ids;
use almanac_domain::ingestion::{BarsIngested, FindingCount, Ingestion, IngestionCommand, IngestionRefusal};
use almanac_domain::values::{Digest, Session, Symbol};
use almanac_ml::bars::{
    Bars, CodecError, Finding, FindingKind, Rules, decode_csv, decode_parquet, encode_parquet,
};
use almanac_ml::{Panel, days};
use almanac_store::StoreError;
use almanac_store::log::{CommandError, Issued};
use serde_json::Value;
use uuid::Uuid;

use super::{
    IngestError, IngestProgress, IngestReport, OnProgress, RecordedBatch, Unusable, received, stored,
};
use crate::parts::Parts;
use crate::sources::{Batch, Codec, MarketData, Part};
use crate::trade::TradeError;

/// The tables of a batch after every row was looked at.
pub(super) struct Checked {
    /// Good rows by symbol; known ones still among them.
    pub(super) bars: Bars,
    findings: Vec<Finding>,
    /// Tables that are none.
    pub(super) failures: Vec<Unusable>,
    /// The same bytes were recorded before.
    pub(super) recorded_before: bool,
    /// The digest of what came, unless it was recorded before.
    pub(super) received: Option<Digest>,
}

/// Decodes and checks the bars of a batch, which are taken out of it.
pub(super) async fn check(
    parts: &Parts,
    source: &dyn MarketData,
    batch: &mut Batch,
) -> Result<Checked, IngestError> {
    let (tables, findings) = (std::mem::take(&mut batch.bars), std::mem::take(&mut batch.findings));
    let mut checked =
        Checked { bars: Bars::default(), findings, failures: vec![], recorded_before: false, received: None };
    if tables.is_empty() {
        return Ok(checked);
    }
    let digest = received(&tables)?;
    let id = ids::ingestion(source.name(), digest.as_str());
    if parts.bus.load::<Ingestion>(&id.to_string()).await? == Ingestion::Recorded {
        checked.recorded_before = true;
        return Ok(checked);
    }
    checked.received = Some(digest);
    let (calendar, latest_session) = (parts.calendar(), parts.calendar().last_closed(parts.clock.now()));
    tokio::task::spawn_blocking(move || {
        let is_session = |date| calendar.is_session(date);
        let rules = Rules { latest_session, is_session: &is_session };
        let mut decoded_tables = Vec::with_capacity(tables.len());
        for table in tables {
            match decode(&table, &rules) {
                Ok(decoded) => {
                    checked.findings.extend(decoded.findings);
                    decoded_tables.push(decoded.bars);
                }
                Err(error) => checked.failures.push(Unusable {
                    label: table.label,
                    reason: reason(&error).to_owned(),
                    detail: error.to_string(),
                }),
            }
        }
        checked.bars = with_symbols(&Bars::merge(decoded_tables), &mut checked.findings);
        checked
    })
    .await
    .map_err(TradeError::broken("could not check the bars"))
    .map_err(IngestError::from)
}

fn decode(table: &Part, rules: &Rules<'_>) -> Result<almanac_ml::Decoded, CodecError> {
    match table.codec {
        Codec::Csv => decode_csv(&table.bytes, table.default_symbol.as_deref(), rules),
        Codec::Parquet => decode_parquet(&table.bytes, rules),
    }
}

/// The stable word for a table that is none.
fn reason(error: &CodecError) -> &'static str {
    match error {
        CodecError::Empty => "empty",
        CodecError::NoRows => "no_rows",
        CodecError::Html { .. } => "html",
        CodecError::Json { .. } => "json",
        CodecError::MissingColumn { .. } => "missing_column",
        CodecError::ColumnType { .. } => "column_type",
        CodecError::BadParquet { .. } => "bad_parquet",
        CodecError::Unwritable { .. } => "unwritable",
        _ => "unusable",
    }
}

/// Symbols in capital letters; rows whose symbol no exchange would use are left out with a finding for each symbol.
fn with_symbols(bars: &Bars, findings: &mut Vec<Finding>) -> Bars {
    let bars_named = bars.rekey(|name| name.to_uppercase().parse::<Symbol>().ok().map(String::from));
    for name in bars.keys.iter().filter(|name| name.to_uppercase().parse::<Symbol>().is_err()) {
        let rows = bars.key.iter().filter(|&&key| &bars.keys[key as usize] == name).count();
        let detail = format!("{rows} rows of `{name}`, which is no ticker symbol");
        let finding = Finding {
            kind: FindingKind::UnreadableRow,
            symbol: name.clone(),
            session: None,
            row: 0,
            quarantined: true,
            detail,
        };
        findings.extend(std::iter::repeat_n(finding, rows));
    }
    bars_named.into_sorted()
}

/// Stores the rows that are new and records them.
pub(super) async fn record(
    parts: &Parts,
    source: &dyn MarketData,
    checked: Checked,
    instruments: &HashMap<String, Uuid>,
    report: &mut IngestReport,
    progress: OnProgress<'_>,
    story: Uuid,
) -> Result<(), IngestError> {
    let Some(digest) = checked.received.clone() else { return Ok(()) };
    let renamed = checked.bars.rekey(|symbol| instruments.get(symbol).map(Uuid::to_string)).into_sorted();
    let view = parts.market.view().await?;
    let new = only_new(renamed, view.as_traded());
    let Some((first_session, last_session)) = new.sessions() else {
        report.known_already |= checked.failures.is_empty() || !checked.bars.is_empty();
        return Ok(());
    };
    let (rows, keys) = (new.len(), new.keys.len());
    progress(IngestProgress::Storing { rows });
    let bytes = tokio::task::spawn_blocking(move || encode_parquet(&new))
        .await
        .map_err(TradeError::broken("could not write the bars"))?
        .map_err(TradeError::broken("could not write the bars"))?;
    let object = stored(parts.objects.put("bars", bytes, "parquet").await?)?;
    let findings_object = if checked.findings.is_empty() {
        None
    } else {
        let json = serde_json::to_vec(&checked.findings).map_err(StoreError::from)?;
        Some(stored(parts.objects.put("findings", json, "json").await?)?)
    };
    let findings = counted(&checked.findings);
    let quarantined = checked.findings.iter().filter(|finding| finding.quarantined).count() as u64;
    let id = ids::ingestion(source.name(), digest.as_str());
    let command = IngestionCommand::RecordBars(BarsIngested {
        source: source.name().to_owned(),
        mode: parts.settings.mode,
        source_sha256: digest,
        first_session,
        last_session,
        rows: rows as u64,
        quarantined,
        instruments: keys as u64,
        object,
        findings_object,
        findings: findings.clone(),
        observed_at: parts.clock.now(),
    });
    match parts.bus.execute::<Ingestion>(&id.to_string(), command, &Issued::new(id).correlated(story)).await {
        Ok(committed) => {
            report.last = committed.last().cloned().or(report.last.take());
            report.recorded.push(RecordedBatch {
                id,
                kind: "bars",
                rows: rows as u64,
                quarantined,
                instruments: keys as u64,
                first: first_session,
                last: last_session,
                findings,
            });
        }
        Err(CommandError::Refused(IngestionRefusal::AlreadyRecorded)) => report.known_already = true,
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// The rows that say something the market does not know: new ones, and those that correct it.
fn only_new(bars: Bars, known: &Panel) -> Bars {
    if known.is_empty() {
        return bars;
    }
    let positions: Vec<Option<usize>> = bars.keys.iter().map(|key| known.position(key)).collect();
    let says_the_same = |row: usize| {
        let Some(position) = positions[bars.key[row] as usize] else { return false };
        let series = known.series(position);
        let Ok(place) = series.session.binary_search(&bars.session[row]) else { return false };
        let same = |ours: &[f64], theirs: &[f64]| ours[row].to_bits() == theirs[place].to_bits();
        same(&bars.open, series.open)
            && same(&bars.high, series.high)
            && same(&bars.low, series.low)
            && same(&bars.close, series.close)
            && same(&bars.volume, series.volume)
    };
    let rows: Vec<usize> = (0..bars.len()).filter(|&row| !says_the_same(row)).collect();
    if rows.len() == bars.len() {
        return bars;
    }
    let floats = |column: &[f64]| rows.iter().map(|&row| column[row]).collect();
    Bars {
        keys: bars.keys.clone(),
        key: rows.iter().map(|&row| bars.key[row]).collect(),
        session: rows.iter().map(|&row| bars.session[row]).collect(),
        open: floats(&bars.open),
        high: floats(&bars.high),
        low: floats(&bars.low),
        close: floats(&bars.close),
        volume: floats(&bars.volume),
    }
    .into_sorted()
}

/// What was found, counted by name.
fn counted(findings: &[Finding]) -> Vec<FindingCount> {
    let mut counts: BTreeMap<(FindingKind, bool), u64> = BTreeMap::new();
    for finding in findings {
        *counts.entry((finding.kind, finding.quarantined)).or_default() += 1;
    }
    let name = |kind: FindingKind| match serde_json::to_value(kind) {
        Ok(Value::String(name)) => name,
        Ok(_) | Err(_) => "unnamed".to_owned(),
    };
    counts
        .into_iter()
        .map(|((kind, quarantined), rows)| FindingCount { finding: name(kind), rows, quarantined })
        .collect()
}

/// The first session of each symbol's rows, in sorted bars.
pub(super) fn first_sessions(bars: &Bars) -> BTreeMap<&str, Session> {
    let mut first = BTreeMap::new();
    for row in 0..bars.len() {
        first.entry(bars.key_of(row)).or_insert_with(|| days::date(bars.session[row]));
    }
    first
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use almanac_ml::Bar;

    fn bars(rows: &[(u32, f64)]) -> Bars {
        let mut bars = Bars::default();
        for &(day, close) in rows {
            let session = Session::from_ymd_opt(2024, 1, day).unwrap();
            bars.push("A", Bar { session, open: f64::NAN, high: close, low: close, close, volume: 1.0 });
        }
        bars
    }

    #[test]
    fn rows_that_are_known_are_left_out_and_corrections_kept() {
        let known = Panel::new(bars(&[(2, 10.0), (3, 11.0)]));
        let new = only_new(bars(&[(2, 10.0), (3, 11.5), (4, 12.0)]), &known);
        assert_eq!(new.close, [11.5, 12.0]);
        assert!(only_new(bars(&[(2, 10.0)]), &known).is_empty());
    }

    #[test]
    fn a_symbol_that_is_none_is_quarantined_and_small_letters_are_raised() {
        let mut two = bars(&[(2, 10.0)]);
        two.push("brk.b", Bar { session: Session::from_ymd_opt(2024, 1, 2).unwrap(), ..two.bar(0) });
        two.push("<b>", Bar { session: Session::from_ymd_opt(2024, 1, 2).unwrap(), ..two.bar(0) });
        let mut findings = vec![];
        let named = with_symbols(&two.into_sorted(), &mut findings);
        assert_eq!(named.keys, ["A", "BRK.B"]);
        assert_eq!(counted(&findings)[0].finding, "unreadable_row");
        assert!(findings[0].quarantined);
    }
}

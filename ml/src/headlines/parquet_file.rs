//! Scored headlines from and to Parquet, by Polars; times are whole microseconds since 1970-01-01 UTC.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::{DateTime, Utc};
use polars::prelude::{
    Column, DataFrame, ParallelStrategy, ParquetReader, ParquetWriter, PolarsError, SerReader,
};

use super::{HeadlinesError, ScoredHeadline};

/// Writes headlines as Parquet in the given order. The same headlines give the same bytes.
///
/// # Errors
/// When the table cannot be written.
pub fn encode_parquet(headlines: &[ScoredHeadline]) -> Result<Vec<u8>, HeadlinesError> {
    let unwritable = |error: PolarsError| HeadlinesError::Unwritable { detail: error.to_string() };
    let text = |name: &str, of: fn(&ScoredHeadline) -> &str| {
        Column::new(name.into(), headlines.iter().map(of).collect::<Vec<_>>())
    };
    let time = |name: &str, of: fn(&ScoredHeadline) -> DateTime<Utc>| {
        Column::new(
            name.into(),
            headlines.iter().map(|headline| of(headline).timestamp_micros()).collect::<Vec<_>>(),
        )
    };
    let columns = vec![
        text("instrument", |headline| &headline.instrument),
        text("symbol", |headline| &headline.symbol),
        time("published_at_us", |headline| headline.published_at),
        time("first_seen_at_us", |headline| headline.first_seen_at),
        text("headline", |headline| &headline.headline),
        Column::new("score".into(), headlines.iter().map(|headline| headline.score).collect::<Vec<_>>()),
    ];
    let mut frame = DataFrame::new(headlines.len(), columns).map_err(unwritable)?;
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).set_parallel(false).finish(&mut frame).map_err(unwritable)?;
    Ok(bytes)
}

/// Reads what [`encode_parquet`] wrote.
///
/// # Errors
/// When the bytes are damaged or no table of scored headlines.
pub fn decode_parquet(bytes: &[u8]) -> Result<Vec<ScoredHeadline>, HeadlinesError> {
    // The reader answers some damaged files with a panic; stored bytes must not be able to stop the service.
    catch_unwind(AssertUnwindSafe(|| read(bytes))).unwrap_or_else(|_| Err(bad("the file is damaged")))
}

fn bad(detail: &str) -> HeadlinesError {
    HeadlinesError::BadParquet { detail: detail.to_owned() }
}

fn read(bytes: &[u8]) -> Result<Vec<ScoredHeadline>, HeadlinesError> {
    let failed = |error: PolarsError| bad(&error.to_string());
    let reader =
        ParquetReader::new(Cursor::new(bytes)).read_parallel(ParallelStrategy::None).set_rechunk(true);
    let frame = reader.finish().map_err(failed)?;
    let text = |name: &str| -> Result<Vec<String>, HeadlinesError> {
        let column = frame.column(name).and_then(Column::str).map_err(failed)?;
        let whole = column.iter().map(|text| text.map(str::to_owned)).collect::<Option<_>>();
        whole.ok_or_else(|| bad("a row has a text missing"))
    };
    let times = |name: &str| -> Result<Vec<DateTime<Utc>>, HeadlinesError> {
        let column = frame.column(name).and_then(Column::i64).map_err(failed)?;
        let whole =
            column.iter().map(|micros| DateTime::from_timestamp_micros(micros?)).collect::<Option<_>>();
        whole.ok_or_else(|| bad("a row has a time missing"))
    };
    let scores: Option<Vec<f64>> =
        frame.column("score").and_then(Column::f64).map_err(failed)?.iter().collect();
    let scores = scores.ok_or_else(|| bad("a row has its score missing"))?;
    let (instruments, symbols, headlines) = (text("instrument")?, text("symbol")?, text("headline")?);
    let (published, seen) = (times("published_at_us")?, times("first_seen_at_us")?);
    let texts = instruments.into_iter().zip(symbols).zip(headlines);
    let numbers = published.into_iter().zip(seen).zip(scores);
    Ok(texts
        .zip(numbers)
        .map(|(((instrument, symbol), headline), ((published_at, first_seen_at), score))| ScoredHeadline {
            instrument,
            symbol,
            published_at,
            first_seen_at,
            headline,
            score,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn headlines(count: i64) -> Vec<ScoredHeadline> {
        (0..count)
            .map(|number| ScoredHeadline {
                instrument: format!("key-{}", number % 7),
                symbol: "BRNTH".into(),
                published_at: DateTime::from_timestamp_micros(1_700_000_000_000_000 + number).unwrap(),
                first_seen_at: DateTime::from_timestamp_micros(1_700_000_100_000_001 + number).unwrap(),
                headline: format!("Zürich: „calm“, \"quoted\" {number}"),
                score: (number as f64 * 0.1).sin(),
            })
            .collect()
    }

    #[test]
    fn headlines_come_back_as_they_were_written() {
        for count in [0, 1, 1_000] {
            let written = headlines(count);
            assert_eq!(decode_parquet(&encode_parquet(&written).unwrap()).unwrap(), written);
        }
    }

    #[test]
    fn the_same_headlines_give_the_same_bytes() {
        assert_eq!(encode_parquet(&headlines(500)).unwrap(), encode_parquet(&headlines(500)).unwrap());
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic() {
        let bytes = encode_parquet(&headlines(100)).unwrap();
        for damaged in [&bytes[..bytes.len() / 2], b"", b"PAR1nonsensePAR1"] {
            assert!(matches!(decode_parquet(damaged), Err(HeadlinesError::BadParquet { .. })));
        }
    }
}

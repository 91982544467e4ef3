//! Bars from and to Parquet, by Polars.
//!
//! The columns are `symbol` (text), `date` (a date, or text as in CSV), `open`, `high`, `low`, `close`, `volume`
//! (numbers), in any order and case; other columns are not read.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{
    ArrowDataType, Column, DataFrame, DataType, Int32Chunked, IntoColumn, IntoSeries, NewChunkedArray,
    ParallelStrategy, ParquetReader, ParquetWriter, PolarsError, SerReader,
};

use super::rows::{Cell, Cells, Collector};
use super::{Bars, CodecError, Decoded, Rules, csv_file};

const NAMES: [&str; 7] = ["symbol", "date", "open", "high", "low", "close", "volume"];
const PRICES: [&str; 4] = ["open", "high", "low", "close"];

/// Reads bars that come from outside; every row is checked as those of a CSV file are.
///
/// # Errors
/// When the file as a whole is no table of bars. What is wrong with single rows is in [`Decoded::findings`].
pub fn decode_parquet(bytes: &[u8], rules: &Rules<'_>) -> Result<Decoded, CodecError> {
    let table = Table::read(bytes)?;
    let mut rows = Collector::new(rules);
    let mut keys: Vec<Option<u32>> = vec![None; table.symbols.len()];
    let price = |price: f64| if price.is_nan() { Cell::Missing } else { Cell::Number(price) };
    for i in 0..table.len() {
        let (place, row) = (table.symbol[i] as usize, i + 1);
        let symbol = table.symbols[place].as_str();
        match table.session[i] {
            _ if symbol.is_empty() => rows.unreadable("", row, "no symbol".to_owned()),
            None => rows.unreadable(symbol, row, "no date".to_owned()),
            Some(session) => {
                let key = *keys[place].get_or_insert_with(|| rows.key(symbol));
                let cells = Cells {
                    open: price(table.prices[0][i].unwrap_or(f64::NAN)),
                    high: price(table.prices[1][i].unwrap_or(f64::NAN)),
                    low: price(table.prices[2][i].unwrap_or(f64::NAN)),
                    close: table.prices[3][i].map_or(Cell::Missing, Cell::Number),
                    volume: table.volume[i].map_or(Cell::Missing, Cell::Number),
                };
                rows.take(key, session, row, cells);
            }
        }
    }
    Ok(rows.finish())
}

/// Reads bars that were checked before they were written, exactly as they are, sorted by key and session.
///
/// # Errors
/// When the file is damaged, no table of bars, or holds a row without symbol, date, close or volume.
pub fn read_parquet(bytes: &[u8]) -> Result<Bars, CodecError> {
    let table = Table::read(bytes)?;
    let whole = |column: &[Option<f64>], name: &str| -> Result<Vec<f64>, CodecError> {
        let bad = || CodecError::BadParquet { detail: format!("a row has no {name}") };
        column.iter().map(|value| value.filter(|value| value.is_finite()).ok_or_else(bad)).collect()
    };
    let holed = |column: &[Option<f64>]| column.iter().map(|price| price.unwrap_or(f64::NAN)).collect();
    let session = table.session.iter().copied().collect::<Option<Vec<i32>>>();
    let bars = Bars {
        session: session.ok_or_else(|| CodecError::BadParquet { detail: "a row has no date".to_owned() })?,
        open: holed(&table.prices[0]),
        high: holed(&table.prices[1]),
        low: holed(&table.prices[2]),
        close: whole(&table.prices[3], "close")?,
        volume: whole(&table.volume, "volume")?,
        keys: table.symbols,
        key: table.symbol,
    };
    if bars.keys.iter().any(String::is_empty) {
        return Err(CodecError::BadParquet { detail: "a row has no symbol".to_owned() });
    }
    Ok(bars.into_sorted())
}

/// Writes bars as Parquet. The same bars give the same bytes, whatever the number of threads.
///
/// # Errors
/// When the columns do not have the same length.
pub fn encode_parquet(bars: &Bars) -> Result<Vec<u8>, CodecError> {
    let unwritable = |error: PolarsError| CodecError::Unwritable { detail: error.to_string() };
    let symbols: Vec<&str> = bars.key.iter().map(|&key| bars.keys[key as usize].as_str()).collect();
    let dates = Int32Chunked::from_slice("date".into(), &bars.session).into_date();
    let floats = |name: &str, values: &Vec<f64>| Column::new(name.into(), values);
    let columns = vec![
        Column::new("symbol".into(), symbols),
        dates.into_series().into_column(),
        floats("open", &bars.open),
        floats("high", &bars.high),
        floats("low", &bars.low),
        floats("close", &bars.close),
        floats("volume", &bars.volume),
    ];
    let mut frame = DataFrame::new(bars.len(), columns).map_err(unwritable)?;
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).set_parallel(false).finish(&mut frame).map_err(unwritable)?;
    Ok(bytes)
}

/// The columns of a file before any row was judged.
struct Table {
    symbols: Vec<String>,
    symbol: Vec<u32>,
    session: Vec<Option<i32>>,
    /// Open, high, low and close.
    prices: [Vec<Option<f64>>; 4],
    volume: Vec<Option<f64>>,
}

impl Table {
    fn len(&self) -> usize {
        self.symbol.len()
    }

    fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.is_empty() {
            return Err(CodecError::Empty);
        }
        // A reader of a format this rich meets damaged files with a panic here and there; a file from outside must
        // not be able to stop the service.
        catch_unwind(AssertUnwindSafe(|| Self::read_trusting(bytes))).unwrap_or_else(|_| {
            Err(CodecError::BadParquet {
                detail: "the file is damaged or uses a feature that is not supported".to_owned(),
            })
        })
    }

    fn read_trusting(bytes: &[u8]) -> Result<Self, CodecError> {
        let bad = |error: PolarsError| CodecError::BadParquet { detail: error.to_string() };
        let mut reader = ParquetReader::new(Cursor::new(bytes));
        let schema = reader.schema().map_err(bad)?;
        let found: Vec<(String, ArrowDataType)> =
            schema.iter().map(|(name, field)| (name.to_string(), field.dtype().clone())).collect();
        let mut chosen = Vec::new();
        for column in NAMES {
            let Some((name, kind)) = found.iter().find(|(name, _)| name.trim().eq_ignore_ascii_case(column))
            else {
                let found: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
                return Err(CodecError::MissingColumn { column, found: found.join(", ") });
            };
            check_type(column, kind)?;
            chosen.push(name.clone());
        }
        if reader.num_rows().map_err(bad)? == 0 {
            return Err(CodecError::NoRows);
        }
        // One thread: the caller decides what runs beside what.
        let reader = reader.read_parallel(ParallelStrategy::None).with_columns(Some(chosen.clone()));
        let frame = reader.set_rechunk(true).finish().map_err(bad)?;
        let column = |place: usize| frame.column(&chosen[place]).map_err(bad);
        let (symbols, symbol) = names(column(0)?).map_err(bad)?;
        let number = |place: usize| numbers(column(place)?).map_err(bad);
        let table = Self {
            symbols,
            symbol,
            session: sessions(column(1)?).map_err(bad)?,
            prices: [number(2)?, number(3)?, number(4)?, number(5)?],
            volume: number(6)?,
        };
        // Damaged files have been seen to give columns of different lengths.
        let lengths = table.prices.iter().map(Vec::len).chain([table.session.len(), table.volume.len()]);
        if lengths.into_iter().any(|length| length != table.len()) {
            return Err(CodecError::BadParquet { detail: "the columns have different lengths".to_owned() });
        }
        Ok(table)
    }
}

fn check_type(column: &'static str, kind: &ArrowDataType) -> Result<(), CodecError> {
    use ArrowDataType as T;
    let text = matches!(kind, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    let (fits, expected) = if PRICES.contains(&column) || column == "volume" {
        let number = matches!(kind, T::Int32 | T::Int64 | T::UInt32 | T::UInt64 | T::Float32 | T::Float64);
        (number, "numbers (int32, int64, float or double)")
    } else if column == "date" {
        (text || matches!(kind, T::Date32), "dates (date32) or text")
    } else {
        (text, "text")
    };
    if fits { Ok(()) } else { Err(CodecError::ColumnType { column, found: format!("{kind:?}"), expected }) }
}

fn names(column: &Column) -> Result<(Vec<String>, Vec<u32>), PolarsError> {
    let mut symbols: Vec<String> = Vec::new();
    let mut index_of = std::collections::HashMap::new();
    let mut latest: Option<u32> = None;
    let rows = column
        .str()?
        .iter()
        .map(|name| {
            let name = name.unwrap_or_default();
            if let Some(latest) = latest.filter(|&latest| symbols[latest as usize] == name) {
                return latest;
            }
            let place = *index_of.entry(name.to_owned()).or_insert_with(|| {
                symbols.push(name.to_owned());
                symbols.len() as u32 - 1
            });
            latest = Some(place);
            place
        })
        .collect();
    Ok((symbols, rows))
}

fn sessions(column: &Column) -> Result<Vec<Option<i32>>, PolarsError> {
    if column.dtype() == &DataType::Date {
        return Ok(column.date()?.physical().iter().collect());
    }
    Ok(column.str()?.iter().map(|text| csv_file::session(text?.as_bytes())).collect())
}

fn numbers(column: &Column) -> Result<Vec<Option<f64>>, PolarsError> {
    Ok(column.cast(&DataType::Float64)?.f64()?.iter().collect())
}

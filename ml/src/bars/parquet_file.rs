//! Bars from and to Parquet, by Polars.
//!
//! The columns are `symbol` (text), `date` (a date, or text as in CSV), `open`, `high`, `low`, `close`, `volume`
//! (numbers), in any order and case; other columns are not read.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{
    ArrowDataType, ChunkedArray, Column, DataFrame, DataType, Int32Chunked, IntoColumn, IntoSeries,
    NewChunkedArray, ParallelStrategy, ParquetReader, ParquetWriter, PolarsError, PolarsNumericType,
    SerReader,
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
        match table.session.get(i) {
            _ if symbol.is_empty() => rows.unreadable("", row, "no symbol".to_owned()),
            None => rows.unreadable(symbol, row, "no date".to_owned()),
            Some(session) => {
                let key = *keys[place].get_or_insert_with(|| rows.key(symbol));
                let cells = Cells {
                    open: price(table.prices[0].get(i).unwrap_or(f64::NAN)),
                    high: price(table.prices[1].get(i).unwrap_or(f64::NAN)),
                    low: price(table.prices[2].get(i).unwrap_or(f64::NAN)),
                    close: table.prices[3].get(i).map_or(Cell::Missing, Cell::Number),
                    volume: table.volume.get(i).map_or(Cell::Missing, Cell::Number),
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
    let [open, high, low, close] = table.prices;
    let bars = Bars {
        session: table.session.whole().ok_or_else(|| without("date"))?,
        open: open.holed(),
        high: high.holed(),
        low: low.holed(),
        close: finite(close).ok_or_else(|| without("close"))?,
        volume: finite(table.volume).ok_or_else(|| without("volume"))?,
        keys: table.symbols,
        key: table.symbol,
    };
    if bars.keys.iter().any(String::is_empty) {
        return Err(without("symbol"));
    }
    Ok(bars.into_sorted())
}

fn without(column: &str) -> CodecError {
    CodecError::BadParquet { detail: format!("a row has no {column}") }
}

fn finite(column: Values<f64>) -> Option<Vec<f64>> {
    column.whole().filter(|values| values.iter().all(|value| value.is_finite()))
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
    session: Values<i32>,
    /// Open, high, low and close.
    prices: [Values<f64>; 4],
    volume: Values<f64>,
}

/// A column whose rows may have nothing.
struct Values<T> {
    values: Vec<T>,
    /// Per row whether it has a value; absent where all have, as nearly always.
    known: Option<Vec<bool>>,
}

impl<T: Copy> Values<T> {
    /// The value of a row.
    fn get(&self, row: usize) -> Option<T> {
        self.known.as_ref().is_none_or(|known| known[row]).then(|| self.values[row])
    }

    /// The values, when every row has one.
    fn whole(self) -> Option<Vec<T>> {
        self.known.is_none_or(|known| known.iter().all(|known| *known)).then_some(self.values)
    }
}

impl Values<f64> {
    /// The values, NaN where there is none.
    fn holed(mut self) -> Vec<f64> {
        for (value, _) in
            self.values.iter_mut().zip(self.known.iter().flatten()).filter(|(_, known)| !**known)
        {
            *value = f64::NAN;
        }
        self.values
    }
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
        let mut frame = reader.set_rechunk(true).finish().map_err(bad)?;
        // Taken out one by one, so that each goes on without a copy.
        let mut take = |place: usize| frame.drop_in_place(&chosen[place]);
        let (symbols, symbol) = take(0).and_then(|column| names(&column)).map_err(bad)?;
        let session = take(1).and_then(sessions).map_err(bad)?;
        let mut number = |place: usize| take(place).and_then(numbers).map_err(bad);
        let table = Self {
            symbols,
            symbol,
            session,
            prices: [number(2)?, number(3)?, number(4)?, number(5)?],
            volume: number(6)?,
        };
        // Damaged files have been seen to give columns of different lengths.
        let lengths = [table.session.values.len(), table.volume.values.len()];
        let lengths = table.prices.iter().map(|prices| prices.values.len()).chain(lengths);
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

fn sessions(column: Column) -> Result<Values<i32>, PolarsError> {
    if column.dtype() == &DataType::Date {
        return Ok(owned(column.date()?.physical().clone(), column));
    }
    let days: Vec<Option<i32>> =
        column.str()?.iter().map(|text| csv_file::session(text?.as_bytes())).collect();
    let known = days.iter().map(Option::is_some).collect();
    Ok(Values { values: days.into_iter().map(Option::unwrap_or_default).collect(), known: Some(known) })
}

fn numbers(column: Column) -> Result<Values<f64>, PolarsError> {
    let column =
        if column.dtype() == &DataType::Float64 { column } else { column.cast(&DataType::Float64)? };
    Ok(owned(column.f64()?.clone(), column))
}

/// The values of a column themselves, without a copy where nobody else holds them.
fn owned<T: PolarsNumericType>(mut array: ChunkedArray<T>, column: Column) -> Values<T::Native> {
    drop(column);
    array.rechunk_mut();
    let Some(part) = array.downcast_into_iter().next() else {
        return Values { values: Vec::new(), known: None };
    };
    let (_, values, known) = part.into_inner();
    Values { values: values.to_vec(), known: known.map(|known| known.iter().collect()) }
}

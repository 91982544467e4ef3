//! Bars from CSV as people and data services write it.
//!
//! The header may name its columns in any order and case; `ticker` means `symbol`, `vol` means `volume`, and other
//! columns (such as an adjusted close) are ignored. Dates are `2018-02-05` or `20180205`.

use chrono::NaiveDate;
use csv::{ByteRecord, ReaderBuilder};

use super::rows::{Cell, Cells, Collector};
use super::{CodecError, Decoded, Rules};
use crate::days;

/// Reads bars from CSV. A file without a symbol column belongs to `default_symbol`.
///
/// # Errors
/// When the file as a whole is no table of bars: empty, a web page, a JSON document, a column missing. What is wrong
/// with single rows is in [`Decoded::findings`].
pub fn decode_csv(
    bytes: &[u8],
    default_symbol: Option<&str>,
    rules: &Rules<'_>,
) -> Result<Decoded, CodecError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    refuse_other_formats(bytes)?;
    // Without quoting, a stray quote cannot swallow the rows after it; no field of a bar holds a comma or a newline.
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).quoting(false).from_reader(bytes);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| reader.read_byte_record(record).unwrap_or(false);
    if !next(&mut record) {
        return Err(CodecError::Empty);
    }
    let columns = Columns::of_header(&record, default_symbol.is_some())?;
    let default_key = default_symbol.filter(|_| columns.symbol.is_none());
    let mut rows = Collector::new(rules);
    let mut any = false;
    while next(&mut record) {
        any = true;
        let line = record.position().map_or(0, |position| position.line() as usize);
        let symbol = match (default_key, columns.symbol) {
            (Some(symbol), _) => symbol,
            (None, place) => {
                let bytes = place.and_then(|place| record.get(place)).map_or(&[][..], trimmed);
                std::str::from_utf8(bytes).unwrap_or_default()
            }
        };
        if record.len() != columns.count {
            let detail =
                format!("{} fields instead of {}: {}", record.len(), columns.count, excerpt(&record));
            // With a field count of its own the first field need not be a symbol.
            rows.unreadable(default_key.unwrap_or_default(), line, detail);
            continue;
        }
        if symbol.is_empty() {
            rows.unreadable("", line, format!("no symbol: {}", excerpt(&record)));
            continue;
        }
        let Some(session) = record.get(columns.date).and_then(session) else {
            rows.unreadable(symbol, line, format!("no date: {}", excerpt(&record)));
            continue;
        };
        let cell = |place: usize| record.get(place).map_or(Cell::Missing, number);
        let cells = Cells {
            open: cell(columns.open),
            high: cell(columns.high),
            low: cell(columns.low),
            close: cell(columns.close),
            volume: cell(columns.volume),
        };
        let key = rows.key(symbol);
        rows.take(key, session, line, cells);
    }
    if any { Ok(rows.finish()) } else { Err(CodecError::NoRows) }
}

fn refuse_other_formats(bytes: &[u8]) -> Result<(), CodecError> {
    let text = bytes.trim_ascii_start();
    let start =
        || String::from_utf8_lossy(&text[..text.len().min(60)]).lines().next().unwrap_or_default().to_owned();
    match text {
        [] => Err(CodecError::Empty),
        [b'{' | b'[', ..] => Err(CodecError::Json { start: start() }),
        [b'<', rest @ ..] => {
            // Some services write header names in angle brackets: <TICKER>,<DATE>,...
            let first_line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
            if first_line.contains(&b',') { Ok(()) } else { Err(CodecError::Html { start: start() }) }
        }
        _ => Ok(()),
    }
}

/// Where in a record the fields are.
struct Columns {
    symbol: Option<usize>,
    date: usize,
    open: usize,
    high: usize,
    low: usize,
    close: usize,
    volume: usize,
    count: usize,
}

impl Columns {
    fn of_header(header: &ByteRecord, symbol_known: bool) -> Result<Self, CodecError> {
        let names: Vec<String> = header.iter().map(column_name).collect();
        let place = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
        let needed = |column: &'static str, wanted: &[&str]| {
            place(wanted).ok_or_else(|| CodecError::MissingColumn { column, found: names.join(", ") })
        };
        let symbol = place(&["symbol", "ticker"]);
        if symbol.is_none() && !symbol_known {
            return Err(CodecError::MissingColumn { column: "symbol", found: names.join(", ") });
        }
        Ok(Self {
            symbol,
            date: needed("date", &["date"])?,
            open: needed("open", &["open"])?,
            high: needed("high", &["high"])?,
            low: needed("low", &["low"])?,
            close: needed("close", &["close"])?,
            volume: needed("volume", &["volume", "vol"])?,
            count: names.len(),
        })
    }
}

fn column_name(field: &[u8]) -> String {
    let name = String::from_utf8_lossy(trimmed(field)).to_lowercase();
    name.trim_start_matches('<').trim_end_matches('>').trim().to_owned()
}

/// A field without the space and the quotes around it.
fn trimmed(field: &[u8]) -> &[u8] {
    let field = field.trim_ascii();
    match field {
        [b'"', inner @ .., b'"'] => inner.trim_ascii(),
        _ => field,
    }
}

pub(super) fn session(field: &[u8]) -> Option<i32> {
    let field = trimmed(field);
    // A time of day after the date, as spreadsheets add it, must be midnight.
    let field =
        field.strip_suffix(b" 00:00:00").or_else(|| field.strip_suffix(b"T00:00:00")).unwrap_or(field);
    let digits = |part: &[u8]| {
        part.iter()
            .try_fold(0_u32, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
    };
    let (year, month, date) = match field.len() {
        10 if field[4] == b'-' && field[7] == b'-' => (&field[..4], &field[5..7], &field[8..]),
        8 => (&field[..4], &field[4..6], &field[6..]),
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(digits(year)? as i32, digits(month)?, digits(date)?)?;
    Some(days::day(date))
}

fn number(field: &[u8]) -> Cell {
    let field = trimmed(field);
    if field.is_empty() || field == b"-" || field.eq_ignore_ascii_case(b"null") {
        return Cell::Missing;
    }
    std::str::from_utf8(field)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|number: &f64| number.is_finite())
        .map_or(Cell::Unusable, Cell::Number)
}

fn excerpt(record: &ByteRecord) -> String {
    let line: Vec<_> = record.iter().map(String::from_utf8_lossy).collect();
    let line = line.join(",");
    let line = line.trim();
    if line.chars().count() <= 80 { line.to_owned() } else { line.chars().take(80).chain(['…']).collect() }
}

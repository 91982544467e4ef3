//! Headlines from CSV: `symbol,published_at,headline`, in any order and case.

use std::collections::HashSet;

use almanac_domain::values::Symbol;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use csv::{ReaderBuilder, StringRecord};

use super::{
    Decoded, Headline, HeadlineFinding, HeadlineFindingKind as Kind, HeadlinesError, LONGEST_HEADLINE,
};

/// Reads headlines that come from outside; what was published after `latest` is from the future and left out.
///
/// Every line is a row of its own, so that an unclosed quote spoils one row and not the rest of the file. Where the
/// headline is the last column it may hold commas without quotes.
///
/// # Errors
/// When the file as a whole is no table of headlines. What is wrong with single rows is in [`Decoded::findings`].
pub fn decode_csv(bytes: &[u8], latest: DateTime<Utc>) -> Result<Decoded, HeadlinesError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let start = bytes.trim_ascii_start();
    if start.is_empty() {
        return Err(HeadlinesError::Empty);
    }
    if matches!(start[0], b'{' | b'[' | b'<') {
        return Err(HeadlinesError::OtherFormat { start: excerpt(start) });
    }
    let mut lines = bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty());
    let columns = Columns::of_header(lines.next().map_or(&[], |(_, line)| line))?;
    let mut decoded = Decoded { headlines: Vec::new(), findings: Vec::new() };
    let mut seen = HashSet::new();
    let mut any = false;
    for (row, line) in lines {
        any = true;
        match columns.read(line, latest) {
            Ok(headline) => {
                let same = (headline.symbol.clone(), headline.published_at, headline.headline.clone());
                if seen.insert(same) {
                    decoded.headlines.push(headline);
                } else {
                    let symbol = headline.symbol.into();
                    let detail = format!("a row before it says the same: {}", excerpt(line));
                    decoded.findings.push(HeadlineFinding { kind: Kind::Duplicate, symbol, row, detail });
                }
            }
            Err((kind, symbol, detail)) => {
                decoded.findings.push(HeadlineFinding { kind, symbol, row, detail });
            }
        }
    }
    if any { Ok(decoded) } else { Err(HeadlinesError::NoRows) }
}

/// Where in a row the fields are.
struct Columns {
    symbol: usize,
    published_at: usize,
    headline: usize,
    count: usize,
}

impl Columns {
    fn of_header(line: &[u8]) -> Result<Self, HeadlinesError> {
        let header = fields(line).unwrap_or_default();
        let place = |column: &'static str, other: &str| {
            let is = |name: &str| {
                name.trim().eq_ignore_ascii_case(column) || name.trim().eq_ignore_ascii_case(other)
            };
            let found = || header.iter().collect::<Vec<_>>().join(", ");
            header.iter().position(is).ok_or_else(|| HeadlinesError::MissingColumn { column, found: found() })
        };
        Ok(Self {
            symbol: place("symbol", "ticker")?,
            published_at: place("published_at", "published")?,
            headline: place("headline", "title")?,
            count: header.len(),
        })
    }

    fn read(&self, line: &[u8], latest: DateTime<Utc>) -> Result<Headline, (Kind, String, String)> {
        let unreadable = |detail: String| (Kind::UnreadableRow, String::new(), detail);
        let record = fields(line).ok_or_else(|| unreadable(format!("not utf-8 text: {}", excerpt(line))))?;
        let last = self.headline + 1 == self.count;
        if record.len() < self.count || (record.len() > self.count && !last) {
            let detail = format!("{} fields instead of {}: {}", record.len(), self.count, excerpt(line));
            return Err(unreadable(detail));
        }
        let field = |place: usize| record.get(place).unwrap_or_default().trim();
        let symbol = field(self.symbol);
        let bad = |kind: Kind, detail: String| (kind, symbol.to_owned(), detail);
        if symbol.is_empty() {
            return Err(bad(Kind::MissingSymbol, format!("no symbol: {}", excerpt(line))));
        }
        let parsed: Symbol = symbol
            .to_ascii_uppercase()
            .parse()
            .map_err(|_| bad(Kind::UnreadableSymbol, format!("no ticker symbol: {}", excerpt(line))))?;
        let published_at = moment(field(self.published_at)).ok_or_else(|| {
            let detail = "the time is neither RFC 3339 with its offset nor a date";
            bad(Kind::UnreadableTime, format!("{detail}: {}", excerpt(line)))
        })?;
        if published_at > latest {
            return Err(bad(Kind::FutureTime, format!("published at {published_at}, after {latest}")));
        }
        let parts: Vec<&str> = record.iter().skip(self.headline).collect();
        let headline = if last { parts.join(",") } else { field(self.headline).to_owned() };
        let headline = headline.trim();
        if headline.is_empty() {
            return Err(bad(Kind::EmptyHeadline, "no headline".to_owned()));
        }
        let length = headline.chars().count();
        if length > LONGEST_HEADLINE {
            return Err(bad(Kind::TooLong, format!("{length} characters: {}", excerpt(line))));
        }
        Ok(Headline { symbol: parsed, published_at, headline: headline.to_owned() })
    }
}

fn fields(line: &[u8]) -> Option<StringRecord> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).buffer_capacity(1 << 10);
    let mut record = StringRecord::new();
    builder.from_reader(line).read_record(&mut record).ok().map(|_| record)
}

/// A moment by RFC 3339, or the midnight (UTC) that begins a date. A time without its offset is no moment.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let exact = DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.with_timezone(&Utc));
    let day = || Some(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_time(NaiveTime::MIN).and_utc());
    exact.or_else(day)
}

fn excerpt(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    const HEADER: &str = "symbol,published_at,headline\n";

    fn latest() -> DateTime<Utc> {
        moment("2024-06-03T20:00:00Z").unwrap()
    }

    fn decode(rows: &str) -> Decoded {
        decode_csv(format!("{HEADER}{rows}").as_bytes(), latest()).expect("a table")
    }

    #[test]
    fn good_rows_are_read_with_offsets_dates_quotes_and_commas() {
        let decoded = decode(
            "BRNTH,2024-06-03T09:00:00-04:00,Brintholm wins contract\r\n\
             brnth,2024-06-02,\"Brintholm, Kelvroway merge\"\n\
             BRNTH,2024-06-01,Brintholm, Kelvroway talk\n",
        );
        assert_eq!(decoded.findings, []);
        let read: Vec<_> =
            decoded.headlines.iter().map(|h| (h.published_at.to_rfc3339(), h.headline.as_str())).collect();
        assert_eq!(
            read,
            [
                ("2024-06-03T13:00:00+00:00".to_owned(), "Brintholm wins contract"),
                ("2024-06-02T00:00:00+00:00".to_owned(), "Brintholm, Kelvroway merge"),
                ("2024-06-01T00:00:00+00:00".to_owned(), "Brintholm, Kelvroway talk"),
            ]
        );
        assert!(decoded.headlines.iter().all(|h| h.symbol.as_str() == "BRNTH"));
    }

    #[test]
    fn every_bad_row_is_named_and_the_good_ones_are_kept() {
        let long = "x".repeat(LONGEST_HEADLINE + 1);
        let decoded = decode(&format!(
            ",2024-06-03,No symbol\n\
             <b>,2024-06-03,Strange symbol\n\
             A,yesterday,No time\n\
             A,2024-06-03 10:00:00,Time without offset\n\
             A,2024-06-03T20:00:01Z,From the future\n\
             A,2024-06-03,\n\
             A,2024-06-03,{long}\n\
             A,2024-06-03\n\
             A,2024-06-03,Good\n\
             A,2024-06-03,Good\n\
             A,2024-06-03,\"never closed\n\
             B,2024-06-03,Good after it\n"
        ));
        let kinds: Vec<_> =
            decoded.findings.iter().map(|finding| (finding.row, finding.kind.as_str())).collect();
        assert_eq!(
            kinds,
            [
                (2, "missing_symbol"),
                (3, "unreadable_symbol"),
                (4, "unreadable_time"),
                (5, "unreadable_time"),
                (6, "future_time"),
                (7, "empty_headline"),
                (8, "too_long"),
                (9, "unreadable_row"),
                (11, "duplicate"),
            ]
        );
        let kept: Vec<&str> = decoded.headlines.iter().map(|headline| headline.headline.as_str()).collect();
        assert_eq!(kept, ["Good", "never closed", "Good after it"]);
    }

    #[test]
    fn a_row_that_is_not_text_is_left_out() {
        let bytes = [HEADER.as_bytes(), b"A,2024-06-03,\xff\xfe\nB,2024-06-03,Good\n"].concat();
        let decoded = decode_csv(&bytes, latest()).unwrap();
        assert_eq!(decoded.headlines.len(), 1);
        assert_eq!(decoded.findings[0].kind, Kind::UnreadableRow);
    }

    #[test]
    fn a_file_that_is_no_table_of_headlines_is_refused() {
        let refused = |text: &str| decode_csv(text.as_bytes(), latest()).unwrap_err();
        assert_eq!(refused(" \n"), HeadlinesError::Empty);
        assert_eq!(refused(HEADER), HeadlinesError::NoRows);
        assert!(matches!(refused("<html>,x"), HeadlinesError::OtherFormat { .. }));
        assert_eq!(
            refused("symbol,date,headline\nA,2024-06-03,x\n").to_string(),
            "the column `published_at` is missing; found: symbol, date, headline"
        );
    }
}

//! Headlines from and to files, and the daily tone that features may use.
//!
//! A headline counts from the moment it was first seen here, never from the time its publisher wrote on it: a
//! history bought today must not teach a model what nobody here knew then.

use almanac_domain::values::Symbol;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

mod csv_file;
mod daily;
mod parquet_file;

pub use csv_file::decode_csv;
pub use daily::{DailyTone, daily, news, session_of};
pub use parquet_file::{decode_parquet, encode_parquet};

/// The longest headline kept, in characters; what is longer is an article or a broken file.
pub const LONGEST_HEADLINE: usize = 1_000;

/// A headline as its source gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// The share it speaks of.
    pub symbol: Symbol,
    /// When its publisher says it was published; midnight UTC where the source gave a day only.
    pub published_at: DateTime<Utc>,
    /// The headline.
    pub headline: String,
}

/// A headline with its instrument, the moment it became known here, and its tone.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredHeadline {
    /// The instrument's key.
    pub instrument: String,
    /// The ticker symbol the source used.
    pub symbol: String,
    /// When its publisher says it was published, to the microsecond.
    pub published_at: DateTime<Utc>,
    /// When it was first seen here, to the microsecond.
    pub first_seen_at: DateTime<Utc>,
    /// The headline.
    pub headline: String,
    /// The tone from -1 to 1.
    pub score: f64,
}

/// The good rows of a file in its order, and the rows that were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The rows that were kept.
    pub headlines: Vec<Headline>,
    /// One entry for each row left out.
    pub findings: Vec<HeadlineFinding>,
}

/// A row that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadlineFinding {
    /// Why.
    pub kind: HeadlineFindingKind,
    /// The symbol of the row; empty where the row has none.
    pub symbol: String,
    /// The line of the file; the header is line 1.
    pub row: usize,
    /// The finding in words, with the values that made it.
    pub detail: String,
}

/// Why a row was left out; the names are stable and appear in events and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadlineFindingKind {
    /// The symbol is missing.
    MissingSymbol,
    /// The symbol is none that an exchange would use.
    UnreadableSymbol,
    /// The time of publication is missing or neither RFC 3339 nor a date.
    UnreadableTime,
    /// The time of publication lies in the future.
    FutureTime,
    /// The headline is missing.
    EmptyHeadline,
    /// The headline has more than [`LONGEST_HEADLINE`] characters.
    TooLong,
    /// The row could not be read at all.
    UnreadableRow,
    /// An earlier row of the file says the same of the same symbol at the same time.
    Duplicate,
}

impl HeadlineFindingKind {
    /// The stable name, such as `missing_symbol`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingSymbol => "missing_symbol",
            Self::UnreadableSymbol => "unreadable_symbol",
            Self::UnreadableTime => "unreadable_time",
            Self::FutureTime => "future_time",
            Self::EmptyHeadline => "empty_headline",
            Self::TooLong => "too_long",
            Self::UnreadableRow => "unreadable_row",
            Self::Duplicate => "duplicate",
        }
    }
}

/// Why a whole file of headlines could not be taken or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadlinesError {
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// There is a header and nothing else.
    #[error("the file has a header but no rows")]
    NoRows,
    /// A web page or a JSON document arrived where a table was expected.
    #[error("the file is not a table of headlines: {start}")]
    OtherFormat {
        /// Its first characters.
        start: String,
    },
    /// A column that is needed is not there.
    #[error("the column `{column}` is missing; found: {found}")]
    MissingColumn {
        /// The column.
        column: &'static str,
        /// The columns that are there.
        found: String,
    },
    /// The file is not Parquet, damaged, or no table of headlines.
    #[error("the headlines could not be read from parquet: {detail}")]
    BadParquet {
        /// What the reader said.
        detail: String,
    },
    /// The headlines could not be written.
    #[error("the headlines could not be written as parquet: {detail}")]
    Unwritable {
        /// What the writer said.
        detail: String,
    },
}

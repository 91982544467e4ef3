//! Daily bars of many instruments as columns, and the way from and to files.
//!
//! Everything from outside enters by [`decode_csv`] or [`decode_parquet`]: every row that is not taken as it stands
//! is named in a [`Finding`]. What was decoded once is written with [`encode_parquet`] (the same bars give the same
//! bytes) and read back exactly with [`read_parquet`].

mod csv_file;
mod parquet_file;
mod rows;
mod series;

use std::collections::HashMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::days;

pub use csv_file::decode_csv;
pub use parquet_file::{decode_parquet, encode_parquet, read_parquet};
pub(crate) use series::looks_split;
pub use series::{Jump, JumpKind, jumps};

/// Bars of many instruments, one entry per row in each column.
///
/// Prices are in the instrument's currency, volume in shares. `open`, `high` and `low` are NaN where the source had
/// none; `close` is always finite and positive in bars that came through a decoder.
#[derive(Debug, Clone, Default)]
pub struct Bars {
    /// The names the rows point to: a symbol in files, an instrument id inside the service.
    pub keys: Vec<String>,
    /// Per row, the index of its name in `keys`.
    pub key: Vec<u32>,
    /// Per row, the exchange's day as days since 1970-01-01 (see [`crate::days`]).
    pub session: Vec<i32>,
    /// First price of the session, or NaN.
    pub open: Vec<f64>,
    /// Highest price of the session, or NaN.
    pub high: Vec<f64>,
    /// Lowest price of the session, or NaN.
    pub low: Vec<f64>,
    /// Last price of the session.
    pub close: Vec<f64>,
    /// Shares traded in the session; at most 2^53, so that every whole number of them is exact.
    pub volume: Vec<f64>,
}

/// One bar, apart from the instrument it belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// The exchange's day.
    pub session: NaiveDate,
    /// First price, or NaN.
    pub open: f64,
    /// Highest price, or NaN.
    pub high: f64,
    /// Lowest price, or NaN.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares traded.
    pub volume: f64,
}

/// What a row must obey that the file itself cannot say.
pub struct Rules<'a> {
    /// The last session that has ended; rows after it come from the future.
    pub latest_session: NaiveDate,
    /// Whether the exchange trades on a day.
    pub is_session: &'a dyn Fn(NaiveDate) -> bool,
}

/// The good rows of a file, sorted by key and session, and what was found on the way.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The rows that were kept.
    pub bars: Bars,
    /// One entry per thing worth knowing, by row.
    pub findings: Vec<Finding>,
}

impl Decoded {
    /// How many rows of the file were left out.
    pub fn quarantined(&self) -> usize {
        self.findings.iter().filter(|finding| finding.quarantined).count()
    }
}

/// Something about a row of a file that its reader should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was found.
    pub kind: FindingKind,
    /// The symbol of the row; empty where the row has none.
    pub symbol: String,
    /// The session of the row, where it could be read.
    pub session: Option<NaiveDate>,
    /// The line of a CSV file (the header is line 1), or the row of a Parquet file (the first is row 1).
    pub row: usize,
    /// Whether the row was left out.
    pub quarantined: bool,
    /// The finding in words, with the values that made it.
    pub detail: String,
}

/// The kinds of findings; the names are stable and appear in events and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Another row of the file has the same symbol and session; the last of differing ones is kept.
    Duplicate,
    /// The symbol's rows were not in the order of their sessions; they were sorted and kept.
    OutOfOrder,
    /// The high is below the low; left out.
    HighBelowLow,
    /// A price is zero or negative; left out.
    NonPositivePrice,
    /// The volume is negative; left out.
    NegativeVolume,
    /// A value is not a finite number; left out.
    NotANumber,
    /// A price is missing; kept when only open, high or low are.
    MissingPrice,
    /// The volume is missing; left out.
    MissingVolume,
    /// The volume is too large to be counted exactly; left out.
    VolumeOverflow,
    /// The exchange does not trade on that day; left out.
    NotASession,
    /// The session has not ended yet; left out.
    FutureDate,
    /// The price jumps by a whole-number ratio and stays there: probably a split nobody reported; kept.
    SuspectedSplit,
    /// The price moves by more than 35% in one session without looking like a split; kept.
    LargeMove,
    /// The row could not be read at all; left out.
    UnreadableRow,
    /// Open or close lie outside of low and high, which were widened; kept.
    CloseOutsideRange,
}

/// Why a whole file could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// There is nothing in the file.
    #[error("the file is empty")]
    Empty,
    /// There is a header and nothing else.
    #[error("the file has a header but no rows")]
    NoRows,
    /// A web page arrived where a table was expected.
    #[error("the file is an html page, not a table of bars: {start}")]
    Html {
        /// Its first characters.
        start: String,
    },
    /// A JSON document arrived where a table was expected.
    #[error("the file is a json document, not a table of bars: {start}")]
    Json {
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
    /// A Parquet column holds something that cannot be read as what it should be.
    #[error("the column `{column}` holds {found}; expected {expected}")]
    ColumnType {
        /// The column.
        column: &'static str,
        /// The type it has.
        found: String,
        /// The types that can be read.
        expected: &'static str,
    },
    /// The file is not Parquet, or damaged.
    #[error("the file could not be read as parquet: {detail}")]
    BadParquet {
        /// What the reader said.
        detail: String,
    },
    /// The bars could not be written.
    #[error("the bars could not be written as parquet: {detail}")]
    Unwritable {
        /// What the writer said.
        detail: String,
    },
}

impl Bars {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.session.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.session.is_empty()
    }

    /// One row.
    ///
    /// # Panics
    /// When `row` is not below [`Bars::len`].
    pub fn bar(&self, row: usize) -> Bar {
        Bar {
            session: days::date(self.session[row]),
            open: self.open[row],
            high: self.high[row],
            low: self.low[row],
            close: self.close[row],
            volume: self.volume[row],
        }
    }

    /// The name one row belongs to.
    ///
    /// # Panics
    /// When `row` is not below [`Bars::len`].
    pub fn key_of(&self, row: usize) -> &str {
        &self.keys[self.key[row] as usize]
    }

    /// Appends a row. For many rows of many keys, [`Bars::merge`] is faster.
    pub fn push(&mut self, key: &str, bar: Bar) {
        // The last key is the likely one: files list one instrument after the other.
        let index = self.keys.iter().rposition(|known| known == key).unwrap_or_else(|| {
            self.keys.push(key.to_owned());
            self.keys.len() - 1
        });
        self.key.push(index as u32);
        self.session.push(days::day(bar.session));
        self.open.push(bar.open);
        self.high.push(bar.high);
        self.low.push(bar.low);
        self.close.push(bar.close);
        self.volume.push(bar.volume);
    }

    /// The earliest and the latest session, or nothing when there is no row.
    pub fn sessions(&self) -> Option<(NaiveDate, NaiveDate)> {
        Some((days::date(*self.session.iter().min()?), days::date(*self.session.iter().max()?)))
    }

    /// The same bars under other names, as from symbols to instrument ids; rows without a new name are left out.
    #[must_use]
    pub fn rekey(&self, mut rename: impl FnMut(&str) -> Option<String>) -> Self {
        let mut keys = Vec::new();
        let mut index_of = HashMap::new();
        let new: Vec<Option<u32>> = self
            .keys
            .iter()
            .map(|old| {
                let name = rename(old)?;
                Some(*index_of.entry(name).or_insert_with_key(|name| {
                    keys.push(name.clone());
                    (keys.len() - 1) as u32
                }))
            })
            .collect();
        let rows: Vec<u32> =
            (0..self.len() as u32).filter(|&row| new[self.key[row as usize] as usize].is_some()).collect();
        let key = rows.iter().filter_map(|&row| new[self.key[row as usize] as usize]).collect();
        Self { keys, key, ..self.rows_at(&rows) }
    }

    /// Several batches as one, sorted by key and session. Where batches hold the same key and session, the later
    /// batch wins: that is how a corrected history replaces the old one.
    pub fn merge(batches: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        let mut index_of: HashMap<String, u32> = HashMap::new();
        for mut batch in batches {
            let new: Vec<u32> = std::mem::take(&mut batch.keys)
                .into_iter()
                .map(|name| {
                    *index_of.entry(name).or_insert_with_key(|name| {
                        all.keys.push(name.clone());
                        (all.keys.len() - 1) as u32
                    })
                })
                .collect();
            all.key.extend(batch.key.iter().map(|&key| new[key as usize]));
            all.session.append(&mut batch.session);
            all.open.append(&mut batch.open);
            all.high.append(&mut batch.high);
            all.low.append(&mut batch.low);
            all.close.append(&mut batch.close);
            all.volume.append(&mut batch.volume);
        }
        all.into_sorted()
    }

    /// Sorted by key (as text) and session, unused keys dropped, the last of equal rows kept.
    #[must_use]
    pub fn into_sorted(self) -> Self {
        if self.is_sorted() {
            return self;
        }
        let mut used = vec![false; self.keys.len()];
        for &key in &self.key {
            used[key as usize] = true;
        }
        let mut by_name: Vec<u32> = (0..self.keys.len() as u32).filter(|&key| used[key as usize]).collect();
        by_name.sort_by(|&a, &b| self.keys[a as usize].cmp(&self.keys[b as usize]));
        let mut rank = vec![0_u32; self.keys.len()];
        for (place, &key) in by_name.iter().enumerate() {
            rank[key as usize] = place as u32;
        }
        let place = |row: u32| (rank[self.key[row as usize] as usize], self.session[row as usize]);
        let mut rows: Vec<u32> = (0..self.len() as u32).collect();
        rows.sort_by_key(|&row| place(row));
        // Of rows with the same place the stable sort leaves the last given one last.
        let last: Vec<u32> = (0..rows.len())
            .filter(|&i| i + 1 == rows.len() || place(rows[i]) != place(rows[i + 1]))
            .map(|i| rows[i])
            .collect();
        let keys = by_name.iter().map(|&key| self.keys[key as usize].clone()).collect();
        let key = last.iter().map(|&row| rank[self.key[row as usize] as usize]).collect();
        Self { keys, key, ..self.rows_at(&last) }
    }

    fn is_sorted(&self) -> bool {
        let names_sorted = self.keys.windows(2).all(|pair| pair[0] < pair[1]);
        let rows_sorted = (1..self.len())
            .all(|row| (self.key[row - 1], self.session[row - 1]) < (self.key[row], self.session[row]));
        // In sorted rows every key is used exactly when the indices rise without a hole from zero to the last.
        let no_holes = self.key.first().is_none_or(|&first| first == 0)
            && self.key.windows(2).all(|pair| pair[1] - pair[0].min(pair[1]) <= 1)
            && self.key.last().map_or(0, |&last| last as usize + 1) == self.keys.len();
        names_sorted && rows_sorted && no_holes
    }

    /// The given rows with empty `keys` and `key`, which the caller sets.
    fn rows_at(&self, rows: &[u32]) -> Self {
        let floats = |column: &[f64]| rows.iter().map(|&row| column[row as usize]).collect();
        Self {
            keys: Vec::new(),
            key: Vec::new(),
            session: rows.iter().map(|&row| self.session[row as usize]).collect(),
            open: floats(&self.open),
            high: floats(&self.high),
            low: floats(&self.low),
            close: floats(&self.close),
            volume: floats(&self.volume),
        }
    }
}

/// Equal to the bit: a missing price equals a missing price.
impl PartialEq for Bars {
    fn eq(&self, other: &Self) -> bool {
        let bits = |a: &[f64], b: &[f64]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
        };
        self.keys == other.keys
            && self.key == other.key
            && self.session == other.session
            && bits(&self.open, &other.open)
            && bits(&self.high, &other.high)
            && bits(&self.low, &other.low)
            && bits(&self.close, &other.close)
            && bits(&self.volume, &other.volume)
    }
}

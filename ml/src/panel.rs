//! The bars of all instruments in one place, each instrument's own a contiguous run: what everything else computes on.

use std::ops::Range;
use std::sync::Arc;

use chrono::NaiveDate;
use sha2::{Digest, Sha256};

use crate::bars::{Bars, looks_split};
use crate::days;

/// The longest time (days) between two bars of one run. Over holidays and halts a stock goes on; after a longer absence
/// it is another one, or another company under its name.
const LONGEST_GAP: i32 = 30;

/// Bars sorted by key and session, with the range of rows of each instrument.
///
/// Cheap to read in parallel and to clone, never changed: [`Panel::as_of`] and [`Panel::adjust`] give new ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    bars: Arc<Bars>,
    /// The first row of each instrument, and the number of rows at the end.
    starts: Vec<usize>,
    /// The first row of each run, and the number of rows at the end.
    runs: Vec<usize>,
    parted: bool,
}

/// A split of an instrument's shares.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The instrument, by the name the panel knows it under.
    pub key: String,
    /// The first session with the new number of shares.
    pub effective: NaiveDate,
    /// New shares per old share: 4.0 for 4:1, 0.1 for one new share for ten old ones. Finite and positive.
    pub ratio: f64,
}

/// The columns of one instrument, oldest session first; all of one length.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// The instrument's name.
    pub key: &'a str,
    /// Days since 1970-01-01.
    pub session: &'a [i32],
    /// First prices, NaN where missing.
    pub open: &'a [f64],
    /// Highest prices, NaN where missing.
    pub high: &'a [f64],
    /// Lowest prices, NaN where missing.
    pub low: &'a [f64],
    /// Last prices.
    pub close: &'a [f64],
    /// Shares traded.
    pub volume: &'a [f64],
}

impl Panel {
    /// Sorts bars into a panel. Of rows with the same key and session the last one counts.
    pub fn new(bars: Bars) -> Self {
        let bars = bars.into_sorted();
        let mut starts = vec![0; bars.keys.len() + 1];
        for &key in &bars.key {
            starts[key as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        Self { bars: Arc::new(bars), runs: starts.clone(), starts, parted: false }
    }

    /// The same with every instrument's bars parted into runs where they do not go on: after more than a month without a
    /// bar, and at a jump that looks like a split. No feature and no label reaches from one run into another, so that
    /// nobody learns from, or forecasts with, a return that never was. A bar and those before it decide where a run
    /// begins, never a later one.
    #[must_use]
    pub fn parted(self) -> Self {
        let bars = &self.bars;
        let begins = |row: usize| {
            row == 0
                || bars.key[row] != bars.key[row - 1]
                || bars.session[row] - bars.session[row - 1] > LONGEST_GAP
                || looks_split(bars.open[row], bars.close[row], bars.close[row - 1]).is_some()
        };
        let runs = (0..self.len()).filter(|&row| begins(row)).chain([self.len()]).collect();
        Self { runs, parted: true, ..self }
    }

    /// Other bars, parted if these are.
    #[must_use]
    pub(crate) fn with_bars(&self, bars: Bars) -> Self {
        let panel = Self::new(bars);
        if self.parted { panel.parted() } else { panel }
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.bars.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.bars.is_empty()
    }

    /// The names of the instruments, sorted.
    pub fn keys(&self) -> &[String] {
        &self.bars.keys
    }

    /// All rows as columns.
    pub fn bars(&self) -> &Bars {
        &self.bars
    }

    /// The same rows, for whom they outlive the panel.
    pub(crate) fn shared_bars(&self) -> Arc<Bars> {
        Arc::clone(&self.bars)
    }

    /// The position of an instrument among [`Panel::keys`].
    pub fn position(&self, key: &str) -> Option<usize> {
        self.bars.keys.binary_search_by(|known| known.as_str().cmp(key)).ok()
    }

    /// The rows of the instrument at a position.
    ///
    /// # Panics
    /// When `instrument` is not below the number of keys.
    pub fn rows(&self, instrument: usize) -> Range<usize> {
        self.starts[instrument]..self.starts[instrument + 1]
    }

    /// The columns of the instrument at a position.
    ///
    /// # Panics
    /// When `instrument` is not below the number of keys.
    pub fn series(&self, instrument: usize) -> Series<'_> {
        self.part(instrument, self.rows(instrument))
    }

    /// The instruments in at most so many groups of neighbours with about equally many rows.
    pub(crate) fn groups(&self, count: usize) -> Vec<Range<usize>> {
        let count = count.min(self.keys().len());
        let ends = (1..=count).map(|group| {
            let rows = (self.len() as u128 * group as u128 / count as u128) as usize;
            self.starts[1..].partition_point(|&end| end <= rows)
        });
        let mut first = 0;
        ends.map(|end| std::mem::replace(&mut first, end)..end).filter(|group| !group.is_empty()).collect()
    }

    /// The rows of each run of the instrument at a position, oldest first; one run unless the panel is
    /// [`Panel::parted`].
    ///
    /// # Panics
    /// When `instrument` is not below the number of keys.
    pub fn runs(&self, instrument: usize) -> impl Iterator<Item = Range<usize>> {
        let rows = self.rows(instrument);
        let first = self.runs.partition_point(|&start| start < rows.start);
        let of_it = self.runs[first..].windows(2).take_while(move |run| run[0] < rows.end);
        of_it.map(|run| run[0]..run[1])
    }

    /// The rows of the run that a row is in.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub(crate) fn run_of(&self, row: usize) -> Range<usize> {
        let next = self.runs.partition_point(|&start| start <= row);
        self.runs[next - 1]..self.runs[next]
    }

    /// The columns of some rows of the instrument at a position.
    pub(crate) fn part(&self, instrument: usize, rows: Range<usize>) -> Series<'_> {
        Series {
            key: &self.bars.keys[instrument],
            session: &self.bars.session[rows.clone()],
            open: &self.bars.open[rows.clone()],
            high: &self.bars.high[rows.clone()],
            low: &self.bars.low[rows.clone()],
            close: &self.bars.close[rows.clone()],
            volume: &self.bars.volume[rows],
        }
    }

    /// All instruments in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = Series<'_>> {
        (0..self.keys().len()).map(|instrument| self.series(instrument))
    }

    /// Every session any instrument has a bar of, oldest first, each once.
    pub fn sessions(&self) -> Vec<NaiveDate> {
        let session = &self.bars.session;
        let (Some(&first), Some(&last)) = (session.iter().min(), session.iter().max()) else { return vec![] };
        let mut seen = vec![false; (last - first) as usize + 1];
        for day in session {
            seen[(day - first) as usize] = true;
        }
        (first..=last).zip(seen).filter(|(_, seen)| *seen).map(|(day, _)| days::date(day)).collect()
    }

    /// The latest session any instrument has a bar of.
    pub fn latest_session(&self) -> Option<NaiveDate> {
        self.bars.session.iter().max().copied().map(days::date)
    }

    /// What was there at the end of a session: later rows are gone.
    #[must_use]
    pub fn as_of(&self, session: NaiveDate) -> Self {
        let last = days::day(session);
        if self.bars.session.iter().all(|&session| session <= last) {
            return self.clone();
        }
        self.retain(|row| self.bars.session[row] <= last)
    }

    /// Only the named instruments.
    #[must_use]
    pub fn only(&self, keys: &[&str]) -> Self {
        let wanted: Vec<bool> = self.keys().iter().map(|key| keys.contains(&key.as_str())).collect();
        self.retain(|row| wanted[self.bars.key[row] as usize])
    }

    fn retain(&self, keep: impl Fn(usize) -> bool) -> Self {
        let rows: Vec<usize> = (0..self.len()).filter(|&row| keep(row)).collect();
        let floats = |column: &[f64]| rows.iter().map(|&row| column[row]).collect();
        self.with_bars(Bars {
            keys: self.bars.keys.clone(),
            key: rows.iter().map(|&row| self.bars.key[row]).collect(),
            session: rows.iter().map(|&row| self.bars.session[row]).collect(),
            open: floats(&self.bars.open),
            high: floats(&self.bars.high),
            low: floats(&self.bars.low),
            close: floats(&self.bars.close),
            volume: floats(&self.bars.volume),
        })
    }

    /// The bars on the share count of `as_of`: prices before a split are divided by its ratio, volumes multiplied.
    /// Splits that take effect after `as_of`, and those of unknown instruments, change nothing.
    ///
    /// Only the past of each split is rewritten, so that a later split never changes returns known before.
    #[must_use]
    pub fn adjust(&self, splits: &[Split], as_of: NaiveDate) -> Self {
        let mut adjusted = self.clone();
        for split in splits.iter().filter(|split| split.effective <= as_of) {
            let Some(instrument) = self.position(&split.key) else { continue };
            let rows = self.rows(instrument);
            let effective = days::day(split.effective);
            let end =
                rows.start + self.bars.session[rows.clone()].partition_point(|&session| session < effective);
            let bars = Arc::make_mut(&mut adjusted.bars);
            for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
                column[rows.start..end].iter_mut().for_each(|price| *price /= split.ratio);
            }
            bars.volume[rows.start..end].iter_mut().for_each(|volume| *volume *= split.ratio);
        }
        if self.parted { adjusted.parted() } else { adjusted }
    }

    /// SHA-256 of all names and values as hexadecimal text; equal exactly when the panels are.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update((self.keys().len() as u64).to_le_bytes());
        for (instrument, key) in self.keys().iter().enumerate() {
            hash.update((key.len() as u64).to_le_bytes());
            hash.update(key.as_bytes());
            hash.update((self.rows(instrument).len() as u64).to_le_bytes());
        }
        let mut buffer = Vec::with_capacity(self.len() * 8);
        self.bars.session.iter().for_each(|session| buffer.extend_from_slice(&session.to_le_bytes()));
        hash.update(&buffer);
        let bars = &self.bars;
        for column in [&bars.open, &bars.high, &bars.low, &bars.close, &bars.volume] {
            buffer.clear();
            buffer.extend(column.iter().flat_map(|value| value.to_bits().to_le_bytes()));
            hash.update(&buffer);
        }
        hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::bars::Bar;

    fn date(day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2024, 1, day).unwrap()
    }

    fn bar(day: u32, close: f64) -> Bar {
        Bar { session: date(day), open: close, high: close + 1.0, low: f64::NAN, close, volume: 100.0 }
    }

    fn panel() -> Panel {
        let mut bars = Bars::default();
        bars.push("B", bar(3, 20.0));
        bars.push("A", bar(4, 11.0));
        bars.push("A", bar(2, 9.0));
        bars.push("A", bar(3, 10.0));
        bars.push("A", bar(3, 10.5));
        Panel::new(bars)
    }

    #[test]
    fn rows_are_sorted_and_the_last_of_equal_ones_counts() {
        let panel = panel();
        assert_eq!(panel.keys(), ["A", "B"]);
        assert_eq!(panel.series(0).close, [9.0, 10.5, 11.0]);
        assert_eq!(panel.series(1).close, [20.0]);
        assert_eq!(panel.sessions(), [date(2), date(3), date(4)]);
    }

    #[test]
    fn groups_hold_every_instrument_once_whatever_their_number() {
        let mut bars = Bars::default();
        for (key, rows) in [("A", 9), ("B", 1), ("C", 1), ("D", 5), ("E", 2)] {
            (1..=rows).for_each(|day| bars.push(key, bar(day, 1.0)));
        }
        let panel = Panel::new(bars);
        for count in 1..8 {
            let groups = panel.groups(count);
            assert!(groups.len() <= count && groups.iter().all(|group| !group.is_empty()));
            assert_eq!(groups.into_iter().flatten().collect::<Vec<_>>(), [0, 1, 2, 3, 4], "{count}");
        }
        assert_eq!(panel.groups(2), [0..1, 1..5]);
        assert!(Panel::new(Bars::default()).groups(2).is_empty());
    }

    #[test]
    fn what_came_later_is_gone_as_of_a_session() {
        let early = panel().as_of(date(2));
        assert_eq!(early.keys(), ["A"]);
        assert_eq!(early.series(0).close, [9.0]);
        assert_eq!(panel().as_of(date(30)), panel());
    }

    #[test]
    fn a_split_divides_the_prices_before_it_once_it_is_in_effect() {
        let split = Split { key: "A".to_owned(), effective: date(4), ratio: 2.0 };
        let after = panel().adjust(std::slice::from_ref(&split), date(4));
        assert_eq!(after.series(0).close, [4.5, 5.25, 11.0]);
        assert_eq!(after.series(0).volume, [200.0, 200.0, 100.0]);
        assert_eq!(after.series(1).close, [20.0]);
        assert_eq!(panel().adjust(&[split], date(3)), panel());
    }

    #[test]
    fn a_series_is_parted_at_a_long_gap_and_at_a_split_that_nobody_recorded() {
        let mut bars = Bars::default();
        let mut day = 0;
        let mut push = |days: u32, close: f64| {
            day += days;
            let session = date(1) + chrono::Days::new(u64::from(day));
            bars.push("A", Bar { session, open: close, high: close, low: close, close, volume: 1.0 });
        };
        for (days, close) in [(0, 40.0), (1, 41.0), (30, 40.0), (31, 40.0), (1, 20.0), (1, 20.5), (1, 13.0)] {
            push(days, close);
        }
        let panel = Panel::new(bars.clone());
        assert_eq!((panel.runs(0).count(), panel.run_of(3)), (1, 0..7), "nobody asked");
        let parted = panel.parted();
        assert_eq!(parted.runs(0).collect::<Vec<_>>(), [0..3, 3..4, 4..7]);
        assert_eq!((parted.run_of(2), parted.run_of(3), parted.run_of(6)), (0..3, 3..4, 4..7));
        let recorded = Split { key: "A".to_owned(), effective: bars.bar(4).session, ratio: 2.0 };
        let adjusted = parted.adjust(&[recorded], bars.bar(6).session);
        assert_eq!(adjusted.runs(0).collect::<Vec<_>>(), [0..3, 3..7]);
        assert_eq!(parted.as_of(bars.bar(3).session).runs(0).collect::<Vec<_>>(), [0..3, 3..4]);
    }

    #[test]
    fn the_digest_changes_with_any_value_and_not_with_the_order_of_rows() {
        let mut other = Bars::default();
        other.push("A", bar(2, 9.0));
        other.push("A", bar(3, 10.5));
        other.push("A", bar(4, 11.0));
        other.push("B", bar(3, 20.0));
        assert_eq!(Panel::new(other.clone()).digest(), panel().digest());
        other.volume[3] += 1.0;
        assert_ne!(Panel::new(other).digest(), panel().digest());
    }
}

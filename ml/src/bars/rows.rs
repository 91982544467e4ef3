//! The rules a row must obey, the same for every file format, and the order the kept rows end in.

use std::collections::HashMap;

use super::{Bars, Decoded, Finding, FindingKind, JumpKind, Rules, jumps};
use crate::days;

/// Above this, whole numbers of shares are no longer exact.
const LARGEST_VOLUME: f64 = 9_007_199_254_740_992.0;

/// A number as a file gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Number(f64),
    Missing,
    /// Text that is no number, or a number that is not finite.
    Unusable,
}

/// The numbers of a row as a file gave them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cells {
    pub open: Cell,
    pub high: Cell,
    pub low: Cell,
    pub close: Cell,
    pub volume: Cell,
}

/// Takes the rows of a file one by one and keeps the good ones.
pub(super) struct Collector<'a> {
    rules: &'a Rules<'a>,
    /// Per day, why no bar of it can be taken; asked once a day as calendars are slow.
    refused_days: HashMap<i32, Option<FindingKind>>,
    index_of: HashMap<String, u32>,
    latest_key: Option<u32>,
    bars: Bars,
    /// Where in the file each kept row was.
    rows: Vec<usize>,
    findings: Vec<Finding>,
}

/// A row that cannot be taken: why, and in words.
type Refusal = (FindingKind, String);

impl<'a> Collector<'a> {
    pub(super) fn new(rules: &'a Rules<'a>) -> Self {
        Self {
            rules,
            refused_days: HashMap::new(),
            index_of: HashMap::new(),
            latest_key: None,
            bars: Bars::default(),
            rows: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// The index of a symbol; rows of one symbol mostly follow each other.
    pub(super) fn key(&mut self, symbol: &str) -> u32 {
        if let Some(key) = self.latest_key.filter(|&key| self.bars.keys[key as usize] == symbol) {
            return key;
        }
        let next = self.bars.keys.len() as u32;
        let key = *self.index_of.entry(symbol.to_owned()).or_insert(next);
        if key == next {
            self.bars.keys.push(symbol.to_owned());
        }
        self.latest_key = Some(key);
        key
    }

    /// Names a row of which not even symbol, date and fields could be told.
    pub(super) fn unreadable(&mut self, symbol: &str, row: usize, detail: String) {
        self.findings.push(Finding {
            kind: FindingKind::UnreadableRow,
            symbol: symbol.to_owned(),
            session: None,
            row,
            quarantined: true,
            detail,
        });
    }

    /// Keeps a row or names why not.
    pub(super) fn take(&mut self, key: u32, session: i32, row: usize, cells: Cells) {
        let refused_day = self.refused_day(session);
        match refused_day.map_or_else(|| prices(cells), Err) {
            Err((kind, detail)) => self.find(kind, key, session, row, true, detail),
            Ok((mut open, mut high, mut low, close, volume)) => {
                let missing = [("open", open), ("high", high), ("low", low)]
                    .map(|(name, price)| (name, price.is_nan()));
                if missing.iter().any(|&(_, is)| is) {
                    let names: Vec<_> = missing.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
                    let detail = format!("{} missing, close {close} kept", names.join(", "));
                    self.find(FindingKind::MissingPrice, key, session, row, false, detail);
                }
                // NaN compares as neither, so a missing price widens nothing.
                let (lowest, highest) = (close.min(open), close.max(open));
                if low > lowest || high < highest {
                    let detail = format!(
                        "open {open} and close {close} against low {low} and high {high}: range widened"
                    );
                    self.find(FindingKind::CloseOutsideRange, key, session, row, false, detail);
                    low = if low > lowest { lowest } else { low };
                    high = if high < highest { highest } else { high };
                }
                // One kind of NaN, so that equal rows are equal to the bit.
                for price in [&mut open, &mut high, &mut low] {
                    if price.is_nan() {
                        *price = f64::NAN;
                    }
                }
                self.rows.push(row);
                self.bars.key.push(key);
                self.bars.session.push(session);
                self.bars.open.push(open);
                self.bars.high.push(high);
                self.bars.low.push(low);
                self.bars.close.push(close);
                self.bars.volume.push(volume);
            }
        }
    }

    fn refused_day(&mut self, session: i32) -> Option<Refusal> {
        let rules = self.rules;
        let kind = (*self.refused_days.entry(session).or_insert_with(|| {
            let date = days::date(session);
            if date > rules.latest_session {
                Some(FindingKind::FutureDate)
            } else if (rules.is_session)(date) {
                None
            } else {
                Some(FindingKind::NotASession)
            }
        }))?;
        let date = days::date(session);
        let detail = match kind {
            FindingKind::FutureDate => {
                format!("{date} has not ended; the latest session is {}", rules.latest_session)
            }
            _ => format!("the exchange does not trade on {date}"),
        };
        Some((kind, detail))
    }

    fn find(
        &mut self,
        kind: FindingKind,
        key: u32,
        session: i32,
        row: usize,
        quarantined: bool,
        detail: String,
    ) {
        let symbol = self.bars.keys[key as usize].clone();
        self.findings.push(Finding {
            kind,
            symbol,
            session: Some(days::date(session)),
            row,
            quarantined,
            detail,
        });
    }

    /// Sorts, drops duplicates and looks for jumps.
    pub(super) fn finish(mut self) -> Decoded {
        self.name_disorder();
        let order = self.without_duplicates();
        let rows: Vec<usize> = order.iter().map(|&i| self.rows[i as usize]).collect();
        let unsorted = std::mem::take(&mut self.bars);
        let bars = if order.len() == unsorted.len() && order.windows(2).all(|pair| pair[0] < pair[1]) {
            unsorted
        } else {
            let keys = unsorted.keys.clone();
            let key = order.iter().map(|&i| unsorted.key[i as usize]).collect();
            Bars { keys, key, ..unsorted.rows_at(&order) }
        };
        // Names are put in their order, and names of which no row was kept dropped; rows keep their order within.
        self.bars = bars.into_sorted();
        self.name_jumps(&rows);
        self.findings.sort_by_key(|finding| finding.row);
        Decoded { bars: self.bars, findings: self.findings }
    }

    fn name_disorder(&mut self) {
        let mut latest = vec![i32::MIN; self.bars.keys.len()];
        let mut early: Vec<(usize, usize)> = vec![(0, 0); self.bars.keys.len()];
        for i in 0..self.bars.len() {
            let key = self.bars.key[i] as usize;
            if self.bars.session[i] < latest[key] {
                if early[key].0 == 0 {
                    early[key].1 = i;
                }
                early[key].0 += 1;
            }
            latest[key] = latest[key].max(self.bars.session[i]);
        }
        for (key, (count, first)) in early.into_iter().enumerate().filter(|(_, (count, _))| *count > 0) {
            let detail = format!("{count} rows come after rows of later sessions; sorted");
            let (session, row) = (self.bars.session[first], self.rows[first]);
            self.find(FindingKind::OutOfOrder, key as u32, session, row, false, detail);
        }
    }

    /// The kept rows in the order of symbol and session, without the duplicates, which are named.
    fn without_duplicates(&mut self) -> Vec<u32> {
        let mut by_name: Vec<u32> = (0..self.bars.keys.len() as u32).collect();
        by_name.sort_by(|&a, &b| self.bars.keys[a as usize].cmp(&self.bars.keys[b as usize]));
        let mut rank = vec![0_u32; by_name.len()];
        for (place, &key) in by_name.iter().enumerate() {
            rank[key as usize] = place as u32;
        }
        let place = |i: u32| (rank[self.bars.key[i as usize] as usize], self.bars.session[i as usize]);
        let mut order: Vec<u32> = (0..self.bars.len() as u32).collect();
        order.sort_by_key(|&i| place(i));
        let mut kept: Vec<u32> = Vec::with_capacity(order.len());
        let mut dropped: Vec<(u32, u32)> = Vec::new();
        for i in order {
            match kept.last().copied().filter(|&last| place(last) == place(i)) {
                None => kept.push(i),
                Some(last) if self.equal(last, i) => dropped.push((i, last)),
                Some(last) => {
                    dropped.push((last, i));
                    kept.pop();
                    kept.push(i);
                }
            }
        }
        for (out, stays) in dropped {
            let detail = if self.equal(out, stays) {
                format!("the same as row {}", self.rows[stays as usize])
            } else {
                format!("replaced by row {}, which differs", self.rows[stays as usize])
            };
            let (key, session) = (self.bars.key[out as usize], self.bars.session[out as usize]);
            self.find(FindingKind::Duplicate, key, session, self.rows[out as usize], true, detail);
        }
        kept
    }

    fn equal(&self, a: u32, b: u32) -> bool {
        let columns = [&self.bars.open, &self.bars.high, &self.bars.low, &self.bars.close, &self.bars.volume];
        columns.iter().all(|column| column[a as usize].to_bits() == column[b as usize].to_bits())
    }

    fn name_jumps(&mut self, rows: &[usize]) {
        let mut start = 0;
        while start < self.bars.len() {
            let key = self.bars.key[start];
            let end = start + self.bars.key[start..].partition_point(|&other| other == key);
            for jump in jumps(&self.bars.open[start..end], &self.bars.close[start..end]) {
                let at = start + jump.at;
                let (before, after) = (self.bars.close[at - 1], self.bars.close[at]);
                let (kind, detail) = match jump.kind {
                    JumpKind::Split { ratio } => {
                        let ratio = if ratio >= 1.0 {
                            format!("{ratio}:1")
                        } else {
                            format!("1:{}", (1.0 / ratio).round())
                        };
                        (
                            FindingKind::SuspectedSplit,
                            format!(
                                "close {before} then {after}: looks like a {ratio} split nobody reported"
                            ),
                        )
                    }
                    JumpKind::Reversed => (
                        FindingKind::LargeMove,
                        format!(
                            "close {before} then {after}, taken back the next session: looks like a bad print"
                        ),
                    ),
                    JumpKind::Plain => {
                        (FindingKind::LargeMove, format!("close {before} then {after} within one session"))
                    }
                };
                let session = self.bars.session[at];
                self.find(kind, key, session, rows[at], false, detail);
            }
            start = end;
        }
    }
}

/// Open, high and low (NaN where missing), close and volume of a row that can be taken.
fn prices(cells: Cells) -> Result<(f64, f64, f64, f64, f64), Refusal> {
    let named = [("open", cells.open), ("high", cells.high), ("low", cells.low), ("close", cells.close)];
    for (name, cell) in named.into_iter().chain([("volume", cells.volume)]) {
        if matches!(cell, Cell::Unusable) || matches!(cell, Cell::Number(number) if !number.is_finite()) {
            return Err((FindingKind::NotANumber, format!("{name} is not a finite number")));
        }
    }
    let Cell::Number(close) = cells.close else {
        return Err((FindingKind::MissingPrice, "close is missing".to_owned()));
    };
    for (name, cell) in named {
        if let Cell::Number(price) = cell
            && price <= 0.0
        {
            return Err((FindingKind::NonPositivePrice, format!("{name} is {price}")));
        }
    }
    let Cell::Number(volume) = cells.volume else {
        return Err((FindingKind::MissingVolume, "volume is missing".to_owned()));
    };
    if volume < 0.0 {
        return Err((FindingKind::NegativeVolume, format!("volume is {volume}")));
    }
    if volume > LARGEST_VOLUME {
        return Err((
            FindingKind::VolumeOverflow,
            format!("volume {volume} is too large to be counted exactly"),
        ));
    }
    let price = |cell| if let Cell::Number(price) = cell { price } else { f64::NAN };
    let (open, high, low) = (price(cells.open), price(cells.high), price(cells.low));
    if high < low {
        return Err((FindingKind::HighBelowLow, format!("high {high} is below low {low}")));
    }
    // Adding zero turns a volume of -0 into 0.
    Ok((open, high, low, close, volume + 0.0))
}

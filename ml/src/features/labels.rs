//! What a forecast is held against: the log return over the next rows of the same instrument.

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::features::FeatureTable;
use crate::panel::Panel;
use crate::volatility::SMALLEST_MOVE;

/// Per row of a panel, `y = ln(C_{t+h} / C_t)` and the session on which it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    horizon: usize,
    value: Vec<f64>,
    end: Vec<i32>,
}

impl Labels {
    /// The labels of all rows, `horizon` rows ahead.
    pub fn new(panel: &Panel, features: &FeatureTable, horizon: usize) -> Self {
        let mut value = vec![f64::NAN; panel.len()];
        let mut end = vec![i32::MAX; panel.len()];
        for rows in (0..panel.keys().len()).flat_map(|instrument| panel.runs(instrument)) {
            let (log_close, session) =
                (&features.log_close()[rows.clone()], &panel.bars().session[rows.clone()]);
            for t in 0..rows.len().saturating_sub(horizon) {
                value[rows.start + t] = log_close[t + horizon] - log_close[t];
                end[rows.start + t] = session[t + horizon];
            }
        }
        Self { horizon, value, end }
    }

    /// The same labels with other values where they end on a day or later.
    #[must_use]
    pub(crate) fn with_values_from(&self, day: i32, mut value: impl FnMut() -> f64) -> Self {
        let mut changed = self.clone();
        for (old, &end) in changed.value.iter_mut().zip(&self.end) {
            if end >= day && old.is_finite() {
                *old = value();
            }
        }
        changed
    }

    /// How far each label went, whichever way: `ln(|y| + 0.001)`, ending when it does.
    #[must_use]
    pub(crate) fn magnitudes(&self) -> Self {
        let value = self.value.iter().map(|value| libm::log(value.abs() + SMALLEST_MOVE)).collect();
        Self { horizon: self.horizon, value, end: self.end.clone() }
    }

    /// The labels of some rows alone; the others have none.
    #[must_use]
    pub(crate) fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        let mut kept = self.clone();
        for (row, value) in kept.value.iter_mut().enumerate().filter(|(row, _)| !keep(*row)) {
            *value = f64::NAN;
            kept.end[row] = i32::MAX;
        }
        kept
    }

    /// The labels of at most about so many instruments, evenly spaced by name, and how many they are.
    #[must_use]
    pub(crate) fn of_some_instruments(&self, features: &FeatureTable, most: usize) -> (Self, usize) {
        let (keys, instrument) = features.instruments();
        let every = keys.len().div_ceil(most).max(1);
        let chosen = self.only(|row| (instrument[row] as usize).is_multiple_of(every));
        (chosen, keys.len().div_ceil(every))
    }

    /// The labels of each session dealt out anew among its usable rows that have one, each with the day it ends.
    #[must_use]
    pub(crate) fn shuffled(&self, features: &FeatureTable, random: &mut ChaCha8Rng) -> Self {
        let mut dealt = self.clone();
        let session = features.sessions();
        let mut rows: Vec<usize> = (0..self.value.len())
            .filter(|&row| features.usable(row) && self.value[row].is_finite())
            .collect();
        rows.sort_by_key(|&row| session[row]);
        for rows in rows.chunk_by(|&a, &b| session[a] == session[b]) {
            let mut from = rows.to_vec();
            from.shuffle(random);
            for (&to, from) in rows.iter().zip(from) {
                dealt.value[to] = self.value[from];
                dealt.end[to] = self.end[from];
            }
        }
        dealt
    }

    /// To each row that has a label the one its instrument had so many rows before; it counts as ending when the row's own
    /// does. The first rows, which have nothing before them, get the last labels, as on a ring, where those lie at least
    /// `apart` rows ahead: otherwise none.
    #[must_use]
    pub(crate) fn shifted(&self, panel: &Panel, rows: usize, apart: usize) -> Self {
        let mut shifted = self.clone();
        for instrument in 0..panel.keys().len() {
            let own = panel.rows(instrument);
            for row in own.clone() {
                let from = if row - own.start >= rows {
                    Some(row - rows)
                } else {
                    (own.len() >= rows + apart).then(|| row + own.len() - rows)
                };
                if self.value[row].is_finite() {
                    shifted.value[row] = from.map_or(f64::NAN, |from| self.value[from]);
                }
            }
        }
        shifted
    }

    /// The number of rows ahead.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// The log return, or NaN where the panel ends before it does.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub fn value(&self, row: usize) -> f64 {
        self.value[row]
    }

    /// The session on which the label ends, as days since 1970-01-01; the largest number where there is none.
    ///
    /// # Panics
    /// When there are not that many rows.
    pub fn end(&self, row: usize) -> i32 {
        self.end[row]
    }
}

//! Past rows that looked like the one that is forecast, and how they ended.

use chrono::NaiveDate;

use crate::days;
use crate::features::{FeatureTable, Labels};
use crate::models::{CLIP, Spread, Task};

/// Rows of one instrument closer together than this share most of their features' windows: of them one is shown.
const APART_ROWS: usize = 20;
/// The levels of [`Cases::quantiles`].
pub const CASE_LEVELS: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];

/// A past row.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its instrument.
    pub key: String,
    /// Its session.
    pub session: NaiveDate,
    /// The session on which its outcome was known.
    pub ended: NaiveDate,
    /// How far it lies away: the root of the mean squared difference of features, in standard deviations.
    pub distance: f64,
    /// The log return that came.
    pub outcome: f64,
}

/// The nearest past rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Cases {
    /// Rows they were chosen from.
    pub among: usize,
    /// Nearest first.
    pub nearest: Vec<Case>,
    /// The 10, 25, 50, 75 and 90% quantiles of their outcomes; nothing where there are no cases.
    pub quantiles: Option<[f64; 5]>,
}

/// The rows that may be cases at one horizon: with all features, and a label that ended by the session.
pub(super) struct Alike {
    labels: Labels,
    rows: Vec<u32>,
    spread: Spread,
}

impl Alike {
    /// Of a table that ends with the session. Features are measured by the mean and the spread of these rows, whatever
    /// the model makes of them.
    pub fn of(table: &FeatureTable, labels: Labels, session: NaiveDate) -> Self {
        let last = days::day(session);
        let task = Task { features: table, labels: &labels };
        let ended = |&row: &usize| task.labelled(row) && labels.end(row) <= last;
        let rows: Vec<u32> = (0..table.len()).filter(ended).map(|row| row as u32).collect();
        let (mean, std) =
            (0..table.names().len()).map(|feature| Spread::of_column(table.column(feature), &rows)).unzip();
        Self { spread: Spread { mean, std }, labels, rows }
    }

    /// The `count` nearest to a row, rows at the same distance in the order of the table.
    pub fn nearest(&self, table: &FeatureTable, row: usize, count: usize) -> Cases {
        let mut squares = vec![0.0; self.rows.len()];
        for (feature, (mean, std)) in self.spread.mean.iter().zip(&self.spread.std).enumerate() {
            let column = table.column(feature);
            let standardised = |value: f64| ((value - mean) / std).clamp(-CLIP, CLIP);
            let wanted = standardised(column[row]);
            for (square, &other) in squares.iter_mut().zip(&self.rows) {
                *square += (standardised(column[other as usize]) - wanted).powi(2);
            }
        }
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        let nearer = |a: &usize, b: &usize| squares[*a].total_cmp(&squares[*b]).then(a.cmp(b));
        // Rarely are more than these looked at before enough are far enough apart.
        let first = (count * 2 * APART_ROWS).min(order.len());
        if first < order.len() {
            order.select_nth_unstable_by(first, nearer);
        }
        order[..first].sort_unstable_by(nearer);
        let mut taken = self.apart(table, &order[..first], count);
        if taken.len() < count && first < order.len() {
            order.sort_unstable_by(nearer);
            taken = self.apart(table, &order, count);
        }
        let width = self.spread.mean.len().max(1) as f64;
        let case = |&place: &usize| {
            let row = self.rows[place] as usize;
            Case {
                key: table.key(row).to_owned(),
                session: days::date(table.sessions()[row]),
                ended: days::date(self.labels.end(row)),
                distance: (squares[place] / width).sqrt(),
                outcome: self.labels.value(row),
            }
        };
        let nearest: Vec<Case> = taken.iter().map(case).collect();
        Cases { among: self.rows.len(), quantiles: quantiles(&nearest), nearest }
    }

    /// The first `count` of these places whose rows are not close together.
    fn apart(&self, table: &FeatureTable, order: &[usize], count: usize) -> Vec<usize> {
        let mut taken: Vec<usize> = Vec::with_capacity(count);
        for &place in order {
            let row = self.rows[place] as usize;
            let close = |&other: &usize| {
                let other = self.rows[other] as usize;
                other.abs_diff(row) < APART_ROWS && table.key(other) == table.key(row)
            };
            if taken.len() < count && !taken.iter().any(close) {
                taken.push(place);
            }
        }
        taken
    }
}

/// Between two outcomes they are interpolated (Hyndman & Fan 1996, type 7).
fn quantiles(cases: &[Case]) -> Option<[f64; 5]> {
    let mut outcomes: Vec<f64> = cases.iter().map(|case| case.outcome).collect();
    outcomes.sort_unstable_by(f64::total_cmp);
    let last = outcomes.len().checked_sub(1)?;
    Some(CASE_LEVELS.map(|level| {
        let place = level * last as f64;
        let below = place.floor() as usize;
        let (low, high) = (outcomes[below], outcomes[(below + 1).min(last)]);
        low + (high - low) * (place - below as f64)
    }))
}

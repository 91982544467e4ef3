//! Walk-forward: each calendar quarter is forecast by a model that saw only labels ended before it began.

use chrono::{Datelike, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::days;
use crate::features::STD_20;
use crate::models::{Fitted, Task};
use crate::panel::Panel;

/// A calendar quarter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// Its first day.
    pub start: NaiveDate,
    /// The first day after it.
    pub end: NaiveDate,
    /// Forecast only to calibrate the quarters after it; its own forecasts are not scored.
    pub burn_in: bool,
}

/// The quarters from `burn_in` ones before `test_start` to the one that holds `last`. The quarters count from
/// `test_start`, which for calendar quarters is the first day of one.
pub fn quarters(test_start: NaiveDate, burn_in: u32, last: NaiveDate) -> Vec<Fold> {
    let mut folds = Vec::new();
    let mut quarter = -i64::from(burn_in);
    while quarters_after(test_start, quarter) <= last {
        let (start, end) = (quarters_after(test_start, quarter), quarters_after(test_start, quarter + 1));
        folds.push(Fold { start, end, burn_in: quarter < 0 });
        quarter += 1;
    }
    folds
}

/// The first day of the quarter that holds a day.
pub fn quarter_start(date: NaiveDate) -> NaiveDate {
    let month = date.month0() / 3 * 3;
    date.with_day(1).and_then(|first| first.with_month0(month)).unwrap_or(date)
}

pub(crate) fn quarters_after(date: NaiveDate, quarters: i64) -> NaiveDate {
    let months = Months::new(3 * quarters.unsigned_abs() as u32);
    if quarters < 0 { date - months } else { date + months }
}

/// The rows forecast in a walk-forward, fold by fold, within a fold in the order of the panel; one entry per row in
/// each column.
#[derive(Debug, Clone)]
pub struct TestRows {
    /// The quarters.
    pub folds: Vec<Fold>,
    /// The row in the panel.
    pub row: Vec<u32>,
    /// The position of the instrument in the panel.
    pub instrument: Vec<u32>,
    /// The position among `folds`.
    pub fold: Vec<u16>,
    /// The as-of session, as days since 1970-01-01.
    pub session: Vec<i32>,
    /// The session on which the label ends.
    pub end: Vec<i32>,
    /// The close of the as-of session.
    pub close: Vec<f64>,
    /// The standard deviation of the last 20 daily returns.
    pub volatility: Vec<f64>,
    /// The log return that came.
    pub actual: Vec<f64>,
    /// The position of the first row that is not burn-in.
    pub first_scored: usize,
    /// The number of rows ahead.
    pub horizon: usize,
}

impl TestRows {
    /// All labelled rows of the folds.
    pub fn collect(panel: &Panel, task: &Task<'_>, folds: Vec<Fold>) -> Self {
        let bars = panel.bars();
        let bounds: Vec<(i32, i32)> =
            folds.iter().map(|fold| (days::day(fold.start), days::day(fold.end))).collect();
        let mut by_fold: Vec<Vec<u32>> = vec![Vec::new(); folds.len()];
        if let Some(&(first, _)) = bounds.first() {
            for row in (0..panel.len()).filter(|&row| bars.session[row] >= first && task.labelled(row)) {
                let fold = bounds.partition_point(|&(_, end)| end <= bars.session[row]);
                if let Some(rows) = by_fold.get_mut(fold) {
                    rows.push(row as u32);
                }
            }
        }
        let fold = by_fold
            .iter()
            .enumerate()
            .flat_map(|(fold, rows)| rows.iter().map(move |_| fold as u16))
            .collect();
        let scored = folds.iter().take_while(|fold| fold.burn_in).count();
        let first_scored = by_fold[..scored].iter().map(Vec::len).sum();
        let row: Vec<u32> = by_fold.into_iter().flatten().collect();
        let each = |value: &dyn Fn(usize) -> f64| row.iter().map(|&row| value(row as usize)).collect();
        Self {
            folds,
            fold,
            first_scored,
            horizon: task.labels.horizon(),
            instrument: row.iter().map(|&row| bars.key[row as usize]).collect(),
            session: row.iter().map(|&row| bars.session[row as usize]).collect(),
            end: row.iter().map(|&row| task.labels.end(row as usize)).collect(),
            close: each(&|row| bars.close[row]),
            volatility: each(&|row| task.features.column(STD_20)[row]),
            actual: each(&|row| task.labels.value(row)),
            row,
        }
    }

    /// The number of rows, burn-in included.
    pub fn len(&self) -> usize {
        self.row.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.row.is_empty()
    }

    /// What the models, one per fold, expect of each row.
    ///
    /// # Panics
    /// When there are fewer models than folds.
    pub fn predict(&self, task: &Task<'_>, fitted: &[Fitted]) -> Vec<f64> {
        let mut values = Vec::with_capacity(task.features.names().len());
        self.row
            .iter()
            .zip(&self.fold)
            .map(|(&row, &fold)| match &fitted[usize::from(fold)] {
                Fitted::Constant(value) => *value,
                model @ Fitted::Linear(_) => {
                    task.features.row(row as usize, &mut values);
                    model.predict(&values)
                }
            })
            .collect()
    }

    /// The scored rows' positions grouped by session, sessions in their order.
    pub(super) fn by_session(&self) -> Vec<Vec<u32>> {
        let mut order: Vec<u32> = (self.first_scored as u32..self.len() as u32).collect();
        order.sort_by_key(|&i| self.session[i as usize]);
        order
            .chunk_by(|&a, &b| self.session[a as usize] == self.session[b as usize])
            .map(<[u32]>::to_vec)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn date(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn quarters_follow_each_other_from_the_burn_in_to_the_last_day() {
        let folds = quarters(date(2016, 1, 1), 4, date(2018, 2, 7));
        assert_eq!(folds.len(), 13);
        assert_eq!(folds[0], Fold { start: date(2015, 1, 1), end: date(2015, 4, 1), burn_in: true });
        assert_eq!(folds[12], Fold { start: date(2018, 1, 1), end: date(2018, 4, 1), burn_in: false });
        assert_eq!(folds.iter().filter(|fold| fold.burn_in).count(), 4);
        assert!(folds.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn a_quarter_starts_in_january_april_july_or_october() {
        assert_eq!(quarter_start(date(2018, 2, 28)), date(2018, 1, 1));
        assert_eq!(quarter_start(date(2018, 12, 31)), date(2018, 10, 1));
        assert_eq!(quarter_start(date(2018, 5, 31)), date(2018, 4, 1));
    }
}

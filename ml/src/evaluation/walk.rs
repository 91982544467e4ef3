//! Walk-forward: each calendar quarter is forecast by a model that saw only labels ended before it began, and where an
//! embargo is asked for, ended so many sessions earlier.

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
    /// Per quarter, the day before which every label it was learned from had ended (days since 1970-01-01, rising).
    pub cutoffs: Vec<i32>,
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
            cutoffs: bounds.into_iter().map(|(start, _)| start).collect(),
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

    /// The same with so many sessions between the last label learned from and each quarter (an embargo, López de Prado
    /// 2018, ch. 7): as outcomes of neighbouring sessions overlap and resemble each other, the purge alone would let the
    /// first rows of a quarter be close kin of the last ones learned from.
    #[must_use]
    pub fn embargoed(mut self, panel: &Panel, sessions: usize) -> Self {
        let all = panel.sessions();
        for (cutoff, fold) in self.cutoffs.iter_mut().zip(&self.folds) {
            let first = all.partition_point(|&session| session < fold.start);
            if let Some(earlier) = all.get(first.saturating_sub(sessions)) {
                *cutoff = (*cutoff).min(days::day(*earlier));
            }
        }
        self
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
    /// When there are fewer models than folds, or no features.
    pub fn predict(&self, task: &Task<'_>, fitted: &[Fitted]) -> Vec<f64> {
        let mut predicted = Vec::with_capacity(self.len());
        let mut rows = self.row.iter().map(|&row| row as usize);
        for fold in self.fold.chunk_by(|a, b| a == b) {
            let rows: Vec<usize> = rows.by_ref().take(fold.len()).collect();
            predicted.extend(fitted[usize::from(fold[0])].predict_in(task.features, &rows));
        }
        predicted
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
    use crate::features::{FeatureTable, Inputs, Labels};
    use crate::testing;

    #[test]
    fn an_embargo_keeps_so_many_sessions_between_what_is_learned_and_each_quarter() {
        let panel = testing::panel(3, 400, 1);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 5);
        let task = Task { features: &features, labels: &labels };
        let sessions = panel.sessions();
        let folds = quarters(quarter_start(sessions[250]), 1, sessions[399]);
        let rows = TestRows::collect(&panel, &task, folds.clone());
        let starts: Vec<i32> = folds.iter().map(|fold| days::day(fold.start)).collect();
        assert_eq!(rows.cutoffs, starts, "without one it is the first day of the quarter");
        let rows = rows.embargoed(&panel, 5);
        for (cutoff, start) in rows.cutoffs.iter().zip(&starts) {
            let between =
                sessions.iter().map(|&date| days::day(date)).filter(|day| (cutoff..start).contains(&day));
            assert_eq!(between.count(), 5);
        }
    }

    #[test]
    fn an_instrument_is_a_member_from_its_first_bar_to_its_last_and_no_longer() {
        let panel = testing::panel(3, 400, 2);
        let sessions = panel.sessions();
        let (listed, delisted) = (days::day(sessions[230]), days::day(sessions[320]));
        let mut bars = crate::Bars::default();
        for instrument in 0..3 {
            let series = panel.series(instrument);
            for t in 0..series.session.len() {
                let day = series.session[t];
                if (instrument == 1 && day < listed) || (instrument == 2 && day > delisted) {
                    continue;
                }
                let bar = crate::Bar {
                    session: days::date(day),
                    open: series.open[t],
                    high: series.high[t],
                    low: series.low[t],
                    close: series.close[t],
                    volume: series.volume[t],
                };
                bars.push(series.key, bar);
            }
        }
        let panel = Panel::new(bars);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 5);
        let task = Task { features: &features, labels: &labels };
        let rows = TestRows::collect(&panel, &task, quarters(quarter_start(sessions[200]), 0, sessions[399]));
        let of = |instrument: u32| {
            let own =
                rows.session.iter().zip(&rows.instrument).filter(move |(_, other)| **other == instrument);
            own.map(|(&session, _)| session)
        };
        assert!(of(1).min().is_some_and(|first| first >= listed), "nobody is a member before the first bar");
        assert!(of(2).max().is_some_and(|last| last < delisted), "nor after the last one");
        assert!(of(2).count() > 0, "but until then it counts, whatever became of it");
        for i in 0..rows.len() {
            let series = panel.series(rows.instrument[i] as usize);
            assert!(
                series.session.binary_search(&rows.session[i]).is_ok(),
                "every row has a bar of its own day"
            );
        }
    }

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

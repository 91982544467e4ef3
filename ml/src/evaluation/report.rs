//! Where the published distributions were right and where not: coverage over time, by volatility and by instrument, and how
//! often prices rose for each probability that was given.

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use super::intervals::{Groups, Published, quantile};
use super::walk::TestRows;
use crate::days;

/// Probabilities are put together by tenths of the forecasts.
const TENTHS: usize = 10;

/// How a version is calibrated; published with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CalibrationReport {
    /// By scored quarter.
    pub quarters: Vec<PeriodCoverage>,
    /// By calendar month.
    pub months: Vec<PeriodCoverage>,
    /// By thirds of the rows, the calmest first.
    pub volatility: Vec<ThirdCoverage>,
    /// By instrument, in the order of their names.
    pub instruments: Vec<InstrumentCoverage>,
    /// Percentiles over instruments of what the 80% interval held.
    pub instruments_80: Percentiles,
    /// The same of the 95% interval.
    pub instruments_95: Percentiles,
    /// The share of outcomes in each tenth of their forecast's distribution.
    pub pit: Vec<f64>,
    /// What became of the probabilities of a rise, from the lowest tenth of them to the highest.
    pub reliability: Vec<Reliability>,
}

/// Coverage in a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeriodCoverage {
    /// Its first day.
    pub start: NaiveDate,
    /// Rows forecast in it.
    pub rows: usize,
    /// Sessions they lie in.
    pub days: usize,
    /// The share that the 80% interval held.
    pub coverage_80: f64,
    /// The share that the 95% interval held.
    pub coverage_95: f64,
}

/// Coverage of a third of the rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThirdCoverage {
    /// Which.
    pub third: Third,
    /// Its rows.
    pub rows: usize,
    /// The share that the 80% interval held.
    pub coverage_80: f64,
    /// The share that the 95% interval held.
    pub coverage_95: f64,
}

/// A third of the rows by the volatility of the last 20 daily returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Third {
    /// The calmest.
    Low,
    /// Between.
    Mid,
    /// The wildest.
    High,
}

/// Coverage of an instrument's rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstrumentCoverage {
    /// The instrument.
    pub key: String,
    /// Its rows.
    pub rows: usize,
    /// The share that the 80% interval held.
    pub coverage_80: f64,
    /// The share that the 95% interval held.
    pub coverage_95: f64,
}

/// Percentiles over instruments.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The 5th.
    pub p05: f64,
    /// The middle.
    pub p50: f64,
    /// The 95th.
    pub p95: f64,
}

/// Some forecasts of similar probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// The mean probability of a rise they gave.
    pub expected: f64,
    /// The share that rose.
    pub happened: f64,
    /// How many they are.
    pub rows: usize,
}

/// Rows, and how many the intervals held.
#[derive(Clone, Default)]
struct Held {
    rows: usize,
    inside: [usize; 2],
    sessions: Vec<i32>,
}

impl Held {
    fn share(&self, place: usize) -> f64 {
        self.inside[place] as f64 / self.rows as f64
    }

    fn period(self, start: NaiveDate) -> PeriodCoverage {
        let (coverage_80, coverage_95) = (self.share(0), self.share(1));
        let mut sessions = self.sessions;
        sessions.sort_unstable();
        sessions.dedup();
        PeriodCoverage { start, rows: self.rows, days: sessions.len(), coverage_80, coverage_95 }
    }
}

/// Reports on the published distributions; `keys` names the instruments.
pub(super) fn report(
    rows: &TestRows,
    groups: &Groups,
    published: &Published,
    keys: &[String],
) -> CalibrationReport {
    let mut quarters = vec![Held::default(); rows.folds.len()];
    let mut months: Vec<(NaiveDate, Held)> = Vec::new();
    let mut thirds = vec![Held::default(); 3];
    let mut instruments = vec![Held::default(); keys.len()];
    for i in groups.days.iter().flatten().map(|&i| i as usize) {
        let date = days::date(rows.session[i]);
        let first = date.with_day(1).unwrap_or(date);
        if months.last().is_none_or(|(month, _)| *month != first) {
            months.push((first, Held::default()));
        }
        let month = months.last_mut().map(|(_, held)| held);
        let held =
            published.ends.each_ref().map(|ends| (ends.low[i]..=ends.high[i]).contains(&rows.actual[i]));
        let counted = [
            Some(&mut quarters[usize::from(rows.fold[i])]),
            month,
            Some(&mut thirds[groups.third(rows.volatility[i])]),
            instruments.get_mut(rows.instrument[i] as usize),
        ];
        for group in counted.into_iter().flatten() {
            group.rows += 1;
            group.inside.iter_mut().zip(held).for_each(|(count, held)| *count += usize::from(held));
            if group.sessions.last() != Some(&rows.session[i]) {
                group.sessions.push(rows.session[i]);
            }
        }
    }
    let some = |held: &Held| held.rows > 0;
    let instruments: Vec<InstrumentCoverage> = keys
        .iter()
        .zip(&instruments)
        .filter(|(_, held)| some(held))
        .map(|(key, held)| InstrumentCoverage {
            key: key.clone(),
            rows: held.rows,
            coverage_80: held.share(0),
            coverage_95: held.share(1),
        })
        .collect();
    let quarters = rows.folds.iter().zip(quarters).filter(|(_, held)| some(held));
    let thirds = [Third::Low, Third::Mid, Third::High].into_iter().zip(thirds).filter(|(_, held)| some(held));
    CalibrationReport {
        quarters: quarters.map(|(fold, held)| held.period(fold.start)).collect(),
        months: months.into_iter().map(|(start, held)| held.period(start)).collect(),
        volatility: thirds
            .map(|(third, held)| ThirdCoverage {
                third,
                rows: held.rows,
                coverage_80: held.share(0),
                coverage_95: held.share(1),
            })
            .collect(),
        instruments_80: percentiles(instruments.iter().map(|instrument| instrument.coverage_80)),
        instruments_95: percentiles(instruments.iter().map(|instrument| instrument.coverage_95)),
        instruments,
        pit: published.distribution.pit.clone(),
        reliability: reliability(rows, published),
    }
}

fn percentiles(values: impl Iterator<Item = f64>) -> Percentiles {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    Percentiles { p05: quantile(&values, 0.05), p50: quantile(&values, 0.5), p95: quantile(&values, 0.95) }
}

fn reliability(rows: &TestRows, published: &Published) -> Vec<Reliability> {
    let scored = rows.first_scored..rows.len();
    let mut said: Vec<(f64, bool)> =
        scored.map(|i| (published.probability_up[i], rows.actual[i] > 0.0)).collect();
    said.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let count = said.len();
    let tenth = |k: usize| &said[count * k / TENTHS..count * (k + 1) / TENTHS];
    (0..TENTHS)
        .map(tenth)
        .filter(|forecasts| !forecasts.is_empty())
        .map(|forecasts| {
            let n = forecasts.len() as f64;
            Reliability {
                expected: forecasts.iter().map(|(said, _)| said).sum::<f64>() / n,
                happened: forecasts.iter().filter(|(_, rose)| *rose).count() as f64 / n,
                rows: forecasts.len(),
            }
        })
        .collect()
}

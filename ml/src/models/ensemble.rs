//! Drift, and as much of each member's difference to it as the member has earned out of sample.
//!
//! Before each cutoff the members live through their own walk-forward: for every quarter of the past they learn from
//! what had ended by its first day and forecast it. Of a member's forecasts f the returns y that have ended by the
//! cutoff tell the slope b of y − drift on f − drift, and its t with the rows of a session as one cluster (overlapping
//! outcomes allowed for as by Newey & West 1987). Its weight is b (1 − (z / t)²), and nothing where t does not exceed
//! z: the positive part of James & Stein's (1961) shrinkage, with a demand for evidence in place of the one degree of
//! freedom. Members share the weight equally, as they say much the same.
//!
//! No evidence makes the ensemble the drift itself. So it can be worse than the drift only by evidence of the past
//! that does not hold.

use super::drift::Drift;
use super::{FitError, Fitted, Forecaster, Task};
use crate::days;
use crate::evaluation::{long_run_variance, quarter_start, quarters_after};

/// Members' evidence counts beyond this many standard errors.
const EVIDENCE: f64 = 1.64;
/// Fewer forecast sessions are no evidence.
const NEEDED_SESSIONS: usize = 120;
/// Nor are fewer outcomes that do not overlap: what twenty sessions bring is seen about twelve times a year.
const NEEDED_OUTCOMES: usize = 30;

/// The drift with members drawn towards it.
pub(super) struct Ensemble {
    pub members: Vec<Box<dyn Forecaster>>,
}

/// What an ensemble has learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Blend {
    /// The mean training label (log return).
    pub drift: f64,
    /// Each member with the weight its difference to the drift has earned.
    pub members: Vec<(f64, Fitted)>,
}

impl Blend {
    /// The expected log return of an instrument with these features.
    pub fn predict(&self, key: &str, features: &[f64]) -> f64 {
        self.counting().fold(self.drift, |sum, (weight, member)| {
            sum + weight * (member.predict_for(key, features) - self.drift)
        })
    }

    /// The expected log returns of rows that lie one after the other, `width` features each, and the names of their
    /// instruments; bit by bit those of [`Blend::predict`].
    pub fn predict_rows(&self, keys: &[&str], rows: &[f64], width: usize) -> Vec<f64> {
        let mut sums = vec![self.drift; keys.len()];
        for (weight, member) in self.counting() {
            for (sum, expected) in sums.iter_mut().zip(member.predict_rows(keys, rows, width)) {
                *sum += weight * (expected - self.drift);
            }
        }
        sums
    }

    /// The members that have earned a weight.
    pub(super) fn counting(&self) -> impl Iterator<Item = &(f64, Fitted)> {
        self.members.iter().filter(|(weight, _)| *weight > 0.0)
    }
}

impl Forecaster for Ensemble {
    fn needed_rows(&self, features: usize) -> usize {
        let members = self.members.iter().map(|member| member.needed_rows(features));
        members.max().unwrap_or_default().max(Drift.needed_rows(features))
    }

    fn fit(&self, task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        let Some(&last) = cutoffs.last() else { return Ok(Vec::new()) };
        let quarters = history(task, last, self.needed_rows(task.features.names().len()));
        let mut all: Vec<i32> = quarters.iter().chain(cutoffs).copied().collect();
        all.sort_unstable();
        all.dedup();
        let drifts = Drift.fit(task, &all)?;
        let past = Past::of(task, &quarters, last);
        let mut blends: Vec<Blend> = Vec::with_capacity(cutoffs.len());
        let place = |cutoff: &i32| all.binary_search(cutoff).unwrap_or_else(|place| place);
        let constant = |at: usize| match drifts[at] {
            Fitted::Constant(drift) => drift,
            _ => 0.0,
        };
        for cutoff in cutoffs {
            blends.push(Blend { drift: constant(place(cutoff)), members: Vec::new() });
        }
        for member in &self.members {
            let fitted = member.fit(task, &all)?;
            let moves = past.moves(task, |quarter| {
                let at = place(&quarters[quarter]);
                (&fitted[at], constant(at))
            });
            for (cutoff, blend) in cutoffs.iter().zip(&mut blends) {
                let weight = past.earned(task, &moves, *cutoff) / self.members.len() as f64;
                blend.members.push((weight, fitted[place(cutoff)].clone()));
            }
        }
        Ok(blends.into_iter().map(Fitted::Blend).collect())
    }
}

/// The first days of the quarters before a day, from the first with enough rows to learn from.
fn history(task: &Task<'_>, before: i32, needed: usize) -> Vec<i32> {
    let mut ends: Vec<i32> = (0..task.features.len())
        .filter(|&row| task.labelled(row))
        .map(|row| task.labels.end(row))
        .filter(|&end| end < before)
        .collect();
    ends.sort_unstable();
    let Some(&enough) = ends.get(needed.max(1) - 1) else { return Vec::new() };
    let first = quarter_start(days::date(enough));
    let mut quarters = Vec::new();
    let mut start = quarters_after(first, 1);
    while days::day(start) < before {
        quarters.push(days::day(start));
        start = quarters_after(start, 1);
    }
    quarters
}

/// The rows forecast in the quarters of the past, by session.
struct Past {
    /// Session, quarter, row; sorted.
    rows: Vec<(i32, usize, usize)>,
}

impl Past {
    fn of(task: &Task<'_>, quarters: &[i32], before: i32) -> Self {
        let session = task.features.sessions();
        let mut rows: Vec<_> = (0..task.features.len())
            .filter(|&row| task.labels.end(row) < before && task.labelled(row))
            .filter_map(|row| {
                let quarter = quarters.partition_point(|&start| start <= session[row]).checked_sub(1)?;
                Some((session[row], quarter, row))
            })
            .collect();
        rows.sort_unstable();
        Self { rows }
    }

    /// Per row, what a member expected beyond the drift, and that drift.
    fn moves<'a>(&self, task: &Task<'_>, of: impl Fn(usize) -> (&'a Fitted, f64)) -> Vec<(f64, f64)> {
        let mut moves = Vec::with_capacity(self.rows.len());
        for of_quarter in self.rows.chunk_by(|a, b| a.1 == b.1) {
            let (fitted, drift) = of(of_quarter[0].1);
            let rows: Vec<usize> = of_quarter.iter().map(|&(_, _, row)| row).collect();
            let expected = fitted.predict_in(task.features, &rows);
            moves.extend(expected.into_iter().map(|expected| (expected - drift, drift)));
        }
        moves
    }

    /// The weight a member had earned by a day.
    fn earned(&self, task: &Task<'_>, moves: &[(f64, f64)], by: i32) -> f64 {
        let known = || self.rows.iter().zip(moves).filter(|((_, _, row), _)| task.labels.end(*row) < by);
        let (mut together, mut squares) = (0.0, 0.0);
        for (&(_, _, row), &(moved, drift)) in known() {
            together += moved * (task.labels.value(row) - drift);
            squares += moved * moved;
        }
        if squares <= 0.0 {
            return 0.0;
        }
        let slope = together / squares;
        let mut daily: Vec<f64> = Vec::new();
        let mut session = None;
        for (&(day, _, row), &(moved, drift)) in known() {
            if session != Some(day) {
                session = Some(day);
                daily.push(0.0);
            }
            if let Some(sum) = daily.last_mut() {
                *sum += moved * (task.labels.value(row) - drift - slope * moved);
            }
        }
        let variance = long_run_variance(&daily, 0.0, task.labels.horizon() - 1) * daily.len() as f64;
        let t = together / variance.max(f64::MIN_POSITIVE).sqrt();
        let needed = NEEDED_SESSIONS.max(NEEDED_OUTCOMES * task.labels.horizon());
        if daily.len() < needed || t <= EVIDENCE {
            return 0.0;
        }
        // More than the member itself says is never taken from it.
        (slope * (1.0 - (EVIDENCE / t).powi(2))).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{FeatureTable, Inputs, Labels};
    use crate::testing;

    /// What a member that knew every outcome has earned on the first so many sessions.
    fn earned(horizon: usize, sessions: usize) -> f64 {
        let panel = testing::panel(1, 800, 11);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, horizon);
        let task = Task { features: &features, labels: &labels };
        let rows: Vec<_> = (100..100 + sessions).map(|row| (features.sessions()[row], 0, row)).collect();
        let moves: Vec<_> = rows.iter().map(|&(_, _, row)| (labels.value(row), 0.0)).collect();
        Past { rows }.earned(&task, &moves, i32::MAX)
    }

    #[test]
    fn no_evidence_are_fewer_than_120_sessions_or_than_30_outcomes_that_do_not_overlap() {
        for (horizon, needed) in [(1, 120), (5, 150), (20, 600)] {
            assert_eq!(earned(horizon, needed - 1).to_bits(), 0.0_f64.to_bits(), "{horizon}");
            assert!(earned(horizon, needed) > 0.99, "{horizon}");
        }
    }
}

//! Whether a difference to a baseline is more than chance, in numbers and in words.

use almanac_domain::paired::paired_test;
use serde::{Deserialize, Serialize};

use super::walk::TestRows;

/// What chance may do on either side without a difference counting (5% two-sided).
const CHANCE: f64 = 0.025;
/// With this many standard errors in expectation four tests in five would find the difference.
const POWERFUL: f64 = 2.8;
/// Fewer sessions allow no verdict.
const NEEDED_DAYS: usize = 20;

/// What can be said about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The model scores better beyond chance.
    Better,
    /// The model scores worse beyond chance.
    Worse,
    /// The difference may be chance.
    CannotBeTold,
}

/// A model's squared error against a baseline's on the same rows, by the test that decides trials ([`paired_test`]:
/// Diebold & Mariano 1995, sessions as clusters, its error by cosines).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Mean of the model's squared error minus the baseline's; negative is better (squared log return).
    pub mean_difference: f64,
    /// Its standard error, rows of one session taken as one observation, overlapping outcomes allowed for.
    pub standard_error: f64,
    /// The difference in standard errors; nothing where there is no difference at all.
    pub t: Option<f64>,
    /// Sessions compared.
    pub days: usize,
    /// What follows.
    pub verdict: Verdict,
    /// About how many more sessions would settle it, if the difference stayed as it is.
    pub more_sessions_needed: Option<u64>,
    /// The same in a sentence.
    pub words: String,
}

/// Compares squared errors; `name` is the baseline's in the sentence.
pub(super) fn compare(
    rows: &TestRows,
    days: &[Vec<u32>],
    predicted: &[f64],
    baseline: &[f64],
    name: &str,
) -> Comparison {
    let square = |i: u32, of: &[f64]| (rows.actual[i as usize] - of[i as usize]).powi(2);
    let (mut difference, mut base, mut n) = (0.0, 0.0, 0.0);
    for &i in days.iter().flatten() {
        difference += square(i, predicted) - square(i, baseline);
        base += square(i, baseline);
        n += 1.0;
    }
    let mean = difference / n;
    // Whoever is ahead is put first. A session counts by its rows; what each adds beyond the mean sums up to nothing.
    let side = if mean > 0.0 { -1.0 } else { 1.0 };
    let sessions_per_row = days.len() as f64 / n;
    let beyond = |day: &Vec<u32>| -> f64 {
        day.iter().map(|&i| square(i, predicted) - square(i, baseline) - mean).sum()
    };
    let daily: Vec<f64> = days.iter().map(|day| side * (mean + beyond(day) * sessions_per_row)).collect();
    let test = paired_test(&daily, rows.horizon, CHANCE);
    let standard_error = test.and_then(|test| test.standard_error).unwrap_or_default();
    let t = test.and_then(|test| test.statistic).map(|statistic| side * statistic);
    let told = days.len() >= NEEDED_DAYS && test.and_then(|test| test.p).is_some_and(|p| p <= CHANCE);
    let verdict = match (told, mean < 0.0) {
        (false, _) => Verdict::CannotBeTold,
        (true, true) => Verdict::Better,
        (true, false) => Verdict::Worse,
    };
    let more_sessions_needed = test.filter(|_| !told).and_then(|test| test.more_sessions);
    let words = words(name, verdict, difference / base * 100.0, t, days.len(), more_sessions_needed);
    Comparison {
        mean_difference: mean,
        standard_error,
        t,
        days: days.len(),
        verdict,
        more_sessions_needed,
        words,
    }
}

/// How many more sessions it takes to tell a difference that is `t` standard errors on so many; nothing where it is next to
/// none.
pub(super) fn more_sessions(days: usize, t: f64) -> Option<u64> {
    (t.is_finite() && t.abs() > 1e-3).then(|| {
        let needed = days as f64 * (POWERFUL / t).powi(2);
        (needed.ceil() as u64).saturating_sub(days as u64).max(1)
    })
}

/// The same in words.
pub(super) fn more_words(more: u64) -> String {
    if more > A_LIFETIME {
        format!("more than {A_LIFETIME} more sessions needed")
    } else {
        format!("about {more} more sessions needed")
    }
}

/// Forty years of sessions: beyond them a count of sessions needed is only a large number.
const A_LIFETIME: u64 = 10_000;

fn words(
    name: &str,
    verdict: Verdict,
    percent: f64,
    t: Option<f64>,
    days: usize,
    more: Option<u64>,
) -> String {
    let Some(t) = t else {
        return format!("no different from {name} on any of {days} sessions");
    };
    let below_or_above = if percent < 0.0 { "below" } else { "above" };
    let size = format!(
        "squared error {:.3}% {below_or_above} {name}'s over {days} sessions, t = {t:.1}",
        percent.abs()
    );
    match (verdict, more) {
        (Verdict::Better, _) => format!("better than {name}: {size}"),
        (Verdict::Worse, _) => format!("worse than {name}: {size}"),
        (Verdict::CannotBeTold, Some(more)) => {
            format!("cannot be told from {name} by more than chance: {size}; {}", more_words(more))
        }
        (Verdict::CannotBeTold, None) => format!("cannot be told from {name} by more than chance: {size}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `days` sessions of 30 rows whose outcomes are plus and minus one percent.
    fn rows(days: i32) -> (TestRows, Vec<Vec<u32>>) {
        let count = days as usize * 30;
        let session: Vec<i32> = (0..count).map(|i| (i / 30) as i32).collect();
        let rows = TestRows {
            folds: Vec::new(),
            cutoffs: Vec::new(),
            row: (0..count as u32).collect(),
            instrument: vec![0; count],
            fold: vec![0; count],
            end: session.clone(),
            session,
            close: vec![100.0; count],
            volatility: vec![0.01; count],
            actual: (0..count).map(|i| if i * i % 7 < 3 { 0.01 } else { -0.01 }).collect(),
            first_scored: 0,
            horizon: 1,
        };
        let days = rows.by_session();
        (rows, days)
    }

    #[test]
    fn a_forecast_that_knows_half_of_every_outcome_is_better() {
        let (rows, days) = rows(40);
        let half: Vec<f64> = rows.actual.iter().map(|actual| actual / 2.0).collect();
        // The baseline's errors vary from session to session, so that there is an error to measure.
        let zero: Vec<f64> = rows.session.iter().map(|day| f64::from(day % 3) * 1e-3).collect();
        let comparison = compare(&rows, &days, &half, &zero, "zero");
        assert_eq!(comparison.verdict, Verdict::Better);
        assert!(comparison.words.starts_with("better than zero: squared error 7"), "{}", comparison.words);
        let reverse = compare(&rows, &days, &zero, &half, "half");
        assert_eq!(reverse.verdict, Verdict::Worse);
        assert!((reverse.mean_difference + comparison.mean_difference).abs() < 1e-18);
    }

    #[test]
    fn a_forecast_that_is_right_and_wrong_by_turns_cannot_be_told_from_chance() {
        let (rows, days) = rows(40);
        let turns: Vec<f64> = rows
            .actual
            .iter()
            .zip(&rows.session)
            .map(|(actual, day)| if day % 2 == 0 { actual / 100.0 } else { -actual / 100.0 })
            .collect();
        let comparison = compare(&rows, &days, &turns, &vec![0.0; rows.len()], "zero");
        assert_eq!(comparison.verdict, Verdict::CannotBeTold);
        assert!(comparison.more_sessions_needed.is_some_and(|more| more > 40), "{}", comparison.words);
    }

    #[test]
    fn the_same_forecast_is_no_different_and_few_sessions_give_no_verdict() {
        let (rows, days) = rows(10);
        let zero = vec![0.0; rows.len()];
        assert_eq!(compare(&rows, &days, &zero, &zero, "zero").t, None);
        let uneven: Vec<f64> = rows.session.iter().map(|day| f64::from(day % 3) * 1e-3).collect();
        assert_eq!(compare(&rows, &days, &rows.actual, &uneven, "zero").verdict, Verdict::CannotBeTold);
    }
}

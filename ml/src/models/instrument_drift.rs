//! Every instrument drifts by a mean of its own, drawn towards that of all as far as chance explains the difference.
//!
//! Empirical Bayes (Efron & Morris 1975): an instrument's mean of n returns counts with weight τ² / (τ² + σ² / n), σ²
//! the variance of returns within instruments and τ² what the means differ beyond chance, by the method of moments.
//! Returns over h rows overlap, so that n of them count as n / h.

use super::{FitError, Fitted, Forecaster, Task, require};

/// A mean of fewer returns says nothing.
const NEEDED_ROWS: usize = 20;

/// Expects the instrument's shrunk mean training label.
pub(super) struct InstrumentDrift;

/// Drifts by instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct InstrumentDrifts {
    /// The mean of all, for instruments never seen (log return).
    pub drift: f64,
    /// The instruments' names, rising, with their drifts (log return).
    pub drifts: Vec<(String, f64)>,
}

impl InstrumentDrifts {
    /// The expected log return of an instrument.
    pub fn of(&self, key: &str) -> f64 {
        match self.drifts.binary_search_by(|(known, _)| known.as_str().cmp(key)) {
            Ok(place) => self.drifts[place].1,
            Err(_) => self.drift,
        }
    }
}

/// Number, sum and sum of squares of an instrument's labels.
#[derive(Clone, Copy, Default)]
struct Sums {
    rows: f64,
    sum: f64,
    squares: f64,
}

impl Forecaster for InstrumentDrift {
    fn needed_rows(&self, _: usize) -> usize {
        NEEDED_ROWS
    }

    fn fit(&self, task: &Task<'_>, cutoffs: &[i32]) -> Result<Vec<Fitted>, FitError> {
        let (keys, key) = task.features.instruments();
        let mut entering = vec![vec![Sums::default(); keys.len()]; cutoffs.len() + 1];
        for row in (0..task.features.len()).filter(|&row| task.labelled(row)) {
            let sums = &mut entering[task.entry(row, cutoffs)][key[row] as usize];
            let label = task.labels.value(row);
            sums.rows += 1.0;
            sums.sum += label;
            sums.squares += label * label;
        }
        let mut known = vec![Sums::default(); keys.len()];
        cutoffs
            .iter()
            .zip(entering)
            .map(|(&cutoff, more)| {
                for (known, more) in known.iter_mut().zip(more) {
                    known.rows += more.rows;
                    known.sum += more.sum;
                    known.squares += more.squares;
                }
                let rows: f64 = known.iter().map(|sums| sums.rows).sum();
                require(rows as usize, NEEDED_ROWS, cutoff)?;
                Ok(Fitted::InstrumentDrifts(shrunk(keys, &known, task.labels.horizon() as f64)))
            })
            .collect()
    }
}

fn shrunk(keys: &[String], known: &[Sums], horizon: f64) -> InstrumentDrifts {
    let total = |of: &dyn Fn(&Sums) -> f64| known.iter().map(of).sum::<f64>();
    let drift = total(&|sums| sums.sum) / total(&|sums| sums.rows);
    let seen = || known.iter().zip(keys).filter(|(sums, _)| sums.rows > 0.0);
    let count = seen().count() as f64;
    let within = seen().map(|(sums, _)| sums.squares - sums.sum * sums.sum / sums.rows).sum::<f64>();
    let variance = within.max(0.0) / (total(&|sums| sums.rows) - count).max(1.0);
    let of_mean = |sums: &Sums| variance * horizon / sums.rows;
    let between = seen().map(|(sums, _)| (sums.sum / sums.rows - drift).powi(2) - of_mean(sums)).sum::<f64>()
        / (count - 1.0).max(1.0);
    let between = between.max(0.0);
    let drifts = seen().map(|(sums, key)| {
        let weight = if between > 0.0 { between / (between + of_mean(sums)) } else { 0.0 };
        (key.clone(), drift + weight * (sums.sum / sums.rows - drift))
    });
    InstrumentDrifts { drift, drifts: drifts.collect() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sums(values: &[f64]) -> Sums {
        Sums {
            rows: values.len() as f64,
            sum: values.iter().sum(),
            squares: values.iter().map(|value| value * value).sum(),
        }
    }

    #[test]
    fn means_that_differ_beyond_chance_are_kept_and_others_drawn_to_that_of_all() {
        let keys: Vec<String> = ["A", "B"].map(str::to_owned).to_vec();
        let far: Vec<f64> = (0..1000).map(|i| 1.0 + f64::from(i % 2) * 1e-3).collect();
        let near: Vec<f64> = (0..1000).map(|i| -1.0 + f64::from(i % 2) * 1e-3).collect();
        let kept = shrunk(&keys, &[sums(&far), sums(&near)], 1.0);
        assert!((kept.of("A") - 1.0005).abs() < 1e-6 && (kept.of("B") + 0.9995).abs() < 1e-6);
        let noise: Vec<f64> = (0..1000).map(|i| f64::from(i % 2) - 0.5).collect();
        let drawn = shrunk(&keys, &[sums(&noise), sums(&noise[1..])], 1.0);
        assert!((drawn.of("A") - drawn.drift).abs() < 1e-12 && (drawn.of("B") - drawn.drift).abs() < 1e-12);
        assert!((drawn.of("never seen") - drawn.drift).abs() < 1e-12);
    }
}

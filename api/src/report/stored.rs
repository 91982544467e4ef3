//! What of a stored evaluation is shown. Evaluations grow: parts that older ones lack are none here, and parts that
//! newer ones add are passed over.

#![allow(clippy::struct_field_names, reason = "the names are those of the stored JSON")]

use chrono::NaiveDate;
use serde::Deserialize;

/// An evaluation as it is stored beside its version.
#[derive(Debug, Deserialize)]
pub(super) struct Stored {
    pub(super) evaluation: Evaluation,
    pub(super) leak_report: Option<LeakReport>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Evaluation {
    pub(super) test_start: NaiveDate,
    pub(super) test_end: NaiveDate,
    pub(super) horizons: Vec<Horizon>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Horizon {
    pub(super) horizon: u32,
    #[serde(default)]
    pub(super) quarters: Vec<Quarter>,
    pub(super) model: Scores,
    pub(super) zero: Scores,
    pub(super) drift: Scores,
    pub(super) against_zero: Comparison,
    pub(super) against_drift: Comparison,
    #[serde(default)]
    pub(super) measures: Vec<Measured>,
    pub(super) calibration: Option<Calibration>,
    pub(super) placebo: Option<Placebo>,
    #[serde(default)]
    pub(super) corrections: Vec<Corrected>,
    pub(super) bootstrap: Option<Bootstrap>,
}

/// What a correction of the probabilities of a rise scored.
#[derive(Debug, Deserialize)]
pub(super) struct Corrected {
    pub(super) correction: String,
    pub(super) brier: f64,
    pub(super) log_score: f64,
    pub(super) difference: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Quarter {
    pub(super) start: NaiveDate,
    pub(super) r2_vs_zero_pct: f64,
    pub(super) r2_vs_drift_pct: Option<f64>,
    pub(super) ic: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Scores {
    pub(super) point: Point,
    #[serde(default)]
    pub(super) intervals: Vec<Interval>,
    pub(super) distribution: Option<Distribution>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Point {
    pub(super) rows: u64,
    pub(super) days: u64,
    pub(super) hit_rate: Option<f64>,
    pub(super) rmse_return: f64,
    pub(super) ic: Option<Ic>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Ic {
    pub(super) mean: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Interval {
    pub(super) method: String,
    pub(super) level: f64,
    pub(super) coverage: f64,
    pub(super) interval_score: f64,
    pub(super) coverage_instrument_p05: f64,
    pub(super) coverage_instrument_p95: f64,
    pub(super) coverage_low_volatility: f64,
    pub(super) coverage_mid_volatility: f64,
    pub(super) coverage_high_volatility: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Distribution {
    pub(super) pinball: f64,
    pub(super) crps: f64,
    pub(super) brier: f64,
    #[serde(default)]
    pub(super) pit: Vec<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Comparison {
    pub(super) words: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Bootstrap {
    pub(super) resamples: u64,
    pub(super) mean_block: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Measured {
    pub(super) measure: String,
    pub(super) value: f64,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    #[serde(default)]
    pub(super) against: Vec<Against>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Against {
    pub(super) baseline: String,
    pub(super) value: f64,
    pub(super) verdict: String,
    pub(super) words: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Calibration {
    #[serde(default)]
    pub(super) quarters: Vec<Held>,
    #[serde(default)]
    pub(super) months: Vec<Held>,
    #[serde(default)]
    pub(super) instruments: Vec<OfInstrument>,
    #[serde(default)]
    pub(super) reliability: Vec<Reliability>,
}

/// The share of outcomes inside the intervals over some time.
#[derive(Debug, Deserialize)]
pub(super) struct Held {
    pub(super) start: NaiveDate,
    pub(super) coverage_80: f64,
    pub(super) coverage_95: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfInstrument {
    pub(super) coverage_80: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Reliability {
    pub(super) expected: f64,
    pub(super) happened: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Placebo {
    pub(super) skill: Line,
    pub(super) shuffled: Line,
    pub(super) shifted: Option<Line>,
    pub(super) words: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) r2_vs_drift_pct: Option<f64>,
    pub(super) ic: Option<f64>,
    pub(super) ic_t: Option<f64>,
    pub(super) hit_rate: Option<f64>,
    pub(super) always_up: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LeakReport {
    #[serde(default)]
    pub(super) checks: Vec<LeakCheck>,
    #[serde(default)]
    pub(super) suspicions: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LeakCheck {
    pub(super) kind: String,
    pub(super) failure: Option<String>,
}

impl Horizon {
    /// The published intervals of a level.
    pub(super) fn published(&self, level: f64) -> Option<&Interval> {
        let published = |one: &&Interval| one.method == "published" && (one.level - level).abs() < 1e-9;
        self.model.intervals.iter().find(published)
    }
}

//! What of an evaluation is shown first, as the values of events.

use almanac_domain::model::{EvaluationMeasure, SUSPICION};
use almanac_domain::values::{Horizon, Measure};
use almanac_ml::Trained;
use almanac_ml::evaluation::{Baseline, HorizonEvaluation, Placebo, Scores};

/// The measure of how well the fifths of a session are told.
const RANKED: &str = "ranked_probability_score";

/// A measure's name and where it stands.
type Shown = (&'static str, fn(&Scores) -> Option<f64>);

const SHOWN: [Shown; 17] = [
    ("rmse_return", |scores| Some(scores.point.rmse_return)),
    ("mae_return", |scores| Some(scores.point.mae_return)),
    ("hit_rate", |scores| scores.point.hit_rate),
    ("hit_rows", |scores| Some(scores.point.hit_rows as f64)),
    ("r2_vs_zero_pct", |scores| Some(scores.point.r2_vs_zero_pct)),
    ("r2_vs_drift_pct", |scores| Some(scores.point.r2_vs_drift_pct)),
    ("information_coefficient", |scores| scores.point.ic.as_ref().map(|ic| ic.mean)),
    ("information_coefficient_t", |scores| scores.point.ic.as_ref()?.t_newey_west),
    ("coverage_80", |scores| scores.published(0.80).map(|interval| interval.coverage)),
    ("coverage_95", |scores| scores.published(0.95).map(|interval| interval.coverage)),
    ("interval_score_80", |scores| scores.published(0.80).map(|interval| interval.interval_score)),
    ("interval_score_95", |scores| scores.published(0.95).map(|interval| interval.interval_score)),
    ("pinball", |scores| scores.distribution.as_ref().map(|distribution| distribution.pinball)),
    ("crps", |scores| scores.distribution.as_ref().map(|distribution| distribution.crps)),
    ("qlike", |scores| scores.distribution.as_ref().map(|distribution| distribution.qlike)),
    ("brier", |scores| scores.distribution.as_ref().map(|distribution| distribution.brier)),
    ("log_score", |scores| scores.distribution.as_ref().map(|distribution| distribution.log_score)),
];

/// Placebo measures by name: what the family scores where there is nothing to find, beside the true labels on the same rows.
type OfPlacebo = (&'static str, fn(&Placebo) -> Option<f64>);

const PLACEBO: [OfPlacebo; 6] = [
    ("placebo_true_ic", |placebo| placebo.skill.ic),
    ("placebo_shuffled_ic", |placebo| placebo.shuffled.ic),
    ("placebo_shifted_ic", |placebo| placebo.shifted.as_ref()?.ic),
    ("placebo_true_r2_vs_drift_pct", |placebo| Some(placebo.skill.r2_vs_drift_pct)),
    ("placebo_shuffled_r2_vs_drift_pct", |placebo| Some(placebo.shuffled.r2_vs_drift_pct)),
    ("placebo_shifted_r2_vs_drift_pct", |placebo| Some(placebo.shifted.as_ref()?.r2_vs_drift_pct)),
];

/// The measures of every horizon, beside those of the baselines.
pub(super) fn shown(trained: &Trained) -> Vec<EvaluationMeasure> {
    trained.evaluation.horizons.iter().flat_map(of_horizon).collect()
}

fn of_horizon(evaluation: &HorizonEvaluation) -> Vec<EvaluationMeasure> {
    let Ok(horizon) = Horizon::new(evaluation.horizon as u32) else { return vec![] };
    let measure = |value: Option<f64>| value.and_then(|value| Measure::from_f64(value).ok());
    let shown = SHOWN.iter().map(|(name, of)| EvaluationMeasure {
        horizon,
        measure: (*name).to_owned(),
        value: measure(of(&evaluation.model)),
        zero: measure(of(&evaluation.zero)),
        drift: measure(of(&evaluation.drift)),
    });
    let ranked = evaluation.measure(RANKED).map(|ranked| {
        let beside = |baseline| ranked.against.iter().find(|it| it.baseline == baseline).map(|it| it.value);
        EvaluationMeasure {
            horizon,
            measure: RANKED.to_owned(),
            value: measure(Some(ranked.value)),
            zero: measure(beside(Baseline::Zero)),
            drift: measure(beside(Baseline::Drift)),
        }
    });
    let placebos = evaluation.placebo.iter().flat_map(|placebo| {
        PLACEBO.iter().map(|(name, of)| EvaluationMeasure {
            horizon,
            measure: (*name).to_owned(),
            value: measure(of(placebo)),
            zero: None,
            drift: None,
        })
    });
    shown.chain(ranked).chain(placebos).collect()
}

/// One verdict for each horizon, in words.
pub(super) fn verdicts(trained: &Trained) -> Vec<String> {
    let words = |evaluation: &HorizonEvaluation| {
        format!("{}. {}", evaluation.against_zero.words, evaluation.against_drift.words)
    };
    trained.evaluation.horizons.iter().map(words).collect()
}

/// The checks that held, each kind once, and what looked too good to be true.
pub(super) fn leak_checks(trained: &Trained) -> Vec<String> {
    let report = &trained.leak_report;
    let mut names: Vec<String> = Vec::new();
    for check in report.checks.iter().filter(|check| check.failure.is_none()) {
        let name = serde_json::to_value(check.kind).ok();
        let name = name.as_ref().and_then(|name| name.as_str()).unwrap_or("unnamed").to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.extend(report.suspicions.iter().map(|suspicion| format!("{SUSPICION}{suspicion}")));
    names
}

//! From the sums of sessions to measures, their uncertainty, and a verdict in words.

use std::collections::BTreeMap;

use almanac_domain::paired::{paired_test, student_quantile};
use almanac_domain::values::{Measure, Session};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Serialize;
use utoipa::ToSchema;

use super::sums::{Group, SessionSums};
use super::{Record, RecordPoint};

/// What an interval leaves out on either side.
const CHANCE: f64 = 0.025;
/// Fewer sessions allow no verdict.
const NEEDED_SESSIONS: usize = 20;

/// Whether a model is better than the drift, the mean return of its training data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its squared error is smaller beyond chance.
    Better,
    /// Its squared error is larger beyond chance.
    Worse,
    /// The difference may be chance.
    CannotBeToldFromChance,
    /// There are too few sessions to say.
    TooFew,
}

/// One minus a ratio of squared errors, with its 95% interval where there is one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Skill {
    value: f64,
    interval: Option<(f64, f64)>,
}

/// The record of one group over its sessions in order.
pub(super) fn record(group: Group, sessions: &BTreeMap<Session, SessionSums>) -> Record {
    let mut all = SessionSums::none(Session::MIN);
    for sums in sessions.values() {
        all.add(sums);
    }
    let pairs: Vec<(f64, f64)> = sessions
        .values()
        .filter(|sums| sums.scored > 0)
        .map(|sums| (number(sums.squared_error), number(sums.squared_error_drift)))
        .collect();
    let skill = skill(&pairs, group.horizon.sessions() as usize);
    let verdict = verdict(skill, pairs.len());
    let mean = |sum: Decimal| ratio(number(sum), all.scored as f64);
    let share = |part: u64, whole: u64| ratio(part as f64, whole as f64);
    let root = |sum: Decimal| mean(sum).map(|mean: f64| mean.sqrt());
    let skill_vs_zero =
        ratio(number(all.squared_error), number(all.squared_error_zero)).map(|ratio| 1.0 - ratio);
    Record {
        model: group.model,
        version: group.version,
        horizon: group.horizon,
        mode: group.mode,
        scored: all.scored,
        sessions: pairs.len() as u64,
        open: all.open,
        abstained: all.abstained,
        abstentions: all.abstentions,
        voided: all.voided,
        hit_rate: measure(share(all.hits, all.hit_predictions)),
        hits: all.hits,
        hit_predictions: all.hit_predictions,
        rmse: measure(root(all.squared_error)),
        rmse_zero: measure(root(all.squared_error_zero)),
        rmse_drift: measure(root(all.squared_error_drift)),
        skill_vs_zero: measure(skill_vs_zero),
        skill_vs_drift: measure(skill.map(|skill| skill.value)),
        skill_vs_drift_low: measure(skill.and_then(|skill| skill.interval).map(|(low, _)| low)),
        skill_vs_drift_high: measure(skill.and_then(|skill| skill.interval).map(|(_, high)| high)),
        coverage_80: measure(share(all.inside_80, all.scored)),
        coverage_95: measure(share(all.inside_95, all.scored)),
        interval_score_80: measure(mean(all.interval_score_80)),
        interval_score_95: measure(mean(all.interval_score_95)),
        brier: measure(mean(all.brier)),
        pinball: measure(mean(all.pinball)),
        up_share: measure(share(all.ups, all.scored)),
        verdict,
        verdict_words: words(verdict, skill, pairs.len()),
    }
}

/// One session as a point of the series.
pub(super) fn point(sums: &SessionSums) -> RecordPoint {
    let measure = |sum: Decimal| Measure::from_f64(number(sum)).unwrap_or_else(|_| zero());
    RecordPoint {
        session: sums.session,
        scored: sums.scored,
        inside_80: sums.inside_80,
        inside_95: sums.inside_95,
        squared_error: measure(sums.squared_error),
        squared_error_zero: measure(sums.squared_error_zero),
        squared_error_drift: measure(sums.squared_error_drift),
        hits: sums.hits,
        hit_predictions: sums.hit_predictions,
    }
}

/// The skill over pairs of (squared error, squared error of the drift), one for each session in order.
///
/// The ratio of two sums gets the linearised variance of a ratio estimator with sessions as clusters (Cochran 1977,
/// section 6.4). Outcomes at a horizon of several sessions overlap, and the error allows for that as a trial's does
/// ([`paired_test`]), against Student's distribution: few sessions are few observations, and overlapping ones fewer still.
fn skill(pairs: &[(f64, f64)], horizon: usize) -> Option<Skill> {
    let (model, drift) = pairs.iter().fold((0.0, 0.0), |sum, pair| (sum.0 + pair.0, sum.1 + pair.1));
    let ratio = ratio(model, drift)?;
    let value = 1.0 - ratio;
    let n = pairs.len();
    if n < 2 {
        return Some(Skill { value, interval: None });
    }
    let beyond: Vec<f64> = pairs.iter().map(|(model, drift)| model - ratio * drift).collect();
    let interval = paired_test(&beyond, horizon, CHANCE).and_then(|test| {
        let error = test.standard_error? * n as f64 / drift;
        let reach = -student_quantile(CHANCE, test.degrees_of_freedom as f64) * error;
        Some((value - reach, value + reach))
    });
    Some(Skill { value, interval })
}

fn verdict(skill: Option<Skill>, sessions: usize) -> Verdict {
    match skill.and_then(|skill| skill.interval) {
        Some(_) | None if sessions < NEEDED_SESSIONS => Verdict::TooFew,
        Some((low, _)) if low > 0.0 => Verdict::Better,
        Some((_, high)) if high < 0.0 => Verdict::Worse,
        Some(_) | None => Verdict::CannotBeToldFromChance,
    }
}

fn words(verdict: Verdict, skill: Option<Skill>, sessions: usize) -> String {
    let size = match skill {
        Some(Skill { value, interval: Some((low, high)) }) => {
            let than = if value < 0.0 { "above" } else { "below" };
            let (size, low, high) = (value.abs() * 100.0, low * 100.0, high * 100.0);
            format!(
                "squared error {size:.2}% {than} that of the average drift over {sessions} sessions \
                 (skill between {low:.2}% and {high:.2}%, 95% interval)"
            )
        }
        Some(Skill { interval: None, .. }) | None => String::new(),
    };
    match verdict {
        Verdict::Better => format!("better than the average drift: {size}"),
        Verdict::Worse => format!("worse than the average drift: {size}"),
        Verdict::CannotBeToldFromChance => format!("cannot be told from chance: {size}"),
        Verdict::TooFew => {
            format!("too few sessions to say: {sessions} of the {NEEDED_SESSIONS} a verdict needs")
        }
    }
}

fn number(decimal: Decimal) -> f64 {
    decimal.to_f64().unwrap_or(f64::NAN)
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn measure(value: Option<f64>) -> Option<Measure> {
    value.and_then(|value| Measure::from_f64(value).ok())
}

fn zero() -> Measure {
    Measure::from_f64(0.0).unwrap_or_else(|_| unreachable!("zero is finite"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sessions whose model errs `ratio` times the drift's squared error, a little more on odd and less on even ones.
    fn sessions(count: usize, ratio: f64) -> Vec<(f64, f64)> {
        let wobble = |i: usize| if i.is_multiple_of(2) { -0.01 } else { 0.01 };
        (0..count).map(|i| (ratio + wobble(i), 1.0)).collect()
    }

    fn judged(pairs: &[(f64, f64)]) -> Verdict {
        verdict(skill(pairs, 1), pairs.len())
    }

    #[test]
    fn a_clear_gain_over_enough_sessions_is_better_and_a_clear_loss_worse() {
        assert_eq!(judged(&sessions(40, 0.9)), Verdict::Better);
        assert_eq!(judged(&sessions(40, 1.1)), Verdict::Worse);
    }

    #[test]
    fn a_gain_within_its_uncertainty_cannot_be_told_from_chance() {
        assert_eq!(judged(&sessions(40, 0.999)), Verdict::CannotBeToldFromChance);
    }

    #[test]
    fn a_clear_gain_over_few_sessions_is_no_verdict() {
        assert_eq!(judged(&sessions(19, 0.5)), Verdict::TooFew);
        assert_eq!(judged(&sessions(20, 0.5)), Verdict::Better);
        assert_eq!(judged(&[]), Verdict::TooFew);
    }

    #[test]
    fn a_model_that_is_the_drift_has_no_skill_and_no_verdict() {
        let same: Vec<(f64, f64)> = (1..=30).map(|i| (f64::from(i), f64::from(i))).collect();
        assert_eq!(skill(&same, 1), Some(Skill { value: 0.0, interval: Some((0.0, 0.0)) }));
        assert_eq!(judged(&same), Verdict::CannotBeToldFromChance);
    }

    #[test]
    fn the_interval_of_the_skill_is_the_one_worked_out_by_hand() {
        // ratio 6/4; beyond it -0.5 and 0.5; variance 2 * 0.5; reach 12.7062 * 1 / 4
        let skill = skill(&[(1.0, 1.0), (5.0, 3.0)], 1);
        let Some(Skill { value, interval: Some((low, high)) }) = skill else {
            panic!("two sessions have an interval")
        };
        assert!((value + 0.5).abs() < 1e-12);
        assert!((high - (value + 12.706_204_736 / 4.0)).abs() < 1e-9);
        assert!((low + high - 2.0 * value).abs() < 1e-9);
    }

    #[test]
    fn sessions_that_repeat_each_other_widen_the_interval() {
        let runs: Vec<(f64, f64)> =
            (0..60).map(|i| (if i / 4 * 37 % 11 < 5 { 0.8 } else { 1.1 }, 1.0)).collect();
        let reach = |horizon| match skill(&runs, horizon) {
            Some(Skill { interval: Some((low, high)), .. }) => high - low,
            _ => 0.0,
        };
        assert!(reach(4) > reach(1) * 1.1, "{} {}", reach(4), reach(1));
    }
}

//! The leak sentinel: part of every training, and not to be skipped. It does not read the code that computes features
//! and learns models; it runs it on worlds in which the future is missing or different and demands the same bits.
//!
//! It catches, among others, a feature shifted by a bar, one normalised over the whole series, and news joined by the
//! date they carry instead of the moment they were first seen.

use chrono::NaiveDate;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::bars::Bars;
use crate::days;
use crate::evaluation::HorizonEvaluation;
use crate::features::{FeatureTable, Inputs, Labels, SessionFeatures};
use crate::models::{Family, FitError, Task};
use crate::panel::Panel;
use crate::volatility;

/// Instruments that a family learns from twice to see whether the future has a part in it.
const PURGE_INSTRUMENTS: usize = 100;
/// Rows whose features are computed alone and compared with the table's.
const SINGLE_ROWS: usize = 16;
/// Daily rank correlations beyond this do not exist in daily returns; they mean a bug.
const IMPOSSIBLE_IC: f64 = 0.10;
/// Hit rates beyond this, over many forecasts and beyond always saying "up", mean a bug.
const IMPOSSIBLE_HIT_RATE: f64 = 0.56;
const MANY_FORECASTS: usize = 500;
/// A hit rate this much above always saying one thing is within what chance does at a horizon of one session; outcomes of
/// longer ones overlap, so that it grows with the root of the horizon.
const ABOVE_ALWAYS: f64 = 0.02;
/// Where outcomes overlap a few months can rank well by chance: so many labels that do not are needed.
const NEEDED_SPANS: usize = 20;

/// What the sentinel looked at and found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeakReport {
    /// One entry per check, in the order they ran.
    pub checks: Vec<LeakCheck>,
    /// Results too good to be true; a version with any is not to be promoted before somebody has understood them.
    pub suspicions: Vec<String>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeakCheck {
    /// What was demanded.
    pub kind: LeakKind,
    /// In which case.
    pub case: String,
    /// How it failed; nothing when it held.
    pub failure: Option<String>,
}

/// The demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakKind {
    /// Features are the same to the bit when everything later is cut off.
    Truncation,
    /// Features are the same to the bit when everything later is replaced by noise.
    Poisoning,
    /// A row computed with its session alone, as for publication, has the bits it has in the table.
    SingleRow,
    /// Features are the same to the bit whatever date the news carry: only when they were first seen counts.
    FirstSeen,
    /// A model is the same to the bit when the labels that end at its cutoff or later are replaced by noise.
    Purge,
}

impl LeakReport {
    /// Whether every check held.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.failure.is_none())
    }

    /// The failures in words.
    pub fn failures(&self) -> Vec<&str> {
        self.checks.iter().filter_map(|check| check.failure.as_deref()).collect()
    }
}

/// Checks a way of computing features on the table it gave.
pub fn check_features(
    inputs: &Inputs<'_>,
    table: &FeatureTable,
    compute: &dyn Fn(&Inputs<'_>) -> FeatureTable,
    seed: u64,
) -> Vec<LeakCheck> {
    let mut checks = check_table(inputs, table, compute, seed);
    checks.extend(check_first_seen(inputs, table, compute));
    if !checks.is_empty() {
        checks.push(check_single_rows(inputs, table, &mut ChaCha8Rng::seed_from_u64(seed)));
    }
    checks
}

/// Checks a way of computing columns, all rows at once, on the table it gave.
pub fn check_table(
    inputs: &Inputs<'_>,
    table: &FeatureTable,
    compute: &dyn Fn(&Inputs<'_>) -> FeatureTable,
    seed: u64,
) -> Vec<LeakCheck> {
    let sessions = inputs.panel.sessions();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut checks = Vec::new();
    if sessions.len() < 2 {
        return checks;
    }
    // The cut before the last session takes away one bar: the case of every new day.
    let cuts = [
        sessions.len() - 2,
        random.random_range(0..sessions.len() - 1),
        random.random_range(sessions.len() / 2..sessions.len() - 1),
    ];
    for cut in cuts {
        let session = sessions[cut];
        let known = inputs.known_at(session);
        let early = compute(&known.inputs());
        let failure = difference(inputs.panel, table, &known.panel, &early, session);
        checks.push(LeakCheck { kind: LeakKind::Truncation, case: format!("cut after {session}"), failure });
    }
    let session = sessions[random.random_range(sessions.len() / 2..sessions.len() - 1)];
    let poisoned = poison(inputs.panel, session, &mut random);
    let news = inputs.sentiment.map(|news| {
        let mut news = news.to_vec();
        for item in news.iter_mut().filter(|item| item.first_seen > session) {
            item.value = random.random_range(-1.0..1.0);
        }
        news
    });
    let other = compute(&Inputs { panel: &poisoned, sentiment: news.as_deref(), ..*inputs });
    let failure = difference(inputs.panel, table, &poisoned, &other, session);
    checks.push(LeakCheck { kind: LeakKind::Poisoning, case: format!("noise after {session}"), failure });
    checks
}

/// Nothing where there are no news.
fn check_first_seen(
    inputs: &Inputs<'_>,
    table: &FeatureTable,
    compute: &dyn Fn(&Inputs<'_>) -> FeatureTable,
) -> Option<LeakCheck> {
    let (first, last) = inputs.panel.bars().sessions()?;
    let mut news = inputs.sentiment?.to_vec();
    for item in &mut news {
        item.published = first;
    }
    let other = compute(&Inputs { sentiment: Some(&news), ..*inputs });
    let failure = difference(inputs.panel, table, inputs.panel, &other, last);
    let case = format!("{} news that say they are of {first}", news.len());
    Some(LeakCheck { kind: LeakKind::FirstSeen, case, failure })
}

/// Rows up to a session must be the same in both tables.
fn difference(
    panel: &Panel,
    table: &FeatureTable,
    other_panel: &Panel,
    other: &FeatureTable,
    session: NaiveDate,
) -> Option<String> {
    let last = days::day(session);
    for (instrument, key) in panel.keys().iter().enumerate() {
        let rows = panel.rows(instrument);
        let known = panel.series(instrument).session.partition_point(|&session| session <= last);
        let Some(other_rows) = other_panel.position(key).map(|instrument| other_panel.rows(instrument))
        else {
            if known > 0 {
                return Some(format!("{key} is missing"));
            }
            continue;
        };
        for (feature, name) in table.names().iter().enumerate() {
            let mine = &table.column(feature)[rows.start..rows.start + known];
            let theirs = &other.column(feature)[other_rows.start..other_rows.start + known];
            let differs = |(a, b): (&f64, &f64)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan());
            if let Some(t) = mine.iter().zip(theirs).position(differs) {
                let at = days::date(panel.series(instrument).session[t]);
                return Some(format!(
                    "{name} of {key} at {at} is {} with the sessions after {session} and {} without them",
                    mine[t], theirs[t]
                ));
            }
        }
    }
    None
}

/// The panel with every price and volume after a session replaced.
fn poison(panel: &Panel, session: NaiveDate, random: &mut ChaCha8Rng) -> Panel {
    let last = days::day(session);
    let mut bars: Bars = panel.bars().clone();
    for row in 0..bars.len() {
        if bars.session[row] > last {
            let factor = random.random_range(0.2..5.0);
            for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
                column[row] *= factor;
            }
            bars.volume[row] = random.random_range(0..10_000_000_u32).into();
        }
    }
    panel.with_bars(bars)
}

fn check_single_rows(inputs: &Inputs<'_>, table: &FeatureTable, random: &mut ChaCha8Rng) -> LeakCheck {
    let mut values = Vec::new();
    let failure = (0..SINGLE_ROWS).find_map(|_| {
        let instrument = random.random_range(0..inputs.panel.keys().len());
        let rows = inputs.panel.rows(instrument);
        let t = random.random_range(0..rows.len());
        table.row(rows.start + t, &mut values);
        let session = inputs.panel.bars().session[rows.start + t];
        let series = inputs.panel.series(instrument);
        let Some(alone) = SessionFeatures::of(inputs, session).row(instrument) else {
            return Some(format!("{} has no features at {} by itself", series.key, days::date(session)));
        };
        let place = alone
            .iter()
            .zip(&values)
            .position(|(a, b)| a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()))?;
        Some(format!(
            "{} of {} at {} is {} in the table and {} when computed alone",
            table.names()[place],
            series.key,
            days::date(series.session[t]),
            values[place],
            alone[place]
        ))
    });
    LeakCheck { kind: LeakKind::SingleRow, case: format!("{SINGLE_ROWS} rows"), failure }
}

/// Checks that labels ending at or after a cutoff have no part in the model learned for it. At most about a hundred
/// instruments take part: a family that lets the future in does so for all.
///
/// # Errors
/// When the family cannot learn at that cutoff.
pub fn check_purge(
    features: &FeatureTable,
    labels: &Labels,
    family: Family,
    cutoff: NaiveDate,
    seed: u64,
) -> Result<LeakCheck, FitError> {
    let fit = |labels: &Labels| family.forecaster().fit(&Task { features, labels }, &[days::day(cutoff)]);
    let failure = learns_from_later(features, labels, cutoff, seed, fit)?
        .then(|| format!("the {} model for {cutoff} learned from labels that had not ended", family.name()));
    let case = format!("horizon {}, model for {cutoff}", labels.horizon());
    Ok(LeakCheck { kind: LeakKind::Purge, case, failure })
}

/// The same of the scale of uncertainty, learned from these columns.
///
/// # Errors
/// When it cannot be learned at that cutoff.
pub fn check_scale_purge(
    scales: &FeatureTable,
    labels: &Labels,
    cutoff: NaiveDate,
    seed: u64,
) -> Result<LeakCheck, FitError> {
    let fit = |labels: &Labels| volatility::fit(scales, labels, &[days::day(cutoff)]);
    let failure = learns_from_later(scales, labels, cutoff, seed, fit)?
        .then(|| format!("the scale for {cutoff} learned from labels that had not ended"));
    let case = format!("scale of uncertainty, horizon {}, model for {cutoff}", labels.horizon());
    Ok(LeakCheck { kind: LeakKind::Purge, case, failure })
}

/// Whether something else is learned when the labels that end at the cutoff or later are noise.
fn learns_from_later<R: PartialEq>(
    features: &FeatureTable,
    labels: &Labels,
    cutoff: NaiveDate,
    seed: u64,
    fit: impl Fn(&Labels) -> Result<R, FitError>,
) -> Result<bool, FitError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (labels, _) = labels.of_some_instruments(features, PURGE_INSTRUMENTS);
    let poisoned = labels.with_values_from(days::day(cutoff), || random.random_range(-1.0..1.0));
    Ok(fit(&labels)? != fit(&poisoned)?)
}

/// Names results that are too good to be true.
pub fn suspicions(evaluation: &HorizonEvaluation) -> Vec<String> {
    let point = &evaluation.model.point;
    let mut found = Vec::new();
    let horizon = evaluation.horizon;
    let spans = |days: usize| horizon == 1 || days >= NEEDED_SPANS * horizon;
    if let Some(ic) = point.ic.as_ref().filter(|ic| ic.mean.abs() > IMPOSSIBLE_IC && spans(ic.days)) {
        found.push(format!(
            "horizon {horizon}: a daily rank correlation of {:.3} over {} sessions is too good to be true",
            ic.mean, ic.days
        ));
    }
    let always_up = point.up_share.max(1.0 - point.up_share);
    let best = IMPOSSIBLE_HIT_RATE.max(always_up + ABOVE_ALWAYS * (horizon as f64).sqrt());
    if let Some(rate) = point.hit_rate.filter(|&rate| rate > best && point.hit_rows > MANY_FORECASTS) {
        found.push(format!(
            "horizon {horizon}: a hit rate of {:.1}% over {} forecasts is too good to be true",
            rate * 100.0,
            point.hit_rows
        ));
    }
    found.extend(evaluation.placebo.iter().flat_map(|placebo| placebo.suspicions(horizon)));
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ops::ControlFlow;

    use super::*;
    use crate::conformal::Scale;
    use crate::evaluation::{TestRows, Units, Walk, evaluate, quarter_start, quarters};
    use crate::features::{DailySentiment, FeatureSet};
    use crate::models::Choices;
    use crate::testing;
    use crate::train::{TrainError, TrainingSpec, train_by};

    fn failures(inputs: &Inputs<'_>, compute: &dyn Fn(&Inputs<'_>) -> FeatureTable) -> Vec<LeakKind> {
        let table = compute(inputs);
        let checks = check_features(inputs, &table, compute, 1);
        checks.into_iter().filter(|check| check.failure.is_some()).map(|check| check.kind).collect()
    }

    #[test]
    fn honest_features_pass() {
        let panel = testing::panel(3, 400, 1).parted();
        for set in FeatureSet::ALL {
            assert_eq!(failures(&Inputs::of(&panel).looking_at(set), &FeatureTable::compute), [], "{set:?}");
        }
    }

    /// What training says of a way of computing features.
    fn training(
        inputs: &Inputs<'_>,
        compute: &dyn Fn(&Inputs<'_>) -> FeatureTable,
    ) -> Result<(), LeakReport> {
        let as_of = inputs.panel.latest_session().unwrap();
        let spec = TrainingSpec { family: Family::Drift, horizons: vec![1], ..TrainingSpec::default() };
        match train_by(compute, inputs, &spec, as_of, &mut |_| ControlFlow::Continue(())) {
            Ok(_) => Ok(()),
            Err(TrainError::Leak(report)) => Err(*report),
            Err(error) => panic!("{error}"),
        }
    }

    fn failed(report: &LeakReport, kind: LeakKind) -> bool {
        report.checks.iter().any(|check| check.kind == kind && check.failure.is_some())
    }

    #[test]
    fn fault_29_training_refuses_a_feature_shifted_by_one_bar() {
        let panel = testing::panel(3, 600, 1);
        let inputs = Inputs::of(&panel);
        training(&inputs, &FeatureTable::compute).unwrap();
        let shifted = |inputs: &Inputs<'_>| {
            let table = FeatureTable::compute(inputs);
            let mut column = table.column(0).to_vec();
            for instrument in 0..inputs.panel.keys().len() {
                column[inputs.panel.rows(instrument)].rotate_left(1);
            }
            table.with_column(0, column)
        };
        let report = training(&inputs, &shifted).unwrap_err();
        assert!(failed(&report, LeakKind::Truncation) && failed(&report, LeakKind::Poisoning), "{report:?}");
    }

    #[test]
    fn fault_29_training_refuses_a_normalisation_over_the_whole_series() {
        let panel = testing::panel(3, 600, 1);
        let normalised = |inputs: &Inputs<'_>| {
            let table = FeatureTable::compute(inputs);
            let column = table.column(11);
            let largest = column.iter().copied().fold(0.0, f64::max);
            let scaled = column.iter().map(|value| value / largest).collect();
            table.with_column(11, scaled)
        };
        // A single cut may keep the largest value by luck; some check must fail.
        training(&Inputs::of(&panel), &normalised).unwrap_err();
    }

    fn late_news(panel: &Panel) -> Vec<DailySentiment> {
        let sessions = panel.sessions();
        // Each is dated five sessions before it was first seen.
        (5..sessions.len())
            .map(|t| DailySentiment {
                key: panel.keys()[t % 3].clone(),
                published: sessions[t - 5],
                first_seen: sessions[t],
                value: (t % 7) as f64 / 7.0 - 0.4,
            })
            .collect()
    }

    #[test]
    fn fault_29_training_refuses_news_joined_by_the_date_they_carry() {
        let panel = testing::panel(3, 600, 1);
        let news = late_news(&panel);
        let inputs = Inputs::new(&panel, Some(&news));
        training(&inputs, &FeatureTable::compute).unwrap();
        let by_publication = |inputs: &Inputs<'_>| {
            let mut news = inputs.sentiment.unwrap().to_vec();
            for item in &mut news {
                item.first_seen = item.published;
            }
            FeatureTable::compute(&Inputs { sentiment: Some(&news), ..*inputs })
        };
        let report = training(&inputs, &by_publication).unwrap_err();
        assert!(failed(&report, LeakKind::Truncation) && failed(&report, LeakKind::FirstSeen), "{report:?}");
    }

    #[test]
    fn results_too_good_to_be_true_are_named() {
        let panel = testing::panel(30, 600, 3);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 1);
        let task = Task { features: &features, labels: &labels };
        let start = quarter_start(panel.sessions()[450]);
        let rows = TestRows::collect(&panel, &task, quarters(start, 0, panel.latest_session().unwrap()));
        let evaluated = |predicted: Vec<f64>| {
            let walk = Walk { predicted, fitted: vec![] };
            evaluate(&task, &rows, &walk, &Units::of(&rows, Scale::Volatility)).unwrap()
        };
        let honest = evaluated(vec![1e-4; rows.len()]);
        assert_eq!(suspicions(&honest), Vec::<String>::new());
        // Who knows every outcome ranks and hits them all.
        let told = suspicions(&evaluated(rows.actual.clone()));
        assert!(
            told.len() == 2 && told[0].contains("rank correlation") && told[1].contains("hit rate"),
            "{told:?}"
        );
    }

    #[test]
    fn every_family_passes_the_purge_check() {
        let panel = testing::panel(3, 300, 1);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, 5);
        let cutoff = panel.sessions()[250];
        let trees = Choices { trees: 3, leaves: 4, smallest_leaf: 20, parts: 2, seed: 1, ..Choices::CHOSEN };
        for family in testing::families(trees) {
            let check = check_purge(&features, &labels, family, cutoff, 1).unwrap();
            assert_eq!(check.failure, None, "{}", family.name());
        }
    }
}

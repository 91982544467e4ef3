//! Whether what a model looks at today still looks like what it learned from.
//!
//! Training leaves a [`FeatureReference`] in the artefact: for each feature its distribution over the training rows, and
//! how far single months of training strayed from it. [`measure`] holds the last sessions against it by two distances:
//!
//! - the **population stability index** (Siddiqi 2006, *Credit Risk Scorecards*, ch. 9): the sum over tenths of
//!   (share now − share then) ln(share now / share then), which is Jeffreys' divergence of the two histograms. By custom
//!   above 0.1 is a change and above 0.25 a large one;
//! - the **Kolmogorov-Smirnov distance** (Smirnov 1939): the largest difference of the two distribution functions.
//!
//! Custom and textbook errors are for independent draws. Returns of one month are not: all stocks fall together, and a
//! quiet month differs from the average of five years in every volatility. So a feature counts as drifted only where it
//! strays further than any month of training did, and its index is above the customary 0.25.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::artefact::Artefact;
use crate::days;
use crate::features::{FeatureSet, FeatureTable, Inputs, of_the_session};

/// Sessions that are held against the reference together: a month, so that every weekday is in it alike.
pub const WINDOW: usize = 20;
/// Bins of a population stability index.
const BINS: usize = 10;
/// The reference keeps so many evenly spaced quantiles.
const KEPT_QUANTILES: usize = 200;
/// About so many rows tell the distribution of a feature.
const SAMPLED_ROWS: usize = 65_536;
/// A share that is empty counts as this one, so that the index stays finite.
const SMALLEST_SHARE: f64 = 1e-4;
/// An index above this is a large change by custom.
const LARGE: f64 = 0.25;
/// Fewer values say nothing.
const NEEDED_ROWS: usize = 100;

/// What the features of a training looked like, in the order of the artefact's features; empty where none was kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureReference {
    /// One per feature.
    pub columns: Vec<ColumnReference>,
}

/// What one feature looked like in training.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnReference {
    /// Its quantiles at (k + 1/2) / 200, rising.
    pub quantiles: Vec<f64>,
    /// The largest population stability index of any month of training.
    pub usual_stability: f64,
    /// The largest Kolmogorov-Smirnov distance of any month of training.
    pub usual_distance: f64,
}

/// How far a feature of the last sessions is from what the model learned from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureDrift {
    /// The feature.
    pub feature: String,
    /// Values the last sessions have of it.
    pub rows: usize,
    /// Its population stability index.
    pub stability: f64,
    /// The largest index of any month of training.
    pub usual_stability: f64,
    /// Its Kolmogorov-Smirnov distance, from 0 to 1.
    pub distance: f64,
    /// The largest distance of any month of training.
    pub usual_distance: f64,
    /// Whether both are beyond what training has seen, and the index is large. Never of a feature that is the same for all
    /// instruments of a session: its few values of a month tell no distribution.
    pub drifted: bool,
}

impl FeatureReference {
    /// Learns from the usable rows of a table.
    pub fn learn(table: &FeatureTable) -> Self {
        let session = table.sessions();
        let usable: Vec<usize> = (0..table.len()).filter(|&row| table.usable(row)).collect();
        let rows = sample(&usable);
        if rows.len() < NEEDED_ROWS {
            return Self::default();
        }
        let mut sessions: Vec<i32> = rows.iter().map(|&row| session[row]).collect();
        sessions.sort_unstable();
        sessions.dedup();
        let month = |row: usize| sessions.partition_point(|&other| other < session[row]) / WINDOW;
        let months: Vec<usize> = rows.iter().map(|&row| month(row)).collect();
        let whole_months = sessions.len() / WINDOW;
        let mut by_month: Vec<Vec<f64>> = vec![Vec::new(); whole_months];
        let columns = (0..table.names().len()).map(|feature| {
            let column = table.column(feature);
            let mut values: Vec<f64> = rows.iter().map(|&row| column[row]).collect();
            values.sort_unstable_by(f64::total_cmp);
            let quantiles = quantiles(&values);
            by_month.iter_mut().for_each(Vec::clear);
            for (&row, &month) in rows.iter().zip(&months) {
                if let Some(values) = by_month.get_mut(month) {
                    values.push(column[row]);
                }
            }
            let (mut usual_stability, mut usual_distance) = (0.0_f64, 0.0_f64);
            for values in by_month.iter_mut().filter(|values| values.len() >= NEEDED_ROWS) {
                values.sort_unstable_by(f64::total_cmp);
                usual_stability = usual_stability.max(population_stability(&quantiles, values));
                usual_distance = usual_distance.max(kolmogorov_smirnov(&quantiles, values));
            }
            ColumnReference { quantiles, usual_stability, usual_distance }
        });
        Self { columns: columns.collect() }
    }
}

/// Holds the features of the [`WINDOW`] sessions up to `session` against those of training. Later bars are not looked
/// at. Empty where the artefact keeps no reference, looks at other features, or there are too few rows.
pub fn measure(artefact: &Artefact, inputs: &Inputs<'_>, session: NaiveDate) -> Vec<FeatureDrift> {
    let reference = &artefact.reference.columns;
    let inputs = inputs.looking_at(FeatureSet::of(&artefact.features));
    if !inputs.names().iter().eq(artefact.features.iter()) || reference.len() != artefact.features.len() {
        return Vec::new();
    }
    let known = inputs.known_at(session);
    let table = FeatureTable::compute(&known.inputs());
    let sessions = known.panel.sessions();
    let Some(&first) = sessions.get(sessions.len().saturating_sub(WINDOW)) else { return Vec::new() };
    let first = days::day(first);
    let rows: Vec<usize> =
        (0..table.len()).filter(|&row| table.usable(row) && table.sessions()[row] >= first).collect();
    if rows.len() < NEEDED_ROWS {
        return Vec::new();
    }
    let measured = |(feature, reference): (usize, &ColumnReference)| {
        let column = table.column(feature);
        let mut values: Vec<f64> = rows.iter().map(|&row| column[row]).collect();
        values.sort_unstable_by(f64::total_cmp);
        let stability = population_stability(&reference.quantiles, &values);
        let distance = kolmogorov_smirnov(&reference.quantiles, &values);
        FeatureDrift {
            feature: artefact.features[feature].clone(),
            rows: rows.len(),
            stability,
            usual_stability: reference.usual_stability,
            distance,
            usual_distance: reference.usual_distance,
            drifted: !of_the_session(&artefact.features[feature])
                && stability > LARGE.max(reference.usual_stability)
                && distance > reference.usual_distance,
        }
    };
    reference.iter().enumerate().map(measured).collect()
}

/// The population stability index of `current` against `reference`, both sorted and not empty: histograms over the
/// tenths of the reference. Where values repeat, as those of a weekday do, tenths fall together.
///
/// # Panics
/// When there is no reference.
pub fn population_stability(reference: &[f64], current: &[f64]) -> f64 {
    let mut edges: Vec<f64> = (1..BINS).map(|tenth| reference[reference.len() * tenth / BINS]).collect();
    edges.dedup();
    let shares = |sorted: &[f64]| -> Vec<f64> {
        let mut below = 0;
        let mut shares: Vec<f64> = Vec::with_capacity(edges.len() + 1);
        for edge in &edges {
            let upto = sorted.partition_point(|value| value < edge);
            shares.push((upto - below) as f64 / sorted.len() as f64);
            below = upto;
        }
        shares.push((sorted.len() - below) as f64 / sorted.len() as f64);
        shares
    };
    let pairs = shares(reference).into_iter().zip(shares(current));
    pairs
        .map(|(then, now)| (then.max(SMALLEST_SHARE), now.max(SMALLEST_SHARE)))
        .map(|(then, now)| (now - then) * libm::log(now / then))
        .sum()
}

/// The largest difference of the distribution functions of two sorted samples.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let (mut i, mut j, mut largest) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        while a.get(i).is_some_and(|&next| next <= value) {
            i += 1;
        }
        while b.get(j).is_some_and(|&next| next <= value) {
            j += 1;
        }
        largest = largest.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    largest
}

/// About [`SAMPLED_ROWS`] rows, chosen by a hash of their place so that no rhythm of the calendar is met.
fn sample(rows: &[usize]) -> Vec<usize> {
    let threshold = (SAMPLED_ROWS as f64 / rows.len().max(1) as f64).min(1.0) * f64::from(u32::MAX);
    let hash = |place: usize| (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    rows.iter()
        .enumerate()
        .filter(|(place, _)| hash(*place) as f64 <= threshold)
        .map(|(_, &row)| row)
        .collect()
}

/// [`KEPT_QUANTILES`] of sorted values, each in the middle of its part.
fn quantiles(sorted: &[f64]) -> Vec<f64> {
    (0..KEPT_QUANTILES).map(|k| sorted[(2 * k + 1) * sorted.len() / (2 * KEPT_QUANTILES)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::train::{TrainingSpec, train};
    use std::ops::ControlFlow;

    fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        values
    }

    #[test]
    fn the_index_of_two_known_histograms_is_the_known_one() {
        // Half of the values above the median now, then 80%: (.8 - .5) ln(.8 / .5) + (.2 - .5) ln(.2 / .5), spread over
        // five tenths each.
        let reference = sorted((0..1000).map(f64::from));
        let current = sorted(
            (0..1000)
                .map(|i| if i < 800 { 500.0 + f64::from(i % 500) } else { f64::from((i - 800) * 5 / 2) }),
        );
        let exact = 0.3 * 1.6_f64.ln() - 0.3 * 0.4_f64.ln();
        let found = population_stability(&reference, &current);
        // Tenths above are filled unevenly by i % 500; a histogram can only be further away than its halves are.
        assert!(found >= exact - 1e-9 && found < exact + 0.1, "{found} for {exact}");
        assert!(population_stability(&reference, &reference).abs() < 1e-12);
    }

    #[test]
    fn the_distance_of_two_known_samples_is_the_known_one() {
        let exact = |a: &[f64], b: &[f64], distance: f64| {
            assert!((kolmogorov_smirnov(a, b) - distance).abs() < 1e-12, "{}", kolmogorov_smirnov(a, b));
        };
        exact(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 3.0, 4.0], 0.0);
        exact(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0], 0.5);
        exact(&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 1.0], 0.5);
        exact(&[1.0, 2.0], &[5.0], 1.0);
    }

    #[test]
    fn a_weekday_has_two_bins_and_a_change_of_its_share_is_seen() {
        let weekday = |share: usize| sorted((0..1000).map(move |i| f64::from(u8::from(i < share))));
        let exact = (0.4 - 0.2) * 2.0_f64.ln() + (0.6 - 0.8) * 0.75_f64.ln();
        assert!((population_stability(&weekday(200), &weekday(400)) - exact).abs() < 1e-9);
    }

    #[test]
    fn months_like_those_of_training_have_not_drifted_and_a_wilder_one_has() {
        let panel = testing::panel(12, 520, 31);
        let sessions = panel.sessions();
        let as_of = sessions[479];
        let inputs = Inputs::of(&panel);
        let spec = TrainingSpec { horizons: vec![1], ..TrainingSpec::default() };
        let trained = train(&inputs, &spec, as_of, &mut |_| ControlFlow::Continue(()));
        let artefact = trained.map_or_else(|error| panic!("{error}"), |trained| trained.artefact);
        let calm = measure(&artefact, &inputs, sessions[515]);
        assert_eq!(calm.len(), artefact.features.len());
        assert!(calm.iter().all(|feature| !feature.drifted), "{calm:?}");
        let mut bars = panel.bars().clone();
        let before = bars.close.clone();
        let from = days::day(sessions[490]);
        for row in (1..bars.len()).filter(|&row| bars.session[row] > from) {
            let daily = before[row] / before[row - 1];
            bars.close[row] = bars.close[row - 1] * daily.powi(4);
        }
        let wild = crate::Panel::new(bars);
        let found = measure(&artefact, &Inputs::of(&wild), sessions[515]);
        let of = |name: &str| found.iter().find(|feature| feature.feature == name);
        assert!(of("std_20").is_some_and(|feature| feature.drifted), "{found:?}");
        assert!(of("dow_tue").is_some_and(|feature| !feature.drifted), "{found:?}");
        // What came later changes nothing.
        let known = wild.as_of(sessions[515]);
        assert_eq!(measure(&artefact, &Inputs::of(&known), sessions[515]), found);
    }

    #[test]
    fn an_artefact_without_a_reference_or_with_other_features_measures_nothing() {
        let panel = testing::panel(12, 200, 31);
        assert_eq!(
            FeatureReference::learn(&FeatureTable::compute(&Inputs::of(&panel.as_of(panel.sessions()[61]))))
                .columns,
            []
        );
    }

    proptest::proptest! {
        #[test]
        fn another_unit_changes_neither_distance_and_order_does_not_matter(
            a in proptest::collection::vec(-1e3_f64..1e3, 50..200),
            b in proptest::collection::vec(-1e3_f64..1e3, 50..200),
        ) {
            let (a, b) = (sorted(a.into_iter()), sorted(b.into_iter()));
            let scaled = |values: &[f64]| sorted(values.iter().map(|value| value * 1024.0));
            let (c, d) = (scaled(&a), scaled(&b));
            proptest::prop_assert_eq!(population_stability(&a, &b).to_bits(), population_stability(&c, &d).to_bits());
            proptest::prop_assert_eq!(kolmogorov_smirnov(&a, &b).to_bits(), kolmogorov_smirnov(&d, &c).to_bits());
            proptest::prop_assert!(population_stability(&a, &b) >= 0.0 && kolmogorov_smirnov(&a, &b) <= 1.0);
        }
    }
}

//! What every family promises, whatever it learns.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::artefact::{Artefact, HorizonModel, digest};
use crate::conformal::{Calibration, Scale};
use crate::drift::FeatureReference;
use crate::features::Inputs;
use crate::parallel::Threads;
use crate::{Panel, testing};

/// Trees small enough for the few rows of a test.
const TREES: Choices =
    Choices { trees: 6, rate: 0.3, leaves: 5, smallest_leaf: 20, penalty: 1.0, parts: 3, seed: 1 };

fn families() -> [Family; Family::TRAINABLE.len()] {
    testing::families(TREES)
}

/// Those that look at features, and with them at more than who it is.
fn families_that_rank() -> impl Iterator<Item = Family> {
    families().into_iter().filter(|family| match family {
        Family::Zero | Family::Drift | Family::InstrumentDrift | Family::Onnx => false,
        Family::Ridge { .. }
        | Family::ElasticNet { .. }
        | Family::Logistic { .. }
        | Family::Boosted(_)
        | Family::Ensemble { .. } => true,
    })
}

/// Models that were trained elsewhere: a forest and a linear one, which have learnt nothing of any world here.
fn imported() -> Vec<Fitted> {
    let files: [&[u8]; 2] = [
        include_bytes!("../../tests/fixtures/onnx/forest.onnx"),
        include_bytes!("../../tests/fixtures/onnx/scaled_elastic_net.onnx"),
    ];
    let spread = Spread { mean: vec![0.1; 19], std: vec![1.0; 19] };
    files.map(|file| Fitted::Onnx(Onnx::new(file.to_vec(), spread.clone()).unwrap())).to_vec()
}

struct World {
    panel: Panel,
    features: FeatureTable,
    labels: Labels,
}

impl World {
    fn new(panel: Panel, horizon: usize) -> Self {
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let labels = Labels::new(&panel, &features, horizon);
        Self { panel, features, labels }
    }

    fn task(&self) -> Task<'_> {
        Task { features: &self.features, labels: &self.labels }
    }

    fn cutoffs<const N: usize>(&self, places: [usize; N]) -> [i32; N] {
        let sessions = self.panel.sessions();
        places.map(|place| days::day(sessions[place]))
    }

    fn fit(&self, family: Family, cutoffs: &[i32]) -> Vec<Fitted> {
        family.forecaster().fit(&self.task(), cutoffs).unwrap()
    }

    /// Models of every family, also of those that are trained elsewhere.
    fn models(&self, cutoffs: &[i32]) -> Vec<(Family, Vec<Fitted>)> {
        let learnt = families().into_iter().map(|family| (family, self.fit(family, cutoffs)));
        learnt.chain([(Family::Onnx, imported())]).collect()
    }

    /// What models expect of all usable rows.
    fn predicted(&self, fitted: &Fitted) -> Vec<f64> {
        let rows: Vec<usize> = (0..self.features.len()).filter(|&row| self.features.usable(row)).collect();
        fitted.predict_in(&self.features, &rows)
    }
}

/// The bytes a model has in an artefact.
fn bytes(family: Family, fitted: &[Fitted]) -> Vec<u8> {
    artefact(family, fitted).to_bytes()
}

/// What tells them from all others, short enough to be shown.
fn mark(family: Family, fitted: &[Fitted]) -> String {
    digest(&bytes(family, fitted))
}

fn artefact(family: Family, fitted: &[Fitted]) -> Artefact {
    let scores = (0..500).map(|i| f64::from(i) / 100.0 - 2.5).collect();
    let calibration = Calibration::from_scores(Scale::Volatility, scores).unwrap();
    let model = |(place, fitted): (usize, &Fitted)| HorizonModel {
        horizon: place + 1,
        training_rows: 1,
        drift: None,
        fitted: fitted.clone(),
        volatility: None,
        calibration: calibration.clone(),
    };
    let date = chrono::NaiveDate::from_ymd_opt(2018, 2, 7).unwrap();
    Artefact {
        family,
        features: crate::features::NAMES.map(str::to_owned).to_vec(),
        models: fitted.iter().enumerate().map(model).collect(),
        trained_from: date,
        as_of: date,
        data_digest: String::new(),
        seed: 0,
        code_version: String::new(),
        reference: FeatureReference::default(),
        spread: None,
    }
}

/// Random walks in which a fall yesterday makes a rise today likelier, so that there is something to learn.
fn reverting(instruments: usize, rows: usize, seed: u64) -> Panel {
    let mut bars = testing::panel(instruments, rows, seed).bars().clone();
    let before = bars.close.clone();
    for row in 2..bars.len() {
        if bars.key[row] == bars.key[row - 2] {
            bars.close[row] *= (before[row - 2] / before[row - 1]).powf(0.8);
        }
    }
    Panel::new(bars)
}

/// One world for each horizon, and each of other chances.
fn worlds(seed: u64) -> impl Iterator<Item = World> {
    [1, 5, 20].into_iter().zip(seed..).map(|(horizon, seed)| World::new(reverting(4, 400, seed), horizon))
}

#[test]
fn every_family_learns_nothing_from_labels_that_end_at_or_after_the_cutoff() {
    for world in worlds(700) {
        let cutoffs = world.cutoffs([200, 250, 300]);
        let learnt: Vec<_> = families().map(|family| (family, world.fit(family, &cutoffs))).into();
        for (place, cutoff) in cutoffs.into_iter().enumerate() {
            // The same past with another future, from the very day of the cutoff on: models of it and of earlier ones stay,
            // also beside those of later cutoffs.
            let mut bars = world.panel.bars().clone();
            for row in 0..bars.len() {
                if bars.session[row] >= cutoff {
                    bars.close[row] *= 1.5 + 0.5 * f64::from(bars.session[row] % 2);
                }
            }
            let other = World::new(Panel::new(bars), world.labels.horizon());
            for (family, learnt) in &learnt {
                let again = other.fit(*family, &cutoffs);
                let until = |models: &[Fitted]| mark(*family, &models[..=place]);
                assert_eq!(until(learnt), until(&again), "{} before {place}", family.name());
            }
        }
    }
}

#[test]
fn every_family_gives_one_finite_model_per_cutoff_and_the_same_when_asked_alone() {
    let world = World::new(reverting(4, 400, 3), 1);
    let cutoffs = world.cutoffs([150, 250, 399]);
    for family in families() {
        let together = world.fit(family, &cutoffs);
        assert_eq!(together.len(), cutoffs.len());
        let alone = world.fit(family, &cutoffs[2..]);
        for (a, b) in world.predicted(&together[2]).into_iter().zip(world.predicted(&alone[0])) {
            assert!(a.is_finite() && (a - b).abs() < 1e-12, "{}: {a} {b}", family.name());
        }
        assert_eq!(world.fit(family, &[]), []);
    }
}

#[test]
fn threads_change_no_bit_and_neither_does_another_run() {
    for world in worlds(500) {
        let cutoffs = world.cutoffs([150, 200, 250, 300, 399]);
        for family in families() {
            let on = |threads| {
                let threads = Threads::new(threads).unwrap();
                mark(family, &family.forecaster_on(threads).fit(&world.task(), &cutoffs).unwrap())
            };
            let one = on(1);
            for threads in [1, 2, 3, 7] {
                assert_eq!(on(threads), one, "{} on {threads} threads", family.name());
            }
        }
    }
}

#[test]
fn rows_with_a_feature_or_label_that_is_no_number_teach_nothing() {
    let world = World::new(reverting(4, 400, 9), 5);
    let cutoffs = world.cutoffs([399]);
    let mut column = world.features.column(0).to_vec();
    let missing = |row: usize| row.is_multiple_of(17);
    for (row, value) in column.iter_mut().enumerate().filter(|(row, _)| missing(*row)) {
        *value = if row.is_multiple_of(2) { f64::NAN } else { f64::INFINITY };
    }
    let features = world.features.clone().with_column(0, column);
    assert!((0..features.len()).all(|row| !(missing(row) && features.usable(row))));
    // The rows that are out must not matter in any other column either.
    let mut other = features.column(1).to_vec();
    other.iter_mut().enumerate().filter(|(row, _)| missing(*row)).for_each(|(_, value)| *value = 1e6);
    let spoilt = features.clone().with_column(1, other);
    for family in families() {
        let fit = |features| {
            let task = Task { features, labels: &world.labels };
            mark(family, &family.forecaster().fit(&task, &cutoffs).unwrap())
        };
        assert_eq!(fit(&features), fit(&spoilt), "{}", family.name());
    }
}

#[test]
fn every_family_survives_the_way_through_an_artefact_byte_for_byte() {
    let world = World::new(reverting(4, 400, 11), 1);
    for (family, fitted) in world.models(&world.cutoffs([250, 399])) {
        let written = bytes(family, &fitted);
        let opened = Artefact::open(&written, &digest(&written)).unwrap();
        assert_eq!(opened, artefact(family, &fitted), "{}", family.name());
        assert_eq!(opened.to_bytes(), written);
        for (model, fitted) in opened.models.iter().zip(&fitted) {
            for (a, b) in world.predicted(&model.fitted).into_iter().zip(world.predicted(fitted)) {
                assert_eq!(a.to_bits(), b.to_bits());
            }
        }
    }
}

#[test]
fn truncated_or_corrupt_bytes_of_any_family_are_refused_and_never_panic() {
    let world = World::new(reverting(4, 400, 13), 1);
    for (family, fitted) in world.models(&world.cutoffs([399])) {
        let written = bytes(family, &fitted);
        for length in (0..written.len()).step_by(written.len() / 700 + 1) {
            let part = &written[..length];
            assert!(Artefact::open(part, &digest(part)).is_err(), "{}: {length} bytes", family.name());
        }
        for place in (0..written.len()).step_by(written.len() / 700 + 1) {
            for value in [0, 1, 0x7f, 0xff] {
                let mut corrupt = written.clone();
                corrupt[place] = value;
                // Whatever opens can be asked without a panic.
                if let Ok(opened) = Artefact::open(&corrupt, &digest(&corrupt)) {
                    for model in &opened.models {
                        let alone = model.fitted.predict(&[0.5; 19]);
                        let [together] = model.fitted.predict_rows(&[""], &[0.5; 19], 19)[..] else {
                            panic!("one row has one forecast");
                        };
                        assert!(
                            alone.to_bits() == together.to_bits() || (alone.is_nan() && together.is_nan()),
                            "{}: {alone} {together}",
                            family.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn another_unit_of_a_feature_changes_no_forecast() {
    for (world, column) in worlds(1500).zip([9, 0, 14]) {
        let cutoffs = world.cutoffs([399]);
        // Powers of two lose no bit, so that trees split at the same rows.
        let scaled = world.features.column(column).iter().map(|value| value * 1024.0).collect();
        let other = World {
            features: world.features.clone().with_column(column, scaled),
            ..World::new(world.panel.clone(), world.labels.horizon())
        };
        for family in families() {
            let (a, b) = (world.fit(family, &cutoffs), other.fit(family, &cutoffs));
            for (a, b) in world.predicted(&a[0]).into_iter().zip(other.predicted(&b[0])) {
                assert!((a - b).abs() < 1e-10, "{}: {a} {b}", family.name());
            }
        }
    }
}

#[test]
fn many_rows_are_forecast_as_each_alone_and_contributions_lead_there_from_the_base() {
    let world = World::new(reverting(4, 400, 17), 1);
    let width = world.features.names().len();
    let (mut values, mut rows, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for row in (0..world.features.len()).filter(|&row| world.features.usable(row)) {
        world.features.row(row, &mut values);
        rows.extend_from_slice(&values);
        keys.push(world.features.key(row));
    }
    let models = world.models(&world.cutoffs([399]));
    for (family, fitted) in
        models.iter().flat_map(|(family, models)| models.iter().map(move |it| (family, it)))
    {
        let many = fitted.predict_rows(&keys, &rows, width);
        for ((row, key), together) in rows.chunks_exact(width).zip(&keys).zip(many) {
            assert_eq!(together.to_bits(), fitted.predict_for(key, row).to_bits(), "{}", family.name());
            let contributions = fitted.contributions(row);
            assert_eq!(contributions.len(), width);
            let rest = together - contributions.iter().sum::<f64>();
            assert!(
                (rest - fitted.base(key)).abs() < 1e-12,
                "{}: {rest} {}",
                family.name(),
                fitted.base(key)
            );
        }
    }
}

#[test]
fn families_that_learn_say_when_there_is_too_little_to_learn_from() {
    let world = World::new(testing::panel(1, 62, 3), 1);
    for family in families().into_iter().filter(|family| *family != Family::Zero) {
        let refused = family.forecaster().fit(&world.task(), &world.cutoffs([61])).unwrap_err();
        assert!(matches!(refused, FitError::TooFewRows { .. }), "{refused}");
    }
}

#[test]
fn families_that_rank_find_what_there_is_and_the_ensemble_believes_them() {
    let world = World::new(reverting(30, 700, 19), 1);
    let cutoff = world.cutoffs([600]);
    for family in families_that_rank() {
        let fitted = &world.fit(family, &cutoff)[0];
        let (mut right, mut all) = (0.0, 0.0);
        let mut values = Vec::new();
        let drift = world.fit(Family::Drift, &cutoff)[0].predict(&[]);
        for row in (0..world.features.len()).filter(|&row| world.task().labelled(row)) {
            if world.features.sessions()[row] >= cutoff[0] {
                world.features.row(row, &mut values);
                let expected = fitted.predict_for(world.features.key(row), &values) - drift;
                right += f64::from(u8::from((expected > 0.0) == (world.labels.value(row) > drift)));
                all += 1.0;
            }
        }
        assert!(right / all > 0.55, "{} is right in {}", family.name(), right / all);
        if let Fitted::Blend(blend) = fitted {
            assert!(blend.members.iter().all(|(weight, _)| *weight > 0.2), "{:?}", blend.members[0].0);
        }
    }
}

#[test]
fn where_there_is_nothing_to_find_the_ensemble_is_mostly_the_drift_itself() {
    let mut believed = 0;
    for seed in 21..24 {
        let world = World::new(testing::panel(20, 600, seed), 1);
        let cutoff = world.cutoffs([599]);
        let ensemble = &world.fit(Family::Ensemble { alpha: 10.0, boosted: TREES }, &cutoff)[0];
        let Fitted::Blend(blend) = ensemble else { panic!("an ensemble blends") };
        believed += blend.members.iter().filter(|(weight, _)| *weight > 0.0).count();
        if blend.members.iter().all(|(weight, _)| *weight <= 0.0) {
            let drift = world.fit(Family::Drift, &cutoff)[0].predict(&[]);
            for expected in world.predicted(ensemble) {
                assert!((expected - drift).abs() < 1e-15, "{expected} {drift}");
            }
        }
    }
    // Each of six members passes by chance once in twenty times.
    assert!(believed <= 1, "{believed} of 6 members are believed");
}

#[test]
fn every_family_has_a_name_that_leads_back_to_it_and_bad_choices_are_named() {
    for family in Family::TRAINABLE {
        assert_eq!(Family::named(family.name()), Some(family));
        assert_eq!(family.flaw(), None);
    }
    assert_eq!(Family::named("prophet"), None);
    let flawed = [
        Family::Ridge { alpha: f64::NAN },
        Family::Logistic { alpha: -1.0 },
        Family::ElasticNet { penalty: 1.0, l1_ratio: 1.5 },
        Family::Boosted(Choices { leaves: 1, ..TREES }),
        Family::Boosted(Choices { parts: 0, ..TREES }),
        Family::Ensemble { alpha: 1.0, boosted: Choices { rate: f64::INFINITY, ..TREES } },
    ];
    assert!(flawed.iter().all(|family| family.flaw().is_some()));
}

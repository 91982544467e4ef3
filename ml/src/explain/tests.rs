#![allow(clippy::unwrap_used)]
use std::ops::ControlFlow;

use super::*;
use crate::bars::{Bar, Bars};
use crate::conformal::Scale;
use crate::models::{Choices, Family, Fitted};
use crate::testing;
use crate::train::{TrainingSpec, train};

const TREES: Choices =
    Choices { trees: 5, rate: 0.1, leaves: 7, smallest_leaf: 40, penalty: 10.0, parts: 2, seed: 0 };

fn artefact(panel: &Panel, family: Family) -> Artefact {
    let spec =
        TrainingSpec { family, horizons: vec![1, 5], scale: Scale::Volatility, ..TrainingSpec::default() };
    let as_of = panel.latest_session().unwrap();
    let mut on = |_| ControlFlow::Continue(());
    train(&Inputs::of(panel), &spec, as_of, &mut on).unwrap().artefact
}

fn explained(explainer: &Explainer, key: &str, horizon: usize) -> Explanation {
    explainer.explain(key, horizon, 25).unwrap().unwrap()
}

/// The same bars up to a session, and other ones after it.
fn with_another_future(panel: &Panel, session: NaiveDate) -> Panel {
    let mut bars = Bars::default();
    for (instrument, key) in panel.keys().iter().enumerate() {
        for row in panel.rows(instrument) {
            let bar = panel.bars().bar(row);
            let after = if bar.session > session { 3.0 } else { 1.0 };
            bars.push(
                key,
                Bar {
                    open: bar.open * after,
                    high: bar.high * after,
                    low: bar.low * after,
                    close: bar.close * after,
                    ..bar
                },
            );
        }
    }
    Panel::new(bars)
}

#[test]
fn base_and_contributions_sum_up_to_the_forecast_for_every_family() {
    let panel = testing::panel(6, 900, 5);
    let session = panel.latest_session().unwrap();
    for family in testing::families(TREES) {
        let explainer = Explainer::new(artefact(&panel, family), &Inputs::of(&panel), session).unwrap();
        for (key, horizon) in [("I00", 1), ("I05", 5)] {
            let explanation = explained(&explainer, key, horizon);
            for reasons in [Some(&explanation.reasons), explanation.before.as_ref()].into_iter().flatten() {
                let sum: f64 = reasons.contributions.iter().map(|part| part.amount).sum();
                let expected = reasons.predicted.expected;
                assert!((reasons.base + sum - expected).abs() < 1e-14, "{}: {expected}", family.name());
            }
        }
    }
}

#[test]
fn a_blend_is_explained_by_its_members_as_far_as_they_count() {
    let panel = testing::panel(6, 900, 7);
    let session = panel.latest_session().unwrap();
    let linear = artefact(&panel, Family::Ridge { alpha: 10.0 });
    let boosted = artefact(&panel, Family::Boosted(TREES));
    let mut blended = linear.clone();
    for (place, model) in blended.models.iter_mut().enumerate() {
        let members = [(0.3, &linear), (0.2, &boosted), (0.0, &linear)];
        let members = members.map(|(weight, of)| (weight, of.models[place].fitted.clone())).to_vec();
        model.fitted = Fitted::Blend(crate::models::Blend { drift: 0.002, members });
    }
    let explainer = Explainer::new(blended, &Inputs::of(&panel), session).unwrap();
    let reasons = explained(&explainer, "I01", 1).reasons;
    let sum: f64 = reasons.contributions.iter().map(|part| part.amount).sum();
    assert!(sum.abs() > 1e-9, "nothing is explained");
    assert!((reasons.base + sum - reasons.predicted.expected).abs() < 1e-14);
}

#[test]
fn what_comes_after_the_session_changes_no_explanation() {
    let panel = testing::panel(6, 900, 11);
    let session = testing::weekdays(900)[850];
    let artefact = artefact(&panel.as_of(session), Family::Ridge { alpha: 10.0 });
    let whole = Explainer::new(artefact.clone(), &Inputs::of(&panel), session).unwrap();
    for other in [panel.as_of(session), with_another_future(&panel, session)] {
        let cut = Explainer::new(artefact.clone(), &Inputs::of(&other), session).unwrap();
        for horizon in [1, 5] {
            assert_eq!(explained(&whole, "I03", horizon), explained(&cut, "I03", horizon));
        }
    }
}

#[test]
fn every_case_had_ended_by_the_session_and_the_nearest_come_first() {
    let panel = testing::panel(6, 900, 13);
    let session = testing::weekdays(900)[850];
    let artefact = artefact(&panel.as_of(session), Family::Drift);
    let explainer = Explainer::new(artefact, &Inputs::of(&panel), session).unwrap();
    let cases = explained(&explainer, "I02", 5).cases;
    assert_eq!(cases.nearest.len(), 25);
    assert_eq!(cases.among, 6 * (851 - 60 - 5));
    assert!(cases.nearest.iter().all(|case| case.session < case.ended && case.ended <= session));
    assert!(cases.nearest.windows(2).all(|pair| pair[0].distance <= pair[1].distance));
    for (place, case) in cases.nearest.iter().enumerate() {
        let series = panel.series(panel.position(&case.key).unwrap());
        let t = series.session.binary_search(&crate::days::day(case.session)).unwrap();
        let came = (series.close[t + 5] / series.close[t]).ln();
        assert!((case.outcome - came).abs() < 1e-12, "{case:?}");
        let again = cases.nearest[..place].iter().filter(|other| other.key == case.key);
        assert!(again.into_iter().all(|other| (other.session - case.session).num_days().abs() >= 20));
    }
    let [low, .., high] = cases.quantiles.unwrap();
    let inside = cases.nearest.iter().filter(|case| (low..=high).contains(&case.outcome)).count();
    assert_eq!(inside, 19, "the three lowest and the three highest lie outside");
}

#[test]
fn a_row_seen_before_is_its_own_nearest_case() {
    let panel = testing::panel(3, 700, 17);
    let table = FeatureTable::compute(&Inputs::of(&panel));
    let labels = Labels::new(&panel, &table, 1);
    let alike = cases::Alike::of(&table, labels, panel.latest_session().unwrap());
    let row = panel.rows(1).start + 400;
    let nearest = &alike.nearest(&table, row, 3).nearest;
    assert_eq!((nearest[0].key.as_str(), nearest[0].session), ("I01", testing::weekdays(700)[400]));
    assert!(nearest[0].distance.abs() < 1e-12 && nearest[1].distance > 0.1);
}

#[test]
fn an_instrument_that_is_abstained_from_is_explained_by_the_reason() {
    let panel = testing::panel(4, 900, 19);
    let session = panel.latest_session().unwrap();
    let artefact = artefact(&panel, Family::Drift);
    let mut bars = panel.bars().clone();
    bars.push("NEW", panel.bars().bar(panel.len() - 1));
    let panel = Panel::new(bars);
    let explainer = Explainer::new(artefact, &Inputs::of(&panel), session).unwrap();
    let refused = explainer.explain("NEW", 1, 5).unwrap().unwrap_err();
    assert!(matches!(refused, Abstention::TooLittleHistory { rows: 1, .. }), "{refused}");
    assert!(explainer.explain("NOBODY", 1, 5).is_none() && explainer.explain("I00", 7, 5).is_none());
}

#[test]
fn every_feature_has_words() {
    let sets = FeatureSet::ALL.into_iter().flat_map(FeatureSet::features);
    for name in sets.chain([crate::features::SENTIMENT]) {
        assert!(meaning(name).is_some(), "{name}");
    }
    assert_eq!(meaning("moon"), None);
}

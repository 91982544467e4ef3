//! What every model of scale promises.

#![allow(clippy::unwrap_used)]

use std::ops::Range;

use chrono::NaiveDate;

use super::garch::{PooledGarch, Shock, Shocks};
use super::{Autoregression, ScaleModel, table};
use crate::features::{FeatureTable, Inputs, Labels};
use crate::panel::Panel;
use crate::{Bars, days, testing};

/// The models, by name.
const MODELS: [&str; 3] = ["autoregression", "GARCH on returns", "GARCH on ranges"];

/// The scales that a model learns for the cutoffs.
fn scales(name: &str, panel: &Panel, horizon: usize, cutoffs: &[NaiveDate]) -> Vec<Vec<f64>> {
    let inputs = Inputs::of(panel);
    let features = FeatureTable::compute(&inputs);
    let labels = Labels::new(panel, &features, horizon);
    let cutoffs: Vec<i32> = cutoffs.iter().map(|&cutoff| days::day(cutoff)).collect();
    let of = |model: &dyn ScaleModel| model.scales(&labels, &cutoffs).unwrap();
    let garch = |shock| of(&PooledGarch { panel, shocks: &Shocks::of(panel, &features, shock) });
    match name {
        "autoregression" => of(&Autoregression(&table(&inputs, &features))),
        "GARCH on returns" => garch(Shock::Return),
        _ => garch(Shock::Range),
    }
}

/// Whether two lists of a model are the same, with no value in the same places. The sums of the autoregression grow from
/// one cutoff to the next and take rows in blocks, so that others beside it round differently.
fn same(name: &str, one: &[f64], other: &[f64]) -> bool {
    let close = |a: f64, b: f64| match name {
        "autoregression" => (a - b).abs() <= 1e-12 * a.abs() || (a.is_nan() && b.is_nan()),
        _ => a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
    };
    one.len() == other.len() && one.iter().zip(other).all(|(&a, &b)| close(a, b))
}

/// Prices that move so many times as much.
fn wilder(panel: &Panel, times: f64, only: impl Fn(u32) -> bool) -> Panel {
    let mut bars: Bars = panel.bars().clone();
    for row in (0..bars.len()).filter(|&row| only(bars.key[row])) {
        for column in [&mut bars.open, &mut bars.high, &mut bars.low, &mut bars.close] {
            column[row] = column[row].powf(times);
        }
    }
    Panel::new(bars)
}

#[test]
fn what_comes_later_changes_no_scale() {
    for seed in [4, 5, 6] {
        let panel = testing::panel(5, 320, seed);
        let cut = panel.sessions()[250];
        let before = panel.as_of(cut);
        for name in MODELS {
            let (whole, past) = (scales(name, &panel, 5, &[cut]), scales(name, &before, 5, &[cut]));
            for instrument in 0..5 {
                let (rows, known) = (panel.rows(instrument), before.rows(instrument));
                let whole = &whole[0][rows][..known.len()];
                assert!(same(name, &past[0][known], whole), "{name}, seed {seed}");
            }
        }
    }
}

#[test]
fn what_is_learned_for_a_cutoff_is_the_same_beside_others() {
    let panel = testing::panel(4, 400, 8);
    let sessions = panel.sessions();
    let cutoffs = [sessions[260], sessions[320], sessions[380]];
    for name in MODELS {
        let together = scales(name, &panel, 1, &cutoffs);
        for (cutoff, together) in cutoffs.iter().zip(&together) {
            assert!(same(name, &scales(name, &panel, 1, &[*cutoff])[0], together), "{name}");
        }
    }
}

#[test]
fn every_row_with_features_has_a_scale_and_nothing_else_is_below_or_at_zero() {
    let panel = testing::panel(3, 320, 5);
    let features = FeatureTable::compute(&Inputs::of(&panel));
    let cutoff = [panel.sessions()[300]];
    for name in MODELS {
        let scales = scales(name, &panel, 20, &cutoff).remove(0);
        assert_eq!(scales.len(), panel.len());
        for (row, scale) in scales.into_iter().enumerate() {
            assert!(scale.is_nan() || (scale.is_finite() && scale > 0.0), "{name}: {scale} in row {row}");
            assert!(!(features.usable(row) && scale.is_nan()), "{name}: none in row {row}");
        }
    }
}

#[test]
fn whoever_moves_twice_as_much_has_about_twice_the_scale_and_a_longer_horizon_a_larger_one() {
    let panel = wilder(&testing::panel(6, 500, 6), 2.0, |key| key < 3);
    let cutoff = [panel.sessions()[450]];
    for name in MODELS {
        let mean = |horizon, instruments: Range<usize>| {
            let scales = scales(name, &panel, horizon, &cutoff).remove(0);
            let last = |instrument| {
                let rows = panel.rows(instrument);
                scales[rows.end - 40..rows.end].iter().sum::<f64>()
            };
            instruments.map(last).sum::<f64>()
        };
        let ratio = mean(1, 0..3) / mean(1, 3..6);
        assert!((1.6..2.4).contains(&ratio), "{name}: {ratio}");
        let longer = mean(5, 0..6) / mean(1, 0..6);
        assert!((1.6..2.8).contains(&longer), "{name}: five sessions are {longer} of one");
    }
}

#[test]
fn nothing_to_learn_from_is_said() {
    let panel = testing::panel(2, 100, 3);
    let inputs = Inputs::of(&panel);
    let features = FeatureTable::compute(&inputs);
    let labels = Labels::new(&panel, &features, 1);
    let cutoff = [days::day(panel.sessions()[5])];
    let shocks = Shocks::of(&panel, &features, Shock::Range);
    assert!(PooledGarch { panel: &panel, shocks: &shocks }.scales(&labels, &cutoff).is_err());
    assert!(Autoregression(&table(&inputs, &features)).scales(&labels, &cutoff).is_err());
}

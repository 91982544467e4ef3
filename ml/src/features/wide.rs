//! What a wide model looks at beside the core: ranges, nights and days apart, distance from highs and lows, shocks of
//! volume, the month, and, from `across.rs`, the others of the session. Each is there as soon as the core is.

use std::ops::Range;

use super::ranges::{Moves, log_mean_variance, place_in_range};
use super::window::mean_of_last;
use super::{across, calendar, highs, volume};
use crate::panel::Series;

/// Those of one instrument alone, in their order.
const OF_ONE: [&str; OWN] = [
    "parkinson_5",
    "parkinson_22",
    "garman_klass_5",
    "garman_klass_22",
    "range_1_22",
    "range_5_66",
    "range_22_250",
    "night_1",
    "day_1",
    "night_20",
    "day_20",
    "below_high_250",
    "above_low_250",
    "place_in_range",
    "volume_1_20",
    "volume_5_60",
    "illiquidity_20",
    "day_of_month",
    "month_ends",
    "month_begins",
];
/// How many look at one instrument alone; the others come after them.
pub(super) const OWN: usize = 20;
/// Rows before a row that they look at, the longest way.
pub(super) const LOOK_BACK: usize = highs::YEAR;
/// All of them, in their order.
pub(super) const NAMES: [&str; OWN + across::NAMES.len()] = {
    let mut names = [""; OWN + across::NAMES.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = if at < OWN { OF_ONE[at] } else { across::NAMES[at - OWN] };
        at += 1;
    }
    names
};

/// Room for working, kept between instruments.
#[derive(Default)]
pub(super) struct Room {
    moves: Moves,
    values: Vec<f64>,
}

/// Computes `rows` of one run into one slice per name of [`OF_ONE`].
pub(super) fn fill(
    series: &Series<'_>,
    log_close: &[f64],
    rows: Range<usize>,
    room: &mut Room,
    out: &mut [&mut [f64]],
) {
    let [
        parkinson_5,
        parkinson_22,
        garman_klass_5,
        garman_klass_22,
        range_1_22,
        range_5_66,
        range_22_250,
        night_1,
        day_1,
        night_20,
        day_20,
        below_high,
        above_low,
        place,
        volume_1_20,
        volume_5_60,
        illiquidity,
        day_of_month,
        month_ends,
        month_begins,
    ] = out
    else {
        return;
    };
    let moves = &mut room.moves;
    moves.take(series, log_close, rows.start.saturating_sub(highs::YEAR), rows.end);
    let each = |out: &mut [f64], of: &dyn Fn(usize) -> f64| {
        for (out, t) in out.iter_mut().zip(rows.clone()) {
            *out = of(t);
        }
    };
    for (window, out) in [(5, parkinson_5), (22, parkinson_22)] {
        each(out, &|t| log_mean(&moves.parkinson, window, t));
    }
    for (window, out) in [(5, garman_klass_5), (22, garman_klass_22)] {
        each(out, &|t| log_mean(&moves.garman_klass, window, t));
    }
    for ((short, long), out) in
        [((1, 22), range_1_22), ((5, 66), range_5_66), ((22, highs::YEAR), range_22_250)]
    {
        each(out, &|t| log_mean(&moves.parkinson, short, t) - log_mean(&moves.parkinson, long, t));
    }
    for (window, night, day) in [(1, night_1, day_1), (20, night_20, day_20)] {
        each(night, &|t| mean_of_moves(&moves.night, window, t));
        each(day, &|t| mean_of_moves(&moves.day, window, t));
    }
    highs::below_high(log_close, rows.clone(), below_high);
    highs::above_low(log_close, rows.clone(), above_low);
    each(place, &|t| place_in_range(series, t));
    volume::shocks(series.volume, rows.clone(), &mut room.values, [volume_1_20, volume_5_60]);
    volume::illiquidity(series, log_close, rows.clone(), &mut room.values, illiquidity);
    for (out, &session) in day_of_month.iter_mut().zip(&series.session[rows.clone()]) {
        *out = calendar::day_of_month(session);
    }
    for (out, &day) in month_ends.iter_mut().zip(day_of_month.iter()) {
        *out = f64::from(day >= calendar::ENDS_FROM);
    }
    for (out, &day) in month_begins.iter_mut().zip(day_of_month.iter()) {
        *out = f64::from(day <= calendar::BEGINS_UNTIL);
    }
}

/// The mean over the last `window` rows of a run, or over as many as there are; the first one has none.
fn mean_of_moves(moves: &[f64], window: usize, t: usize) -> f64 {
    mean_of_last(moves, window, 1, t)
}

fn log_mean(variance: &[f64], window: usize, t: usize) -> f64 {
    log_mean_variance(variance, window, 1, t)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::bars::{Bar, Bars};
    use crate::features::{FeatureSet, FeatureTable, Inputs, WARM_UP_ROWS};
    use crate::panel::Panel;
    use crate::testing;

    fn wide(panel: &Panel) -> FeatureTable {
        FeatureTable::compute(&Inputs::of(panel).looking_at(FeatureSet::Wide))
    }

    fn value(table: &FeatureTable, name: &str, row: usize) -> f64 {
        table.column(table.names().iter().position(|known| *known == name).unwrap())[row]
    }

    /// The bars of a panel, each changed.
    fn changed(panel: &Panel, mut change: impl FnMut(&str, Bar) -> Bar) -> Panel {
        let (mut bars, old) = (Bars::default(), panel.bars());
        for row in 0..old.len() {
            let key = &old.keys[old.key[row] as usize];
            bars.push(key, change(key, old.bar(row)));
        }
        Panel::new(bars)
    }

    #[test]
    fn each_feature_is_what_its_name_says() {
        let panel = testing::panel(5, 300, 2);
        let table = wide(&panel);
        let (instrument, t) = (3, 280);
        let (series, row) = (panel.series(instrument), panel.rows(instrument).start + t);
        let ln = |value: f64| value.ln();
        let daily = |t: usize| ln(series.close[t] / series.close[t - 1]);
        let mean = |window: usize, of: &dyn Fn(usize) -> f64| {
            (t + 1 - window..=t).map(of).sum::<f64>() / window as f64
        };
        let range = |t: usize| ln(series.high[t] / series.low[t]).powi(2) / (4.0 * ln(2.0));
        let both = |t: usize| {
            0.5 * ln(series.high[t] / series.low[t]).powi(2)
                - (2.0 * ln(2.0) - 1.0) * ln(series.close[t] / series.open[t]).powi(2)
        };
        let night = |t: usize| ln(series.open[t] / series.close[t - 1]);
        let volume = |t: usize| ln(1.0 + series.volume[t]);
        let year = &series.close[t - 249..=t];
        let highest = year.iter().copied().fold(0.0, f64::max);
        let others: Vec<f64> =
            (0..5).map(|other| value(&table, "lr_5", panel.rows(other).start + t)).collect();
        let mut ordered = others.clone();
        ordered.sort_by(f64::total_cmp);
        let market = ordered[2];
        let below = others.iter().filter(|other| **other < others[instrument]).count() as f64;
        let expected = [
            ("parkinson_5", ln(mean(5, &range) + 1e-6)),
            ("garman_klass_22", ln(mean(22, &both) + 1e-6)),
            ("range_22_250", ln(mean(22, &range) + 1e-6) - ln(mean(250, &range) + 1e-6)),
            ("night_1", night(t)),
            ("night_20", mean(20, &night)),
            ("day_20", mean(20, &|t| daily(t) - night(t))),
            ("below_high_250", ln(series.close[t] / highest)),
            ("place_in_range", (series.close[t] - series.low[t]) / (series.high[t] - series.low[t]) - 0.5),
            ("volume_5_60", mean(5, &volume) - mean(60, &volume)),
            (
                "illiquidity_20",
                ln(mean(20, &|t| daily(t).abs() / (series.close[t] * series.volume[t] + 1.0) * 1e9) + 1e-8),
            ),
            ("market_5", market),
            ("above_5", others[instrument] - market),
            ("rank_5", (below + 0.5) / 5.0 - 0.5),
        ];
        for (name, expected) in expected {
            let found = value(&table, name, row);
            assert!((found - expected).abs() < 1e-9, "{name} is {found}, not {expected}");
        }
    }

    #[test]
    fn prices_in_another_currency_change_nothing_but_what_a_turnover_moves() {
        for seed in 0..8 {
            let panel = testing::panel(4, 120, seed);
            let dearer = changed(&panel, |_, bar| Bar {
                open: bar.open * 140.0,
                high: bar.high * 140.0,
                low: bar.low * 140.0,
                close: bar.close * 140.0,
                ..bar
            });
            let (one, other) = (wide(&panel), wide(&dearer));
            for (feature, name) in
                one.names().iter().enumerate().filter(|(_, name)| **name != "illiquidity_20")
            {
                for (row, (a, b)) in one.column(feature).iter().zip(other.column(feature)).enumerate() {
                    assert!(
                        (a - b).abs() < 1e-9 || (a.is_nan() && b.is_nan()),
                        "{seed}: {name} at {row}: {a}, {b}"
                    );
                }
            }
        }
    }

    #[test]
    fn whoever_has_no_more_than_closes_and_volumes_has_all_features_as_soon_as_those_of_the_core() {
        let whole = testing::panel(3, 130, 4);
        let closes = changed(&whole, |key, bar| match key {
            "I01" => Bar { open: f64::NAN, high: f64::NAN, low: f64::NAN, ..bar },
            _ => bar,
        });
        let core = FeatureTable::compute(&Inputs::of(&closes));
        let table = wide(&closes);
        for row in 0..table.len() {
            assert_eq!(table.usable(row), core.usable(row), "{row}");
        }
        let row = closes.rows(1).start + WARM_UP_ROWS;
        assert!(table.usable(row));
        assert_eq!(value(&table, "day_1", row).to_bits(), value(&table, "lr_1", row).to_bits());
        for (feature, name) in core.names().iter().enumerate() {
            assert_eq!(core.column(feature)[row].to_bits(), table.column(feature)[row].to_bits(), "{name}");
        }
    }
}

//! What holds of every forecast in whatever market: properties over made-up ones.

#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::sync::OnceLock;

use almanac_ml::models::Choices;
use almanac_ml::predict::forecast_on;
use almanac_ml::{
    Artefact, Bar, Bars, Family, FeatureSet, Forecast, Inputs, Outcome, Panel, Predicted, Threads,
    TrainingSpec, forecast, train,
};
use chrono::{Days, NaiveDate};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sessions of a market.
const ROWS: u64 = 330;
/// The first session that is forecast from: all features are there.
const READY: u64 = 270;
/// Few trees, of the wide set.
const CHOICES: Choices = Choices { trees: 5, parts: 2, smallest_leaf: 100, ..Choices::CHOSEN };

/// A market of random walks, each as restless as chance has it, with days on which a stock does not trade.
#[derive(Debug, Clone, Copy)]
struct Market {
    instruments: usize,
    seed: u64,
}

impl Market {
    fn bars(self) -> Vec<(String, Bar)> {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        let mut bars = Vec::new();
        for instrument in 0..self.instruments {
            let mut close: f64 = random.random_range(1.0..500.0);
            let restless = random.random_range(0.002..0.04);
            for day in 0..ROWS {
                let open = close * (1.0 + random.random_range(-0.5..0.5) * restless);
                close = open * (1.0 + random.random_range(-1.0..1.01) * restless);
                let (high, low) = (open.max(close) * 1.001, open.min(close) * 0.999);
                let bar = Bar {
                    session: session(day),
                    open,
                    high,
                    low,
                    close,
                    volume: random.random_range(1_000..1_000_000_u32).into(),
                };
                if day < READY && random.random_bool(0.01) {
                    continue;
                }
                bars.push((format!("I{instrument:02}"), bar));
            }
        }
        bars
    }
}

fn session(day: u64) -> NaiveDate {
    NaiveDate::from_ymd_opt(2020, 1, 1).unwrap() + Days::new(day)
}

fn panel(bars: &[(String, Bar)]) -> Panel {
    let mut all = Bars::default();
    for (key, bar) in bars {
        all.push(key, *bar);
    }
    Panel::new(all)
}

/// What some families have learned of a market of their own.
fn artefacts() -> &'static [Artefact] {
    static ARTEFACTS: OnceLock<Vec<Artefact>> = OnceLock::new();
    ARTEFACTS.get_or_init(|| {
        let mut bars = Vec::new();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for instrument in 0..24 {
            let mut close: f64 = 50.0;
            for day in 0..900 {
                let open = close * (1.0 + random.random_range(-0.01..0.01));
                close = open * (1.0 + random.random_range(-0.02..0.0202));
                let (high, low) = (open.max(close) * 1.001, open.min(close) * 0.999);
                let volume = random.random_range(1_000..1_000_000_u32).into();
                let session = session(day) - Days::new(1000);
                bars.push((format!("L{instrument:02}"), Bar { session, open, high, low, close, volume }));
            }
        }
        let panel = panel(&bars);
        let specs = [
            (Family::Drift, FeatureSet::Core),
            (Family::Ridge { alpha: 1.0 }, FeatureSet::Core),
            (Family::Boosted(CHOICES), FeatureSet::Wide),
        ];
        let learned = specs.map(|(family, features)| {
            let spec = TrainingSpec { family, features, horizons: vec![1, 5], ..TrainingSpec::default() };
            let as_of = panel.latest_session().unwrap();
            train(&Inputs::of(&panel), &spec, as_of, &mut |_| ControlFlow::Continue(())).unwrap().artefact
        });
        learned.to_vec()
    })
}

fn markets() -> impl Strategy<Value = Market> {
    (1..24_usize, any::<u64>()).prop_map(|(instruments, seed)| Market { instruments, seed })
}

fn days() -> impl Strategy<Value = NaiveDate> {
    (READY..ROWS).prop_map(session)
}

fn predicted(forecasts: &[Forecast]) -> impl Iterator<Item = &Predicted> {
    forecasts.iter().filter_map(|made| match &made.outcome {
        Outcome::Predicted(predicted) => Some(predicted),
        Outcome::Abstained(_) => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn distributions_are_distributions(market in markets(), day in days()) {
        let panel = panel(&market.bars());
        for artefact in artefacts() {
            let forecasts = forecast(artefact, &Inputs::of(&panel), day).unwrap();
            prop_assert_eq!(forecasts.len(), 2 * market.instruments);
            prop_assert!(predicted(&forecasts).count() > 0);
            for made in predicted(&forecasts) {
                prop_assert!(made.quantiles.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", made);
                prop_assert!(made.interval_95.0 <= made.interval_80.0 && made.interval_80.1 <= made.interval_95.1);
                prop_assert!((0.0..=1.0).contains(&made.probability_up) && made.scale > 0.0);
                prop_assert!(made.volatility > 0.0 && made.volatility.is_finite());
                if let Some(fifths) = made.fifths {
                    prop_assert!((fifths.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                    prop_assert!(fifths.iter().all(|chance| (0.0..=1.0).contains(chance)));
                }
            }
        }
    }

    #[test]
    fn the_future_changes_no_bit(market in markets(), day in days(), seed in any::<u64>()) {
        let bars = market.bars();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut other = bars.clone();
        other.retain(|(_, bar)| bar.session <= day || random.random_bool(0.7));
        for (_, bar) in other.iter_mut().filter(|(_, bar)| bar.session > day) {
            let factor = libm::exp(random.random_range(-2.0..2.0));
            for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close, &mut bar.volume] {
                *price *= factor;
            }
        }
        for artefact in artefacts() {
            let known = forecast(artefact, &Inputs::of(&panel(&bars)), day).unwrap();
            let poisoned = forecast(artefact, &Inputs::of(&panel(&other)), day).unwrap();
            prop_assert_eq!(known, poisoned);
        }
    }

    #[test]
    fn another_currency_changes_no_forecast(market in markets(), day in days(), logarithm in -7.0..7.0_f64) {
        let bars = market.bars();
        let mut scaled = bars.clone();
        let factor = libm::exp(logarithm);
        for (_, bar) in scaled.iter_mut().filter(|(key, _)| key == "I00") {
            for price in [&mut bar.open, &mut bar.high, &mut bar.low, &mut bar.close] {
                *price *= factor;
            }
        }
        // Of the wide set one feature, the illiquidity, is of turnover in the market's currency.
        for artefact in artefacts().iter().filter(|artefact| artefact.family != Family::Boosted(CHOICES)) {
            let one = forecast(artefact, &Inputs::of(&panel(&bars)), day).unwrap();
            let other = forecast(artefact, &Inputs::of(&panel(&scaled)), day).unwrap();
            prop_assert!(predicted(&one).count() > 0);
            prop_assert_eq!(predicted(&one).count(), predicted(&other).count());
            for (a, b) in predicted(&one).zip(predicted(&other)) {
                prop_assert!((a.expected - b.expected).abs() < 1e-9, "{} {}", a.expected, b.expected);
                prop_assert!(a.quantiles.iter().zip(b.quantiles).all(|(a, b)| (a - b).abs() < 1e-8));
            }
        }
    }

    #[test]
    fn neither_threads_nor_the_order_of_bars_change_a_bit(market in markets(), day in days(), threads in 2..9_usize) {
        let mut bars = market.bars();
        for artefact in artefacts() {
            let in_order = panel(&bars);
            let alone = forecast_on(artefact, &Inputs::of(&in_order), day, Threads::ONE).unwrap();
            bars.shuffle(&mut ChaCha8Rng::seed_from_u64(market.seed));
            let shuffled = panel(&bars);
            let together =
                forecast_on(artefact, &Inputs::of(&shuffled), day, Threads::new(threads).unwrap()).unwrap();
            prop_assert_eq!(alone, together);
        }
    }
}

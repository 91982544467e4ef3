//! Small made-up panels for the tests of this crate.

#![allow(clippy::unwrap_used)]

use chrono::{Datelike, Days, NaiveDate, Weekday};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::bars::{Bar, Bars};
use crate::conformal::{Calibration, Scale};
use crate::models::{Choices, Family};
use crate::panel::Panel;

/// Weekdays from 2014-01-02 on.
pub(crate) fn weekdays(count: usize) -> Vec<NaiveDate> {
    let start = NaiveDate::from_ymd_opt(2014, 1, 2).unwrap();
    (0..)
        .map(|i| start + Days::new(i))
        .filter(|date| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun))
        .take(count)
        .collect()
}

/// Scores that lie evenly between −1 and 1.
pub(crate) fn uniform_calibration() -> Calibration {
    let scores = (0..2001).map(|i| f64::from(i) / 1000.0 - 1.0).collect();
    Calibration::from_scores(Scale::Constant, scores).unwrap()
}

/// Random walks with volumes, `rows` sessions each, the same for the same seed.
pub(crate) fn panel(instruments: usize, rows: usize, seed: u64) -> Panel {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let sessions = weekdays(rows);
    let mut bars = Bars::default();
    for instrument in 0..instruments {
        let mut close: f64 = random.random_range(10.0..200.0);
        for &session in &sessions {
            let open = close * (1.0 + random.random_range(-0.01..0.01));
            close = open * (1.0 + random.random_range(-0.02..0.0205));
            let bar = Bar {
                session,
                open,
                high: open.max(close) * 1.001,
                low: open.min(close) * 0.999,
                close,
                volume: random.random_range(1_000..1_000_000_u32).into(),
            };
            bars.push(&format!("I{instrument:02}"), bar);
        }
    }
    Panel::new(bars)
}

/// Every family that is trained here, with choices for the few rows of a test.
pub(crate) fn families(trees: Choices) -> [Family; Family::TRAINABLE.len()] {
    Family::TRAINABLE.map(|family| match family {
        Family::Zero | Family::Drift | Family::InstrumentDrift | Family::Onnx => family,
        Family::Ridge { .. } => Family::Ridge { alpha: 10.0 },
        Family::ElasticNet { l1_ratio, .. } => Family::ElasticNet { penalty: 1e-5, l1_ratio },
        Family::Logistic { .. } => Family::Logistic { alpha: 10.0 },
        Family::Boosted(_) => Family::Boosted(trees),
        Family::Ensemble { .. } => Family::Ensemble { alpha: 10.0, boosted: trees },
    })
}

//! GARCH(1,1) (Bollerslev 1986), one pair of parameters for all instruments: the rival of the autoregression on ranges.
//!
//! The variance of tomorrow is a mean of three: the instrument's own level, the shock of today and the variance that was
//! expected of today,
//!
//! `v' = (1 - persistence) m + reaction x + (persistence - reaction) v`,
//!
//! where `m` is the mean of the shocks so far. A shock is the squared daily return, as in the paper, or the range of the
//! day with the night before it, which tells the same variance with less noise (Brandt & Jones 2006). The pair is the one
//! under which the past is likeliest if shocks were normal (Bollerslev & Wooldridge 1992: right also when they are not),
//! each instrument in units of its own level.

use super::ScaleModel;
use super::ranges::DayAndNight;
use crate::days;
use crate::features::{FeatureTable, Labels};
use crate::models::FitError;
use crate::panel::{Panel, Series};

/// Shocks an instrument's level needs before a variance is expected.
const LEVEL_FROM: usize = 60;
/// A shock counts as at most so many times what was expected, so that one bad print decides nothing.
const LARGEST_RATIO: f64 = 25.0;
/// Added to a shock: a day without a move is no certainty.
const SMALLEST: f64 = 1e-6;
/// The first bounds of reaction and persistence.
const REACTION: (f64, f64) = (0.01, 0.5);
const PERSISTENCE: (f64, f64) = (0.7, 0.999);
/// How often the search goes over both, and how many times each bracket shrinks to .62 of itself.
const ROUNDS: usize = 3;
const SHRINKS: usize = 14;

/// What moves the expected variance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shock {
    /// The squared daily log return.
    Return,
    /// The variance that the range of the day and the night before it tell.
    Range,
}

/// What was learned: how strongly variance answers, and how long it remembers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Garch {
    /// The weight of today's shock.
    pub reaction: f64,
    /// What is left of a deviation from the level after a session.
    pub persistence: f64,
}

/// The shocks of every row of a panel; NaN in the first row of an instrument.
#[derive(Debug)]
pub struct Shocks(Vec<f64>);

impl Shocks {
    /// Of all instruments.
    pub fn of(panel: &Panel, features: &FeatureTable, shock: Shock) -> Self {
        let mut shocks = vec![f64::NAN; panel.len()];
        for instrument in 0..panel.keys().len() {
            let rows = panel.rows(instrument);
            let log_close = &features.log_close()[rows.clone()];
            let own = &mut shocks[rows];
            match shock {
                Shock::Return => {
                    for t in 1..own.len() {
                        own[t] = (log_close[t] - log_close[t - 1]).powi(2);
                    }
                }
                Shock::Range => {
                    own.copy_from_slice(&DayAndNight::of(&panel.series(instrument), log_close, 0).whole);
                }
            }
        }
        for shock in &mut shocks {
            *shock += SMALLEST;
        }
        Self(shocks)
    }
}

/// Learns one pair of parameters for all instruments of a panel from these shocks.
#[derive(Debug, Clone, Copy)]
pub struct PooledGarch<'a> {
    /// The bars.
    pub panel: &'a Panel,
    /// The shocks of its rows.
    pub shocks: &'a Shocks,
}

impl ScaleModel for PooledGarch<'_> {
    fn scales(&self, labels: &Labels, cutoffs: &[i32]) -> Result<Vec<Vec<f64>>, FitError> {
        let each = cutoffs.iter().map(|&cutoff| {
            let garch = Garch::fit(self.panel, self.shocks, cutoff).ok_or_else(|| {
                let known = |series: Series<'_>| series.session.partition_point(|&session| session < cutoff);
                let found = self.panel.iter().map(known).max().unwrap_or_default();
                FitError::TooFewRows { before: days::date(cutoff), found, needed: LEVEL_FROM + 2 }
            })?;
            let variances = garch.variances(self.panel, self.shocks, labels.horizon());
            Ok(variances.into_iter().map(f64::sqrt).collect())
        });
        each.collect()
    }
}

impl Garch {
    /// Learns from the rows before `cutoff` (days since 1970-01-01); nothing when there are none to learn from.
    pub fn fit(panel: &Panel, shocks: &Shocks, cutoff: i32) -> Option<Self> {
        let past: Vec<&[f64]> = (0..panel.keys().len())
            .map(|instrument| {
                let rows = panel.rows(instrument);
                let known = panel.series(instrument).session.partition_point(|&session| session < cutoff);
                &shocks.0[rows.start..rows.start + known]
            })
            .filter(|own| own.len() > LEVEL_FROM + 1)
            .collect();
        if past.is_empty() {
            return None;
        }
        let mut best = Self { reaction: 0.1, persistence: 0.97 };
        for _ in 0..ROUNDS {
            best.persistence =
                lowest(PERSISTENCE, |persistence| Self { persistence, ..best }.surprise(&past));
            best.reaction = lowest(REACTION, |reaction| Self { reaction, ..best }.surprise(&past));
        }
        Some(best)
    }

    /// Minus twice the mean log likelihood of the shocks, but for what no parameter changes.
    fn surprise(self, past: &[&[f64]]) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for own in past {
            let mut path = Path::new(self);
            for (t, &shock) in own.iter().enumerate().skip(1) {
                if t > LEVEL_FROM {
                    let ratio = (shock / path.variance).min(LARGEST_RATIO);
                    sum += libm::log(path.variance / path.level) + ratio;
                    count += 1.0;
                }
                path.take(shock);
            }
        }
        sum / count
    }

    /// The variance of the log return over the next `horizon` rows, seen from every row of the panel; NaN where it is not
    /// known yet.
    pub fn variances(self, panel: &Panel, shocks: &Shocks, horizon: usize) -> Vec<f64> {
        let mut variances = vec![f64::NAN; panel.len()];
        for instrument in 0..panel.keys().len() {
            let rows = panel.rows(instrument);
            let mut path = Path::new(self);
            for (t, row) in rows.enumerate().skip(1) {
                path.take(shocks.0[row]);
                if t >= LEVEL_FROM {
                    variances[row] = path.ahead(horizon);
                }
            }
        }
        variances
    }
}

/// One instrument lived through.
struct Path {
    garch: Garch,
    shocks: f64,
    /// The mean of the shocks so far.
    level: f64,
    /// What is expected of the next session.
    variance: f64,
}

impl Path {
    fn new(garch: Garch) -> Self {
        Self { garch, shocks: 0.0, level: 0.0, variance: 0.0 }
    }

    fn take(&mut self, shock: f64) {
        let Garch { reaction, persistence } = self.garch;
        let before = if self.shocks > 0.0 { self.variance } else { shock };
        self.shocks += 1.0;
        self.level += (shock - self.level) / self.shocks;
        let remembered = (persistence - reaction).max(0.0);
        self.variance = (1.0 - reaction - remembered) * self.level + reaction * shock + remembered * before;
    }

    /// What is expected of so many sessions together: each is nearer to the level than the one before.
    fn ahead(&self, horizon: usize) -> f64 {
        let persistence = self.garch.persistence.max(self.garch.reaction);
        let (mut sum, mut deviation) = (0.0, self.variance - self.level);
        for _ in 0..horizon {
            sum += self.level + deviation;
            deviation *= persistence;
        }
        sum
    }
}

/// Where a function with one valley is lowest between two bounds: golden sections (Kiefer 1953).
fn lowest((mut low, mut high): (f64, f64), of: impl Fn(f64) -> f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut left, mut right) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_left, mut at_right) = (of(left), of(right));
    for _ in 0..SHRINKS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - GOLDEN * (high - low);
            at_left = of(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + GOLDEN * (high - low);
            at_right = of(right);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Inputs;
    use crate::{Bar, Bars, testing};
    use rand::{Rng, SeedableRng};

    /// Returns drawn from a GARCH(1,1) with these parameters; open, high and low as the close.
    fn drawn(truth: Garch, instruments: usize, rows: usize) -> Panel {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        let mut bars = Bars::default();
        for instrument in 0..instruments {
            let level = 1e-4 * (1.0 + instrument as f64);
            let (mut variance, mut price) = (level, 100.0_f64);
            for session in testing::weekdays(rows) {
                // Twelve uniform numbers are nearly normal together.
                let noise = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
                let daily = variance.sqrt() * noise;
                price *= daily.exp();
                variance = (1.0 - truth.persistence) * level
                    + truth.reaction * daily * daily
                    + (truth.persistence - truth.reaction) * variance;
                let bar = Bar { session, open: price, high: price, low: price, close: price, volume: 1.0 };
                bars.push(&format!("{instrument:02}"), bar);
            }
        }
        Panel::new(bars)
    }

    #[test]
    fn what_a_series_was_drawn_with_is_found_again() {
        let truth = Garch { reaction: 0.12, persistence: 0.95 };
        let panel = drawn(truth, 12, 1500);
        let features = FeatureTable::compute(&Inputs::of(&panel));
        let shocks = Shocks::of(&panel, &features, Shock::Return);
        let found = Garch::fit(&panel, &shocks, i32::MAX).expect("enough rows");
        assert!((found.reaction - truth.reaction).abs() < 0.03, "{found:?}");
        assert!((found.persistence - truth.persistence).abs() < 0.03, "{found:?}");
    }

    #[test]
    fn a_long_horizon_returns_to_the_level_of_the_instrument() {
        let garch = Garch { reaction: 0.5, persistence: 0.8 };
        let mut path = Path::new(garch);
        for shock in [1.0, 1.0, 1.0, 9.0] {
            path.take(shock);
        }
        assert!((path.level - 3.0).abs() < 1e-12);
        assert!(path.ahead(1) > path.level);
        assert!((path.ahead(400) / 400.0 - path.level).abs() < 0.05);
    }
}

//! What moves prices: a source of returns whose volatility clusters.

use super::draws::Draws;

/// Share of a day's variance that falls between the close and the next opening.
const OVERNIGHT_SHARE: f64 = 0.25;
/// How much of yesterday's log-volatility remains today.
const PERSISTENCE: f64 = 0.98;
/// Standard deviation of the daily news about log-volatility.
const SURPRISE: f64 = 0.11;
/// Falling prices raise volatility (Black 1976): correlation of return and volatility news.
const LEVERAGE: f64 = -0.4;

/// The movement of one source over one session, as log returns.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Move {
    pub(super) overnight: f64,
    pub(super) intraday: f64,
    /// The standard deviation that the intraday return was drawn with; the day's range follows from it.
    pub(super) intraday_sigma: f64,
}

impl Move {
    pub(super) fn total(self) -> f64 {
        self.overnight + self.intraday
    }
}

/// The market, a sector, or what is peculiar to one stock: stochastic volatility (Taylor 1986) with Student t
/// returns.
#[derive(Debug, Clone)]
pub(super) struct Factor {
    daily_sigma: f64,
    log_volatility: f64,
    draws: Draws,
}

impl Factor {
    /// A factor whose daily returns have the standard deviation `daily_sigma` in the long run.
    pub(super) fn new(daily_sigma: f64, mut draws: Draws) -> Self {
        let log_volatility = stationary_variance().sqrt() * draws.normal();
        Self { daily_sigma, log_volatility, draws }
    }

    pub(super) fn step(&mut self) -> Move {
        let sigma = self.daily_sigma * libm::exp(self.log_volatility - stationary_variance());
        let overnight_sigma = sigma * OVERNIGHT_SHARE.sqrt() * self.draws.heaviness();
        let intraday_sigma = sigma * (1.0 - OVERNIGHT_SHARE).sqrt() * self.draws.heaviness();
        let shock = self.draws.normal();
        let moved = Move {
            overnight: overnight_sigma * self.draws.normal(),
            intraday: intraday_sigma * shock,
            intraday_sigma,
        };
        let news = LEVERAGE * shock + (1.0 - LEVERAGE * LEVERAGE).sqrt() * self.draws.normal();
        self.log_volatility = PERSISTENCE * self.log_volatility + SURPRISE * news;
        moved
    }
}

fn stationary_variance() -> f64 {
    SURPRISE * SURPRISE / (1.0 - PERSISTENCE * PERSISTENCE)
}

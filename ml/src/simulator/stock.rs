//! One simulated share: how factors become a day's bar, and what its company does to it.

use almanac_domain::instrument::CorporateAction;
use almanac_domain::values::Price;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::draws::Draws;
use super::factors::{Factor, Move};

/// Sessions in a quarter: results and dividends come once in as many.
const QUARTER: usize = 63;
/// The session of the quarter on which dividends go off.
const DIVIDEND_SESSION: usize = 20;
/// How much of yesterday's peculiar return is taken back today: the only predictability in this market.
const REVERSAL: f64 = 0.02;
/// A takeover is announced this many sessions before the last one.
const TAKEOVER_SESSIONS: usize = 30;
/// The log premium of a takeover.
const TAKEOVER_PREMIUM: f64 = 0.22;
/// What is left of the moves of a share whose takeover price is known.
const TAKEOVER_CALM: f64 = 0.12;
/// A price below which the company merges its shares.
const PENNY: f64 = 4.0;
/// A typical daily standard deviation, by which volume and headlines measure a return.
pub(super) const TYPICAL_SIGMA: f64 = 0.017;

/// What happened to a share in one session.
#[derive(Debug, Clone)]
pub(super) struct Trading {
    pub(super) open: f64,
    pub(super) high: f64,
    pub(super) low: f64,
    pub(super) close: f64,
    pub(super) volume: u64,
    pub(super) actions: Vec<CorporateAction>,
    /// The day's log return on what was held before it, splits and dividends undone.
    pub(super) total_return: f64,
    pub(super) occasion: Occasion,
    pub(super) last: bool,
}

/// What a day was special for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    Ordinary,
    Results,
    Takeover,
}

/// From which to which session, counted from the first of the market, a share trades.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) first: usize,
    pub(super) last: Option<usize>,
}

/// The state of a share between sessions.
#[derive(Debug, Clone)]
pub(super) struct Stock {
    life: Life,
    market_loading: f64,
    sector_loading: f64,
    peculiar: Factor,
    draws: Draws,
    /// The last close, not rounded to cents.
    price: f64,
    yesterday_peculiar: f64,
    usual_volume: f64,
    volume_mood: f64,
    splits_above: f64,
    announced_split: Option<Decimal>,
    dividend_yield: f64,
    quarter_offset: usize,
}

impl Stock {
    pub(super) fn new(life: Life, usual_market_loading: f64, seed: u64, stream: u64) -> Self {
        let mut draws = Draws::new(seed, stream);
        let price = (60.0 * libm::exp(0.55 * draws.normal())).clamp(12.0, 200.0);
        let sigma = 0.0125 * libm::exp(0.25 * draws.normal());
        Self {
            life,
            market_loading: usual_market_loading * draws.between(0.75, 1.25),
            sector_loading: draws.between(0.6, 1.3),
            peculiar: Factor::new(sigma, Draws::new(seed, stream + 1)),
            price,
            yesterday_peculiar: 0.0,
            usual_volume: 80e6 * libm::exp(draws.normal()) / price,
            volume_mood: 0.0,
            splits_above: draws.between(110.0, 260.0),
            announced_split: None,
            dividend_yield: if draws.chance(0.6) { draws.between(0.01, 0.035) } else { 0.0 },
            quarter_offset: draws.below(QUARTER),
            draws,
        }
    }

    /// Trades one session, the `index`-th of the market, or does not trade.
    pub(super) fn step(&mut self, index: usize, market: Move, sector: Move) -> Option<Trading> {
        if index < self.life.first || self.life.last.is_some_and(|last| index > last) {
            return None;
        }
        let announcement = self.life.last.map(|last| last.saturating_sub(TAKEOVER_SESSIONS));
        let calm = if announcement.is_some_and(|at| index > at) { TAKEOVER_CALM } else { 1.0 };
        let occasion = if announcement == Some(index) {
            Occasion::Takeover
        } else if calm >= 1.0 && (index + self.quarter_offset).is_multiple_of(QUARTER) {
            Occasion::Results
        } else {
            Occasion::Ordinary
        };

        let (actions, base) = self.corporate_actions(index);
        let peculiar = self.peculiar.step();
        let loaded = |part: fn(Move) -> f64| {
            calm * (self.market_loading * part(market) + self.sector_loading * part(sector) + part(peculiar))
        };
        let gap = match occasion {
            Occasion::Takeover => TAKEOVER_PREMIUM,
            Occasion::Results => 0.04 * self.draws.heaviness() * self.draws.normal(),
            Occasion::Ordinary => 0.0,
        };
        let drift = calm * (0.0001 + 0.0002 * self.market_loading - REVERSAL * self.yesterday_peculiar);
        let overnight = loaded(|moved| moved.overnight) + gap;
        let intraday = loaded(|moved| moved.intraday) + drift;
        let variances = [
            self.market_loading * market.intraday_sigma,
            self.sector_loading * sector.intraday_sigma,
            peculiar.intraday_sigma,
        ]
        .map(|sigma| sigma * sigma);
        let sigma = calm * variances.iter().sum::<f64>().sqrt();
        self.yesterday_peculiar = peculiar.total();

        let open = base * libm::exp(overnight);
        self.price = open * libm::exp(intraday);
        let (high, low) = self.extremes(intraday, sigma);
        let total_return = overnight + intraday;
        let volume = self.volume(total_return, occasion);
        self.decide_split();
        Some(Trading {
            open: cents(open),
            high: cents(open * libm::exp(high)),
            low: cents(open * libm::exp(low)),
            close: cents(self.price),
            volume,
            actions,
            total_return,
            occasion,
            last: self.life.last == Some(index),
        })
    }

    /// What takes effect before the opening, and the price from which the day starts.
    fn corporate_actions(&mut self, index: usize) -> (Vec<CorporateAction>, f64) {
        let mut actions = Vec::new();
        let mut base = self.price;
        if let Some(ratio) = self.announced_split.take() {
            let new_shares = ratio.to_f64().unwrap_or(1.0);
            base /= new_shares;
            self.usual_volume *= new_shares;
            actions.push(CorporateAction::Split { ratio });
        }
        let due = (index + self.quarter_offset) % QUARTER == DIVIDEND_SESSION && index > self.life.first;
        let amount = Decimal::new((base * self.dividend_yield * 25.0).round() as i64, 2);
        if due && amount > Decimal::ZERO {
            base -= amount.to_f64().unwrap_or(0.0);
            actions.push(CorporateAction::Dividend { amount: Price::new(amount) });
        }
        (actions, base)
    }

    /// The highest and lowest log price of the day above its opening: extremes of a Brownian bridge
    /// (Karatzas and Shreve 1991, section 4.3), drawn apart from each other.
    fn extremes(&mut self, intraday: f64, sigma: f64) -> (f64, f64) {
        let mut reach =
            || (intraday * intraday - 2.0 * sigma * sigma * libm::log(self.draws.uniform())).sqrt();
        (0.5 * (intraday + reach()), 0.5 * (intraday - reach()))
    }

    fn volume(&mut self, moved: f64, occasion: Occasion) -> u64 {
        self.volume_mood = 0.9 * self.volume_mood + 0.12 * self.draws.normal();
        let answer = 0.45 * libm::log(moved.abs() / TYPICAL_SIGMA + 0.3);
        let interest = if occasion == Occasion::Ordinary { 0.0 } else { 0.8 };
        let log_ratio = self.volume_mood + answer + interest + 0.2 * self.draws.normal();
        (self.usual_volume * libm::exp(log_ratio)).max(100.0) as u64
    }

    /// Companies split dear shares and merge penny shares from the next session on.
    fn decide_split(&mut self) {
        let decided = self.draws.chance(1.0 / 40.0);
        let kind = self.draws.uniform();
        if !decided {
            return;
        }
        if self.price > self.splits_above {
            self.announced_split = Some(match kind {
                ..0.1 => Decimal::new(15, 1),
                ..0.7 => Decimal::from(2),
                ..0.9 => Decimal::from(3),
                _ => Decimal::from(4),
            });
        } else if self.price < PENNY {
            self.announced_split = Some(Decimal::new(2, 1));
        }
    }
}

fn cents(price: f64) -> f64 {
    (price * 100.0).round().max(1.0) / 100.0
}

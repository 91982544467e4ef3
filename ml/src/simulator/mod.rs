//! A seeded market of invented companies, for the demo and for tests: no real price may be shipped.
//!
//! Market, sectors and companies each have returns of their own with clustered volatility and fat tails
//! (`factors.rs`); a share (`stock.rs`) adds them up by its loadings, gaps overnight, pays dividends, splits, and one of
//! many is taken over and delisted while another is listed late. There is next to nothing to predict in it, on
//! purpose: a weak reversal of the peculiar return, as in real markets.
//!
//! The same settings give the same market on every run, session by session: [`Market::extend`] adds sessions and
//! never changes earlier ones, so a demo that restarts finds its past as it was.

use almanac_domain::calendar::Calendar;
use almanac_domain::instrument::CorporateAction;
use almanac_domain::values::Session;
use chrono::{DateTime, NaiveDate, Utc};

pub use companies::{Company, MOST_COMPANIES};
use companies::{SECTOR_COUNT, found, market_loading};
use draws::Draws;
use factors::Factor;
use newsroom::Newsroom;
use stock::{Life, Stock};

use crate::bars::{Bar, Bars};

mod companies;
pub mod csv;
mod draws;
mod factors;
mod newsroom;
mod stock;
#[cfg(test)]
mod tests;

/// Long-run daily standard deviation of the market's return.
const MARKET_SIGMA: f64 = 0.0085;
/// Long-run daily standard deviation of a sector's own return.
const SECTOR_SIGMA: f64 = 0.0055;
/// Streams of the seed: founding, market, sectors from here, companies from there.
const FOUNDING_STREAM: u64 = 0;
const MARKET_STREAM: u64 = 1;
const SECTOR_STREAMS: u64 = 10;
const COMPANY_STREAMS: u64 = 1_000;
/// Streams that one company uses: its share, its peculiar factor, its newsroom.
const STREAMS_PER_COMPANY: u64 = 3;

/// What determines a market.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How many companies, at most [`MOST_COMPANIES`].
    pub instruments: usize,
    /// The first session, or a day before it.
    pub first: NaiveDate,
    /// How many sessions to generate at once; more may follow.
    pub sessions: usize,
    /// The same seed gives the same market.
    pub seed: u64,
}

impl Settings {
    /// A market that begins in 2019 and starts with `years` of 252 sessions.
    pub fn of_years(instruments: usize, years: usize, seed: u64) -> Self {
        let first = NaiveDate::from_ymd_opt(2019, 1, 2).unwrap_or_default();
        Self { instruments, first, sessions: 252 * years, seed }
    }
}

impl Default for Settings {
    /// The market of the demo: 30 companies, six years.
    fn default() -> Self {
        Self::of_years(30, 6, 1)
    }
}

/// One session of one company's share, prices as traded (not adjusted), to the cent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SimulatedBar {
    /// The company's place in [`Market::companies`].
    pub company: usize,
    /// The session.
    pub session: Session,
    /// First price, in the share's currency.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Shares traded.
    pub volume: u64,
}

/// Something that happened to a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedAction {
    /// The company's place in [`Market::companies`].
    pub company: usize,
    /// For splits and dividends the first session that trades after them, for a delisting the last session.
    pub session: Session,
    /// What happened.
    pub happening: Happening,
}

/// What can happen to a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Its company split it or paid a dividend.
    Acted(CorporateAction),
    /// It trades no more after this session.
    Delisted,
}

/// An invented headline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedHeadline {
    /// The company's place in [`Market::companies`].
    pub company: usize,
    /// When it was published.
    pub published_at: DateTime<Utc>,
    /// The headline.
    pub text: String,
}

#[derive(Debug, Clone, Default)]
struct Day {
    bars: Vec<SimulatedBar>,
    actions: Vec<SimulatedAction>,
    headlines: Vec<SimulatedHeadline>,
}

/// A market of invented companies, as far as it has been generated.
#[derive(Debug, Clone)]
pub struct Market {
    companies: Vec<Company>,
    stocks: Vec<Stock>,
    newsrooms: Vec<Newsroom>,
    common: Factor,
    sectors: Vec<Factor>,
    sessions: Vec<Session>,
    days: Vec<Day>,
    /// Headlines published after the last close: they belong to the next session.
    after_the_close: Vec<SimulatedHeadline>,
    /// The day after which the next session is looked for.
    reached: NaiveDate,
}

impl Market {
    /// Generates the market of `settings` with its first sessions.
    pub fn new(settings: &Settings) -> Self {
        let seed = settings.seed;
        let count = settings.instruments.min(MOST_COMPANIES);
        let mut founding = Draws::new(seed, FOUNDING_STREAM);
        let companies = found(count, &mut founding);
        let lives = lives(count, &mut founding);
        let stream = |company: usize| COMPANY_STREAMS + STREAMS_PER_COMPANY * company as u64;
        let stocks = lives
            .into_iter()
            .enumerate()
            .map(|(company, life)| {
                Stock::new(life, market_loading(company % SECTOR_COUNT), seed, stream(company))
            })
            .collect();
        let mut market = Self {
            companies,
            stocks,
            newsrooms: (0..count).map(|company| Newsroom::new(seed, stream(company) + 2)).collect(),
            common: Factor::new(MARKET_SIGMA, Draws::new(seed, MARKET_STREAM)),
            sectors: (0..SECTOR_COUNT as u64)
                .map(|sector| Factor::new(SECTOR_SIGMA, Draws::new(seed, SECTOR_STREAMS + sector)))
                .collect(),
            sessions: Vec::new(),
            days: Vec::new(),
            after_the_close: Vec::new(),
            reached: settings.first.pred_opt().unwrap_or(settings.first),
        };
        market.extend(settings.sessions);
        market
    }

    /// Generates so many sessions more; earlier ones stay as they are.
    pub fn extend(&mut self, sessions: usize) {
        for _ in 0..sessions {
            let session = Calendar::UnitedStates.next(self.reached);
            self.reached = session;
            self.trade(session);
        }
    }

    /// The companies, also those that are not listed yet or no more.
    pub fn companies(&self) -> &[Company] {
        &self.companies
    }

    /// The sessions generated so far, in order.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// The bars of a session, in the order of the companies; none where it was not generated.
    pub fn bars_on(&self, session: Session) -> &[SimulatedBar] {
        self.day(session).map_or(&[], |day| &day.bars)
    }

    /// All bars generated so far, under the symbols of their companies.
    pub fn bars(&self) -> Bars {
        let mut bars = Bars::default();
        for bar in self.days.iter().flat_map(|day| &day.bars) {
            let values = Bar {
                session: bar.session,
                open: bar.open,
                high: bar.high,
                low: bar.low,
                close: bar.close,
                volume: bar.volume as f64,
            };
            bars.push(&self.companies[bar.company].symbol, values);
        }
        bars
    }

    /// What happened to shares on a session.
    pub fn actions_on(&self, session: Session) -> &[SimulatedAction] {
        self.day(session).map_or(&[], |day| &day.actions)
    }

    /// The headlines published after the close of the session before and up to the close of this one, in order.
    pub fn headlines_on(&self, session: Session) -> &[SimulatedHeadline] {
        self.day(session).map_or(&[], |day| &day.headlines)
    }

    fn day(&self, session: Session) -> Option<&Day> {
        self.sessions.binary_search(&session).ok().map(|index| &self.days[index])
    }

    fn trade(&mut self, session: Session) {
        let index = self.sessions.len();
        let market = self.common.step();
        let sectors: Vec<_> = self.sectors.iter_mut().map(Factor::step).collect();
        let mut day = Day { headlines: std::mem::take(&mut self.after_the_close), ..Day::default() };
        let closes_at = Calendar::UnitedStates.closes_at(session);
        for (company, stock) in self.stocks.iter_mut().enumerate() {
            let Some(mut traded) = stock.step(index, market, sectors[company % SECTOR_COUNT]) else {
                continue;
            };
            let written = self.newsrooms[company].write(session, &self.companies[company].name, &traded);
            if let Some((published_at, text)) = written {
                let early = published_at <= closes_at;
                let pile = if early { &mut day.headlines } else { &mut self.after_the_close };
                pile.push(SimulatedHeadline { company, published_at, text });
            }
            let mut happenings: Vec<_> = traded.actions.drain(..).map(Happening::Acted).collect();
            if traded.last {
                happenings.push(Happening::Delisted);
            }
            day.actions.extend(happenings.into_iter().map(|happening| SimulatedAction {
                company,
                session,
                happening,
            }));
            day.bars.push(SimulatedBar {
                company,
                session,
                open: traded.open,
                high: traded.high,
                low: traded.low,
                close: traded.close,
                volume: traded.volume,
            });
        }
        day.headlines.sort_by_key(|headline| (headline.published_at, headline.company));
        self.sessions.push(session);
        self.days.push(day);
    }
}

/// Everyone trades from the first session on and for good, but one that comes late and one that is taken over.
fn lives(count: usize, draws: &mut Draws) -> Vec<Life> {
    let mut lives = vec![Life { first: 0, last: None }; count];
    if count >= 3 {
        let late = draws.below(count);
        let taken_over = (late + 1 + draws.below(count - 1)) % count;
        lives[late].first = 200 + draws.below(200);
        lives[taken_over].last = Some(700 + draws.below(400));
    }
    lives
}

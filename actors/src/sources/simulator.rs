//! The simulator source: invented companies whose market goes on as the clock does.
//!
//! The market follows from its settings alone, so a service that restarts finds the same past and the same future.

use std::sync::{Mutex, PoisonError};

use almanac_domain::values::Session;
use almanac_ml::simulator::{self, Market, csv};
use async_trait::async_trait;

use super::{Action, Batch, Codec, Company, Happening, MarketData, Part, Seen, SourceError, Wanted};

/// The market of the settings, as far as it has been generated.
pub struct Simulator {
    settings: simulator::Settings,
    market: Mutex<Option<Market>>,
}

impl Simulator {
    /// A source of the market of `settings`; it is generated when it is first asked for.
    pub const fn new(settings: simulator::Settings) -> Self {
        Self { settings, market: Mutex::new(None) }
    }

    fn batch(&self, wanted: &Wanted) -> Option<Batch> {
        let mut market = self.market.lock().unwrap_or_else(PoisonError::into_inner);
        let market = market.get_or_insert_with(|| Market::new(&self.settings));
        while market.sessions().last().is_none_or(|last| *last < wanted.until) {
            market.extend(20);
        }
        let sessions: Vec<Session> = market
            .sessions()
            .iter()
            .copied()
            .filter(|session| wanted.after.is_none_or(|after| *session > after) && *session <= wanted.until)
            .collect();
        let (first, last) = (sessions.first()?, sessions.last()?);
        let part = |what: &str, text: String| Part {
            label: format!("{what} {first}..{last}"),
            bytes: text.into_bytes(),
            codec: Codec::Csv,
            default_symbol: None,
        };
        let headlines = csv::headlines(market, &sessions);
        let has_headlines = headlines.lines().nth(1).is_some();
        let symbol = |company: usize| market.companies()[company].symbol.clone();
        Some(Batch {
            bars: vec![part("bars", csv::bars(market, &sessions))],
            headlines: has_headlines.then(|| part("headlines", headlines)).into_iter().collect(),
            headlines_seen: Seen::WhenPublished,
            actions: sessions
                .iter()
                .flat_map(|session| market.actions_on(*session))
                .map(|action| Action {
                    symbol: symbol(action.company),
                    session: action.session,
                    happening: match &action.happening {
                        simulator::Happening::Acted(acted) => Happening::Acted(acted.clone()),
                        simulator::Happening::Delisted => Happening::Delisted,
                    },
                })
                .collect(),
            companies: market
                .companies()
                .iter()
                .map(|company| Company {
                    symbol: company.symbol.clone(),
                    name: Some(company.name.clone()),
                    sector: Some(company.sector.to_owned()),
                })
                .collect(),
            ..Batch::default()
        })
    }
}

#[async_trait]
impl MarketData for Simulator {
    fn name(&self) -> &'static str {
        "simulator"
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Vec<Batch>, SourceError> {
        Ok(self.batch(wanted).into_iter().collect())
    }

    fn settled(&self, _label: &str) {
        // What is settled lies before `wanted.after` from then on.
    }
}

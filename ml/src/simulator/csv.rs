//! The market as the CSV files a user could have brought: what `almanac simulate` writes.

use std::fmt::Write;

use almanac_domain::instrument::CorporateAction;
use almanac_domain::values::Session;
use chrono::SecondsFormat;

use super::{Happening, Market};

/// `bars.csv` of these sessions: raw prices, not adjusted for splits.
pub fn bars(market: &Market, sessions: &[Session]) -> String {
    let mut text = String::from("symbol,date,open,high,low,close,volume\n");
    for bar in sessions.iter().flat_map(|session| market.bars_on(*session)) {
        let symbol = &market.companies()[bar.company].symbol;
        let (open, high, low, close) = (bar.open, bar.high, bar.low, bar.close);
        line(
            &mut text,
            format_args!("{symbol},{},{open:.2},{high:.2},{low:.2},{close:.2},{}", bar.session, bar.volume),
        );
    }
    text
}

/// `actions.csv` of these sessions: `split` with new shares for one old, `dividend` with the amount for one
/// share, both dated with the first session after them; `delisting` without a value, dated with the last session.
pub fn actions(market: &Market, sessions: &[Session]) -> String {
    let mut text = String::from("symbol,date,kind,value\n");
    for action in sessions.iter().flat_map(|session| market.actions_on(*session)) {
        let symbol = &market.companies()[action.company].symbol;
        let (kind, value) = match &action.happening {
            Happening::Acted(CorporateAction::Split { ratio }) => ("split", ratio.to_string()),
            Happening::Acted(CorporateAction::Dividend { amount }) => ("dividend", amount.to_string()),
            Happening::Delisted => ("delisting", String::new()),
        };
        line(&mut text, format_args!("{symbol},{},{kind},{value}", action.session));
    }
    text
}

/// `headlines.csv` of these sessions.
pub fn headlines(market: &Market, sessions: &[Session]) -> String {
    let mut text = String::from("symbol,published_at,headline\n");
    for headline in sessions.iter().flat_map(|session| market.headlines_on(*session)) {
        let symbol = &market.companies()[headline.company].symbol;
        let published_at = headline.published_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        line(&mut text, format_args!("{symbol},{published_at},\"{}\"", headline.text.replace('"', "\"\"")));
    }
    text
}

/// `instruments.csv`: every company, also those not listed yet.
pub fn instruments(market: &Market) -> String {
    let mut text = String::from("symbol,name,sector,exchange\n");
    for company in market.companies() {
        let (symbol, name, sector, exchange) =
            (&company.symbol, &company.name, company.sector, company.exchange);
        line(&mut text, format_args!("{symbol},{name},{sector},{exchange}"));
    }
    text
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(content);
    text.push('\n');
}

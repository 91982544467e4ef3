//! The mail of a session: what one reader's watched stocks are expected to do, beside what such forecasts of the
//! same stocks have been worth so far.

use almanac_projections::mail::{SessionItem, SessionMail};
use almanac_projections::predictions::Prediction;
use url::Url;

use super::rendering::{ForecastWords, Line, SessionPage, Stock};
use super::words;

/// Puts the mail into words. `unsubscribe` is the page with the button, if there is one, `checkpoint`
/// the signed head of the log, if there is one.
pub(super) fn session_page(
    mail: &SessionMail,
    public_url: &Url,
    unsubscribe: Option<String>,
    checkpoint: Option<String>,
) -> SessionPage {
    let stocks: Vec<Stock> = mail.items.iter().map(|item| stock(item, public_url)).collect();
    let banner = words::banner(mail.round.mode);
    SessionPage {
        subject: subject(mail, banner.map(|(title, _)| title)),
        preview: preview(&stocks),
        session: words::day(mail.round.session),
        model: mail.round.model.to_string(),
        version: mail.round.version,
        mode_title: banner.map(|(title, _)| title),
        mode_words: banner.map(|(_, words)| words),
        stocks,
        track_record_url: page(public_url, "track-record"),
        unsubscribe_url: unsubscribe,
        checkpoint,
    }
}

/// A page of the web application.
pub(super) fn page(public_url: &Url, path: &str) -> String {
    format!("{}/{path}", public_url.as_str().trim_end_matches('/'))
}

/// `AAA, BBB, CCC and 2 more: forecasts after 4 March 2024 (simulated)`.
fn subject(mail: &SessionMail, mode: Option<&str>) -> String {
    const NAMED: usize = 3;
    let symbols: Vec<&str> = mail.items.iter().map(|item| item.instrument.symbol.as_str()).collect();
    let named = symbols.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let others = match symbols.len().saturating_sub(NAMED) {
        0 => String::new(),
        rest => format!(" and {rest} more"),
    };
    let kind =
        mode.map_or_else(String::new, |title| format!(" ({})", title.trim_end_matches('.').to_lowercase()));
    format!("{named}{others}: forecasts after {}{kind}", words::date(mail.round.session))
}

fn preview(stocks: &[Stock]) -> String {
    let first = |stock: &Stock| {
        let forecast = stock.lines.iter().find_map(|line| line.forecast.as_ref())?;
        Some(format!("{} {}", stock.symbol, forecast.expected))
    };
    stocks.iter().filter_map(first).take(6).collect::<Vec<_>>().join(" · ")
}

fn stock(item: &SessionItem, public_url: &Url) -> Stock {
    Stock {
        symbol: item.instrument.symbol.to_string(),
        name: item.instrument.name.clone(),
        close: item.predictions.iter().find_map(|prediction| prediction.close).map(words::price),
        url: page(public_url, &format!("instruments/{}", item.instrument.id)),
        lines: item.predictions.iter().map(|prediction| line(prediction, item)).collect(),
    }
}

fn line(prediction: &Prediction, item: &SessionItem) -> Line {
    let record = item.records.iter().find(|record| record.horizon == prediction.horizon);
    let forecast =
        prediction.forecast.as_ref().zip(prediction.close).map(|(forecast, close)| ForecastWords {
            expected: words::change(forecast.expected),
            direction: if forecast.expected.decimal().is_sign_negative() { "down" } else { "up" },
            low: words::change(forecast.interval_80.low),
            high: words::change(forecast.interval_80.high),
            low_price: words::price_after(close, forecast.interval_80.low),
            high_price: words::price_after(close, forecast.interval_80.high),
            probability_up: words::chance(forecast.probability_up),
            volatility: forecast.volatility.map(words::spread),
            fifths: forecast.fifths.map(|chances| words::fifths(&chances)),
        });
    let silence = || words::abstention(prediction.abstention.as_deref().unwrap_or("it was taken back"));
    Line {
        horizon: words::horizon(prediction.horizon, prediction.target),
        abstention: forecast.is_none().then(silence),
        forecast,
        record: words::own_record(record),
    }
}

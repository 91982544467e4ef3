//! Numbers and days as a reader of a mail sees them.

use almanac_domain::values::{Horizon, LogReturn, Mode, Price, Probability, Session};
use almanac_projections::mail::OwnRecord;

/// A log return as a change in percent with its sign, such as `+0.42%`.
pub(super) fn change(log_return: LogReturn) -> String {
    let percent = log_return.to_f64().exp_m1() * 100.0;
    let written = format!("{:.2}%", percent.abs());
    match percent {
        _ if written == "0.00%" => written,
        below if below < 0.0 => format!("−{written}"),
        _ => format!("+{written}"),
    }
}

/// A price to the cent, and below one to a hundredth of a cent.
pub(super) fn price(price: Price) -> String {
    amount(price.to_f64())
}

/// The price that `close` becomes by `log_return`.
pub(super) fn price_after(close: Price, log_return: LogReturn) -> String {
    amount(close.to_f64() * log_return.to_f64().exp())
}

fn amount(value: f64) -> String {
    if value < 1.0 { format!("{value:.4}") } else { format!("{value:.2}") }
}

/// A probability in whole percent; what is not certain is not written as certain.
pub(super) fn chance(probability: Probability) -> String {
    match probability.to_f64() * 100.0 {
        percent if percent < 0.5 => "below 1%".to_owned(),
        percent if percent >= 99.5 => "above 99%".to_owned(),
        percent => format!("{percent:.0}%"),
    }
}

/// A standard deviation of log returns in percent.
pub(super) fn spread(volatility: LogReturn) -> String {
    format!("{:.1}%", volatility.to_f64() * 100.0)
}

/// The chances of the fifths, such as `21%, 19%, 18%, 20%, 22%`.
pub(super) fn fifths(chances: &[Probability]) -> String {
    chances.iter().map(|one| chance(*one)).collect::<Vec<_>>().join(", ")
}

/// A day, such as `Monday, 4 March 2024`.
pub(super) fn day(session: Session) -> String {
    session.format("%A, %-d %B %Y").to_string()
}

/// A day in a subject, such as `4 March 2024`.
pub(super) fn date(session: Session) -> String {
    session.format("%-d %B %Y").to_string()
}

/// `1 session ahead, to the close of Tuesday, 5 March 2024`.
pub(super) fn horizon(horizon: Horizon, target: Session) -> String {
    let sessions = horizon.sessions();
    let plural = if sessions == 1 { "" } else { "s" };
    format!("{sessions} session{plural} ahead, to the close of {}", day(target))
}

/// What this stock's own forecasts have scored so far.
pub(super) fn own_record(record: Option<&OwnRecord>) -> String {
    let Some(record) = record.filter(|record| record.scored > 0) else {
        return "No forecast of this stock at this horizon has been scored yet.".to_owned();
    };
    let share = |part: u64, whole: u64| format!("{:.0}%", part as f64 / whole.max(1) as f64 * 100.0);
    let direction = if record.hit_predictions == 0 {
        "none of them had a direction to get right".to_owned()
    } else {
        format!(
            "{} of {} had the direction right ({})",
            record.hits,
            record.hit_predictions,
            share(record.hits, record.hit_predictions)
        )
    };
    format!(
        "Its own record at this horizon: {} scored, {direction}, {} lay inside the 80% interval ({}).",
        record.scored,
        record.inside_80,
        share(record.inside_80, record.scored)
    )
}

/// The title and the words of the banner; none when data and clock are real.
pub(super) fn banner(mode: Mode) -> Option<(&'static str, &'static str)> {
    match mode {
        Mode::Live => None,
        Mode::Simulated => Some((
            "Simulated.",
            "This market, its companies and its prices are made up; nothing here speaks of a real stock.",
        )),
        Mode::Replayed => Some((
            "Replayed.",
            "Past prices run through the service at another pace; the days named here are long gone.",
        )),
    }
}

/// Why there is no forecast, for the reasons of `domain::prediction::Abstention`.
pub(super) fn abstention(reason: &str) -> String {
    match reason {
        "stale_data" => "there is no price of this stock for the session".to_owned(),
        "too_little_history" => "there are too few prices of this stock yet".to_owned(),
        "unresolved_split" => "its last price looks like a split that nobody has recorded".to_owned(),
        "out_of_range" => "its last days look like nothing the model was trained on".to_owned(),
        "not_finite" => "its numbers cannot be computed".to_owned(),
        other => other.replace('_', " "),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use rust_decimal::Decimal;

    use super::*;

    fn sessions(count: u32) -> Horizon {
        Horizon::new(count).unwrap()
    }

    fn log_return(value: f64) -> LogReturn {
        LogReturn::from_f64(value).unwrap()
    }

    #[test]
    fn a_log_return_is_written_as_a_simple_change() {
        assert_eq!(change(log_return(0.1)), "+10.52%");
        assert_eq!(change(log_return(-0.1)), "−9.52%");
        assert_eq!(change(log_return(-0.000_01)), "0.00%");
    }

    #[test]
    fn prices_follow_from_the_close() {
        let close = Price::new(Decimal::from(200));
        assert_eq!(price_after(close, log_return(0.5_f64.ln())), "100.00");
        assert_eq!(price(Price::new(Decimal::new(5, 2))), "0.0500");
    }

    #[test]
    fn no_chance_is_written_as_certain() {
        let written = |value| chance(Probability::from_f64(value).unwrap());
        assert_eq!(
            (written(0.0), written(0.544), written(1.0)),
            ("below 1%".into(), "54%".into(), "above 99%".into())
        );
    }

    #[test]
    fn the_chances_of_the_fifths_stand_in_a_row() {
        let chances = [0.211, 0.19, 0.18, 0.2, 0.219].map(|value| Probability::from_f64(value).unwrap());
        assert_eq!(fifths(&chances), "21%, 19%, 18%, 20%, 22%");
        assert_eq!(spread(log_return(0.0172)), "1.7%");
    }

    #[test]
    fn a_record_shows_misses_beside_hits() {
        let record = OwnRecord {
            horizon: sessions(1),
            scored: 120,
            hits: 63,
            hit_predictions: 118,
            inside_80: 97,
            inside_95: 110,
        };
        assert_eq!(
            own_record(Some(&record)),
            "Its own record at this horizon: 120 scored, 63 of 118 had the direction right (53%), 97 lay inside the \
             80% interval (81%)."
        );
        assert!(own_record(None).contains("has been scored yet"));
        assert!(own_record(Some(&OwnRecord { scored: 0, ..record })).contains("has been scored yet"));
    }

    #[test]
    fn a_day_is_written_out() {
        let session = Session::from_ymd_opt(2024, 3, 4).unwrap();
        assert_eq!(day(session), "Monday, 4 March 2024");
        assert_eq!(horizon(sessions(1), session), "1 session ahead, to the close of Monday, 4 March 2024");
        assert_eq!(horizon(sessions(5), session), "5 sessions ahead, to the close of Monday, 4 March 2024");
    }
}

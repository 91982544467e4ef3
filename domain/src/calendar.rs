//! When an exchange trades: its sessions, and the moments they open and close.
//!
//! The United States calendar follows the published holiday rules of the New York Stock Exchange (Rule 7.2)
//! from 1990 on, with its unscheduled closings; early closings count as full sessions that close at 13:00.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};

use crate::values::{Exchange, Horizon, Session};

/// Days the New York exchanges closed outside the rules: mourning, attack and storm.
const UNSCHEDULED_CLOSINGS: [(i32, u32, u32); 12] = [
    (1994, 4, 27),
    (2001, 9, 11),
    (2001, 9, 12),
    (2001, 9, 13),
    (2001, 9, 14),
    (2004, 6, 11),
    (2007, 1, 2),
    (2012, 10, 29),
    (2012, 10, 30),
    (2018, 12, 5),
    (2025, 1, 9),
    (1985, 9, 27),
];

/// The trading calendar of one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Calendar {
    /// New York Stock Exchange and Nasdaq: rules of the United States, 09:30 to 16:00 Eastern time.
    UnitedStates,
    /// An exchange whose holidays are not known here: every weekday, 09:00 to 17:00 UTC.
    Weekdays,
}

impl Calendar {
    /// The calendar by which `exchange` trades.
    pub fn of(exchange: &Exchange) -> Self {
        match exchange.as_str() {
            "XNYS" | "XNAS" | "XASE" | "ARCX" | "BATS" => Self::UnitedStates,
            _ => Self::Weekdays,
        }
    }

    /// Whether the exchange trades on `date`.
    pub fn is_session(self, date: NaiveDate) -> bool {
        let weekday = !matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
        match self {
            Self::Weekdays => weekday,
            Self::UnitedStates => weekday && !is_united_states_holiday(date),
        }
    }

    /// The first session strictly after `date`.
    pub fn next(self, date: NaiveDate) -> Session {
        (1..=14).map(|ahead| date + Days::new(ahead)).find(|day| self.is_session(*day)).unwrap_or(date)
    }

    /// The last session at or before `date`.
    pub fn at_or_before(self, date: NaiveDate) -> Session {
        (0..=14).map(|back| date - Days::new(back)).find(|day| self.is_session(*day)).unwrap_or(date)
    }

    /// The session `horizon` sessions after `session`.
    pub fn ahead(self, session: Session, horizon: Horizon) -> Session {
        (0..horizon.sessions()).fold(session, |day, _| self.next(day))
    }

    /// All sessions from `first` to `last`, both included.
    pub fn sessions(self, first: NaiveDate, last: NaiveDate) -> impl Iterator<Item = Session> {
        first.iter_days().take_while(move |day| *day <= last).filter(move |day| self.is_session(*day))
    }

    /// The moment the session opens.
    pub fn opens_at(self, session: Session) -> DateTime<Utc> {
        match self {
            Self::UnitedStates => eastern(session, 9, 30),
            Self::Weekdays => utc(session, 9, 0),
        }
    }

    /// The moment the session closes.
    pub fn closes_at(self, session: Session) -> DateTime<Utc> {
        match self {
            Self::UnitedStates if closes_early(session) => eastern(session, 13, 0),
            Self::UnitedStates => eastern(session, 16, 0),
            Self::Weekdays => utc(session, 17, 0),
        }
    }

    /// The last session that has closed at `moment`.
    pub fn last_closed(self, moment: DateTime<Utc>) -> Session {
        let today = self.at_or_before(moment.date_naive());
        if self.closes_at(today) <= moment { today } else { self.at_or_before(today - Days::new(1)) }
    }
}

fn utc(date: NaiveDate, hour: u32, minute: u32) -> DateTime<Utc> {
    let time = NaiveTime::from_hms_opt(hour, minute, 0).unwrap_or(NaiveTime::MIN);
    date.and_time(time).and_utc()
}

/// A moment of Eastern time: UTC-4 under daylight saving (Energy Policy Act of 2005 from 2007 on, the rule of
/// 1986 before), UTC-5 otherwise.
fn eastern(date: NaiveDate, hour: u32, minute: u32) -> DateTime<Utc> {
    let year = date.year();
    let (start, end) = if year >= 2007 {
        (nth(year, 3, Weekday::Sun, 2), nth(year, 11, Weekday::Sun, 1))
    } else {
        (nth(year, 4, Weekday::Sun, 1), last(year, 10, Weekday::Sun))
    };
    let behind = if date >= start && date < end { 4 } else { 5 };
    utc(date, hour, minute) + TimeDelta::hours(behind)
}

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap_or(NaiveDate::MIN)
}

fn nth(year: i32, month: u32, weekday: Weekday, n: u8) -> NaiveDate {
    NaiveDate::from_weekday_of_month_opt(year, month, weekday, n).unwrap_or(NaiveDate::MIN)
}

fn last(year: i32, month: u32, weekday: Weekday) -> NaiveDate {
    NaiveDate::from_weekday_of_month_opt(year, month, weekday, 5)
        .unwrap_or_else(|| nth(year, month, weekday, 4))
}

/// A fixed holiday on a Saturday is kept on Friday, on a Sunday on Monday.
fn observed(holiday: NaiveDate) -> NaiveDate {
    match holiday.weekday() {
        Weekday::Sat => holiday - Days::new(1),
        Weekday::Sun => holiday + Days::new(1),
        _ => holiday,
    }
}

/// Easter Sunday by the anonymous Gregorian computus (Meeus, Astronomical Algorithms, chapter 8).
#[allow(clippy::many_single_char_names, reason = "the names of the published formula")]
fn easter(year: i32) -> NaiveDate {
    let (a, b, c) = (year % 19, year / 100, year % 100);
    let (d, e, f) = (b / 4, b % 4, (b + 8) / 25);
    let g = (b - f + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    day(year, (n / 31).unsigned_abs(), (n % 31 + 1).unsigned_abs())
}

fn is_united_states_holiday(date: NaiveDate) -> bool {
    let year = date.year();
    let new_year = day(year, 1, 1);
    // New Year's Day on a Saturday is not kept on the Friday before: that is the last session of the year.
    let new_year_kept = if new_year.weekday() == Weekday::Sat { new_year } else { observed(new_year) };
    date == new_year_kept
        || (year >= 1998 && date == nth(year, 1, Weekday::Mon, 3))
        || date == nth(year, 2, Weekday::Mon, 3)
        || date == easter(year) - Days::new(2)
        || date == last(year, 5, Weekday::Mon)
        || (year >= 2022 && date == observed(day(year, 6, 19)))
        || date == observed(day(year, 7, 4))
        || date == nth(year, 9, Weekday::Mon, 1)
        || date == nth(year, 11, Weekday::Thu, 4)
        || date == observed(day(year, 12, 25))
        || UNSCHEDULED_CLOSINGS.contains(&(year, date.month(), date.day()))
}

/// The day after Thanksgiving, and the eves of Christmas and of Independence Day when they are sessions.
fn closes_early(session: Session) -> bool {
    let year = session.year();
    session == nth(year, 11, Weekday::Thu, 4) + Days::new(1)
        || session == day(year, 12, 24)
        || (session == day(year, 7, 3) && day(year, 7, 4).weekday() != Weekday::Sat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_united_states_traded_252_days_in_2019_and_251_in_2014_through_2018() {
        for (year, sessions) in
            [(2013, 252), (2016, 252), (2017, 251), (2018, 251), (2019, 252), (2021, 252), (2022, 251)]
        {
            let count = Calendar::UnitedStates.sessions(day(year, 1, 1), day(year, 12, 31)).count();
            assert_eq!(count, sessions, "{year}");
        }
    }

    #[test]
    fn good_friday_thanksgiving_and_storms_are_no_sessions() {
        for closed in
            [day(2018, 3, 30), day(2024, 11, 28), day(2012, 10, 29), day(2021, 12, 24), day(2023, 6, 19)]
        {
            assert!(!Calendar::UnitedStates.is_session(closed), "{closed}");
        }
        assert!(Calendar::UnitedStates.is_session(day(2021, 12, 31)));
    }

    #[test]
    fn a_session_opens_at_half_past_nine_in_summer_and_winter() {
        assert_eq!(
            Calendar::UnitedStates.opens_at(day(2024, 7, 1)).to_rfc3339(),
            "2024-07-01T13:30:00+00:00"
        );
        assert_eq!(
            Calendar::UnitedStates.opens_at(day(2024, 1, 2)).to_rfc3339(),
            "2024-01-02T14:30:00+00:00"
        );
        assert_eq!(
            Calendar::UnitedStates.closes_at(day(2024, 11, 29)).to_rfc3339(),
            "2024-11-29T18:00:00+00:00"
        );
    }

    #[test]
    fn the_last_closed_session_waits_for_the_bell() {
        let friday = day(2024, 1, 5);
        let bell = Calendar::UnitedStates.closes_at(friday);
        assert_eq!(Calendar::UnitedStates.last_closed(bell - TimeDelta::seconds(1)), day(2024, 1, 4));
        assert_eq!(Calendar::UnitedStates.last_closed(bell), friday);
        assert_eq!(Calendar::UnitedStates.last_closed(bell + TimeDelta::days(2)), friday);
    }

    #[test]
    fn five_sessions_ahead_skip_the_weekend_and_a_holiday() {
        let five = Horizon::new(5).expect("valid");
        assert_eq!(Calendar::UnitedStates.ahead(day(2024, 1, 11), five), day(2024, 1, 19));
    }
}

//! Sessions as plain day numbers: columns hold `i32` days since 1970-01-01, edges speak `NaiveDate`.

use chrono::{Datelike, NaiveDate};

/// Days from 0001-01-01 (which chrono counts as day 1) to 1970-01-01.
const EPOCH: i32 = 719_163;

/// Days since 1970-01-01.
pub fn day(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - EPOCH
}

/// The date of a day number; numbers outside chrono's range become its nearest end.
pub fn date(day: i32) -> NaiveDate {
    NaiveDate::from_num_days_from_ce_opt(day.saturating_add(EPOCH)).unwrap_or(if day < 0 {
        NaiveDate::MIN
    } else {
        NaiveDate::MAX
    })
}

/// Days since Monday: 0 is Monday, 6 is Sunday.
pub(crate) fn weekday(day: i32) -> i32 {
    // 1970-01-01 was a Thursday.
    (day + 3).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_date_survives_the_way_to_a_day_number_and_back() {
        let monday = NaiveDate::from_ymd_opt(2018, 2, 5).unwrap();
        assert_eq!(day(monday), 17_567);
        assert_eq!(date(day(monday)), monday);
        assert_eq!(weekday(day(monday)), 0);
        assert_eq!(weekday(-1), 2, "1969-12-31 was a Wednesday");
    }
}

//! The day of the week as four columns of 0 and 1, Monday being all zero, and the day of the month.

use chrono::Datelike;

use crate::days;

/// The features of the month, in their order.
pub(super) const MONTH: [&str; 3] = ["day_of_month", "month_ends", "month_begins"];
/// The first day of the month that counts as its end.
pub(super) const ENDS_FROM: f64 = 26.0;
/// The last day of the month that counts as its beginning.
pub(super) const BEGINS_UNTIL: f64 = 4.0;

/// 1 where the session falls on the weekday (0 is Monday), otherwise 0.
pub(super) fn is_weekday(session: &[i32], weekday: i32, out: &mut [f64]) {
    for (out, &session) in out.iter_mut().zip(session) {
        *out = f64::from(days::weekday(session) == weekday);
    }
}

/// The day of the month, from 1.
pub(super) fn day_of_month(session: i32) -> f64 {
    f64::from(days::date(session).day())
}

//! The day of the week as four columns of 0 and 1; Monday is all zero.

use crate::days;

/// 1 where the session falls on the weekday (0 is Monday), otherwise 0.
pub(super) fn is_weekday(session: &[i32], weekday: i32, out: &mut [f64]) {
    for (out, &session) in out.iter_mut().zip(session) {
        *out = f64::from(days::weekday(session) == weekday);
    }
}

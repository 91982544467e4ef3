//! What the news said about an instrument, joined by the moment it was first seen here, never by the date it carries:
//! an article that arrives late, or is dated back, must not reach into rows before its arrival.

use std::collections::HashMap;

use chrono::NaiveDate;

use crate::days;

/// The sentiment of the news of one day about one instrument.
#[derive(Debug, Clone, PartialEq)]
pub struct DailySentiment {
    /// The instrument, by the name the panel knows it under.
    pub key: String,
    /// The day the news carries; shown, never joined by.
    pub published: NaiveDate,
    /// The first session at whose end the news was known here.
    pub first_seen: NaiveDate,
    /// From -1 (bad) to 1 (good).
    pub value: f64,
}

/// Per row, the mean of what was first seen after the row before and up to this one; 0 where there was nothing.
/// `news` holds (first seen, value) of this instrument in the order of the days.
pub(super) fn since_last_row(session: &[i32], news: &[(i32, f64)], first_row: usize, out: &mut [f64]) {
    for (out, t) in out.iter_mut().zip(first_row..session.len()) {
        let after = if t == 0 { i32::MIN } else { session[t - 1] };
        let start = news.partition_point(|&(seen, _)| seen <= after);
        let end = news.partition_point(|&(seen, _)| seen <= session[t]);
        let fresh = &news[start..end];
        let sum: f64 = fresh.iter().map(|&(_, value)| value).sum();
        *out = if fresh.is_empty() { 0.0 } else { sum / fresh.len() as f64 };
    }
}

/// The news of each instrument as (first seen, value), in an order that does not depend on how they were listed.
pub(super) struct ByInstrument<'a>(HashMap<&'a str, Vec<(i32, f64)>>);

impl<'a> ByInstrument<'a> {
    pub(super) fn of(all: &'a [DailySentiment]) -> Self {
        let mut each: HashMap<&str, Vec<(i32, f64)>> = HashMap::new();
        for news in all {
            each.entry(&news.key).or_default().push((days::day(news.first_seen), news.value));
        }
        for news in each.values_mut() {
            news.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        }
        Self(each)
    }

    pub(super) fn of_instrument(&self, key: &str) -> &[(i32, f64)] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

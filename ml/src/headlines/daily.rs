//! The tone of each instrument's headlines by session.

use std::collections::BTreeMap;

use almanac_domain::calendar::Calendar;
use almanac_domain::values::Session;
use chrono::{DateTime, Utc};

use super::ScoredHeadline;
use crate::features::DailySentiment;

/// The headlines of one instrument that became known for one session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DailyTone {
    /// Mean score, from -1 to 1.
    pub mean: f64,
    /// How many headlines.
    pub count: u32,
}

/// The session for which something first seen at `seen` counts: the one whose close is the next, that moment
/// included. What is seen after the close belongs to the next session.
pub fn session_of(calendar: Calendar, seen: DateTime<Utc>) -> Session {
    let day = seen.date_naive();
    if calendar.is_session(day) && seen <= calendar.closes_at(day) { day } else { calendar.next(day) }
}

/// Mean score and count by instrument and session, each headline in the session of its first-seen time.
///
/// A headline that came in several batches counts once, from the first time it was seen.
pub fn daily(
    headlines: &[ScoredHeadline],
    session_of: impl Fn(DateTime<Utc>) -> Session,
) -> BTreeMap<(String, Session), DailyTone> {
    let mut tones: BTreeMap<(String, Session), DailyTone> = BTreeMap::new();
    for headline in first_sights(headlines) {
        let place = (headline.instrument.clone(), session_of(headline.first_seen_at));
        let tone = tones.entry(place).or_insert(DailyTone { mean: 0.0, count: 0 });
        tone.count += 1;
        tone.mean += (headline.score - tone.mean) / f64::from(tone.count);
    }
    tones
}

/// The headlines as the features take them: one entry for each, known from the session of its first-seen time on.
pub fn news(
    headlines: &[ScoredHeadline],
    session_of: impl Fn(DateTime<Utc>) -> Session,
) -> Vec<DailySentiment> {
    first_sights(headlines)
        .map(|headline| DailySentiment {
            key: headline.instrument.clone(),
            published: headline.published_at.date_naive(),
            first_seen: session_of(headline.first_seen_at),
            value: headline.score,
        })
        .collect()
}

/// Different headlines, each as it was first seen, in an order that does not depend on how they were listed.
fn first_sights(headlines: &[ScoredHeadline]) -> impl Iterator<Item = &ScoredHeadline> {
    let mut first: BTreeMap<(&str, DateTime<Utc>, &str), &ScoredHeadline> = BTreeMap::new();
    for headline in headlines {
        let place = (headline.instrument.as_str(), headline.published_at, headline.headline.as_str());
        let kept = first.entry(place).or_insert(headline);
        if headline.first_seen_at < kept.first_seen_at {
            *kept = headline;
        }
    }
    first.into_values()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn day(text: &str) -> Session {
        text.parse().unwrap()
    }

    fn headline(published: &str, seen: &str, text: &str, score: f64) -> ScoredHeadline {
        ScoredHeadline {
            instrument: "key".into(),
            symbol: "BRNTH".into(),
            published_at: at(published),
            first_seen_at: at(seen),
            headline: text.into(),
            score,
        }
    }

    fn series(headlines: &[ScoredHeadline]) -> Vec<(Session, f64, u32)> {
        daily(headlines, |seen| session_of(Calendar::UnitedStates, seen))
            .into_iter()
            .map(|((_, session), tone)| (session, tone.mean, tone.count))
            .collect()
    }

    #[test]
    fn a_headline_published_yesterday_but_first_seen_today_counts_today() {
        let late = headline("2024-06-03T14:00:00Z", "2024-06-04T14:00:00Z", "old news", 0.5);
        assert_eq!(series(std::slice::from_ref(&late)), [(day("2024-06-04"), 0.5, 1)]);
        let news = news(&[late], |seen| session_of(Calendar::UnitedStates, seen));
        assert_eq!((news[0].first_seen, news[0].published), (day("2024-06-04"), day("2024-06-03")));
    }

    #[test]
    fn what_is_seen_after_the_close_or_on_a_free_day_belongs_to_the_next_session() {
        for (seen, session) in [
            ("2024-06-07T20:00:00Z", "2024-06-07"),
            ("2024-06-07T20:00:01Z", "2024-06-10"),
            ("2024-06-08T12:00:00Z", "2024-06-10"),
            // The day after Thanksgiving closes at 13:00 Eastern time.
            ("2024-11-29T18:30:00Z", "2024-12-02"),
        ] {
            assert_eq!(session_of(Calendar::UnitedStates, at(seen)), day(session), "{seen}");
        }
    }

    #[test]
    fn the_mean_is_over_different_headlines_each_from_its_first_sight() {
        let headlines = [
            headline("2024-06-03T14:00:00Z", "2024-06-05T14:00:00Z", "same", 1.0),
            headline("2024-06-03T14:00:00Z", "2024-06-03T15:00:00Z", "same", 1.0),
            headline("2024-06-03T14:00:00Z", "2024-06-03T15:00:00Z", "other", -0.5),
        ];
        assert_eq!(series(&headlines), [(day("2024-06-03"), 0.25, 2)]);
    }
}

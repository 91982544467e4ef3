//! How much of the data is history when the demo begins, and how much is lived through.

use std::collections::BTreeSet;
use std::path::Path;

use almanac_actors::sources::Codec;
use almanac_actors::sources::folder::Folder;
use almanac_domain::calendar::Calendar;
use almanac_domain::values::{Mode, Session};
use almanac_ml::bars::{Rules, decode_csv, decode_parquet};
use almanac_ml::days;
use almanac_ml::simulator::Settings;

use super::super::Failure;
use super::kept::Kept;
use crate::config::Sources;

/// At most so many sessions of the user's data are lived through.
const MOST_LIVED: usize = 120;

/// Where the past ends, and what comes after it.
pub(super) struct History {
    /// The mode of the data and the clock.
    pub(super) mode: Mode,
    /// Where prices and headlines come from.
    pub(super) sources: Sources,
    /// The last session of the history: the demo begins on its evening.
    pub(super) begins: Session,
    /// The last session there is; a simulated market has none.
    pub(super) ends: Option<Session>,
}

impl History {
    /// The history of the demo that was begun with `kept`.
    pub(super) fn of(kept: &Kept, calendar: Calendar) -> Result<Self, Failure> {
        match &kept.data {
            Some(data) => Self::of_data(data, calendar),
            None => Ok(Self::simulated(&Settings::of_years(kept.instruments, kept.years, kept.seed))),
        }
    }

    fn simulated(market: &Settings) -> Self {
        // The simulator's market follows the calendar of New York.
        let sessions = Calendar::UnitedStates.sessions(market.first, Session::MAX);
        let begins = sessions.take(market.sessions).last().unwrap_or(market.first);
        let sources = Sources { simulator: Some(market.clone()), ..Sources::default() };
        Self { mode: Mode::Simulated, sources, begins, ends: None }
    }

    fn of_data(data: &Path, calendar: Calendar) -> Result<Self, Failure> {
        let sessions = sessions(data, calendar)?;
        let (begins, ends) = split(&sessions).ok_or_else(|| {
            format!("there are too few bars in `{}` to learn from and to live through", data.display())
        })?;
        let sources = Sources { replay: Some(data.to_owned()), ..Sources::default() };
        Ok(Self { mode: Mode::Replayed, sources, begins, ends: Some(ends) })
    }
}

/// The last session of the history and the last session of all: three fifths are history, or all but the last 120.
fn split(sessions: &BTreeSet<Session>) -> Option<(Session, Session)> {
    let count = sessions.len();
    let history = (count * 3 / 5).max(count.saturating_sub(MOST_LIVED));
    let begins = sessions.iter().nth(history.checked_sub(1)?)?;
    Some((*begins, *sessions.last()?))
}

fn sessions(data: &Path, calendar: Calendar) -> Result<BTreeSet<Session>, Failure> {
    let is_session = |day| calendar.is_session(day);
    let rules = Rules { latest_session: Session::MAX, is_session: &is_session };
    let mut sessions = BTreeSet::new();
    for part in Folder::new(data).read()?.bars {
        let decoded = match part.codec {
            Codec::Csv => decode_csv(&part.bytes, part.default_symbol.as_deref(), &rules),
            Codec::Parquet => decode_parquet(&part.bytes, &rules),
        };
        let bars = decoded.map_err(|error| format!("{}: {error}", part.label))?.bars;
        sessions.extend(bars.session.iter().copied().collect::<BTreeSet<_>>().into_iter().map(days::date));
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(count: usize) -> BTreeSet<Session> {
        Calendar::UnitedStates.sessions(Session::default(), Session::MAX).take(count).collect()
    }

    #[test]
    fn a_long_history_leaves_120_sessions_to_live_through_and_a_short_one_two_fifths() {
        let long = sessions(1000);
        let (begins, ends) = split(&long).unwrap_or_default();
        assert_eq!(long.range(begins..=ends).count(), 1 + 120);
        let short = sessions(100);
        let (begins, ends) = split(&short).unwrap_or_default();
        assert_eq!(short.range(begins..=ends).count(), 1 + 40);
        assert_eq!(split(&BTreeSet::new()), None);
    }

    #[test]
    fn a_simulated_history_is_as_long_as_the_market_begins_with() {
        let history = History::simulated(&Settings::of_years(5, 3, 1));
        let market = almanac_ml::simulator::Market::new(&Settings::of_years(5, 3, 1));
        assert_eq!(Some(&history.begins), market.sessions().last());
    }
}

//! The scheduler: tells by the clock when a session has closed, so that everyone is rung then and not a poll later.

use almanac_domain::calendar::Calendar;
use almanac_domain::values::Session;
use chrono::{DateTime, TimeDelta, Utc};

/// The sessions of one exchange as the clock passes them.
#[derive(Debug, Clone)]
pub struct Schedule {
    calendar: Calendar,
    settle: TimeDelta,
    rung_for: Option<Session>,
}

impl Schedule {
    /// Follows `calendar`; a session counts as closed `settle` after its last trade, when its bars can be asked for.
    pub const fn new(calendar: Calendar, settle: TimeDelta) -> Self {
        Self { calendar, settle, rung_for: None }
    }

    /// True once for each session that has closed at `now`, however many closed since the last time.
    pub fn session_closed(&mut self, now: DateTime<Utc>) -> bool {
        let last = Some(self.calendar.last_closed(now - self.settle));
        let rings = last > self.rung_for;
        self.rung_for = self.rung_for.max(last);
        rings
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_rings_once_after_each_close_and_only_when_the_bars_have_settled() {
        let calendar = Calendar::UnitedStates;
        let friday: Session = "2024-01-05".parse().unwrap();
        let mut schedule = Schedule::new(calendar, TimeDelta::minutes(30));
        let close = calendar.closes_at(friday);
        assert!(schedule.session_closed(close), "the session before, at the start");
        assert!(!schedule.session_closed(close + TimeDelta::minutes(29)));
        assert!(schedule.session_closed(close + TimeDelta::minutes(30)));
        assert!(!schedule.session_closed(close + TimeDelta::days(2)), "the weekend");
        assert!(schedule.session_closed(close + TimeDelta::days(10)));
        assert!(!schedule.session_closed(close), "a clock that is put back rings nobody");
    }
}

//! Time, passed in. A hidden clock in a forecasting service is look-ahead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

/// Tells the service's time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment as the service sees it.
    fn now(&self) -> DateTime<Utc>;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> DateTime<Utc> {
        (**self).now()
    }
}

/// A clock that stands where it was put: tests set it, and the demo lives through months in seconds by it.
#[derive(Debug)]
pub struct SetClock {
    micros: AtomicI64,
}

impl SetClock {
    /// A clock standing at `moment`.
    pub fn at(moment: DateTime<Utc>) -> Self {
        Self { micros: AtomicI64::new(moment.timestamp_micros()) }
    }

    /// Puts the clock to `moment` unless it is already past it: time does not run backwards.
    pub fn advance_to(&self, moment: DateTime<Utc>) {
        self.micros.fetch_max(moment.timestamp_micros(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.micros.load(Ordering::SeqCst)).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_never_runs_backwards() {
        let later = DateTime::UNIX_EPOCH + chrono::Duration::days(2);
        let clock = SetClock::at(later);
        clock.advance_to(DateTime::UNIX_EPOCH);
        assert_eq!(clock.now(), later);
        clock.advance_to(later + chrono::Duration::hours(1));
        assert_eq!(clock.now(), later + chrono::Duration::hours(1));
    }
}

//! How often something may fail, and how long to rest after each time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::settings::Supervision;

/// Counts the failures of one actor within a sliding window.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    supervision: Supervision,
    failures: VecDeque<Instant>,
}

impl Budget {
    pub(super) fn new(supervision: Supervision) -> Self {
        Self { supervision, failures: VecDeque::new() }
    }

    /// The time in which failures are counted.
    pub(super) fn within(&self) -> Duration {
        self.supervision.within
    }

    /// Counts a failure: how long to rest before the next try, or nothing when there is to be none.
    pub(super) fn spend(&mut self, now: Instant) -> Option<Duration> {
        let within = self.supervision.within;
        self.failures.retain(|failed_at| now.duration_since(*failed_at) < within);
        if self.failures.len() >= self.supervision.budget {
            return None;
        }
        let pause = pause(&self.supervision, self.failures.len());
        self.failures.push_back(now);
        Some(pause)
    }
}

/// The rest after `failures` failures before this one.
pub(super) fn pause(supervision: &Supervision, failures: usize) -> Duration {
    let doubled = 2_u32.saturating_pow(u32::try_from(failures).unwrap_or(u32::MAX));
    supervision.first_pause.saturating_mul(doubled).min(supervision.longest_pause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervision() -> Supervision {
        Supervision {
            budget: 4,
            within: Duration::from_secs(60),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(5),
            ..Supervision::default()
        }
    }

    #[test]
    fn rests_double_up_to_the_longest_and_then_the_budget_is_spent() {
        let mut budget = Budget::new(supervision());
        let start = Instant::now();
        let rests: Vec<_> = (0..5).map(|_| budget.spend(start)).collect();
        let seconds = |count| Some(Duration::from_secs(count));
        assert_eq!(rests, [seconds(1), seconds(2), seconds(4), seconds(5), None]);
    }

    #[test]
    fn failures_of_long_ago_are_forgiven() {
        let mut budget = Budget::new(supervision());
        let start = Instant::now();
        for _ in 0..5 {
            budget.spend(start);
        }
        assert_eq!(budget.spend(start + Duration::from_secs(60)), Some(Duration::from_secs(1)));
    }
}

//! When a failed delivery is tried again: the schedule of Standard Webhooks, later when the receiver asks for it.

use std::time::Duration;

use almanac_store::clock::Entropy;
use chrono::{DateTime, TimeDelta, Utc};

/// Waits after the first, second, ... failed attempt, in seconds: nine retries, ten attempts, over some three days.
const WAITS: [u64; 9] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];
/// A receiver may ask for a pause, not for being forgotten.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// When to try again after `made` attempts (from 1), the last of which ended at `now`; none when it is given up.
///
/// Up to a fifth of the wait is added by chance, so that what failed together does not come back together.
pub fn retry_at(
    made: usize,
    now: DateTime<Utc>,
    asked_pause: Option<Duration>,
    entropy: &Entropy,
) -> Option<DateTime<Utc>> {
    let seconds = *WAITS.get(made.checked_sub(1)?)?;
    let jitter = Duration::from_millis(entropy.below(seconds * 200));
    let wait = (Duration::from_secs(seconds) + jitter).max(asked_pause.unwrap_or_default());
    Some(now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::days(1)))
}

/// The pause a `Retry-After` header asks for: seconds, or a date of HTTP (RFC 9110, section 10.2.3). At most a day;
/// none when it cannot be read or lies in the past.
pub fn asked_pause(retry_after: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = retry_after.trim();
    let pause = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean longer than a day all the same.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let until = DateTime::parse_from_rfc2822(text).ok()?;
        (until.to_utc() - now).to_std().ok()?
    };
    Some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn noon() -> DateTime<Utc> {
        DateTime::parse_from_rfc3339("2024-03-04T12:00:00Z").unwrap().to_utc()
    }

    #[test]
    fn fault_35_nine_waits_follow_ten_attempts_and_chance_adds_at_most_a_fifth() {
        for seed in 0..200 {
            let entropy = Entropy::seeded(seed);
            let waits: Vec<i64> = (1..)
                .map_while(|made| retry_at(made, noon(), None, &entropy))
                .map(|at| (at - noon()).num_seconds())
                .collect();
            assert_eq!(waits.len(), 9);
            let minimum = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
            for (wait, least) in waits.into_iter().zip(minimum) {
                assert!((least..=least * 6 / 5).contains(&wait), "{wait} s instead of {least} s");
            }
        }
        assert_eq!(retry_at(0, noon(), None, &Entropy::seeded(1)), None);
        assert_eq!(retry_at(10, noon(), Some(Duration::from_secs(60)), &Entropy::seeded(1)), None);
    }

    #[test]
    fn fault_35_a_receiver_may_ask_for_a_longer_pause_but_not_for_a_shorter() {
        let at = |pause| retry_at(1, noon(), Some(Duration::from_secs(pause)), &Entropy::seeded(1)).unwrap();
        assert_eq!(at(600), noon() + TimeDelta::minutes(10));
        assert!(at(1) >= noon() + TimeDelta::seconds(5));
    }

    #[test]
    fn fault_35_retry_after_is_read_in_every_form() {
        let read = |text| asked_pause(text, noon()).map(|pause| pause.as_secs());
        assert_eq!(read("120"), Some(120));
        assert_eq!(read(" 0 "), Some(0));
        assert_eq!(read("Mon, 04 Mar 2024 12:05:00 GMT"), Some(300));
        assert_eq!(read("Mon, 04 Mar 2024 11:00:00 GMT"), None);
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT"), Some(86_400));
        assert_eq!(read("999999999999999999999999999999"), Some(86_400));
        for garbage in ["", "-5", "soon", "1e9", "5 minutes", "12:00", "٣٠", "+5", "0x10", "Mon, 99 Mar 2024"]
        {
            assert_eq!(read(garbage), None, "{garbage}");
        }
    }
}

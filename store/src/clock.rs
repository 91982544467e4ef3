//! The real clock and real randomness: the one place that may ask the machine for them.

use std::sync::{Arc, Mutex, PoisonError};

use almanac_domain::clock::Clock;
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use uuid::Uuid;

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the place that makes the real clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A source of random bytes: the machine's, or a seeded one that repeats itself.
#[derive(Debug, Clone)]
pub struct Entropy(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Seeded(Arc<Mutex<StdRng>>),
}

impl Entropy {
    /// Randomness from the machine, fit for tokens.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Randomness that is the same for the same seed; for tests and simulations, never for tokens.
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.with(|random| random.fill_bytes(&mut bytes));
        bytes
    }

    /// A random number below `bound`, or 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        let mut drawn = 0;
        if bound > 0 {
            self.with(|random| drawn = random.random_range(0..bound));
        }
        drawn
    }

    /// A UUID of version 7, which sorts by `now`.
    pub fn uuid_v7(&self, now: DateTime<Utc>) -> Uuid {
        let millis = now.timestamp_millis().max(0).unsigned_abs();
        uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes::<10>()).into_uuid()
    }

    #[allow(clippy::disallowed_methods, reason = "this is the place that makes real randomness")]
    fn with(&self, draw: impl FnOnce(&mut dyn RngCore)) {
        match &self.0 {
            Source::System => draw(&mut rand::rng()),
            Source::Seeded(random) => draw(&mut *random.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_the_system_does_not() {
        assert_eq!(Entropy::seeded(7).bytes::<16>(), Entropy::seeded(7).bytes::<16>());
        assert_ne!(Entropy::seeded(7).bytes::<16>(), Entropy::seeded(8).bytes::<16>());
        assert_ne!(Entropy::system().bytes::<16>(), Entropy::system().bytes::<16>());
    }

    #[test]
    fn a_uuid_v7_sorts_by_the_time_it_was_given() {
        let entropy = Entropy::seeded(1);
        let earlier = entropy.uuid_v7(DateTime::UNIX_EPOCH + chrono::Duration::days(1));
        let later = entropy.uuid_v7(DateTime::UNIX_EPOCH + chrono::Duration::days(2));
        assert!(earlier < later);
        assert_eq!(earlier.get_version_num(), 7);
    }
}

//! Whether somebody who leaves marks still lives, told by a clock that nobody sets.
//!
//! Whoever holds something changes its mark for as long as it lives. Whoever wants it does not ask what time the mark
//! says, because the clock of a host may jump an hour either way, but how long it has seen the same mark itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The marks this process has seen, each with when it first was.
#[derive(Debug, Default)]
pub(crate) struct Sightings(Mutex<HashMap<String, (String, Instant)>>);

impl Sightings {
    /// For how long this mark has been seen at `place`, with no other one in between: nothing at first sight, and nothing
    /// where there is none.
    pub fn unchanged(&self, place: &str, mark: Option<String>) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(mark) = mark else {
            seen.remove(place);
            return Duration::ZERO;
        };
        match seen.get(place) {
            Some((known, since)) if *known == mark => since.elapsed(),
            Some(_) | None => {
                seen.insert(place.to_owned(), (mark, Instant::now()));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(millis: u64) {
        std::thread::sleep(Duration::from_millis(millis));
    }

    #[test]
    fn a_mark_grows_old_for_whoever_sees_it_until_it_changes_or_is_gone() {
        let sightings = Sightings::default();
        let look = |mark: Option<&str>| sightings.unchanged("work", mark.map(str::to_owned));
        assert_eq!(look(Some("1")), Duration::ZERO);
        pass(20);
        assert!(look(Some("1")) >= Duration::from_millis(20));
        assert_eq!(sightings.unchanged("other work", Some("1".to_owned())), Duration::ZERO);
        assert_eq!(look(Some("2")), Duration::ZERO);
        pass(5);
        assert!(look(Some("2")) >= Duration::from_millis(5));
        assert_eq!(look(None), Duration::ZERO);
        assert_eq!(look(Some("2")), Duration::ZERO);
    }
}

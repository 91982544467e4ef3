//! Keeps endpoints out of each other's way: every endpoint has a lane of its own, and lanes take turns.
//!
//! A receiver that does not answer, or asks for a pause, has its lane closed for a while: what waits in it goes back
//! into the outbox untried, and one message at a time finds out whether it is well again. So a black hole costs the
//! others nothing, and a receiver in trouble is not hammered.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// Messages of one endpoint held in memory while it is well.
const LANE: usize = 256;
/// Messages held in memory altogether.
pub(super) const ALL_LANES: usize = 1024;
/// What finds its lane full comes back after this.
const CROWDED: TimeDelta = TimeDelta::seconds(5);
/// How long a lane is closed after the first trouble; each further one doubles it, up to [`LONGEST`].
const FIRST_CLOSURE: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(300);

/// How an endpoint took an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It answered; with what does not matter here.
    Answers,
    /// It did not answer, or said that it has too much to do, perhaps naming a pause.
    InTrouble(Option<Duration>),
}

/// What is to be done with a message that was claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission<T> {
    /// It waits for its turn.
    Waits,
    /// It goes back into the outbox until then.
    Back(T, DateTime<Utc>),
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<T>,
    in_flight: usize,
    troubles: u32,
    closed_until: Option<DateTime<Utc>>,
}

impl<T> Lane<T> {
    fn new() -> Self {
        Self { waiting: VecDeque::new(), in_flight: 0, troubles: 0, closed_until: None }
    }

    fn is_forgotten(&self) -> bool {
        self.waiting.is_empty() && self.in_flight == 0 && self.troubles == 0
    }
}

/// All lanes, and whose turn it is.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    by_endpoint: HashMap<Uuid, Lane<T>>,
    turns: VecDeque<Uuid>,
    abreast: usize,
}

impl<T> Lanes<T> {
    /// Lanes in which `abreast` messages are under way at once.
    pub(super) fn new(abreast: usize) -> Self {
        Self { by_endpoint: HashMap::new(), turns: VecDeque::new(), abreast: abreast.max(1) }
    }

    /// Messages that wait.
    pub(super) fn waiting(&self) -> usize {
        self.by_endpoint.values().map(|lane| lane.waiting.len()).sum()
    }

    /// Lanes that are closed at `now`.
    pub(super) fn closed(&self, now: DateTime<Utc>) -> usize {
        self.by_endpoint.values().filter(|lane| lane.closed_until.is_some_and(|until| now < until)).count()
    }

    /// Puts a message into its endpoint's lane, or says when it may come back.
    pub(super) fn admit(&mut self, endpoint: Uuid, message: T, now: DateTime<Utc>) -> Admission<T> {
        let lane = self.by_endpoint.entry(endpoint).or_insert_with(Lane::new);
        if let Some(until) = lane.closed_until.filter(|until| now < *until) {
            return Admission::Back(message, until);
        }
        let most = if lane.troubles > 0 { 1 } else { LANE };
        if lane.waiting.len() >= most {
            return Admission::Back(message, now + CROWDED);
        }
        if lane.waiting.is_empty() {
            self.turns.push_back(endpoint);
        }
        lane.waiting.push_back(message);
        Admission::Waits
    }

    /// Takes the next message to send, going round the endpoints; none when every lane is empty or has enough under
    /// way.
    pub(super) fn next(&mut self) -> Option<(Uuid, T)> {
        for _ in 0..self.turns.len() {
            let endpoint = self.turns.pop_front()?;
            let Some(lane) = self.by_endpoint.get_mut(&endpoint) else { continue };
            let most = if lane.troubles > 0 { 1 } else { self.abreast };
            if lane.in_flight >= most {
                self.turns.push_back(endpoint);
                continue;
            }
            if let Some(message) = lane.waiting.pop_front() {
                lane.in_flight += 1;
                if !lane.waiting.is_empty() {
                    self.turns.push_back(endpoint);
                }
                return Some((endpoint, message));
            }
        }
        None
    }

    /// Notes that one message of `endpoint` is no longer under way, and how the endpoint took it. Returns what goes
    /// back into the outbox, and until when.
    pub(super) fn landed(
        &mut self,
        endpoint: Uuid,
        health: Health,
        now: DateTime<Utc>,
    ) -> Vec<(T, DateTime<Utc>)> {
        let Some(lane) = self.by_endpoint.get_mut(&endpoint) else { return Vec::new() };
        lane.in_flight = lane.in_flight.saturating_sub(1);
        let mut back = Vec::new();
        match health {
            Health::Answers => (lane.troubles, lane.closed_until) = (0, None),
            Health::InTrouble(asked) => {
                // What was under way together fails together: that is one trouble, not many.
                if lane.closed_until.is_none_or(|until| until <= now) {
                    lane.troubles += 1;
                }
                let doubled = FIRST_CLOSURE.saturating_mul(1 << (lane.troubles - 1).min(10)).min(LONGEST);
                let closure = TimeDelta::from_std(doubled.max(asked.unwrap_or_default())).unwrap_or(CROWDED);
                let until = lane.closed_until.unwrap_or(now).max(now + closure);
                lane.closed_until = Some(until);
                back.extend(lane.waiting.drain(..).map(|message| (message, until)));
            }
        }
        if lane.is_forgotten() {
            self.by_endpoint.remove(&endpoint);
        }
        back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLACK_HOLE: Uuid = Uuid::from_u128(1);
    const WELL: Uuid = Uuid::from_u128(2);
    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn filled(abreast: usize) -> Lanes<u32> {
        let mut lanes = Lanes::new(abreast);
        for message in 0..10 {
            assert_eq!(lanes.admit(BLACK_HOLE, message, NOW), Admission::Waits);
        }
        for message in 10..13 {
            assert_eq!(lanes.admit(WELL, message, NOW), Admission::Waits);
        }
        lanes
    }

    #[test]
    fn fault_33_an_endpoint_has_no_more_under_way_than_its_share() {
        let mut lanes = filled(2);
        let taken: Vec<_> = std::iter::from_fn(|| lanes.next()).collect();
        assert_eq!(taken, [(BLACK_HOLE, 0), (WELL, 10), (BLACK_HOLE, 1), (WELL, 11)]);
        lanes.landed(WELL, Health::Answers, NOW);
        assert_eq!(lanes.next(), Some((WELL, 12)));
        assert_eq!(lanes.next(), None);
    }

    #[test]
    fn an_endpoint_in_trouble_is_left_alone_and_then_asked_once() {
        let mut lanes = filled(2);
        while lanes.next().is_some() {}
        let back = lanes.landed(BLACK_HOLE, Health::InTrouble(None), NOW);
        let until = NOW + TimeDelta::seconds(15);
        assert_eq!(back, (2..10).map(|message| (message, until)).collect::<Vec<_>>());
        assert_eq!(lanes.landed(BLACK_HOLE, Health::InTrouble(None), NOW), []);
        assert_eq!(lanes.admit(BLACK_HOLE, 2, NOW), Admission::Back(2, until), "not counted twice");
        assert_eq!(lanes.closed(NOW), 1);

        assert_eq!(lanes.admit(BLACK_HOLE, 2, until), Admission::Waits);
        assert_eq!(lanes.admit(BLACK_HOLE, 3, until), Admission::Back(3, until + CROWDED));
        assert_eq!(lanes.next(), Some((BLACK_HOLE, 2)));
        assert_eq!(lanes.admit(BLACK_HOLE, 3, until), Admission::Waits);
        assert_eq!(lanes.next(), None, "one at a time until it answers");
        lanes.landed(BLACK_HOLE, Health::Answers, until);
        assert_eq!(lanes.next(), Some((BLACK_HOLE, 3)));
    }

    #[test]
    fn closures_grow_and_a_pause_that_was_asked_for_is_kept() {
        let mut lanes = Lanes::new(1);
        let mut now = NOW;
        let mut closures = Vec::new();
        for message in 0..8 {
            assert_eq!(lanes.admit(WELL, message, now), Admission::Waits);
            lanes.next();
            lanes.landed(WELL, Health::InTrouble(None), now);
            let Admission::Back(_, until) = lanes.admit(WELL, message, now) else {
                panic!("the lane is open")
            };
            closures.push((until - now).num_seconds());
            now = until;
        }
        assert_eq!(closures, [15, 30, 60, 120, 240, 300, 300, 300]);
        lanes.admit(WELL, 9, now);
        lanes.next();
        lanes.landed(WELL, Health::InTrouble(Some(Duration::from_secs(3600))), now);
        assert_eq!(lanes.admit(WELL, 9, now), Admission::Back(9, now + TimeDelta::hours(1)));
    }

    #[test]
    fn memory_is_bounded_and_forgets_who_is_well() {
        let mut lanes = Lanes::new(1);
        for message in 0..LANE {
            assert_eq!(lanes.admit(WELL, message, NOW), Admission::Waits);
        }
        assert_eq!(lanes.admit(WELL, 999, NOW), Admission::Back(999, NOW + CROWDED));
        while lanes.next().is_some() {
            lanes.landed(WELL, Health::Answers, NOW);
        }
        assert!(lanes.by_endpoint.is_empty() && lanes.waiting() == 0);
    }
}

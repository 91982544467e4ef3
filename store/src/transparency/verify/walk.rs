//! The walk along the log: one event after the other, with everything that takes the order to see.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher};

use chrono::{DateTime, SubsecRound, Utc};

use super::Start;
use super::marks::Marks;
use super::report::{Bad, Flaw, MOST_NAMED, Report};
use super::tiles::BadTile;
use crate::log::tree::leaf;
use crate::log::{EventKey, Frontier, Hash, Recorded};

/// So many altered events are kept to find the one each has changed places with.
const MOST_COMPARED: usize = 16;

/// An event that was looked at by itself.
pub(super) struct Seen {
    pub(super) ordinal: i64,
    key: EventKey,
    leaf: Hash,
    state: State,
    /// Whether its numbers are such as the log takes: another one can have two readings with one digest.
    is_plain: bool,
    /// Whether its digest is the one proofs are made from, where that is kept.
    pub(super) is_in_tile: bool,
}

enum State {
    /// It reads as it was sealed.
    Sound {
        /// Its own time and the one from which on it is known.
        at: DateTime<Utc>,
        as_of: DateTime<Utc>,
    },
    Altered(Box<Recorded>),
    /// Its row in the log is there, the event is not.
    Lost,
}

impl Seen {
    /// Looks at an event: this is the costly part, and needs no other event.
    pub(super) fn event(event: Recorded, row_fits: bool) -> Self {
        let leaf = leaf(&event.event_hash);
        let is_plain = event.payload.is_plain() && event.metadata.is_plain();
        let (ordinal, key) = (event.ordinal, event.key.clone());
        let state = if row_fits && event.recomputed_hash() == event.event_hash {
            State::Sound { at: event.at(), as_of: event.as_of }
        } else {
            State::Altered(Box::new(event))
        };
        Self { ordinal, key, leaf, state, is_plain, is_in_tile: true }
    }

    /// An event of which only the row in the log is left.
    pub(super) fn lost(ordinal: i64, key: EventKey, event_hash: &Hash) -> Self {
        Self { ordinal, key, leaf: leaf(event_hash), state: State::Lost, is_plain: true, is_in_tile: true }
    }

    pub(super) fn leaf(&self) -> &Hash {
        &self.leaf
    }
}

/// What has been seen so far.
///
/// It grows by some twenty bytes for each stream, of which only a digest and the last sequence number are kept;
/// nothing else in it grows with the log.
pub(super) struct Walk {
    /// So many events come before the first one that is seen.
    before: i64,
    frontier: Frontier,
    marks: Marks,
    streams: HashMap<u64, u32>,
    /// Nothing before the first event; unknown after one that cannot be read.
    as_of: Option<DateTime<Utc>>,
    is_dated: bool,
    flaws: Vec<Bad>,
    flaw_count: u64,
    altered: Vec<Recorded>,
    /// The size of the last head that fitted.
    fitted: i64,
}

impl Walk {
    pub(super) fn new(marks: Marks) -> Self {
        Self::after(Start::default(), marks)
    }

    pub(super) fn after(start: Start, mut marks: Marks) -> Self {
        let before = start.frontier.size() as i64;
        marks.pass_over(before);
        let mut walk = Self {
            before,
            frontier: start.frontier,
            marks,
            streams: HashMap::new(),
            as_of: start.as_of,
            is_dated: true,
            flaws: Vec::new(),
            flaw_count: 0,
            altered: Vec::new(),
            fitted: before,
        };
        walk.compare();
        walk
    }

    /// The number of ordinals passed.
    pub(super) fn done(&self) -> i64 {
        self.frontier.size() as i64
    }

    pub(super) fn take(&mut self, seen: Seen) {
        if seen.ordinal <= self.done() {
            // An ordinal given twice; the database cannot hold such, an export can.
            return self.flaw(seen.ordinal, None, Flaw::Altered);
        }
        self.skip_to(seen.ordinal - 1);
        if !seen.is_plain {
            self.flaw(seen.ordinal, None, Flaw::Ambiguous);
        }
        if !seen.is_in_tile {
            self.flaw(seen.ordinal, None, Flaw::Rehashed);
        }
        match seen.state {
            State::Sound { at, as_of } => {
                self.date(seen.ordinal, at, as_of);
                self.follow(seen.ordinal, &seen.key);
            }
            State::Altered(event) => {
                self.pass_by(&seen.key);
                self.alter(*event);
            }
            State::Lost => {
                self.pass_by(&seen.key);
                self.flaw(seen.ordinal, None, Flaw::Missing);
            }
        }
        self.frontier.push_leaf(seen.leaf);
        self.compare();
    }

    /// Notes every ordinal up to `last` that has not come as missing.
    pub(super) fn skip_to(&mut self, last: i64) {
        while self.done() < last {
            self.flaw(self.done() + 1, None, Flaw::Missing);
            self.is_dated = false;
            // Some leaf has to stand there for the count; no head fits from here on.
            self.frontier.push_leaf(Hash::default());
            self.compare();
        }
    }

    /// A committed event that has no ordinal although later ones do.
    pub(super) fn passed_over(&mut self, before: i64, key: EventKey) {
        self.flaw(before, None, Flaw::PassedOver { key });
    }

    /// Inner hashes of the tree that are kept for proofs and do not follow from the events.
    pub(super) fn wrong_tile(&mut self, tile: &BadTile) {
        let (level, index) = (tile.level, tile.index);
        self.flaw(*tile.events.start(), Some(*tile.events.end()), Flaw::Tile { level, index });
    }

    pub(super) fn report(mut self, unsealed: u64) -> Report {
        let (end, root) = (self.done(), self.frontier.root());
        if let Some(published) = self.marks.beyond(end, root) {
            self.flaw(end + 1, None, Flaw::TailCut { published });
        }
        Report {
            events: end as u64,
            root,
            first_bad: self.flaws.iter().min_by_key(|bad| bad.ordinal).cloned(),
            flaws: self.flaws,
            flaw_count: self.flaw_count,
            unsealed,
            checkpoints: self.marks.checked,
        }
    }

    fn compare(&mut self) {
        let size = self.done();
        match self.marks.compare(size, || self.frontier.root()) {
            Some(true) => self.fitted = size,
            Some(false) if self.flaw_count == 0 => {
                self.flaw(self.fitted + 1, Some(size), Flaw::Rewritten { size });
            }
            // Nothing to compare, or what is wrong is named already.
            None | Some(false) => {}
        }
    }

    fn flaw(&mut self, ordinal: i64, until: Option<i64>, what: Flaw) {
        self.flaw_count += 1;
        if self.flaws.len() < MOST_NAMED || matches!(what, Flaw::TailCut { .. } | Flaw::PassedOver { .. }) {
            self.flaws.push(Bad { ordinal, until, what });
        }
    }

    fn date(&mut self, ordinal: i64, at: DateTime<Utc>, as_of: DateTime<Utc>) {
        // The database keeps microseconds.
        let at = at.trunc_subsecs(6);
        let expected = self.as_of.map_or(at, |latest| latest.max(at));
        let fits = if self.is_dated { as_of == expected } else { as_of >= expected };
        if !fits {
            self.flaw(ordinal, None, Flaw::Misdated);
        }
        self.as_of = Some(if self.is_dated { expected } else { as_of.max(expected) });
        self.is_dated = true;
    }

    /// Goes on after an event that cannot be read, so that what follows it is not blamed.
    fn pass_by(&mut self, key: &EventKey) {
        self.is_dated = false;
        self.streams.insert(stream_of(key), key.sequence as u32);
    }

    fn follow(&mut self, ordinal: i64, key: &EventKey) {
        // A stream that began before is joined where it stands.
        let first = if self.before > 0 { key.sequence as u32 - 1 } else { 0 };
        let last = self.streams.entry(stream_of(key)).or_insert(first);
        let expected = i64::from(*last) + 1;
        *last = key.sequence as u32;
        if key.sequence != expected {
            self.flaw(ordinal, None, Flaw::OutOfStream { key: key.clone(), expected });
        }
    }

    fn alter(&mut self, event: Recorded) {
        let ordinal = event.ordinal;
        let other = self.altered.iter().position(|other| are_swapped(other, &event));
        let Some(with) = other.map(|place| self.altered.swap_remove(place).ordinal) else {
            self.flaw(ordinal, None, Flaw::Altered);
            if self.altered.len() < MOST_COMPARED {
                self.altered.push(event);
            }
            return;
        };
        for bad in &mut self.flaws {
            if bad.ordinal == with && bad.what == Flaw::Altered {
                bad.what = Flaw::Swapped { with: ordinal };
            }
        }
        self.flaw(ordinal, None, Flaw::Swapped { with });
    }
}

/// Whether each of two events has the digest of one of them when it is put in the other's place.
fn are_swapped(first: &Recorded, second: &Recorded) -> bool {
    let sealed = [first.event_hash, second.event_hash];
    let moved =
        |event: &Recorded, ordinal| sealed.contains(&Recorded { ordinal, ..event.clone() }.recomputed_hash());
    moved(first, second.ordinal) && moved(second, first.ordinal)
}

fn stream_of(key: &EventKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&key.aggregate_type, &key.aggregate_id).hash(&mut hasher);
    hasher.finish()
}

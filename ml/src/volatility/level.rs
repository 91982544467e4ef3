//! The correction of the scale from session to session by what it missed: adaptive conformal inference (Gibbs & Candès
//! 2021), acting on the width instead of the level so that one number serves every quantile, and fading.

use std::collections::VecDeque;

use crate::conformal::MISSED_BY_80;

/// The correction never goes beyond doubling or halving.
const FARTHEST: f64 = 0.7;
/// So many instruments of a session give its share of misses half of its full weight.
const HALF_TRUSTED: f64 = 10.0;
/// Sessions after which what was missed at a horizon of one has been forgotten but for a small rest.
const REMEMBERED_SESSIONS: f64 = 40.0;

/// How the correction answers to what was missed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reaction {
    /// How strongly a session's misses act at a horizon of one session. Longer horizons hear of them later and in
    /// overlapping pieces, so theirs is divided by the horizon.
    pub gain: f64,
    /// The share that is forgotten each session at a horizon of one; divided by the root of longer ones.
    pub forgotten: f64,
}

impl Default for Reaction {
    /// As chosen on 2015 with data before 2016: the steadiest months among those that cost at most half a percent of an
    /// interval score.
    fn default() -> Self {
        Self { gain: 0.3, forgotten: 0.2 }
    }
}

/// As many sessions as it takes at a horizon, those whose outcome is still open among them.
pub(crate) fn remembered_sessions(horizon: usize) -> usize {
    (REMEMBERED_SESSIONS * (horizon as f64).sqrt()).ceil() as usize + horizon
}

/// The correction at one horizon, moved on session by session.
#[derive(Debug, Clone)]
pub(crate) struct Level {
    horizon: usize,
    reaction: Reaction,
    logarithm: f64,
    /// Sessions whose outcome is not known yet: the day it is, the share missed and the number of instruments.
    open: VecDeque<(i32, f64, usize)>,
}

impl Level {
    /// No correction yet.
    pub fn new(horizon: usize, reaction: Reaction) -> Self {
        Self { horizon, reaction, logarithm: 0.0, open: VecDeque::new() }
    }

    /// The factor for forecasts made at the close of `session` (days since 1970-01-01), after whatever has ended by then.
    pub fn at(&mut self, session: i32) -> f64 {
        let horizon = self.horizon as f64;
        while let Some(&(known, missed, instruments)) = self.open.front() {
            if known > session {
                break;
            }
            self.open.pop_front();
            let trust = instruments as f64 / (instruments as f64 + HALF_TRUSTED);
            let step = self.reaction.gain / horizon * trust * (missed - MISSED_BY_80);
            let kept = 1.0 - self.reaction.forgotten / horizon.sqrt();
            self.logarithm = (self.logarithm * kept + step).clamp(-FARTHEST, FARTHEST);
        }
        libm::exp(self.logarithm)
    }

    /// Takes down which share of a session's 80% intervals missed, to be heard on the day `known`.
    pub fn record(&mut self, known: i32, missed: f64, instruments: usize) {
        self.open.push_back((known, missed, instruments));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_misses_widen_and_too_few_narrow_once_they_are_known() {
        let mut level = Level::new(1, Reaction::default());
        level.record(11, 0.6, 1000);
        assert!((level.at(10) - 1.0).abs() < 1e-15, "the outcome is not known yet");
        assert!(level.at(11) > 1.03);
        let mut calm = Level::new(1, Reaction::default());
        calm.record(11, 0.0, 1000);
        assert!(calm.at(11) < 0.99);
    }

    #[test]
    fn the_correction_fades_when_the_share_is_right() {
        let mut level = Level::new(1, Reaction::default());
        level.record(0, 1.0, 1000);
        let wide = level.at(0);
        for day in 1..=100 {
            level.record(day, MISSED_BY_80, 1000);
        }
        assert!(level.at(100) - 1.0 < (wide - 1.0) / 50.0);
    }

    #[test]
    fn no_series_of_misses_drives_it_beyond_its_bounds() {
        let mut level = Level::new(1, Reaction::default());
        for day in 0..1000 {
            level.record(day, 1.0, 1000);
        }
        assert!(level.at(1000) <= 2.02);
    }
}

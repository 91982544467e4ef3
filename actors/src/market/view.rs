//! The bars as known at one moment: which batches they came from, and how they look as of a session.

use std::sync::{Arc, OnceLock};

use almanac_domain::values::{Digest, Session};
use almanac_ml::bars::{Bar, JumpKind, jumps};
use almanac_ml::{Panel, Split, days};
use almanac_projections::ingestions::Batch;
use uuid::Uuid;

use super::Manifest;

/// All bars of one mode, from a fixed list of batches.
#[derive(Debug)]
pub struct View {
    raw: Arc<Panel>,
    splits: Vec<Split>,
    batches: Vec<Batch>,
    last_session: Option<Session>,
    dataset: Digest,
    adjusted: OnceLock<Arc<Panel>>,
}

impl View {
    pub(super) fn new(raw: Arc<Panel>, splits: Vec<Split>, batches: Vec<Batch>) -> Self {
        let last_session = raw.latest_session();
        let dataset = Manifest::of_bars(&batches, &splits).digest();
        Self { raw, splits, batches, last_session, dataset, adjusted: OnceLock::new() }
    }

    pub(super) fn stands_on(&self, batches: &[Batch], splits: &[Split]) -> bool {
        self.batches.len() == batches.len() && self.is_beginning_of(batches) && self.splits == splits
    }

    /// Whether these batches begin with those of this view.
    pub(super) fn is_beginning_of(&self, batches: &[Batch]) -> bool {
        batches.len() >= self.batches.len()
            && self.batches.iter().zip(batches).all(|(ours, theirs)| ours.id == theirs.id)
    }

    pub(super) fn raw(&self) -> Arc<Panel> {
        Arc::clone(&self.raw)
    }

    /// The batches it stands on, in the order of the log.
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// The latest session of any bar.
    pub const fn last_session(&self) -> Option<Session> {
        self.last_session
    }

    /// The bars as traded, not adjusted for anything.
    pub fn as_traded(&self) -> &Panel {
        &self.raw
    }

    /// What was known of prices at the end of a session, on the share count of that session, parted where they do not go
    /// on.
    pub fn panel(&self, as_of: Session) -> Panel {
        self.raw.as_of(as_of).adjust(&self.splits, as_of).parted()
    }

    /// All bars on the share count of the last session.
    pub fn adjusted(&self) -> &Panel {
        self.adjusted.get_or_init(|| {
            let as_of = self.last_session.unwrap_or_default();
            Arc::new(self.raw.adjust(&self.splits, as_of))
        })
    }

    /// The close of an instrument on a session and the one `before` it, both on the share count of `session`. None where
    /// either has no bar.
    pub fn closes(&self, instrument: Uuid, before: Session, session: Session) -> Option<(f64, f64)> {
        let key = instrument.to_string();
        let series = self.raw.series(self.raw.position(&key)?);
        let close = |wanted: Session| {
            series.session.binary_search(&days::day(wanted)).ok().map(|row| series.close[row])
        };
        let (mut earlier, later) = (close(before)?, close(session)?);
        // In the order and way of `Panel::adjust`, so that the same bits come out.
        for split in &self.splits {
            if split.key == key && split.effective > before && split.effective <= session {
                earlier /= split.ratio;
            }
        }
        Some((earlier, later))
    }

    /// Whether an instrument has a bar of a session.
    pub fn has_bar(&self, instrument: Uuid, session: Session) -> bool {
        let position = self.raw.position(&instrument.to_string());
        position.is_some_and(|at| self.raw.series(at).session.binary_search(&days::day(session)).is_ok())
    }

    /// Whether the price of an instrument moved after `before` and up to `session` as if for a split that is not recorded.
    pub fn has_unrecorded_split(&self, instrument: Uuid, before: Session, session: Session) -> bool {
        let panel = self.adjusted();
        let Some(position) = panel.position(&instrument.to_string()) else { return false };
        let series = panel.series(position);
        let first = series.session.partition_point(|&day| day < days::day(before));
        let last = series.session.partition_point(|&day| day <= days::day(session));
        // One bar more: it may take the move back.
        let seen = first..(last + 1).min(series.session.len());
        jumps(&series.open[seen.clone()], &series.close[seen])
            .iter()
            .any(|jump| first + jump.at < last && matches!(jump.kind, JumpKind::Split { .. }))
    }

    /// The newest `limit` bars between two sessions, oldest first, on the share count of the last session.
    pub fn bars(
        &self,
        instrument: Uuid,
        from: Option<Session>,
        to: Option<Session>,
        limit: usize,
    ) -> Vec<Bar> {
        let panel = self.adjusted();
        let Some(position) = panel.position(&instrument.to_string()) else { return vec![] };
        let rows = panel.rows(position);
        let sessions = &panel.bars().session[rows.clone()];
        let first = from.map_or(0, |from| sessions.partition_point(|&day| day < days::day(from)));
        let end = to.map_or(sessions.len(), |to| sessions.partition_point(|&day| day <= days::day(to)));
        let first = first.max(end.saturating_sub(limit));
        (first..end).map(|row| panel.bars().bar(rows.start + row)).collect()
    }

    /// The last close of an instrument and the one before it, on the share count of the last session, with the session
    /// of the last one.
    pub fn last_closes(&self, instrument: Uuid) -> Option<(Session, f64, Option<f64>)> {
        let bars = self.bars(instrument, None, None, 2);
        let last = bars.last()?;
        let before = bars.len().checked_sub(2).map(|place| bars[place].close);
        Some((last.session, last.close, before))
    }

    /// The batches that may hold bars of a session.
    pub fn batches_of(&self, session: Session) -> Vec<Uuid> {
        let holds = |batch: &&Batch| batch.first_session <= session && session <= batch.last_session;
        self.batches.iter().filter(holds).map(|batch| batch.id).collect()
    }

    /// The manifest of the data: every batch with its digest, and every split.
    pub fn manifest(&self) -> Manifest {
        Manifest::of_bars(&self.batches, &self.splits)
    }

    /// The digest of the manifest, which names the data in events.
    pub fn dataset(&self) -> Digest {
        self.dataset.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp)]
    use super::*;
    use almanac_ml::Bars;

    fn day(day: u32) -> Session {
        Session::from_ymd_opt(2024, 1, day).unwrap()
    }

    fn view(splits: Vec<Split>) -> View {
        let mut bars = Bars::default();
        let key = Uuid::from_u128(1).to_string();
        for (session, close) in [(2, 100.0), (3, 102.0), (4, 51.0), (5, 52.0)] {
            let bar =
                Bar { session: day(session), open: close, high: close, low: close, close, volume: 10.0 };
            bars.push(&key, bar);
        }
        View::new(Arc::new(Panel::new(bars)), splits, vec![])
    }

    fn split() -> Split {
        Split { key: Uuid::from_u128(1).to_string(), effective: day(4), ratio: 2.0 }
    }

    #[test]
    fn an_outcome_is_measured_on_one_share_count() {
        let instrument = Uuid::from_u128(1);
        assert_eq!(view(vec![split()]).closes(instrument, day(3), day(4)), Some((51.0, 51.0)));
        assert_eq!(view(vec![split()]).closes(instrument, day(2), day(3)), Some((100.0, 102.0)));
        assert_eq!(view(vec![]).closes(instrument, day(3), day(8)), None);
    }

    #[test]
    fn a_jump_like_a_split_is_seen_until_the_split_is_recorded() {
        let instrument = Uuid::from_u128(1);
        assert!(view(vec![]).has_unrecorded_split(instrument, day(3), day(4)));
        assert!(view(vec![]).has_unrecorded_split(instrument, day(2), day(5)));
        assert!(!view(vec![]).has_unrecorded_split(instrument, day(2), day(3)), "it comes after the span");
        assert!(!view(vec![]).has_unrecorded_split(instrument, day(4), day(5)), "it comes before the span");
        assert!(!view(vec![split()]).has_unrecorded_split(instrument, day(3), day(4)));
    }

    #[test]
    fn the_newest_bars_of_a_range_come_oldest_first() {
        let bars = view(vec![split()]).bars(Uuid::from_u128(1), None, Some(day(4)), 2);
        let closes: Vec<f64> = bars.iter().map(|bar| bar.close).collect();
        assert_eq!(closes, [51.0, 51.0]);
        assert_eq!(bars[0].session, day(3));
        assert!(view(vec![]).bars(Uuid::from_u128(2), None, None, 5).is_empty());
    }

    #[test]
    fn a_split_that_becomes_known_changes_the_dataset() {
        assert_ne!(view(vec![]).dataset(), view(vec![split()]).dataset());
        assert_eq!(view(vec![split()]).dataset(), view(vec![split()]).dataset());
    }
}

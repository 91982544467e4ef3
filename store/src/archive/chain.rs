//! What makes each event fit behind the one before it.

use chrono::{DateTime, SubsecRound, Utc};

use crate::log::{Frontier, Hash, Recorded, Unstorable};

/// Why an event does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    #[error("event {0} is due here")]
    OutOfOrder(i64),
    #[error("its digest is not the one of its content")]
    OtherDigest,
    #[error("{0}")]
    Unstorable(#[from] Unstorable),
    #[error("`as_of` is not the latest moment of the events up to it")]
    OtherMoment,
}

/// The log up to some event, as far as the next one needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub frontier: Frontier,
    pub as_of: Option<DateTime<Utc>>,
}

impl Chain {
    pub fn size(&self) -> i64 {
        self.frontier.size() as i64
    }

    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Adds the next event, if its ordinal, its digest and its moment are what they must be.
    pub fn add(&mut self, event: &Recorded) -> Result<(), Misfit> {
        let due = self.size() + 1;
        if event.ordinal != due {
            return Err(Misfit::OutOfOrder(due));
        }
        if event.recomputed_hash() != event.event_hash {
            return Err(Misfit::OtherDigest);
        }
        // Numbers that the log does not take have several readings with one digest.
        event.payload.check_storable()?;
        event.metadata.check_storable()?;
        // The digest does not cover it, but it follows from what the digests cover.
        let at = event.at().trunc_subsecs(6);
        let as_of = self.as_of.map_or(at, |latest| latest.max(at));
        if event.as_of != as_of {
            return Err(Misfit::OtherMoment);
        }
        self.as_of = Some(as_of);
        self.frontier.push(&event.event_hash);
        Ok(())
    }
}

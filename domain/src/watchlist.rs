//! A watchlist: the instruments its owner wants to hear of. Its name lies in the vault.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_sourced::{event_sourced, events};

/// The most instruments one list holds.
pub const MOST_INSTRUMENTS: usize = 500;

/// What can be asked of a watchlist; `by` is the account that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchlistCommand {
    /// Makes the list.
    CreateWatchlist {
        /// Who will own it.
        by: Uuid,
        /// Where its name lies in the vault.
        name: Uuid,
    },
    /// Gives it another name.
    RenameWatchlist {
        /// Who asks.
        by: Uuid,
        /// Where the new name lies in the vault.
        name: Uuid,
    },
    /// Watches an instrument.
    AddToWatchlist {
        /// Who asks.
        by: Uuid,
        /// The instrument to watch.
        instrument: Uuid,
    },
    /// Stops watching an instrument.
    RemoveFromWatchlist {
        /// Who asks.
        by: Uuid,
        /// The instrument to drop.
        instrument: Uuid,
    },
    /// Deletes the list.
    DeleteWatchlist {
        /// Who asks.
        by: Uuid,
    },
}

/// A list was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchlistCreated {
    /// The account that owns it.
    pub owner: Uuid,
    /// Where its name lies in the vault.
    pub name: Uuid,
}

/// A list got another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchlistRenamed {
    /// Where the new name lies in the vault.
    pub name: Uuid,
}

/// An instrument is watched from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddedToWatchlist {
    /// The instrument.
    pub instrument: Uuid,
}

/// An instrument is no longer watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedFromWatchlist {
    /// The instrument.
    pub instrument: Uuid,
}

/// The list is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WatchlistDeleted {}

events! {
    /// What happened to a watchlist.
    pub enum WatchlistEvent {
        WatchlistCreated = "WatchlistCreated" "1.0" by "the owner; a registration, for the first list",
        WatchlistRenamed = "WatchlistRenamed" "1.0" by "the owner",
        AddedToWatchlist = "AddedToWatchlist" "1.0" by "the owner",
        RemovedFromWatchlist = "RemovedFromWatchlist" "1.0" by "the owner",
        WatchlistDeleted = "WatchlistDeleted" "1.0" by "the owner",
    }
}

/// Why a watchlist refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchlistRefusal {
    /// There is no such list, or it is somebody else's: the answer is the same.
    #[error("there is no such watchlist")]
    Absent,
    /// The id is taken.
    #[error("the watchlist exists already")]
    AlreadyExists,
    /// It holds the most it can.
    #[error("a watchlist holds at most {MOST_INSTRUMENTS} instruments")]
    Full,
}

/// The present state of a watchlist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Watchlist {
    /// Never made.
    #[default]
    Absent,
    /// In use.
    Kept {
        /// The account that owns it.
        owner: Uuid,
        /// Where its name lies.
        name: Uuid,
        /// What is watched.
        instruments: BTreeSet<Uuid>,
    },
    /// Deleted for good.
    Deleted,
}

impl Watchlist {
    /// Decides what follows from `command`. Asking for what already holds is granted and changes nothing.
    pub fn decide(&self, command: WatchlistCommand) -> Result<Vec<WatchlistEvent>, WatchlistRefusal> {
        use WatchlistCommand as C;
        let (owner, name, instruments) = match (self, &command) {
            (Self::Absent, C::CreateWatchlist { by, name }) => {
                return Ok(vec![WatchlistCreated { owner: *by, name: *name }.into()]);
            }
            (Self::Kept { .. } | Self::Deleted, C::CreateWatchlist { .. }) => {
                return Err(WatchlistRefusal::AlreadyExists);
            }
            (Self::Absent | Self::Deleted, _) => return Err(WatchlistRefusal::Absent),
            (Self::Kept { owner, name, instruments }, _) => (*owner, *name, instruments),
        };
        let mine = |by: Uuid| if by == owner { Ok(()) } else { Err(WatchlistRefusal::Absent) };
        let change: Option<WatchlistEvent> = match command {
            C::CreateWatchlist { .. } => None,
            C::RenameWatchlist { by, name: new } => {
                mine(by)?;
                (new != name).then(|| WatchlistRenamed { name: new }.into())
            }
            C::AddToWatchlist { by, instrument } => {
                mine(by)?;
                if instruments.contains(&instrument) {
                    None
                } else if instruments.len() >= MOST_INSTRUMENTS {
                    return Err(WatchlistRefusal::Full);
                } else {
                    Some(AddedToWatchlist { instrument }.into())
                }
            }
            C::RemoveFromWatchlist { by, instrument } => {
                mine(by)?;
                instruments.contains(&instrument).then(|| RemovedFromWatchlist { instrument }.into())
            }
            C::DeleteWatchlist { by } => {
                mine(by)?;
                Some(WatchlistDeleted {}.into())
            }
        };
        Ok(change.into_iter().collect())
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: WatchlistEvent) {
        match (&mut *self, event) {
            (state, WatchlistEvent::WatchlistCreated(created)) => {
                *state =
                    Self::Kept { owner: created.owner, name: created.name, instruments: BTreeSet::new() };
            }
            (state, WatchlistEvent::WatchlistDeleted(_)) => *state = Self::Deleted,
            (Self::Kept { name, .. }, WatchlistEvent::WatchlistRenamed(renamed)) => *name = renamed.name,
            (Self::Kept { instruments, .. }, WatchlistEvent::AddedToWatchlist(added)) => {
                instruments.insert(added.instrument);
            }
            (Self::Kept { instruments, .. }, WatchlistEvent::RemovedFromWatchlist(removed)) => {
                instruments.remove(&removed.instrument);
            }
            (Self::Absent | Self::Deleted, _) => {}
        }
    }
}

event_sourced!(Watchlist, "watchlist", WatchlistCommand, WatchlistEvent, WatchlistRefusal);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_sourced::testing::given;

    const OWNER: Uuid = Uuid::from_u128(1);
    const STRANGER: Uuid = Uuid::from_u128(2);
    const NAME: Uuid = Uuid::from_u128(3);
    const STOCK: Uuid = Uuid::from_u128(4);

    fn list() -> Watchlist {
        given([WatchlistCreated { owner: OWNER, name: NAME }.into()])
    }

    #[test]
    fn an_instrument_is_watched_once() {
        let add = WatchlistCommand::AddToWatchlist { by: OWNER, instrument: STOCK };
        let events = list().decide(add.clone()).expect("granted");
        assert_eq!(events, vec![AddedToWatchlist { instrument: STOCK }.into()]);
        let mut watching = list();
        for event in events {
            watching.apply(event);
        }
        assert_eq!(watching.decide(add), Ok(vec![]));
    }

    #[test]
    fn a_stranger_learns_nothing_of_the_list() {
        for command in [
            WatchlistCommand::AddToWatchlist { by: STRANGER, instrument: STOCK },
            WatchlistCommand::RemoveFromWatchlist { by: STRANGER, instrument: STOCK },
            WatchlistCommand::RenameWatchlist { by: STRANGER, name: NAME },
            WatchlistCommand::DeleteWatchlist { by: STRANGER },
        ] {
            assert_eq!(list().decide(command), Err(WatchlistRefusal::Absent));
        }
    }

    #[test]
    fn a_full_list_takes_no_more() {
        let mut full = list();
        for n in 0..MOST_INSTRUMENTS {
            full.apply(AddedToWatchlist { instrument: Uuid::from_u128(1000 + n as u128) }.into());
        }
        let one_more = WatchlistCommand::AddToWatchlist { by: OWNER, instrument: STOCK };
        assert_eq!(full.decide(one_more), Err(WatchlistRefusal::Full));
    }

    #[test]
    fn removing_what_is_not_watched_changes_nothing() {
        let remove = WatchlistCommand::RemoveFromWatchlist { by: OWNER, instrument: STOCK };
        assert_eq!(list().decide(remove), Ok(vec![]));
    }

    #[test]
    fn a_deleted_list_does_not_come_back() {
        let mut deleted = list();
        deleted.apply(WatchlistDeleted {}.into());
        let create = WatchlistCommand::CreateWatchlist { by: OWNER, name: NAME };
        assert_eq!(deleted.decide(create), Err(WatchlistRefusal::AlreadyExists));
        assert_eq!(
            deleted.decide(WatchlistCommand::DeleteWatchlist { by: OWNER }),
            Err(WatchlistRefusal::Absent)
        );
    }
}

//! What the events of an export say of claims, put together while they are read. Claims are not in the log, but follow
//! from it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use sqlx::PgConnection;
use uuid::Uuid;

use super::error::ArchiveError;
use crate::claims;
use crate::log::Recorded;

/// What an event says about a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// (kind, value) belongs to `owner` from now on.
    Taken {
        /// What kind of claim it is.
        kind: String,
        /// What is claimed.
        value: String,
        /// Whose it is.
        owner: Uuid,
    },
    /// `owner` has no claims any more.
    GivenBack {
        /// Whose they were.
        owner: Uuid,
    },
}

/// What an event says about a claim; a reason where it should say something and cannot be read.
pub type Claims = fn(&Recorded) -> Result<Option<Claim>, String>;

type Name = (String, String);

/// Who owns what after the events so far.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    /// The owner of each claim, and the event that says so.
    taken: HashMap<Name, (Uuid, i64)>,
    /// Claims that stood under another owner when they were taken. Two transactions at the same moment, one giving back
    /// and one taking, can stand in the log in this order.
    early: Vec<(Name, Uuid, i64)>,
    /// Whoever has given anything back.
    given_back: Vec<Uuid>,
}

impl Claimed {
    pub fn add(&mut self, event: &Recorded, claims: Claims) -> Result<(), ArchiveError> {
        let ordinal = event.ordinal;
        let said = claims(event).map_err(|reason| {
            ArchiveError::Refused(format!(
                "event {ordinal} ({}) cannot be read by this program, so nobody can say what it claims or gives back: \
                 import with the version that wrote it ({reason})",
                event.key
            ))
        })?;
        match said {
            Some(Claim::Taken { kind, value, owner }) => self.take((kind, value), owner, ordinal),
            Some(Claim::GivenBack { owner }) => {
                self.taken.retain(|_, (whose, _)| *whose != owner);
                self.given_back.push(owner);
                for (name, owner, ordinal) in std::mem::take(&mut self.early) {
                    self.take(name, owner, ordinal);
                }
            }
            None => {}
        }
        Ok(())
    }

    fn take(&mut self, name: Name, owner: Uuid, ordinal: i64) {
        match self.taken.entry(name) {
            Entry::Vacant(free) => {
                free.insert((owner, ordinal));
            }
            Entry::Occupied(taken) if taken.get().0 == owner => {}
            Entry::Occupied(taken) => self.early.push((taken.key().clone(), owner, ordinal)),
        }
    }

    /// Makes the claims of the database those that follow from the events.
    pub async fn write(&self, connection: &mut PgConnection) -> Result<(), ArchiveError> {
        if let Some(((kind, value), _, ordinal)) = self.early.first() {
            return Err(taken_twice(kind, value, *ordinal));
        }
        claims::release_all_of_any(&mut *connection, &self.given_back).await?;
        let mut taken: Vec<_> = self.taken.iter().collect();
        taken.sort_by_key(|(_, (_, ordinal))| *ordinal);
        let rows: Vec<_> =
            taken.iter().map(|((kind, value), (owner, _))| (kind.as_str(), value.as_str(), *owner)).collect();
        let refused = claims::take_all(connection, &rows).await?;
        let first = taken.iter().find(|(name, _)| refused.contains(name));
        first.map_or(Ok(()), |((kind, value), (_, ordinal))| Err(taken_twice(kind, value, *ordinal)))
    }
}

fn taken_twice(kind: &str, value: &str, ordinal: i64) -> ArchiveError {
    ArchiveError::Refused(format!("event {ordinal} takes the {kind} {value}, which belongs to somebody else"))
}

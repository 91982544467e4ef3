//! Why a model refuses a command.

use crate::trial::BadRule;

/// Why a model refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefusal {
    /// There is no such version.
    #[error("there is no version {0}")]
    NoSuchVersion(u32),
    /// A version number is the next one or none.
    #[error("the next version is {next}, not {given}")]
    NotTheNextVersion {
        /// The number that was given.
        given: u32,
        /// The number that would be right.
        next: u32,
    },
    /// The leak sentinel has not looked at it.
    #[error("no version is registered that was not searched for leaks")]
    NotChecked,
    /// This training run became a version before, or what it brings in did.
    #[error("this is version {0} already")]
    AlreadyRegistered(u32),
    /// It is champion now.
    #[error("version {0} is the champion already")]
    AlreadyChampion(u32),
    /// The champion serves: promote another first.
    #[error("version {0} is the champion; promote another version first")]
    IsChampion(u32),
    /// Another one is champion by now.
    #[error("version {0} is no longer the champion")]
    NotTheChampion(u32),
    /// It is retired.
    #[error("version {0} is no longer in service")]
    OutOfService(u32),
    /// It is in quarantine, which only a person ends.
    #[error("version {0} is in quarantine until a person promotes it or puts it on trial")]
    InQuarantine(u32),
    /// There is no champion before the present one.
    #[error("there is no earlier champion to go back to")]
    NothingToRollBackTo,
    /// One trial at a time.
    #[error("version {0} is on trial: that trial ends first")]
    TrialOpen(u32),
    /// A trial compares with the champion.
    #[error("there is no champion to compare with")]
    NoChampion,
    /// The rule cannot decide.
    #[error("{0}")]
    BadRule(BadRule),
    /// There is no such trial.
    #[error("there is no such trial")]
    NoSuchTrial,
    /// It was decided or closed.
    #[error("the trial has ended")]
    TrialEnded,
    /// Its rule allows one look, and not before.
    #[error("the trial is decided on {needed} sessions or at its end, not on {paired}")]
    TrialNotDue {
        /// The sessions the rule decides on.
        needed: u32,
        /// The sessions that were compared.
        paired: u32,
    },
}

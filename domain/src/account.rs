//! An account: who may sign in and what they want to be told. Its e-mail address and credentials lie in the
//! vault, never here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event_sourced::{event_sourced, events};

/// What an account may do beyond its own things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees performance, steers models and the pipeline.
    Admin,
}

/// How an account wants to be told of new predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationPreferences {
    /// One mail for each session with the stocks it watches.
    pub session_mail: bool,
}

impl Default for NotificationPreferences {
    fn default() -> Self {
        Self { session_mail: true }
    }
}

/// What can be asked of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCommand {
    /// Opens it.
    OpenAccount,
    /// Confirms that the owner reads the e-mail address.
    ConfirmEmail,
    /// Gives it a role.
    GrantRole {
        /// The role to give.
        role: Role,
    },
    /// Takes a role from it.
    RevokeRole {
        /// The role to take.
        role: Role,
    },
    /// Changes what it is told.
    SetNotificationPreferences {
        /// What it wants from now on.
        preferences: NotificationPreferences,
    },
    /// Shuts it out until it is reinstated.
    Suspend,
    /// Lets it in again.
    Reinstate,
    /// Ends it and everything personal about it.
    Erase,
}

/// An account was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountOpened {}

/// The owner has shown that they read the e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmailConfirmed {}

/// A role was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleGranted {
    /// The role given.
    pub role: Role,
}

/// A role was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleRevoked {
    /// The role taken.
    pub role: Role,
}

/// The owner chose what to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotificationPreferencesSet {
    /// What holds from now on.
    pub preferences: NotificationPreferences,
}

/// The account was shut out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountSuspended {}

/// The account was let in again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountReinstated {}

/// The account ended; its personal data was deleted with this event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountErased {}

events! {
    /// What happened to an account.
    pub enum AccountEvent {
        AccountOpened = "AccountOpened" "1.0"
            by "a registration; the first start, for the administrator; `almanac demo`, for its people",
        EmailConfirmed = "EmailConfirmed" "1.0"
            by "no route yet: the command is there for those who embed the domain",
        RoleGranted = "RoleGranted" "1.0" by "the service, to the administrator named in its configuration",
        RoleRevoked = "RoleRevoked" "1.0"
            by "no route yet: the command is there for those who embed the domain",
        NotificationPreferencesSet = "NotificationPreferencesSet" "1.0"
            by "the owner, by the API or the unsubscribe link of a mail",
        AccountSuspended = "AccountSuspended" "1.0"
            by "no route yet: the command is there for those who embed the domain",
        AccountReinstated = "AccountReinstated" "1.0"
            by "no route yet: the command is there for those who embed the domain",
        AccountErased = "AccountErased" "1.0"
            by "the owner; `almanac erase-again`, after an older database was restored",
    }
}

/// Why an account refuses a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountRefusal {
    /// There is no such account, or it was erased.
    #[error("there is no such account")]
    Absent,
    /// It was opened before.
    #[error("the account is open already")]
    AlreadyOpen,
    /// It is suspended.
    #[error("the account is suspended")]
    Suspended,
}

/// The present state of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Account {
    /// Never opened.
    #[default]
    Absent,
    /// Open, with what is known of it.
    Open(OpenAccount),
    /// Erased for good.
    Erased,
}

/// An account that was opened and not erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenAccount {
    confirmed: bool,
    roles: Vec<Role>,
    preferences: NotificationPreferences,
    suspended: bool,
}

impl Account {
    /// Decides what follows from `command`. Asking for what already holds is granted and changes nothing.
    pub fn decide(&self, command: AccountCommand) -> Result<Vec<AccountEvent>, AccountRefusal> {
        use AccountCommand as C;
        let open = match (self, &command) {
            (Self::Absent, C::OpenAccount) => return Ok(vec![AccountOpened {}.into()]),
            (Self::Open(_) | Self::Erased, C::OpenAccount) => return Err(AccountRefusal::AlreadyOpen),
            (Self::Absent | Self::Erased, _) => return Err(AccountRefusal::Absent),
            (Self::Open(open), _) => open,
        };
        let change: Option<AccountEvent> = match command {
            C::OpenAccount => None,
            C::ConfirmEmail => (!open.confirmed).then(|| EmailConfirmed {}.into()),
            C::GrantRole { role } => (!open.roles.contains(&role)).then(|| RoleGranted { role }.into()),
            C::RevokeRole { role } => open.roles.contains(&role).then(|| RoleRevoked { role }.into()),
            C::SetNotificationPreferences { .. } if open.suspended => return Err(AccountRefusal::Suspended),
            C::SetNotificationPreferences { preferences } => {
                (open.preferences != preferences).then(|| NotificationPreferencesSet { preferences }.into())
            }
            C::Suspend => (!open.suspended).then(|| AccountSuspended {}.into()),
            C::Reinstate => open.suspended.then(|| AccountReinstated {}.into()),
            C::Erase => Some(AccountErased {}.into()),
        };
        Ok(change.into_iter().collect())
    }

    /// Takes in what happened.
    pub fn apply(&mut self, event: AccountEvent) {
        match (&mut *self, event) {
            (state, AccountEvent::AccountOpened(_)) => *state = Self::Open(OpenAccount::default()),
            (state, AccountEvent::AccountErased(_)) => *state = Self::Erased,
            (Self::Open(open), event) => open.apply(event),
            (Self::Absent | Self::Erased, _) => {}
        }
    }
}

impl OpenAccount {
    fn apply(&mut self, event: AccountEvent) {
        match event {
            AccountEvent::EmailConfirmed(_) => self.confirmed = true,
            AccountEvent::RoleGranted(granted) => self.roles.push(granted.role),
            AccountEvent::RoleRevoked(revoked) => self.roles.retain(|role| *role != revoked.role),
            AccountEvent::NotificationPreferencesSet(set) => self.preferences = set.preferences,
            AccountEvent::AccountSuspended(_) => self.suspended = true,
            AccountEvent::AccountReinstated(_) => self.suspended = false,
            AccountEvent::AccountOpened(_) | AccountEvent::AccountErased(_) => {}
        }
    }
}

/// Where the personal things of an account lie in the vault: the kinds of its rows.
pub mod vault {
    /// The e-mail address, as the owner wrote it.
    pub const EMAIL: &str = "email";
    /// The password's Argon2id hash in PHC form.
    pub const PASSWORD: &str = "password";
    /// The name of a watchlist.
    pub const WATCHLIST_NAME: &str = "watchlist_name";
    /// The URL of a webhook endpoint.
    pub const ENDPOINT_URL: &str = "endpoint_url";
    /// The signing secret of a webhook endpoint.
    pub const ENDPOINT_SECRET: &str = "endpoint_secret";

    /// The id of the vault row of `kind` that belongs to `subject` alone.
    pub fn row(kind: &str, subject: super::Uuid) -> super::Uuid {
        super::Uuid::new_v5(&subject, kind.as_bytes())
    }
}

event_sourced!(Account, "account", AccountCommand, AccountEvent, AccountRefusal);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_sourced::testing::given;

    fn open() -> Account {
        given([AccountOpened {}.into()])
    }

    #[test]
    fn an_account_is_opened_once() {
        assert_eq!(Account::default().decide(AccountCommand::OpenAccount), Ok(vec![AccountOpened {}.into()]));
        assert_eq!(open().decide(AccountCommand::OpenAccount), Err(AccountRefusal::AlreadyOpen));
    }

    #[test]
    fn an_account_that_was_never_opened_grants_nothing() {
        let refused = Account::default().decide(AccountCommand::GrantRole { role: Role::Admin });
        assert_eq!(refused, Err(AccountRefusal::Absent));
    }

    #[test]
    fn granting_a_role_twice_changes_nothing_the_second_time() {
        let admin: Account = given([AccountOpened {}.into(), RoleGranted { role: Role::Admin }.into()]);
        assert_eq!(admin.decide(AccountCommand::GrantRole { role: Role::Admin }), Ok(vec![]));
        assert_eq!(
            admin.decide(AccountCommand::RevokeRole { role: Role::Admin }),
            Ok(vec![RoleRevoked { role: Role::Admin }.into()])
        );
    }

    #[test]
    fn a_suspended_account_does_not_change_its_preferences() {
        let suspended: Account = given([AccountOpened {}.into(), AccountSuspended {}.into()]);
        let preferences = NotificationPreferences { session_mail: false };
        assert_eq!(
            suspended.decide(AccountCommand::SetNotificationPreferences { preferences }),
            Err(AccountRefusal::Suspended)
        );
        assert_eq!(suspended.decide(AccountCommand::Reinstate), Ok(vec![AccountReinstated {}.into()]));
    }

    #[test]
    fn an_erased_account_is_gone_for_good() {
        let erased: Account = given([AccountOpened {}.into(), AccountErased {}.into()]);
        assert_eq!(erased.decide(AccountCommand::Reinstate), Err(AccountRefusal::Absent));
        assert_eq!(erased.decide(AccountCommand::OpenAccount), Err(AccountRefusal::AlreadyOpen));
    }
}

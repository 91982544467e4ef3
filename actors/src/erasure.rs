//! Erasing a person: everything the service holds of somebody outside of the log, and the event that says so.
//!
//! The vault, claims and sign-ins go in the transaction of the event. Mails that were written to a folder are found by
//! the address in the vault: they go before it, so that a crash leaves nothing that nobody can find any more, and once
//! more after it, for a mail that was written meanwhile.

use std::io;
use std::path::Path;

use almanac_domain::account::vault::EMAIL;
use almanac_domain::account::{Account, AccountCommand, AccountErased, AccountRefusal};
use almanac_store::log::{CommandBus, CommandError, Committed, Extras, Issued};
use almanac_store::{Database, StoreError, vault};
use uuid::Uuid;

use crate::notifier::forget_mails;

/// Why somebody could not be erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// A mail in the folder could not be read or deleted.
    #[error("a mail to the account could not be deleted")]
    Mails(#[from] io::Error),
    /// The account refused, or the event could not be written.
    #[error(transparent)]
    Command(#[from] CommandError<AccountRefusal>),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is outside of the log: the database, and the folder of mails where there is one.
#[derive(Debug, Clone, Copy)]
pub struct Holdings<'a> {
    /// The database.
    pub database: &'a Database,
    /// The folder that mails are written to where there is no mail server; it need not exist.
    pub mails: &'a Path,
}

impl Holdings<'_> {
    /// Erases an account for good.
    ///
    /// # Errors
    /// When there is no such account, or something of it could not be deleted; then it can be erased again.
    pub async fn erase(
        &self,
        bus: &CommandBus,
        account: Uuid,
        issued: &Issued,
    ) -> Result<Committed, EraseError> {
        let addresses = self.forget_mails_of(account).await?;
        let extras = Extras::erasing(account);
        let erased =
            bus.execute_with::<Account>(&account.to_string(), AccountCommand::Erase, issued, extras).await?;
        for address in addresses {
            if let Err(error) = forget_mails(self.mails, &address).await {
                tracing::error!(%error, "a mail to an erased account could not be deleted");
            }
        }
        Ok(erased)
    }

    /// Deletes once more what a dump that is older than the log has brought back of erased accounts; returns of how many.
    ///
    /// # Errors
    /// When something could not be deleted.
    pub async fn forget_again(&self) -> Result<usize, EraseError> {
        let back = vault::left_of::<Account>(self.database, &AccountErased {}.into()).await?;
        for account in &back {
            self.forget_mails_of(*account).await?;
        }
        vault::forget_again(self.database, &back).await?;
        Ok(back.len())
    }

    /// Deletes the mails to an account, and gives the addresses they went to.
    async fn forget_mails_of(&self, account: Uuid) -> Result<Vec<String>, EraseError> {
        let rows = vault::of_owner(self.database.pool(), account, EMAIL).await?;
        let addresses: Vec<String> = rows.into_iter().map(|row| row.value).collect();
        for address in &addresses {
            forget_mails(self.mails, address).await?;
        }
        Ok(addresses)
    }
}

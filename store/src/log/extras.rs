//! Rows that stand or fall with a command's events.

use sqlx::PgConnection;
use uuid::Uuid;

use super::append::AppendError;
use crate::vault::{self, VaultRow};
use crate::{claims, sign_ins};

/// What else the transaction of a command does, in the order it was asked for.
#[derive(Debug, Clone, Default)]
pub struct Extras(Vec<Extra>);

#[derive(Debug, Clone)]
enum Extra {
    TakeClaim { kind: String, value: String, owner: Uuid },
    ReleaseClaim { kind: String, value: String, owner: Uuid },
    ReleaseClaimsOf(Uuid),
    PutVault(VaultRow),
    ForgetVault(Uuid),
    ForgetVaultOf(Uuid),
    EndSignInsOf(Uuid),
}

impl Extras {
    /// Nothing but the events.
    pub fn none() -> Self {
        Self::default()
    }

    /// What goes when `account` is erased: its claims, everything of it in the vault, its sign-ins.
    pub fn erasing(account: Uuid) -> Self {
        Self::none().release_claims_of(account).forget_vault_of(account).end_sign_ins_of(account)
    }

    /// Takes (kind, value) for `owner`; the command fails when somebody else owns it.
    #[must_use]
    pub fn take_claim(self, kind: &str, value: &str, owner: Uuid) -> Self {
        self.and(Extra::TakeClaim { kind: kind.to_owned(), value: value.to_owned(), owner })
    }

    /// Gives (kind, value) back if `owner` owns it.
    #[must_use]
    pub fn release_claim(self, kind: &str, value: &str, owner: Uuid) -> Self {
        self.and(Extra::ReleaseClaim { kind: kind.to_owned(), value: value.to_owned(), owner })
    }

    /// Gives back everything `owner` owns.
    #[must_use]
    pub fn release_claims_of(self, owner: Uuid) -> Self {
        self.and(Extra::ReleaseClaimsOf(owner))
    }

    /// Puts a row into the vault, replacing the one with the same id.
    #[must_use]
    pub fn put_vault(self, row: VaultRow) -> Self {
        self.and(Extra::PutVault(row))
    }

    /// Deletes one row of the vault.
    #[must_use]
    pub fn forget_vault(self, id: Uuid) -> Self {
        self.and(Extra::ForgetVault(id))
    }

    /// Deletes everything in the vault that belongs to `owner`.
    #[must_use]
    pub fn forget_vault_of(self, owner: Uuid) -> Self {
        self.and(Extra::ForgetVaultOf(owner))
    }

    /// Signs `account` out everywhere.
    #[must_use]
    pub fn end_sign_ins_of(self, account: Uuid) -> Self {
        self.and(Extra::EndSignInsOf(account))
    }

    fn and(mut self, extra: Extra) -> Self {
        self.0.push(extra);
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) async fn apply(&self, connection: &mut PgConnection) -> Result<(), AppendError> {
        for extra in &self.0 {
            match extra {
                Extra::TakeClaim { kind, value, owner } => {
                    if !claims::take(connection, kind, value, *owner).await? {
                        return Err(AppendError::ClaimTaken { kind: kind.clone() });
                    }
                }
                Extra::ReleaseClaim { kind, value, owner } => {
                    claims::release(connection, kind, value, *owner).await?;
                }
                Extra::ReleaseClaimsOf(owner) => claims::release_all_of(connection, *owner).await?,
                Extra::PutVault(row) => vault::put(connection, row).await?,
                Extra::ForgetVault(id) => vault::forget(connection, *id).await?,
                Extra::ForgetVaultOf(owner) => vault::forget_all_of(connection, *owner).await?,
                Extra::EndSignInsOf(account) => sign_ins::end_all_of(connection, *account).await?,
            }
        }
        Ok(())
    }
}

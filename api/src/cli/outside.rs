//! What speaks for the log from outside of its database: the heads in object storage, and the key in the data folder.
//!
//! Whoever can rewrite the whole database can also rewrite what it says of its own heads and its key. These lie elsewhere,
//! if only in a folder beside it.

use almanac_store::transparency::{SigningKey, VerifierKey};

use super::logs::objects_of;
use super::{Failure, in_full};
use crate::config::Config;

/// What was found outside of the database.
#[derive(Debug, Default)]
pub(super) struct Outside {
    /// The key that signs heads of this log, where this machine holds it.
    pub(super) key: Option<VerifierKey>,
    /// The signed heads in object storage.
    pub(super) heads: Vec<String>,
    /// What could not be asked, each in a sentence.
    pub(super) unheard: Vec<String>,
}

impl Outside {
    /// Looks where the service keeps both. What cannot be reached is said and left out.
    pub(super) async fn of(config: &Config) -> Self {
        let mut outside = Self::default();
        match SigningKey::read(&config.key_file()) {
            Ok(key) => outside.key = key.map(|key| key.verifier().clone()),
            Err(error) => outside.unheard.push(in_full(&error)),
        }
        match heads(config).await {
            Ok(Some(heads)) => outside.heads = heads,
            Ok(None) => {
                outside.unheard.push(format!("there is no object storage in {}", config.data_dir.display()));
            }
            Err(error) => {
                let why = in_full(error.as_ref());
                outside.unheard.push(format!("the heads in object storage could not be read: {why}"));
            }
        }
        outside
    }
}

async fn heads(config: &Config) -> Result<Option<Vec<String>>, Failure> {
    match objects_of(config)? {
        Some(objects) => Ok(Some(objects.heads().await?)),
        None => Ok(None),
    }
}

//! What a demo was begun with, kept beside its data, so that a second start is the same demo.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use almanac_store::clock::Entropy;
use serde::{Deserialize, Serialize};

use super::Demo;
use crate::foundation::{StartError, keep};

/// What a demo was begun with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// How many companies its market has.
    pub(super) instruments: usize,
    /// How many years of history it began with.
    pub(super) years: usize,
    /// The seed of its market.
    pub(super) seed: u64,
    /// The user's own data instead of a market.
    pub(super) data: Option<PathBuf>,
    /// The demo user's password.
    pub(super) demo_password: String,
    /// The administrator's password.
    pub(super) admin_password: String,
}

impl Kept {
    /// What lies in the data folder; drawn up from the flags when there is nothing yet, and then not written before
    /// [`Kept::keep`].
    pub(super) fn beside(data_dir: &Path, demo: &Demo, entropy: &Entropy) -> Result<Self, StartError> {
        let data = demo.data.as_deref().map(Path::canonicalize).transpose();
        let data =
            data.map_err(|source| StartError::File { path: demo.data.clone().unwrap_or_default(), source })?;
        let begun = Self {
            instruments: demo.instruments,
            years: demo.years,
            seed: demo.seed,
            data,
            demo_password: password(entropy),
            admin_password: password(entropy),
        };
        let path = Self::path(data_dir);
        let failed = |source: io::Error| StartError::File { path: path.clone(), source };
        let kept: Self = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| failed(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(begun),
            Err(error) => return Err(failed(error)),
        };
        if kept.market() != begun.market() {
            tracing::warn!(
                "this demo was begun with other flags and goes on with those; another --data-dir begins a new one"
            );
        }
        Ok(kept)
    }

    /// Writes it beside the data, unless it lies there already.
    pub(super) fn keep(self, data_dir: &Path) -> Result<Self, StartError> {
        let path = Self::path(data_dir);
        let failed = |source: io::Error| StartError::File { path: path.clone(), source };
        fs::create_dir_all(data_dir).map_err(failed)?;
        let draft = serde_json::to_string_pretty(&self).map_err(|error| failed(error.into()))?;
        serde_json::from_str(&keep(&path, || draft)?).map_err(|error| failed(error.into()))
    }

    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("demo.json")
    }

    fn market(&self) -> (usize, usize, u64, Option<&Path>) {
        (self.instruments, self.years, self.seed, self.data.as_deref())
    }
}

/// Twelve characters that are read aloud without mistakes: 60 bits.
fn password(entropy: &Entropy) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
    let drawn = entropy.bytes::<12>();
    let letters: Vec<char> = drawn.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    letters.chunks(4).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_password_is_long_enough_to_register_with() {
        let made = password(&Entropy::seeded(1));
        assert!(crate::passwords::Passwords::refused(&made).is_none(), "{made}");
        assert_ne!(made, password(&Entropy::seeded(2)));
    }
}

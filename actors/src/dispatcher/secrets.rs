//! The secrets an endpoint's messages are signed with: the current one, and for a while after a rotation the one
//! before, so that a receiver can change over without losing a message.

use std::fmt;
use std::str::FromStr;

use almanac_store::clock::Entropy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};

/// How long the secret before the current one goes on signing.
const OVERLAP: TimeDelta = TimeDelta::hours(24);
const PREFIX: &str = "whsec_";
/// The lengths Standard Webhooks 1.0 allows for a key, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a text is no webhook secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a webhook secret is `whsec_` and the base64 of 24 to 64 bytes")]
pub struct SecretRefused;

/// A key shared with a receiver, written `whsec_` + base64. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A new secret of 32 random bytes.
    pub fn generate(entropy: &Entropy) -> Self {
        Self(entropy.bytes::<32>().to_vec())
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = SecretRefused;

    fn from_str(text: &str) -> Result<Self, SecretRefused> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretRefused)?;
        let key = STANDARD.decode(encoded).map_err(|_| SecretRefused)?;
        if LENGTHS.contains(&key.len()) { Ok(Self(key)) } else { Err(SecretRefused) }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// The secrets of one endpoint, as they lie in the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSecrets {
    current: Secret,
    previous: Option<(Secret, DateTime<Utc>)>,
}

impl EndpointSecrets {
    /// A first secret.
    pub fn generate(entropy: &Entropy) -> Self {
        Self { current: Secret::generate(entropy), previous: None }
    }

    /// Reads what [`stored`](Self::stored) wrote: `whsec_...`, then after a rotation ` whsec_... <until>`.
    pub fn parse(stored: &str) -> Result<Self, SecretRefused> {
        let mut words = stored.split(' ');
        let current = words.next().ok_or(SecretRefused)?.parse()?;
        let previous = match (words.next(), words.next(), words.next()) {
            (None, _, _) => None,
            (Some(secret), Some(until), None) => {
                let until = DateTime::parse_from_rfc3339(until).map_err(|_| SecretRefused)?;
                Some((secret.parse()?, until.to_utc()))
            }
            (Some(_), _, _) => return Err(SecretRefused),
        };
        Ok(Self { current, previous })
    }

    /// The text to keep in the vault.
    pub fn stored(&self) -> String {
        match &self.previous {
            None => self.current.to_string(),
            Some((secret, until)) => format!("{} {secret} {}", self.current, until.to_rfc3339()),
        }
    }

    /// The secret a receiver should know by now.
    pub fn current(&self) -> &Secret {
        &self.current
    }

    /// These secrets after a rotation at `now`: a new one, and the present one signing beside it for a day.
    #[must_use]
    pub fn rotated(&self, entropy: &Entropy, now: DateTime<Utc>) -> Self {
        Self { current: Secret::generate(entropy), previous: Some((self.current.clone(), now + OVERLAP)) }
    }

    /// The secrets that sign at `now`, the current one first.
    pub fn valid_at(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Secret> {
        let previous = self.previous.iter().filter(move |(_, until)| now < *until).map(|(secret, _)| secret);
        std::iter::once(&self.current).chain(previous)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_secret_reads_back_and_is_hidden_from_logs() {
        let secrets = EndpointSecrets::generate(&Entropy::seeded(1));
        assert!(secrets.current().to_string().starts_with("whsec_"));
        assert_eq!(EndpointSecrets::parse(&secrets.stored()), Ok(secrets.clone()));
        assert!(!format!("{secrets:?}").contains("whsec_"));
    }

    #[test]
    fn a_secret_of_another_length_or_prefix_is_refused() {
        let of = |length: usize| format!("whsec_{}", STANDARD.encode(vec![7; length])).parse::<Secret>();
        assert_eq!((of(23), of(65)), (Err(SecretRefused), Err(SecretRefused)));
        assert!(of(24).is_ok() && of(64).is_ok());
        assert_eq!("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<Secret>(), Err(SecretRefused));
        assert_eq!("whsec_not base64".parse::<Secret>(), Err(SecretRefused));
    }

    #[test]
    fn fault_36_the_old_secret_signs_for_a_day_after_a_rotation_and_not_longer() {
        let entropy = Entropy::seeded(2);
        let now = DateTime::UNIX_EPOCH;
        let first = EndpointSecrets::generate(&entropy);
        let rotated = EndpointSecrets::parse(&first.rotated(&entropy, now).stored()).unwrap();
        let signing = |at| rotated.valid_at(at).cloned().collect::<Vec<_>>();
        let day = TimeDelta::hours(24);
        assert_eq!(
            signing(now + day - TimeDelta::seconds(1)),
            [rotated.current().clone(), first.current().clone()]
        );
        assert_eq!(signing(now + day), [rotated.current().clone()]);
        assert_ne!(rotated.current(), first.current());
    }
}

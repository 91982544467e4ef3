//! The link by which a reader stops a kind of mail without signing in (RFC 8058): it proves that it comes from a
//! mail of ours to that account, and it ends.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

/// What the tokens of this file are for; it stands in front of what is signed, so that no other token made with the
/// same secret is one of these.
const PURPOSE: &[u8] = b"almanac unsubscribe 1\n";

/// The secret that signs links in mails. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkSecret(Vec<u8>);

/// A secret was too short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret for links has at least 32 bytes")]
pub struct LinkSecretTooShort;

impl LinkSecret {
    /// The secret of these bytes.
    ///
    /// # Errors
    /// When they are fewer than 32.
    pub fn new(bytes: &[u8]) -> Result<Self, LinkSecretTooShort> {
        if bytes.len() < 32 { Err(LinkSecretTooShort) } else { Ok(Self(bytes.to_vec())) }
    }
}

impl fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkSecret(hidden)")
    }
}

/// Whose mails of which kind are to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The account.
    pub account: Uuid,
    /// The kind of mail, such as `session`.
    pub kind: String,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefused {
    /// It was not made here, or something of it was changed.
    #[error("this link is not one of ours")]
    Forged,
    /// It was good once.
    #[error("this link has expired: sign in to change what you are sent")]
    Expired,
}

/// A token that stops mails of `kind` to `account` until `expires_at`.
pub fn unsubscribe_token(
    secret: &LinkSecret,
    account: Uuid,
    kind: &str,
    expires_at: DateTime<Utc>,
) -> String {
    let claim = URL_SAFE_NO_PAD.encode(format!("{account} {} {kind}", expires_at.timestamp()));
    let tag = URL_SAFE_NO_PAD.encode(tag(secret, &claim).finalize().into_bytes());
    format!("{claim}.{tag}")
}

/// Reads a token; in constant time where it matters.
///
/// # Errors
/// [`TokenRefused`] when it is forged or expired.
pub fn verify_unsubscribe_token(
    secret: &LinkSecret,
    token: &str,
    now: DateTime<Utc>,
) -> Result<Unsubscribe, TokenRefused> {
    let (claim, given) = token.split_once('.').ok_or(TokenRefused::Forged)?;
    let given = URL_SAFE_NO_PAD.decode(given).map_err(|_| TokenRefused::Forged)?;
    tag(secret, claim).verify_slice(&given).map_err(|_| TokenRefused::Forged)?;
    let (account, expires_at, kind) = read(claim).ok_or(TokenRefused::Forged)?;
    if now.timestamp() < expires_at { Ok(Unsubscribe { account, kind }) } else { Err(TokenRefused::Expired) }
}

fn read(claim: &str) -> Option<(Uuid, i64, String)> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(claim).ok()?).ok()?;
    let mut words = text.splitn(3, ' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.to_owned()))
}

fn tag(secret: &LinkSecret, claim: &str) -> Hmac<Sha256> {
    // HMAC takes a key of any length; the other branch cannot be reached and hashes with an empty key.
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0)
        .unwrap_or_else(|_| Hmac::new(&Key::<Hmac<Sha256>>::default()));
    mac.update(PURPOSE);
    mac.update(claim.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use chrono::TimeDelta;

    use super::*;

    const ACCOUNT: Uuid = Uuid::from_u128(7);

    fn secret(byte: u8) -> LinkSecret {
        LinkSecret::new(&[byte; 32]).unwrap()
    }

    fn token() -> String {
        unsubscribe_token(&secret(1), ACCOUNT, "session", DateTime::UNIX_EPOCH + TimeDelta::days(60))
    }

    #[test]
    fn a_token_says_whose_mails_of_which_kind_stop() {
        let read = verify_unsubscribe_token(&secret(1), &token(), DateTime::UNIX_EPOCH);
        assert_eq!(read, Ok(Unsubscribe { account: ACCOUNT, kind: "session".into() }));
        assert!(token().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "fit for a URL");
    }

    #[test]
    fn fault_44_a_token_with_one_character_changed_is_refused() {
        let token = token();
        for place in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(bytes).unwrap();
            let read = verify_unsubscribe_token(&secret(1), &forged, DateTime::UNIX_EPOCH);
            assert_eq!(read, Err(TokenRefused::Forged), "character {place}");
        }
    }

    #[test]
    fn fault_44_a_token_of_another_secret_or_a_cut_one_is_refused() {
        let refused =
            |byte, token: &str| verify_unsubscribe_token(&secret(byte), token, DateTime::UNIX_EPOCH);
        assert_eq!(refused(2, &token()), Err(TokenRefused::Forged));
        let claim = token().split('.').next().unwrap().to_owned();
        for cut in [String::new(), ".".into(), claim.clone(), format!("{claim}.")] {
            assert_eq!(refused(1, &cut), Err(TokenRefused::Forged), "{cut:?}");
        }
    }

    #[test]
    fn fault_44_an_expired_token_is_refused() {
        let at = |moment| verify_unsubscribe_token(&secret(1), &token(), moment);
        let end = DateTime::UNIX_EPOCH + TimeDelta::days(60);
        assert!(at(end - TimeDelta::seconds(1)).is_ok());
        assert_eq!(at(end), Err(TokenRefused::Expired));
    }

    #[test]
    fn a_short_secret_is_refused_and_a_secret_is_not_shown() {
        assert_eq!(LinkSecret::new(&[0; 31]), Err(LinkSecretTooShort));
        assert_eq!(format!("{:?}", secret(9)), "LinkSecret(hidden)");
    }
}

//! Signatures by Standard Webhooks 1.0: HMAC-SHA256 over `id.timestamp.body`, one `v1,<base64>` for each secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secrets::Secret;

/// How far a message's timestamp may lie from the receiver's clock, in seconds.
const TOLERANCE_SECONDS: u64 = 5 * 60;

/// Why a received message is not to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefused {
    /// Its time lies too far from now: perhaps it is a recording.
    #[error("the message's timestamp is more than five minutes from now")]
    Untimely,
    /// No signature was made with a secret we know.
    #[error("no signature of the message fits")]
    Forged,
}

/// The `webhook-signature` of a message: one signature for each of `secrets`, separated by spaces.
pub fn sign<'a>(
    secrets: impl IntoIterator<Item = &'a Secret>,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> String {
    let signatures: Vec<String> = secrets
        .into_iter()
        .map(|secret| {
            format!("v1,{}", STANDARD.encode(digest(secret, id, timestamp, body).finalize().into_bytes()))
        })
        .collect();
    signatures.join(" ")
}

/// A received message, as [`verify`] reads it.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// The header `webhook-id`.
    pub id: &'a str,
    /// The header `webhook-timestamp`, in seconds since 1970.
    pub timestamp: i64,
    /// The header `webhook-signature`.
    pub signature: &'a str,
    /// The body, byte by byte.
    pub body: &'a [u8],
}

/// Says whether `message`, received at `now` (seconds since 1970), was signed with one of `secrets`. It compares in
/// constant time.
///
/// # Errors
/// [`SignatureRefused`] when it is not to be trusted.
pub fn verify<'a>(
    secrets: impl IntoIterator<Item = &'a Secret>,
    message: Received<'_>,
    now: i64,
) -> Result<(), SignatureRefused> {
    if message.timestamp.abs_diff(now) > TOLERANCE_SECONDS {
        return Err(SignatureRefused::Untimely);
    }
    let given: Vec<Vec<u8>> = message
        .signature
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(|encoded| STANDARD.decode(encoded).ok())
        .collect();
    let fits = |secret: &Secret| {
        given
            .iter()
            .any(|tag| digest(secret, message.id, message.timestamp, message.body).verify_slice(tag).is_ok())
    };
    if secrets.into_iter().any(fits) { Ok(()) } else { Err(SignatureRefused::Forged) }
}

fn digest(secret: &Secret, id: &str, timestamp: i64, body: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length; the other branch cannot be reached and hashes with an empty key.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.key())
        .unwrap_or_else(|_| Hmac::new(&Key::<Hmac<Sha256>>::default()));
    mac.update(id.as_bytes());
    mac.update(b".");
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use almanac_store::clock::Entropy;

    use super::*;

    /// The example of the Standard Webhooks reference libraries.
    const PUBLISHED_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn fault_32_the_published_vector_of_standard_webhooks_is_met() {
        let secret: Secret = PUBLISHED_SECRET.parse().unwrap();
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        assert_eq!(
            sign([&secret], "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body),
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="
        );
    }

    #[test]
    fn fault_32_an_independent_library_makes_the_same_signature() {
        let entropy = Entropy::seeded(3);
        for length in 0..40_usize {
            let secret = Secret::generate(&entropy);
            let body = "aü\n\"".repeat(length);
            let theirs = standardwebhooks::Webhook::new(&secret.to_string()).unwrap();
            assert_eq!(
                sign([&secret], "id", 1_700_000_000, body.as_bytes()),
                theirs.sign("id", 1_700_000_000, body.as_bytes()).unwrap()
            );
        }
    }

    #[test]
    fn a_message_that_was_touched_is_refused() {
        let entropy = Entropy::seeded(4);
        let (ours, other) = (Secret::generate(&entropy), Secret::generate(&entropy));
        let signature = sign([&ours, &other], "a", 1000, b"{}");
        let message = Received { id: "a", timestamp: 1000, signature: &signature, body: b"{}" };
        assert_eq!(verify([&other], message, 1000), Ok(()));
        assert_eq!(verify([&ours], message, 1300), Ok(()));
        assert_eq!(verify([&ours], message, 1301), Err(SignatureRefused::Untimely));
        let forged = Err(SignatureRefused::Forged);
        assert_eq!(verify([&ours], Received { id: "b", ..message }, 1000), forged);
        assert_eq!(verify([&ours], Received { timestamp: 1001, ..message }, 1000), forged);
        assert_eq!(verify([&ours], Received { body: b"[]", ..message }, 1000), forged);
        assert_eq!(verify([&ours], Received { signature: "v1,", ..message }, 1000), forged);
        assert_eq!(verify([&Secret::generate(&entropy)], message, 1000), forged);
    }
}

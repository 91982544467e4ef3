//! Passwords: Argon2id with the parameters OWASP recommends (19 MiB, two passes), off the threads that serve requests.

use std::error::Error;
use std::sync::Arc;

use almanac_store::clock::Entropy;
use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use tokio::sync::Semaphore;

use crate::problem::{Kind, Problem};

/// The least characters a password has.
pub const SHORTEST: usize = 10;

/// The most bytes a password has: hashing must not be a way to keep the service busy.
pub const LONGEST: usize = 1024;

/// So many passwords are hashed at once; further ones wait.
const AT_ONCE: usize = 4;

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {
    entropy: Entropy,
    turns: Arc<Semaphore>,
    /// The hash of a password nobody has: an unknown address must take as long as a wrong password.
    nobodys: Arc<str>,
}

impl Passwords {
    /// Draws salts from `entropy`.
    pub fn new(entropy: Entropy) -> Result<Self, Problem> {
        let nobodys = hash(&hex::encode(entropy.bytes::<16>()), entropy.bytes::<16>())?;
        Ok(Self { entropy, turns: Arc::new(Semaphore::new(AT_ONCE)), nobodys: nobodys.into() })
    }

    /// Why a password cannot be taken.
    pub fn refused(password: &str) -> Option<String> {
        if password.chars().count() < SHORTEST {
            Some(format!("it has at least {SHORTEST} characters"))
        } else if password.len() > LONGEST {
            Some(format!("it has at most {LONGEST} bytes"))
        } else {
            None
        }
    }

    /// The hash of `password` in PHC form.
    pub async fn hash(&self, password: &str) -> Result<String, Problem> {
        let (password, salt) = (password.to_owned(), self.entropy.bytes::<16>());
        self.apart(move || hash(&password, salt)).await?
    }

    /// Whether `password` is the one of `stored`. Without one it is not, after the same time.
    pub async fn check(&self, password: &str, stored: Option<&str>) -> Result<bool, Problem> {
        let known = stored.is_some();
        let (password, stored) = (password.to_owned(), stored.unwrap_or(&self.nobodys).to_owned());
        let matches = self
            .apart(move || {
                let stored = PasswordHash::new(&stored).map_err(unusable)?;
                Ok::<_, Problem>(Argon2::default().verify_password(password.as_bytes(), &stored).is_ok())
            })
            .await??;
        Ok(known && matches)
    }

    async fn apart<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let _turn = self.turns.acquire().await.map_err(|_| Kind::Unavailable)?;
        tokio::task::spawn_blocking(work).await.map_err(Problem::broken)
    }
}

fn hash(password: &str, salt: [u8; 16]) -> Result<String, Problem> {
    let salt = SaltString::encode_b64(&salt).map_err(unusable)?;
    Ok(Argon2::default().hash_password(password.as_bytes(), &salt).map_err(unusable)?.to_string())
}

fn unusable(error: argon2::password_hash::Error) -> Problem {
    let error: Box<dyn Error + Send + Sync> = error.to_string().into();
    Problem::broken(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_password_is_known_again_and_another_is_not() {
        let passwords = Passwords::new(Entropy::seeded(1)).unwrap();
        let stored = passwords.hash("correct horse").await.unwrap();
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(passwords.check("correct horse", Some(&stored)).await.unwrap());
        assert!(!passwords.check("correct hors", Some(&stored)).await.unwrap());
        assert!(!passwords.check("correct horse", None).await.unwrap());
    }

    #[test]
    fn short_and_endless_passwords_are_refused() {
        assert!(Passwords::refused("nine char").is_some());
        assert!(Passwords::refused("ten  chars").is_none());
        assert!(Passwords::refused(&"x".repeat(LONGEST + 1)).is_some());
    }
}

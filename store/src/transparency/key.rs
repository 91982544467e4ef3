//! The key that signs the heads of the log, and the key that verifies them (Ed25519, C2SP `signed-note`).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::clock::Entropy;

/// The algorithm of every key here, as people call it.
pub const ALGORITHM: &str = "Ed25519";

/// The byte that stands for Ed25519 before a key.
const ED25519_BYTE: u8 = 1;

/// What a private key begins with, so that nobody takes it for a public one.
const PRIVATE: &str = "PRIVATE+KEY+";

/// The first four bytes of a digest over name and key: tells keys of one name apart.
pub type KeyId = [u8; 4];

/// A text that is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not of the form `<name>+<8 hexadecimal digits>+<base64>`.
    #[error("this is not a key: it has the form <name>+<8 hexadecimal digits>+<base64>")]
    Malformed,
    /// The name of a key is not empty and holds neither white space nor `+`.
    #[error("`{0}` cannot be the name of a key")]
    Name(String),
    /// An algorithm other than Ed25519.
    #[error("the key is not an Ed25519 key")]
    Algorithm,
    /// The digits in the middle are not those of this name and key.
    #[error("the key does not fit its name: a character was lost or changed")]
    Mismatch,
}

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key file {path} cannot be used")]
    Io {
        /// Where it is.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It does not hold a key.
    #[error("the key file {path} does not hold a key: {source}")]
    Bad {
        /// Where it is.
        path: String,
        /// What is wrong with it.
        source: BadKey,
    },
}

/// Verifies what its signing key has signed. Written as `<name>+<8 hexadecimal digits>+<base64>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public: [u8; 32],
}

impl VerifierKey {
    /// The name, which for a log is its origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What stands before each signature, to tell keys of one name apart.
    pub fn id(&self) -> KeyId {
        let digest: [u8; 32] = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519_BYTE])
            .chain_update(self.public)
            .finalize()
            .into();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// Whether `signature` is one of this key's over `text`.
    pub(crate) fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.public).verify(text, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = STANDARD.encode(with_algorithm(&self.public));
        write!(f, "{}+{}+{key}", self.name, hex::encode(self.id()))
    }
}

impl FromStr for VerifierKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let (name, id, public) = parts(text)?;
        let key = Self { name, public };
        if key.id() == id { Ok(key) } else { Err(BadKey::Mismatch) }
    }
}

impl Serialize for VerifierKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifierKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Signs heads of the log.
pub struct SigningKey {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    /// Without the private part, which no log may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.verifier.to_string()).finish()
    }
}

impl SigningKey {
    /// The key that follows from `seed`.
    ///
    /// # Errors
    /// When `name` cannot be the name of a key.
    pub fn from_seed(name: &str, seed: [u8; 32]) -> Result<Self, BadKey> {
        if !is_key_name(name) {
            return Err(BadKey::Name(name.to_owned()));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| BadKey::Algorithm)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| BadKey::Algorithm)?;
        Ok(Self { verifier: VerifierKey { name: name.to_owned(), public }, pair })
    }

    /// The key in the file at `path`; none when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read or does not hold a key.
    pub fn read(path: &Path) -> Result<Option<Self>, KeyFileError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(text.trim_end())
                .map(Some)
                .map_err(|source| KeyFileError::Bad { path: path.display().to_string(), source }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(KeyFileError::Io { path: path.display().to_string(), source }),
        }
    }

    /// Makes a key and writes it to a new file at `path` that only its owner may read.
    ///
    /// # Errors
    /// When `name` cannot be the name of a key, or the file is there already or cannot be written.
    pub fn create(path: &Path, name: &str, entropy: &Entropy) -> Result<Self, KeyFileError> {
        let shown = || path.display().to_string();
        let seed = entropy.bytes::<32>();
        let key =
            Self::from_seed(name, seed).map_err(|source| KeyFileError::Bad { path: shown(), source })?;
        let (id, secret) = (hex::encode(key.verifier.id()), STANDARD.encode(with_algorithm(&seed)));
        write_new(path, &format!("{PRIVATE}{name}+{id}+{secret}\n"))
            .map_err(|source| KeyFileError::Io { path: shown(), source })?;
        Ok(key)
    }

    /// The key that verifies what this one signs.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(crate) fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.pair.sign(text).as_ref().to_vec()
    }

    fn parse(text: &str) -> Result<Self, BadKey> {
        let (name, id, seed) = parts(text.strip_prefix(PRIVATE).ok_or(BadKey::Malformed)?)?;
        let key = Self::from_seed(&name, seed)?;
        if key.verifier.id() == id { Ok(key) } else { Err(BadKey::Mismatch) }
    }
}

/// A key that was lost in a power failure, after it had signed, could not be replaced: it is on the disk first, and
/// there whole or not at all.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    // Unlike renaming it refuses when there is a key already.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    linked?;
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Whether `name` can be the name of a key, and so of a log: it is not empty and holds neither white space nor `+`.
pub fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains('+') && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

fn with_algorithm(key: &[u8; 32]) -> Vec<u8> {
    [&[ED25519_BYTE][..], key].concat()
}

/// Name, id and the 32 bytes after the algorithm. Base64 may hold `+`, a name may not.
fn parts(text: &str) -> Result<(String, KeyId, [u8; 32]), BadKey> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(BadKey::Malformed);
    };
    if !is_key_name(name) {
        return Err(BadKey::Name(name.to_owned()));
    }
    let mut bytes: KeyId = [0; 4];
    hex::decode_to_slice(id, &mut bytes).map_err(|_| BadKey::Malformed)?;
    let key = STANDARD.decode(key).map_err(|_| BadKey::Malformed)?;
    match key.split_first() {
        Some((&ED25519_BYTE, key)) => {
            Ok((name.to_owned(), bytes, key.try_into().map_err(|_| BadKey::Malformed)?))
        }
        Some(_) => Err(BadKey::Algorithm),
        None => Err(BadKey::Malformed),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::testing::ScratchFolder;

    const PETER: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    #[test]
    fn the_key_of_the_go_package_reads_back_as_it_is_written() {
        let key: VerifierKey = PETER.parse().unwrap();
        assert_eq!((key.name(), key.to_string().as_str()), ("PeterNeumann", PETER));
    }

    #[test]
    fn a_key_with_a_lost_or_changed_character_is_refused() {
        for (text, refused) in [
            ("", BadKey::Malformed),
            ("PeterNeumann+c74f20a3", BadKey::Malformed),
            (&PETER.replace("Peter", "Pieter"), BadKey::Mismatch),
            (&PETER.replace("c74f", "c74e"), BadKey::Mismatch),
            (&PETER.replace("ARpc", "ARpd"), BadKey::Mismatch),
            (&PETER.replace("ARpc", "AhpC"), BadKey::Algorithm),
            (&PETER.replace("10TW", ""), BadKey::Malformed),
            (&PETER.replace("PeterNeumann", "Peter Neumann"), BadKey::Name("Peter Neumann".into())),
        ] {
            assert_eq!(text.parse::<VerifierKey>(), Err(refused), "{text}");
        }
    }

    #[test]
    fn a_key_file_is_for_its_owner_only_and_is_never_written_over() {
        let folder = ScratchFolder::new();
        let path = folder.join("keys/log.key");
        assert!(SigningKey::read(&path).unwrap().is_none());
        let made = SigningKey::create(&path, "example.org", &Entropy::seeded(1)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(SigningKey::create(&path, "example.org", &Entropy::seeded(2)).is_err());
        let read = SigningKey::read(&path).unwrap().unwrap();
        assert_eq!(read.verifier(), made.verifier());
        assert_eq!(read.sign(b"x"), made.sign(b"x"));
        assert!(read.verifier().verifies(b"x", &made.sign(b"x")));
        let damaged = fs::read_to_string(&path).unwrap().replace("example", "exemplar");
        fs::write(&path, damaged).unwrap();
        assert!(matches!(SigningKey::read(&path), Err(KeyFileError::Bad { source: BadKey::Mismatch, .. })));
    }

    #[test]
    fn a_private_key_is_not_shown() {
        let key = SigningKey::from_seed("example.org", [3; 32]).unwrap();
        let shown = format!("{key:?}");
        assert!(!shown.contains(&STANDARD.encode([3; 32])[..20]), "{shown}");
    }
}

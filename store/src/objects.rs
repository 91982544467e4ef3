//! Object storage: bytes named by their digest, in a local folder or in any service `object_store` speaks to.
//!
//! Bytes are written before the event that names them, so an event never names what is not there. Writing the
//! same bytes twice is harmless, and reading checks that they are still the same.
//!
//! Only the published heads of the log have names of their own, `checkpoints/<size>` and `checkpoints/latest`: whoever
//! looks for them knows no digest, and the signature in them says more than a digest could.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, parse_url_opts};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use url::Url;

/// Where the published heads of the log lie.
const HEADS: &str = "checkpoints";

/// So many heads are read at once: most of the time goes into the way to a bucket and back.
const HEADS_AT_ONCE: usize = 16;

/// The name of the newest published head of the log.
const LATEST_HEAD: &str = "checkpoints/latest";

/// Why an object could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The setting does not name a place this program can write to.
    #[error("`{url}` does not name an object storage: {reason}")]
    BadUrl {
        /// The setting, without its credentials.
        url: String,
        /// Why.
        reason: String,
    },
    /// A text that is not the key of an object.
    #[error("`{0}` is not the key of an object")]
    BadKey(String),
    /// There is no such object.
    #[error("the object {0} is missing from object storage")]
    Absent(String),
    /// The bytes are not the ones that were written.
    #[error("the object {0} is damaged: its bytes do not have the digest in its name")]
    Damaged(String),
    /// Another head of the log of this size was published before.
    #[error("the object {0} is there already and says something else")]
    Contradicted(String),
    /// The storage did not do what was asked.
    #[error("object storage failed on {key}")]
    Failed {
        /// Which object.
        key: String,
        /// Why.
        source: object_store::Error,
    },
}

/// Names an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// `kind/<sha256>.ext`.
    pub key: String,
    /// The digest of the bytes, in hexadecimal.
    pub sha256: String,
    /// The number of bytes.
    pub len: u64,
}

/// An object storage. Clones share it.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Objects {
    /// The storage at `url`: `file:FOLDER`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or
    /// `az://CONTAINER/PREFIX`.
    ///
    /// `options` carry what the URL does not, by the names of `object_store` in lower case: `aws_endpoint`,
    /// `aws_region`, `aws_access_key_id`, `aws_secret_access_key`, `aws_allow_http`, and the like. Names of
    /// other services are ignored, so the environment may be passed in as it is.
    ///
    /// # Errors
    /// When the URL names no storage, or the options do not fit it.
    pub fn open(url: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<Self, ObjectError> {
        if let Some(folder) = url.strip_prefix("file:") {
            return Self::in_folder(FilePath::new(folder.strip_prefix("//").unwrap_or(folder)));
        }
        let shown = without_credentials(url);
        // What the library says may repeat the URL as it was given.
        let bad =
            |said: String| ObjectError::BadUrl { url: shown.clone(), reason: said.replace(url, &shown) };
        let parsed = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        install_crypto();
        let (store, prefix) = parse_url_opts(&parsed, options).map_err(|error| bad(error.to_string()))?;
        Ok(Self { store: Arc::from(store), prefix })
    }

    /// The storage in a local folder, which is made when it is not there.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn in_folder(folder: &FilePath) -> Result<Self, ObjectError> {
        let bad = |reason: String| ObjectError::BadUrl { url: format!("file:{}", folder.display()), reason };
        fs::create_dir_all(folder).map_err(|error| bad(error.to_string()))?;
        // An event that names an object must not outlive it in a power failure.
        let store = LocalFileSystem::new_with_prefix(folder)
            .map_err(|error| bad(error.to_string()))?
            .with_fsync(true);
        Ok(Self { store: Arc::new(store), prefix: Path::default() })
    }

    /// Writes `bytes` as `kind/<sha256>.extension`, unless they are there already.
    ///
    /// # Errors
    /// When the storage fails; then nothing refers to what may have been written, and it can be tried again.
    pub async fn put(&self, kind: &str, bytes: Vec<u8>, extension: &str) -> Result<ObjectRef, ObjectError> {
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let key = format!("{kind}/{sha256}.{extension}");
        let len = bytes.len() as u64;
        let path = self.path(&key)?;
        let there = match self.store.head(&path).await {
            Ok(meta) => meta.size == len,
            Err(object_store::Error::NotFound { .. }) => false,
            Err(source) => return Err(ObjectError::Failed { key, source }),
        };
        if !there {
            // Plainly, not only-if-absent, which not every S3-compatible service knows: the same name means
            // the same bytes.
            let written = self.store.put(&path, bytes.into()).await;
            written.map_err(|source| ObjectError::Failed { key: key.clone(), source })?;
        }
        if let Err(error) = crate::failpoints::reach("object.after_put").await {
            let source = object_store::Error::Generic { store: "failpoint", source: error.into() };
            return Err(ObjectError::Failed { key, source });
        }
        Ok(ObjectRef { key, sha256, len })
    }

    /// Reads an object and checks that its bytes have the digest in its name.
    ///
    /// # Errors
    /// When it is missing, damaged, or cannot be read.
    pub async fn get(&self, key: &str) -> Result<Vec<u8>, ObjectError> {
        let path = self.path(key)?;
        let failed = |source| match source {
            object_store::Error::NotFound { .. } => ObjectError::Absent(key.to_owned()),
            source => ObjectError::Failed { key: key.to_owned(), source },
        };
        let bytes = self.store.get(&path).await.map_err(failed)?.bytes().await.map_err(failed)?;
        if digest_in(key) != Some(hex::encode(Sha256::digest(&bytes)).as_str()) {
            return Err(ObjectError::Damaged(key.to_owned()));
        }
        Ok(bytes.into())
    }

    /// Publishes the signed head of a log of `size` events as `checkpoints/<size>`, and as `checkpoints/latest`.
    ///
    /// # Errors
    /// [`ObjectError::Contradicted`] when another head of this size is there; otherwise when the storage fails.
    pub async fn publish_head(&self, size: i64, note: &str) -> Result<(), ObjectError> {
        let key = head_key(size);
        if !self.create_text(&key, note).await? && self.text(&key).await?.as_deref() != Some(note) {
            return Err(ObjectError::Contradicted(key));
        }
        self.put_text(LATEST_HEAD.to_owned(), note).await
    }

    /// The signed head that was published last, if any was.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn latest_head(&self) -> Result<Option<String>, ObjectError> {
        self.text(LATEST_HEAD).await
    }

    /// The signed head of a log of `size` events, if one was published.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn head_of(&self, size: i64) -> Result<Option<String>, ObjectError> {
        self.text(&head_key(size)).await
    }

    /// Every signed head that was published, in no order. One that is no text any more is given as far as it is one: its
    /// signature will not fit.
    ///
    /// # Errors
    /// When the storage fails.
    pub async fn heads(&self) -> Result<Vec<String>, ObjectError> {
        let failed = |source| ObjectError::Failed { key: HEADS.to_owned(), source };
        let folder = self.below_prefix(HEADS)?;
        let found: Vec<_> = self.store.list(Some(&folder)).try_collect().await.map_err(failed)?;
        let read = found.into_iter().map(|there| async move {
            let found = self.store.get(&there.location).await?;
            found.bytes().await
        });
        let read = stream::iter(read).buffer_unordered(HEADS_AT_ONCE);
        let notes: Vec<_> = read.try_collect().await.map_err(failed)?;
        // The newest is there under two names.
        let notes: BTreeSet<String> =
            notes.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        Ok(notes.into_iter().collect())
    }

    /// Writes a text only where there is none; false when there is one. Of two writers at the same moment one learns of
    /// the other, except in a storage that knows no such condition.
    async fn create_text(&self, key: &str, text: &str) -> Result<bool, ObjectError> {
        let path = self.below_prefix(key)?;
        let bytes = || text.to_owned().into_bytes().into();
        let failed = |source| ObjectError::Failed { key: key.to_owned(), source };
        match self.store.put_opts(&path, bytes(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(object_store::Error::NotImplemented { .. }) => {
                if self.text(key).await?.is_some() {
                    return Ok(false);
                }
                self.store.put(&path, bytes()).await.map(|_| true).map_err(failed)
            }
            Err(source) => Err(failed(source)),
        }
    }

    /// Brings a file over as `name`, a plain name without folders; a large one in parts.
    ///
    /// # Errors
    /// When the file cannot be read, or the storage fails.
    pub async fn put_file(&self, name: &str, from: &FilePath) -> Result<(), ObjectError> {
        let failed = |error: io::Error| ObjectError::Failed { key: name.to_owned(), source: generic(error) };
        let mut file = tokio::fs::File::open(from).await.map_err(failed)?;
        let mut writer = BufWriter::new(Arc::clone(&self.store), self.below_prefix(name)?);
        tokio::io::copy(&mut file, &mut writer).await.map_err(failed)?;
        writer.shutdown().await.map_err(failed)
    }

    /// Brings the object `name` into a file; false when there is none.
    ///
    /// # Errors
    /// When the file cannot be written, or the storage fails.
    pub async fn fetch_file(&self, name: &str, to: &FilePath) -> Result<bool, ObjectError> {
        let failed = |source| ObjectError::Failed { key: name.to_owned(), source };
        let found = match self.store.get(&self.below_prefix(name)?).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(source) => return Err(failed(source)),
        };
        let unwritten = |error: io::Error| failed(generic(error));
        let mut file = tokio::fs::File::create(to).await.map_err(unwritten)?;
        let mut parts = found.into_stream();
        while let Some(part) = parts.try_next().await.map_err(failed)? {
            file.write_all(&part).await.map_err(unwritten)?;
        }
        file.flush().await.map_err(unwritten)?;
        Ok(true)
    }

    async fn put_text(&self, key: String, text: &str) -> Result<(), ObjectError> {
        let path = self.below_prefix(&key)?;
        let written = self.store.put(&path, text.to_owned().into_bytes().into()).await;
        written.map(|_| ()).map_err(|source| ObjectError::Failed { key, source })
    }

    async fn text(&self, key: &str) -> Result<Option<String>, ObjectError> {
        let failed = |source| ObjectError::Failed { key: key.to_owned(), source };
        match self.store.get(&self.below_prefix(key)?).await {
            Ok(found) => {
                let bytes = found.bytes().await.map_err(failed)?;
                let text = String::from_utf8(bytes.into());
                text.map(Some).map_err(|_| ObjectError::Damaged(key.to_owned()))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    /// Only names this type has given out are paths: a key can come from an event, and must not lead
    /// elsewhere.
    fn path(&self, key: &str) -> Result<Path, ObjectError> {
        digest_in(key).ok_or_else(|| ObjectError::BadKey(key.to_owned()))?;
        self.below_prefix(key)
    }

    fn below_prefix(&self, key: &str) -> Result<Path, ObjectError> {
        let whole =
            if self.prefix.as_ref().is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Path::parse(whole).map_err(|_| ObjectError::BadKey(key.to_owned()))
    }
}

fn generic(error: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "file", source: error.into() }
}

fn head_key(size: i64) -> String {
    format!("{HEADS}/{size}")
}

/// The digest in `kind/<sha256>.ext`.
fn digest_in(key: &str) -> Option<&str> {
    let (kind, file) = key.rsplit_once('/')?;
    let (digest, extension) = file.split_once('.')?;
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
    };
    let fits = digest.len() == 64
        && digest.chars().all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase())
        && plain(kind)
        && plain(extension)
        && !key.contains("..");
    fits.then_some(digest)
}

fn without_credentials(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) => {
            // Setting fails for URLs that cannot have any; then there are none to hide.
            let _ = parsed.set_password(None);
            let _ = parsed.set_username("");
            parsed.set_query(None);
            parsed.into()
        }
        Err(_) => "the URL".to_owned(),
    }
}

/// The HTTP client brings no cryptography of its own; the whole program uses ring.
fn install_crypto() {
    // It fails when it is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_key_that_was_not_given_out_leads_nowhere() {
        assert_eq!(digest_in(&format!("bars/{DIGEST}.parquet")), Some(DIGEST));
        for key in [
            String::new(),
            "bars".to_owned(),
            format!("{DIGEST}.parquet"),
            format!("../{DIGEST}.parquet"),
            format!("bars/{DIGEST}"),
            format!("bars/{}.parquet", DIGEST.to_uppercase()),
            format!("bars/{DIGEST}.par quet"),
            "bars/../../etc/passwd".to_owned(),
        ] {
            assert_eq!(digest_in(&key), None, "{key}");
        }
    }

    #[test]
    fn a_bad_url_is_named_without_its_credentials() {
        let said = Objects::open("ftp://user:secret@host/x?key=secret", []).map(|_| ());
        let Err(error) = said else { panic!("ftp is no object storage") };
        assert!(
            error.to_string().contains("ftp://host/x") && !error.to_string().contains("secret"),
            "{error}"
        );
    }
}

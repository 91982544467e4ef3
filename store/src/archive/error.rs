//! Why an export could not be made, read or imported.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::StoreError;

/// A place in an export that is not what was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file inside the export.
    pub file: String,
    /// The line or row in that file, from 1, if it is known.
    pub row: Option<u64>,
    /// The event that stands there, if it is known.
    pub ordinal: Option<i64>,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(row) = self.row {
            write!(f, ", {} {row}", if self.file.ends_with(".parquet") { "row" } else { "line" })?;
        }
        if let Some(ordinal) = self.ordinal {
            write!(f, " (event {ordinal})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Why an export could not be made, read or imported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// There is no manifest.
    #[error("{0} holds no export: it has no manifest.json")]
    NotAnExport(PathBuf),
    /// The export was made by another program, or a newer version of this one.
    #[error("{file} cannot be used: {reason}")]
    Foreign {
        /// The file that says so.
        file: PathBuf,
        /// What it says.
        reason: String,
    },
    /// The export is not what was exported.
    #[error("the export is damaged: {0}")]
    Damaged(Damage),
    /// The database holds an event that is not what was sealed.
    #[error("event {ordinal} in the database is not what was sealed: {reason}")]
    Tampered {
        /// The first such event.
        ordinal: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// It would do harm.
    #[error("{0}")]
    Refused(String),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ArchiveError {
    /// True when something is not what it was when it was written, as against something that could not be done.
    pub fn is_tampering(&self) -> bool {
        match self {
            Self::Damaged(_) | Self::Tampered { .. } => true,
            Self::NotAnExport(_)
            | Self::Foreign { .. }
            | Self::Refused(_)
            | Self::Io { .. }
            | Self::Store(_) => false,
        }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

impl From<sqlx::Error> for ArchiveError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

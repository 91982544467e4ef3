//! A private PostgreSQL server, found on this machine, started once and stopped with the process.
//!
//! Start with [`PostgresServer::start`]. The pieces: [`programs`](Programs) finds the server programs,
//! `identity` decides which user they run as, `cluster` makes and inspects the data folder, `keeper` starts
//! the server under a small shell that ends it when this process ends, however that happens.

mod cluster;
mod identity;
mod keeper;
mod programs;
mod server;

use std::io;
use std::path::PathBuf;

pub(crate) use cluster::{Cluster, Durability};
pub(crate) use keeper::start_until_unused;
pub use programs::Programs;
pub use server::{PostgresServer, Settings};

/// Why the private server could not be started or stopped. Every message says what to do in one line.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There are no server programs on this machine.
    #[error(
        "no PostgreSQL server was found: install version 15 or newer (Debian, Ubuntu: apt-get install postgresql; \
         Fedora: dnf install postgresql-server; macOS: brew install postgresql), or set DATABASE_URL"
    )]
    NotInstalled,
    /// The programs that were found are too old.
    #[error(
        "only PostgreSQL {found} was found in {folder}: install version 15 or newer, or set DATABASE_URL"
    )]
    TooOld {
        /// The newest version there is.
        found: u32,
        /// Where it is.
        folder: PathBuf,
    },
    /// The data folder was made by a version of which there are no programs here.
    #[error("{folder} was made by PostgreSQL {made_by}, which is not installed here: install that version")]
    OtherVersion {
        /// The data folder.
        folder: PathBuf,
        /// The major version that made it.
        made_by: u32,
    },
    /// Another process serves this data folder.
    #[error("another almanac is running on {0}: stop it first, or choose another --data-dir")]
    InUse(PathBuf),
    /// The user the server must run as cannot reach the data folder.
    #[error(
        "{closed} is closed to the user `{user}`, as which PostgreSQL must run when almanac runs as root: \
         choose another --data-dir, for instance /var/lib/almanac"
    )]
    Unreachable {
        /// The folder that keeps the user out.
        closed: PathBuf,
        /// The user.
        user: String,
    },
    /// There is no unprivileged user to run the server as.
    #[error(
        "PostgreSQL does not run as root, and this machine has neither a user `postgres` nor `nobody`: add one"
    )]
    NoUser,
    /// The data folder belongs to somebody else.
    #[error(
        "{folder} belongs to user id {owner}: run almanac as that user or as root, or choose another --data-dir"
    )]
    ForeignOwner {
        /// The data folder.
        folder: PathBuf,
        /// Who owns it.
        owner: u32,
    },
    /// The socket's path is too long for the operating system.
    #[error("the path {0} is too long for a Unix socket (107 bytes): set TMPDIR to a shorter one")]
    PathTooLong(PathBuf),
    /// A program failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// Which program.
        program: String,
        /// The end of what it said.
        output: String,
    },
    /// The server did not answer in time.
    #[error("the PostgreSQL server in {folder} did not answer within {seconds} s: see {log}")]
    NoAnswer {
        /// The data folder.
        folder: PathBuf,
        /// How long it was waited for.
        seconds: u64,
        /// The server's log.
        log: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The server answered, but did not do what was asked.
    #[error("the private PostgreSQL server refused a statement: {0}")]
    Database(#[from] sqlx::Error),
}

impl PostgresError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

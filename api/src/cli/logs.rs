//! What the verbs about the log as a whole have in common: reaching its database, and telling tampering from failure.

use std::path::{Path, PathBuf};

use almanac_store::Database;
use almanac_store::archive::{ArchiveError, fetch};
use almanac_store::objects::Objects;
use almanac_store::postgres::{PostgresServer, Settings};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, Place};
use crate::config::Config;
use crate::foundation::of_the_cloud;

/// Something is not what it was when it was written; the process ends with 1. Everything else that keeps a verb about
/// the log from its work ends it with 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Tampering(pub(super) String);

/// Tells tampering from everything else.
pub(super) fn failure(error: ArchiveError) -> Failure {
    if error.is_tampering() { Tampering(error.to_string()).into() } else { error.into() }
}

/// A database, and its server where this process started it.
pub(super) struct Reached {
    pub(super) database: Database,
    postgres: Option<PostgresServer>,
}

impl Reached {
    /// The database as it is, whether or not another process serves it right now. Nothing in it is changed.
    pub(super) async fn as_it_is(config: &Config) -> Result<Self, Failure> {
        let (url, postgres) = match &config.database_url {
            Some(url) => (url.clone(), None),
            None if !config.data_dir.join("postgres").is_dir() => {
                return Err(format!("there is no database in {}", config.data_dir.display()).into());
            }
            None => match PostgresServer::url_of_running(&config.data_dir)? {
                Some(url) => (url, None),
                None => own(&config.data_dir).await?,
            },
        };
        let database = Database::open(&url).await?;
        database.check_migrated().await?;
        Ok(Self { database, postgres })
    }

    /// The database brought to this version of the program; nobody else may be at work on it.
    pub(super) async fn for_writing(config: &Config) -> Result<Self, Failure> {
        std::fs::create_dir_all(&config.data_dir)?;
        let (url, postgres) = match &config.database_url {
            Some(url) => (url.clone(), None),
            None => own(&config.data_dir).await?,
        };
        let database = Database::open(&url).await?;
        database.migrate().await?;
        Ok(Self { database, postgres })
    }

    /// Closes the connections and stops the server this process started.
    pub(super) async fn leave(self) -> Result<(), Failure> {
        self.database.pool().close().await;
        match self.postgres {
            Some(postgres) => Ok(postgres.stop().await?),
            None => Ok(()),
        }
    }
}

/// The object storage that `place` names, with the options of the configuration; none where it is a folder.
pub(super) fn storage(place: &str, config: &Config) -> Result<Option<Objects>, Failure> {
    if !place.starts_with("file:") && !place.contains("://") {
        return Ok(None);
    }
    Ok(Some(Objects::open(place, of_the_cloud().chain(config.objects.options.iter().cloned()))?))
}

/// The object storage of the service; none where it is a folder that was never made.
pub(super) fn objects_of(config: &Config) -> Result<Option<Objects>, Failure> {
    if let Some(url) = &config.objects.url {
        return Ok(Some(Objects::open(url, of_the_cloud().chain(config.objects.options.iter().cloned()))?));
    }
    let folder = config.data_dir.join("objects");
    if folder.is_dir() { Ok(Some(Objects::in_folder(&folder)?)) } else { Ok(None) }
}

/// A folder below the data folder for files on their way, removed when it is dropped.
pub(super) struct Staging(PathBuf);

impl Staging {
    pub(super) fn new(config: &Config) -> Result<Self, Failure> {
        let folder = config.data_dir.join(format!("staging-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, folder = %self.0.display(), "files on their way were left behind");
        }
    }
}

/// An export that is to be read.
pub(super) enum Source {
    Folder(PathBuf),
    /// It lies in object storage, and here for as long as it is read.
    Fetched(Staging),
}

impl Source {
    /// The export in a folder, or the one in object storage brought here.
    pub(super) async fn open(from: &str, place: &Place) -> Result<Self, Failure> {
        if !from.starts_with("file:") && !from.contains("://") {
            return Ok(Self::Folder(from.into()));
        }
        let (config, _) = place.config(vec![])?;
        let staging = Staging::new(&config)?;
        if let Some(objects) = storage(from, &config)? {
            fetch(&objects, staging.folder()).await.map_err(failure)?;
        }
        Ok(Self::Fetched(staging))
    }

    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder,
            Self::Fetched(staging) => staging.folder(),
        }
    }
}

async fn own(data_dir: &Path) -> Result<(String, Option<PostgresServer>), Failure> {
    let server = PostgresServer::start(data_dir, Settings::durable()).await?;
    Ok((server.url().to_owned(), Some(server)))
}

/// A bar that counts events; hidden where a script reads.
pub(super) fn bar(is_hidden: bool) -> ProgressBar {
    let bar = if is_hidden { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let template = "{msg} {bar:30} {human_pos} of {human_len} events ({per_sec}, {eta} left)";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// Moves a bar to `done` of `of`.
pub(super) fn show(bar: &ProgressBar, done: u64, of: u64) {
    bar.set_length(of);
    bar.set_position(done);
}

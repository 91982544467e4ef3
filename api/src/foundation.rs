//! What the service and every one-off command stand on: the database, object storage, and what the actors are told.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use almanac_actors::Parts;
use almanac_actors::dispatcher::WebhookSettings;
use almanac_actors::erasure::{EraseError, Holdings};
use almanac_actors::notifier::{self, LinkSecret, MailSettings, MailTransport};
use almanac_actors::settings::{LogSettings, Settings, SourceSettings, TrainingSettings};
use almanac_actors::supervisor::NotIdle;
use almanac_domain::clock::Clock;
use almanac_store::archive;
use almanac_store::clock::Entropy;
use almanac_store::log::Subscription;
use almanac_store::objects::{ObjectError, Objects};
use almanac_store::postgres::{PostgresError, PostgresServer};
use almanac_store::{Database, StoreError, failpoints, postgres, secrets};
use url::Url;

use crate::config::Config;
use crate::problem::Problem;

/// Why the service could not be started, or a command not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The private database server does not run. The message says what to do.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The database does not do what was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Object storage does not do what was asked.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// Somebody else listens there.
    #[error("{listen} cannot be listened on: {source}")]
    Listen {
        /// The address.
        listen: String,
        /// Why not.
        source: io::Error,
    },
    /// A file of the data folder cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A setting cannot be used.
    #[error("`{key}` cannot be used: {reason}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// Why not.
        reason: String,
    },
    /// What a dump has brought back of an erased account cannot be deleted.
    #[error(transparent)]
    Erase(#[from] EraseError),
    /// The actors do not come to rest.
    #[error(transparent)]
    NotIdle(#[from] NotIdle),
    /// Something asked of the service itself failed.
    #[error(transparent)]
    Problem(#[from] Problem),
}

/// The database and object storage of one service.
pub struct Foundation {
    /// The database.
    pub database: Database,
    /// Object storage.
    pub objects: Objects,
    /// What signs links in mails.
    pub link_secret: LinkSecret,
    postgres: Option<PostgresServer>,
}

/// What the environment says in the variables that the clouds' own tools read, such as `AZURE_STORAGE_ACCOUNT_NAME`.
pub(crate) fn of_the_cloud() -> impl Iterator<Item = (String, String)> {
    let known = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|cloud| name.starts_with(cloud));
    std::env::vars().filter(move |(name, _)| known(name)).map(|(name, value)| (name.to_lowercase(), value))
}

impl Foundation {
    /// Starts the private database server unless another database is named, connects, migrates, and opens the objects.
    ///
    /// # Errors
    /// Says in one line what is missing and what to do.
    pub async fn lay(config: &Config) -> Result<Self, StartError> {
        // Everything that speaks TLS shares one provider; a second call finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        fs::create_dir_all(&config.data_dir).map_err(file(&config.data_dir))?;
        let (url, postgres) = if let Some(url) = &config.database_url {
            (url.clone(), None)
        } else {
            let server = PostgresServer::start(&config.data_dir, postgres::Settings::durable()).await?;
            (server.url().to_owned(), Some(server))
        };
        let database = Database::open(&url).await?;
        database.migrate().await?;
        archive::check_finished(&database).await?;
        // The vault may be of an older dump than the log: who is erased stays so.
        let mails = outbox(config);
        let forgotten = Holdings { database: &database, mails: &mails }.forget_again().await?;
        if forgotten > 0 {
            tracing::warn!(
                forgotten,
                "a dump had brought back what erased accounts left; it is deleted again"
            );
        }
        // Readers may come before the projectors have looked: the tables are there from the beginning.
        for handler in almanac_projections::all() {
            Subscription::install(&database, handler).await?;
        }
        let objects = match &config.objects.url {
            Some(url) => Objects::open(url, of_the_cloud().chain(config.objects.options.iter().cloned()))?,
            None => Objects::in_folder(&config.data_dir.join("objects"))?,
        };
        let link_secret = link_secret(&database, &config.data_dir).await?;
        Ok(Self { database, objects, link_secret, postgres })
    }

    /// Joins it with a clock and the settings to what actors and handlers are built from.
    ///
    /// # Errors
    /// When a setting of the mails cannot be used.
    pub fn parts(
        &self,
        config: &Config,
        public_url: &Url,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
    ) -> Result<Parts, StartError> {
        let settings = settings(config, public_url, self.link_secret.clone())?;
        Ok(Parts::new(self.database.clone(), self.objects.clone(), clock, entropy, settings))
    }

    /// Closes the connections and stops the private server.
    ///
    /// # Errors
    /// When the server does not end.
    pub async fn clear_away(self) -> Result<(), StartError> {
        self.database.pool().close().await;
        if let Some(postgres) = self.postgres {
            postgres.stop().await?;
        }
        Ok(())
    }
}

fn settings(config: &Config, public_url: &Url, secret: LinkSecret) -> Result<Settings, StartError> {
    let sources = &config.sources;
    let from = notifier::sender(&config.smtp_from)
        .map_err(|error| StartError::Setting { key: "smtp.from", reason: error.to_string() })?;
    let transport = match &config.smtp_url {
        Some(url) => MailTransport::Smtp(url.clone()),
        None => MailTransport::Folder(outbox(config)),
    };
    Ok(Settings {
        mode: config.mode,
        exchange: config.exchange.clone(),
        model: config.model.clone(),
        sources: [
            sources.folder.clone().map(SourceSettings::Folder),
            sources.replay.clone().map(SourceSettings::Replay),
            sources.http.clone().map(SourceSettings::Http),
            sources.simulator.clone().map(SourceSettings::Simulator),
        ]
        .into_iter()
        .flatten()
        .collect(),
        training: TrainingSettings {
            family: config.family.clone(),
            feature_set: config.feature_set,
            retrain_every: config.retrain_every,
            promotion: config.promotion,
            trial: config.trial,
            watch: config.watch,
            ..TrainingSettings::default()
        },
        expire_after: config.expire_after,
        mail: MailSettings {
            transport,
            from,
            public_url: public_url.clone(),
            link_secret: Some(secret),
            ..MailSettings::default()
        },
        webhooks: WebhookSettings { reach: config.webhooks, ..WebhookSettings::default() },
        log: LogSettings {
            key: Some(config.key_file()),
            origin: config.log.origin.clone(),
            host: public_url.host_str().unwrap_or("localhost").to_owned(),
            checkpoint_every: config.log.checkpoint_every,
        },
        ..Settings::default()
    })
}

/// The folder mails go to when there is no mail server.
pub fn outbox(config: &Config) -> PathBuf {
    config.data_dir.join("outbox")
}

/// The secret that signs links in mails: one for all nodes, because a link may come back to any of them.
///
/// It was kept in the data folder of each node before it was shared. The one found there is taken over when there is none
/// yet, so that the links of mails already sent go on working.
async fn link_secret(database: &Database, data_dir: &Path) -> Result<LinkSecret, StartError> {
    let path = data_dir.join("link.secret");
    let from_before = match fs::read_to_string(&path) {
        Ok(text) => Some(hex::decode(text.trim()).unwrap_or_default()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(file(&path)(error)),
    };
    if let Some(bytes) = &from_before {
        LinkSecret::new(bytes)
            .map_err(|refused| file(&path)(io::Error::new(io::ErrorKind::InvalidData, refused)))?;
    }
    let new = from_before.clone().unwrap_or_else(|| Entropy::system().bytes::<32>().to_vec());
    let shared = secrets::shared(database.pool(), "links in mails", &new).await?;
    if from_before.is_some_and(|bytes| bytes != shared) {
        tracing::warn!(
            path = %path.display(),
            "the nodes share another secret for links in mails: this file is used no more and can be deleted"
        );
    }
    Ok(LinkSecret::new(&shared).map_err(|refused| StoreError::Broken(refused.to_string()))?)
}

/// The text in the file at `path`, which only this user reads; made by `new` when it is not there.
///
/// # Errors
/// When the file cannot be read or written.
pub fn keep(path: &Path, new: impl FnOnce() -> String) -> Result<String, StartError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = new();
            // Written whole or not at all: a process that is killed here must not leave half a secret.
            let draft = path.with_extension(format!("draft-{}", std::process::id()));
            let mut file_there = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)
                .map_err(file(&draft))?;
            file_there
                .write_all(text.as_bytes())
                .and_then(|()| file_there.sync_all())
                .map_err(file(&draft))?;
            failpoints::reach_blocking("key.before_rename").map_err(file(path))?;
            // Two nodes may start on the same folder: whoever comes first has made it, for both.
            let linked = fs::hard_link(&draft, path);
            fs::remove_file(&draft).map_err(file(&draft))?;
            match linked {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(path)(error)),
                Ok(()) | Err(_) => fs::read_to_string(path).map_err(file(path)),
            }
        }
        Err(error) => Err(file(path)(error)),
    }
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::File { path, source }
}

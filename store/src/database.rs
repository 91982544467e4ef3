//! A connection pool to the one database, and the doorbells that spare its readers from polling.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::{Notify, watch};

use crate::StoreError;

/// Every migration, embedded in the binary.
pub(crate) static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// The channel on which the sequencer tells other processes how far the log is sealed.
pub(crate) const SEALED_CHANNEL: &str = "almanac_sealed";

/// Readers see the log at least this often, even when every notification is lost.
const POLL: Duration = Duration::from_millis(250);

/// The database of one Almanac. Clones share one pool and one set of doorbells.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    bells: Arc<Bells>,
}

/// Signals inside this process. They carry no facts: losing one costs a poll interval and nothing else.
#[derive(Debug)]
struct Bells {
    appended: Notify,
    sealed: watch::Sender<i64>,
    moved: watch::Sender<u64>,
}

impl Database {
    /// Connects to the database at `url` with up to 32 connections.
    ///
    /// # Errors
    /// When it cannot be reached, or is older than PostgreSQL 15.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        Self::connect(PgConnectOptions::from_str(url)?, 32).await
    }

    /// Connects with the given options and number of connections.
    ///
    /// Every connection reads the views of active projections first (`read`), then the tables. A transaction
    /// left idle is ended by the server, because an open one holds up sealing for everybody.
    ///
    /// # Errors
    /// When it cannot be reached, or is older than PostgreSQL 15.
    pub async fn connect(options: PgConnectOptions, connections: u32) -> Result<Self, StoreError> {
        let options = options.application_name("almanac").options([
            ("search_path", "read,public"),
            ("idle_in_transaction_session_timeout", "30s"),
            // Every statement here is short; starting a worker or a compiler costs more than it saves.
            ("max_parallel_workers_per_gather", "0"),
            ("jit", "off"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(15))
            .connect_with(options)
            .await?;
        let number: i32 =
            sqlx::query_scalar("select current_setting('server_version_num')::int").fetch_one(&pool).await?;
        if number < 150_000 {
            return Err(StoreError::TooOld { found: format!("{}.{}", number / 10_000, number % 100) });
        }
        let bells =
            Bells { appended: Notify::new(), sealed: watch::Sender::new(0), moved: watch::Sender::new(0) };
        Ok(Self { pool, bells: Arc::new(bells) })
    }

    /// Applies every migration that is not applied yet.
    ///
    /// # Errors
    /// When a migration fails or an applied one differs from the one in this binary.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        // Not on a pooled connection: its search path begins with `read`, where the migrator would then look
        // for its own table in vain and begin again.
        let mut connection = self.connect_apart().await?;
        connection.execute("set search_path = public").await?;
        MIGRATIONS.run(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    /// The pool of connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The last sealed ordinal as this process has heard of it; [`Database::listen`] and a sequencer in this
    /// process feed it.
    pub fn head(&self) -> watch::Receiver<i64> {
        self.bells.sealed.subscribe()
    }

    /// Feeds [`Database::head`] from other processes for as long as it is polled: by notification, and by
    /// asking every 250 ms whatever happens to the notifications. It never ends; dropping it is safe.
    pub async fn listen(&self) {
        loop {
            if let Err(error) = self.listen_until_broken().await {
                tracing::warn!(%error, "listening for sealed events was interrupted");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn listen_until_broken(&self) -> Result<(), StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(SEALED_CHANNEL).await?;
        loop {
            self.look_at_head().await?;
            match tokio::time::timeout(POLL, listener.try_recv()).await {
                Ok(Ok(Some(_))) | Err(_) => {}
                Ok(Ok(None)) => tracing::info!("the connection that listens for sealed events was lost"),
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }

    async fn look_at_head(&self) -> Result<(), StoreError> {
        let head = sqlx::query_scalar("select last_ordinal from sequencer").fetch_one(&self.pool).await?;
        self.ring_sealed(head);
        Ok(())
    }

    /// A connection outside the pool, for locks that live as long as a session.
    pub(crate) async fn connect_apart(&self) -> Result<PgConnection, StoreError> {
        Ok(PgConnection::connect_with(&self.pool.connect_options()).await?)
    }

    /// Tells the sequencer of this process that something was appended.
    pub(crate) fn ring_appended(&self) {
        self.bells.appended.notify_one();
    }

    /// Waits until something is appended by this process.
    pub(crate) async fn appended(&self) {
        self.bells.appended.notified().await;
    }

    /// Tells the readers of this process how far the log is sealed.
    pub(crate) fn ring_sealed(&self, head: i64) {
        self.bells.sealed.send_if_modified(|known| {
            let grown = head > *known;
            *known = head.max(*known);
            grown
        });
    }

    /// Tells whoever waits for a projection that one has moved.
    pub(crate) fn ring_moved(&self) {
        self.bells.moved.send_modify(|moves| *moves = moves.wrapping_add(1));
    }

    /// Changes whenever a subscription of this process moves its checkpoint.
    pub(crate) fn moved(&self) -> watch::Receiver<u64> {
        self.bells.moved.subscribe()
    }
}

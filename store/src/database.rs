//! A connection pool to the one database, and the doorbells that spare its readers from polling.

use std::str::FromStr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tokio::sync::{Notify, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use crate::StoreError;
use crate::lines::Lines;
use crate::sightings::Sightings;

/// Every migration, embedded in the binary. Those of a newer program in the database are none of its business.
pub(crate) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("../migrations");
    migrations.set_ignore_missing(true);
    migrations
});

/// The channel on which the sequencer tells other processes how far the log is sealed.
pub(crate) const SEALED_CHANNEL: &str = "almanac_sealed";

/// Readers see the log at least this often, even when every notification is lost.
const POLL: Duration = Duration::from_millis(250);

/// A connection that rested so long is asked whether it still lives before it is used again. Of a busier one we learn
/// it soon enough, and asking would double its round trips.
const RESTED: Duration = Duration::from_millis(100);

/// The database answers the simplest question within this time, or the network has swallowed the connection.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// What is answered as done must be on the disk. A role, a database or a file of settings can say otherwise, and may
/// change its mind while a session lasts; stronger settings than `on` are kept.
const DURABLE: &str = "select set_config('synchronous_commit',
    case current_setting('synchronous_commit') when 'off' then 'on' else current_setting('synchronous_commit') end, false)";

/// Commands share statements, so these are enough for any number of them.
const COMMAND_CONNECTIONS: u32 = 8;

/// Commands that go alone, because they met a lock or bring rows of their own, wait for one of so many. Those that wait
/// for somebody's lock must not use up what everybody else reads with.
const LONE_CONNECTIONS: u32 = 4;

/// How long a command waits for such a connection before it is refused.
const LONE_TURN: Duration = Duration::from_secs(5);

/// The database of one Almanac. Clones share one pool and one set of doorbells.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    commands: PgPool,
    alone: PgPool,
    /// Held for as long as anybody may use the pools.
    _lines: Option<Arc<Lines>>,
    bells: Arc<Bells>,
    sightings: Arc<Sightings>,
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

    /// Connects with the given options and number of connections, and a few more for commands when there are any.
    ///
    /// Every connection reads the views of active projections first (`read`), then the tables. A transaction
    /// left idle is ended by the server, because an open one holds up sealing for everybody.
    ///
    /// # Errors
    /// When it cannot be reached, or is older than PostgreSQL 15.
    pub async fn connect(options: PgConnectOptions, connections: u32) -> Result<Self, StoreError> {
        let (options, lines) = Lines::open(options.application_name("almanac")).await?;
        let options = options.options([
            ("search_path", "read,public"),
            ("idle_in_transaction_session_timeout", "30s"),
            // Every statement here is short; starting a worker or a compiler costs more than it saves.
            ("max_parallel_workers_per_gather", "0"),
            ("jit", "off"),
        ]);
        // What commands read and write is a handful of statements that look up keys. Planning them anew each time
        // costs as much as doing them, and a plan made while the log was small must not read all of it later. Whoever
        // meets a lock goes on alone, on another connection, because here others wait behind it.
        let for_commands = options.clone().options([
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("lock_timeout", "100ms"),
        ]);
        let commands = pool_options(COMMAND_CONNECTIONS).connect_lazy_with(for_commands);
        // The server itself ends what takes too long, so that nothing is written after its command was refused.
        let for_lone_ones = options.clone().options([("lock_timeout", "5s"), ("statement_timeout", "10s")]);
        let alone =
            pool_options(LONE_CONNECTIONS).acquire_timeout(LONE_TURN).connect_lazy_with(for_lone_ones);
        let pool = pool_options(connections).connect_with(options).await?;
        let number: i32 =
            sqlx::query_scalar("select current_setting('server_version_num')::int").fetch_one(&pool).await?;
        if number < 150_000 {
            return Err(StoreError::TooOld { found: format!("{}.{}", number / 10_000, number % 100) });
        }
        let bells =
            Bells { appended: Notify::new(), sealed: watch::Sender::new(0), moved: watch::Sender::new(0) };
        let (lines, bells) = (lines.map(Arc::new), Arc::new(bells));
        Ok(Self { pool, commands, alone, _lines: lines, bells, sightings: Arc::default() })
    }

    /// Applies every migration that is not applied yet. Those that a newer program has applied are left alone: older
    /// nodes go on beside it, also after a restart.
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

    /// Checks, without changing anything, that every migration of this program is applied.
    ///
    /// # Errors
    /// When one is not, or the database fails.
    pub async fn check_migrated(&self) -> Result<(), StoreError> {
        let wanted = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default();
        let there: bool = sqlx::query_scalar("select to_regclass('public._sqlx_migrations') is not null")
            .fetch_one(&self.pool)
            .await?;
        let found: Option<i64> = if there {
            sqlx::query_scalar("select max(version) from public._sqlx_migrations where success")
                .fetch_one(&self.pool)
                .await?
        } else {
            None
        };
        let found = found.unwrap_or_default();
        if found >= wanted {
            return Ok(());
        }
        Err(StoreError::Broken(format!(
            "the database is of an older version ({found}, this program has {wanted}): run `almanac migrate` first"
        )))
    }

    /// The pool of connections.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The connections that only the command bus uses.
    pub(crate) fn commands(&self) -> &PgPool {
        &self.commands
    }

    /// The connections of commands that go alone.
    pub(crate) fn alone(&self) -> &PgPool {
        &self.alone
    }

    /// What this process has seen of others who leave marks.
    pub(crate) fn sightings(&self) -> &Sightings {
        &self.sightings
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
        let mut listener =
            timeout(ANSWER, PgListener::connect_with(&self.pool)).await.map_err(too_slow)??;
        timeout(ANSWER, listener.listen(SEALED_CHANNEL)).await.map_err(too_slow)??;
        let mut asked = Instant::now();
        loop {
            timeout(ANSWER, self.look_at_head()).await.map_err(too_slow)??;
            // Whoever only listens does not notice that nobody speaks any more.
            if asked.elapsed() >= ANSWER {
                timeout(ANSWER, listener.execute("select 1")).await.map_err(too_slow)??;
                asked = Instant::now();
            }
            match timeout(POLL, listener.try_recv()).await {
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

/// What a database that does not answer in time comes to: a lost connection, which passes.
pub(crate) fn too_slow(_: Elapsed) -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(15))
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute(DURABLE).await?;
                Ok(())
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                // Whoever gave up in the middle of a transaction has left its rollback to be sent. A network that has
                // swallowed the connection would keep its place in the pool for as long as it likes.
                if connection.should_flush() {
                    timeout(ANSWER, connection.ping()).await.map_err(too_slow)??;
                }
                Ok(true)
            })
        })
        .before_acquire(|connection, last_used| {
            Box::pin(async move {
                if last_used.idle_for >= RESTED {
                    timeout(ANSWER, connection.ping()).await.map_err(too_slow)??;
                }
                Ok(true)
            })
        })
}

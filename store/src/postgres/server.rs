//! Starting, watching and stopping the private server.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::process::{Child, ChildStdin};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::Instant;

use super::cluster::{Cluster, Durability};
use super::{PostgresError, keeper};

/// After a crash of the machine the server first replays its journal, which takes its time.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server that died is looked for this often.
const WATCH: Duration = Duration::from_millis(200);

/// A dropped server is waited for this long.
const PARTING: Duration = Duration::from_secs(5);

/// The name of the database inside the private server.
const DATABASE: &str = "almanac";

/// How a private server is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    durability: Durability,
    connections: u32,
}

impl Settings {
    /// Nothing that was committed is lost, whatever happens to the machine.
    pub fn durable() -> Self {
        Self { durability: Durability::Full, connections: 100 }
    }

    /// Fast, and gone after a crash of the machine.
    pub fn for_tests() -> Self {
        Self { durability: Durability::None, connections: 200 }
    }
}

/// A private PostgreSQL server that ends with this process.
#[derive(Debug)]
pub struct PostgresServer {
    url: String,
    cluster: Cluster,
    running: Arc<Mutex<Option<Running>>>,
    /// Locked as long as this process serves the folder; the operating system frees it however the process
    /// ends.
    _lock: File,
}

#[derive(Debug)]
struct Running {
    keeper: Child,
    /// Closing it stops the server.
    lifeline: Option<ChildStdin>,
}

impl PostgresServer {
    /// Starts a server on the folder `postgres` below `data_dir`, making both when they are not there.
    ///
    /// When the server dies, it is started again, for as long as this value lives.
    ///
    /// # Errors
    /// Says in one line what to do: when there are no programs, when another process serves the folder, when
    /// the user it must run as cannot reach it, or when it does not start.
    pub async fn start(data_dir: &Path, settings: Settings) -> Result<Self, PostgresError> {
        fs::create_dir_all(data_dir).map_err(PostgresError::io(data_dir))?;
        let data_dir = data_dir.canonicalize().map_err(PostgresError::io(data_dir))?;
        let lock = lock(&data_dir).await?;
        let cluster = Cluster::open(&data_dir, settings.durability)?;
        cluster.clear_remains().await?;
        crate::failpoints::reach("postgres.before_start").await?;
        let running = Arc::new(Mutex::new(Some(start(&cluster, settings)?)));
        // Made before the wait, so that a server that does not answer is stopped.
        let server = Self { url: cluster.url(DATABASE), cluster, running, _lock: lock };
        server.wait_until_it_answers().await?;
        tokio::spawn(watch(server.cluster.clone(), settings, Arc::clone(&server.running)));
        Ok(server)
    }

    /// Where the server of the process that serves `data_dir` right now is; none when nobody does.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub fn url_of_running(data_dir: &Path) -> Result<Option<String>, PostgresError> {
        let data_dir = data_dir.canonicalize().map_err(PostgresError::io(data_dir))?;
        let path = data_dir.join("postgres.lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        match file.map_err(PostgresError::io(&path))?.try_lock() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                Ok(Some(Cluster::open(&data_dir, Durability::Full)?.url(DATABASE)))
            }
            Err(TryLockError::Error(source)) => Err(PostgresError::Io { path, source }),
        }
    }

    /// Where to connect to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server in the orderly way and waits until it has ended.
    ///
    /// # Errors
    /// When it does not end within two minutes.
    pub async fn stop(self) -> Result<(), PostgresError> {
        let Some(mut running) = take(&self.running) else { return Ok(()) };
        running.lifeline = None;
        let deadline = Instant::now() + PATIENCE;
        while running.keeper.try_wait().map_err(PostgresError::io("/bin/sh"))?.is_none() {
            if Instant::now() >= deadline {
                return Err(self.no_answer());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.cluster.remove_sockets();
        Ok(())
    }

    async fn wait_until_it_answers(&self) -> Result<(), PostgresError> {
        let options = PgConnectOptions::from_str(&self.cluster.url("postgres"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(connection) = PgConnection::connect_with(&options).await {
                return make_database(connection).await;
            }
            if has_ended(&self.running) {
                return Err(PostgresError::Failed {
                    program: "postgres".to_owned(),
                    output: self.cluster.end_of_log(),
                });
            }
            if Instant::now() >= deadline {
                return Err(self.no_answer());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn no_answer(&self) -> PostgresError {
        PostgresError::NoAnswer {
            folder: self.cluster.data.clone(),
            seconds: PATIENCE.as_secs(),
            log: self.cluster.log.clone(),
        }
    }
}

impl Drop for PostgresServer {
    /// Waits a moment for the server to end, because whoever drops it may want its folder next. If it takes
    /// longer, its keeper sees to it.
    fn drop(&mut self) {
        let Some(mut running) = take(&self.running) else { return };
        running.lifeline = None;
        let deadline = Instant::now() + PARTING;
        while Instant::now() < deadline && matches!(running.keeper.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.cluster.remove_sockets();
    }
}

/// Takes the folder. A process killed a moment ago may not have let go of it yet, so one that is in use is tried again
/// for a while.
async fn lock(data_dir: &Path) -> Result<File, PostgresError> {
    let path = data_dir.join("postgres.lock");
    let options = File::options().create(true).truncate(false).write(true).open(&path);
    let file = options.map_err(PostgresError::io(&path))?;
    let deadline = Instant::now() + PARTING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(PostgresError::InUse(data_dir.to_owned())),
            Err(TryLockError::Error(source)) => return Err(PostgresError::Io { path, source }),
        }
    }
}

fn start(cluster: &Cluster, settings: Settings) -> Result<Running, PostgresError> {
    let mut keeper = keeper::start_until_abandoned(cluster, settings.connections)?;
    let lifeline = keeper.stdin.take();
    Ok(Running { keeper, lifeline })
}

/// Starts the server again when it has died, until the value it belongs to is gone.
async fn watch(cluster: Cluster, settings: Settings, running: Arc<Mutex<Option<Running>>>) {
    loop {
        tokio::time::sleep(WATCH).await;
        if running.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            return;
        }
        if !has_ended(&running) {
            continue;
        }
        tracing::error!(folder = %cluster.data.display(), "the database server has died: starting it again");
        let started = match cluster.clear_remains().await {
            Ok(()) => start(&cluster, settings),
            Err(error) => Err(error),
        };
        match started {
            Ok(anew) => {
                let mut slot = running.lock().unwrap_or_else(PoisonError::into_inner);
                // Unless it was stopped on purpose meanwhile; then the new one ends with `anew`.
                if slot.is_some() {
                    *slot = Some(anew);
                }
            }
            Err(error) => tracing::error!(%error, "the database server could not be started again"),
        }
    }
}

fn has_ended(running: &Mutex<Option<Running>>) -> bool {
    let mut slot = running.lock().unwrap_or_else(PoisonError::into_inner);
    slot.as_mut().is_some_and(|running| !matches!(running.keeper.try_wait(), Ok(None)))
}

fn take(running: &Mutex<Option<Running>>) -> Option<Running> {
    running.lock().unwrap_or_else(PoisonError::into_inner).take()
}

async fn make_database(mut connection: PgConnection) -> Result<(), PostgresError> {
    let known: bool = sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await?;
    if !known {
        connection.execute(format!("create database {DATABASE}").as_str()).await?;
    }
    connection.close().await?;
    Ok(())
}

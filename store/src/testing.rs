//! A database of its own for every test, on one server that all tests share.
//!
//! nextest runs each test in a process of its own, so the server cannot belong to any of them. Whoever comes
//! first starts it, under a lock, in a folder for temporary files named by this checkout; it runs detached
//! under a small shell that stops it when no test has shown itself for ten minutes. It holds one migrated
//! template for each set of migrations, and [`TestDatabase::new`] clones that. A test that must hold write
//! transactions open, or kill servers, starts an [`OwnServer`].
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fs::{self, DirBuilder, File};
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection};

use crate::clock::Entropy;
use crate::database::MIGRATIONS;
use crate::log::Sequencer;
use crate::postgres::{Cluster, Durability, PostgresError, PostgresServer, Settings, start_until_unused};
use crate::{Database, StoreError};

/// The server ends when no test has shown itself for so long.
const IDLE: Duration = Duration::from_secs(600);

/// A running test shows itself this often.
const SHOW: Duration = Duration::from_secs(60);

/// The server is given this long to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// An empty, migrated database that is dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    database: Database,
    name: String,
    url: String,
    /// Dropping it ends the thread that shows that this test is running.
    _shown: mpsc::Sender<()>,
}

impl TestDatabase {
    /// A fresh database.
    ///
    /// # Panics
    /// When there is no server program on this machine, or anything else goes wrong.
    pub async fn new() -> Self {
        let server = TestServer::running().await;
        let name = format!("t_{}", hex::encode(Entropy::system().bytes::<8>()));
        let template = server.template().await;
        let mut maintenance = server.connect("postgres").await.expect("the test server answers");
        maintenance
            .execute(format!("create database {name} template {template}").as_str())
            .await
            .expect("the template can be cloned");
        let url = server.cluster.url(&name);
        let options = PgConnectOptions::from_str(&url).expect("a URL of our own");
        let database = Database::connect(options, 12).await.expect("the fresh database answers");
        Self { database, name, url, _shown: server.show() }
    }

    /// The database itself, for what wants to keep a clone of it.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Where it is, for a process of the test's own.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Seals everything that is committed and returns the last ordinal.
    ///
    /// # Panics
    /// When it cannot be sealed.
    pub async fn seal(&self) -> i64 {
        let mut sequencer = Sequencer::seize(&self.database).await.expect("the sequencer can be seized");
        sequencer.seal_all().await.expect("what is committed can be sealed")
    }
}

impl Deref for TestDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A thread of its own, because a test's runtime cannot be waited for from inside it; the process may
        // end right after, so this waits. A database that stays after all is dropped when the server starts
        // next time.
        let dropper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime
                .block_on(async {
                    let server = TestServer { cluster: TestServer::cluster()?, folder: TestServer::folder() };
                    let mut maintenance = server.connect("postgres").await?;
                    maintenance
                        .execute(format!("drop database if exists {name} with (force)").as_str())
                        .await?;
                    Ok::<_, StoreError>(())
                })
                .map_err(|error| std::io::Error::other(error.to_string()))
        });
        if let Ok(Err(error)) = dropper.join() {
            tracing::warn!(%error, "a test's database was left behind");
        }
    }
}

/// The server that all tests share.
struct TestServer {
    cluster: Cluster,
    folder: PathBuf,
}

impl TestServer {
    /// Makes sure that it runs.
    async fn running() -> Self {
        let folder = Self::folder();
        // Open for the unprivileged user the server may run as, which must walk through it.
        match DirBuilder::new().mode(0o711).create(&folder) {
            Err(error) if !folder.is_dir() => panic!("{}: {error}", folder.display()),
            Ok(()) | Err(_) => {}
        }
        let lock = File::create(folder.join("lock")).expect("a lock file can be made");
        let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await;
        let _lock = lock.expect("locking does not panic").expect("the lock can be waited for");
        let cluster = match Self::cluster() {
            // A newer PostgreSQL was installed since: nothing here is worth keeping.
            Err(PostgresError::OtherVersion { folder, .. }) => {
                fs::remove_dir_all(folder).expect("the old server's folder can be removed");
                Self::cluster()
            }
            cluster => cluster,
        };
        let server = Self { cluster: cluster.unwrap_or_else(|error| panic!("{error}")), folder };
        server.show_once();
        if server.connect("postgres").await.is_err() {
            server.start().await;
        }
        server
    }

    fn folder() -> PathBuf {
        let checkout = hex::encode(Sha256::digest(env!("CARGO_MANIFEST_DIR")));
        std::env::temp_dir().join(format!("almanac-tests-{}", &checkout[..8]))
    }

    fn cluster() -> Result<Cluster, PostgresError> {
        Cluster::open(&Self::folder(), Durability::None)
    }

    async fn start(&self) {
        self.cluster.clear_remains().await.unwrap_or_else(|error| panic!("{error}"));
        drop(start_until_unused(&self.cluster, 200, IDLE).unwrap_or_else(|error| panic!("{error}")));
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut connection = loop {
            match self.connect("postgres").await {
                Ok(connection) => break connection,
                Err(error) if tokio::time::Instant::now() > deadline => {
                    panic!("the test server does not answer: {error}: {}", self.cluster.end_of_log())
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        // What killed tests have left behind.
        let left: Vec<String> =
            sqlx::query_scalar("select datname::text from pg_database where datname like 't\\_%'")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        for name in left {
            connection
                .execute(format!("drop database if exists {name} with (force)").as_str())
                .await
                .unwrap();
        }
    }

    async fn connect(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect_with(&PgConnectOptions::from_str(&self.cluster.url(database))?).await
    }

    /// The name of the migrated template, made by whoever needs it first.
    async fn template(&self) -> String {
        let digests: Vec<u8> = MIGRATIONS.iter().flat_map(|migration| migration.checksum.to_vec()).collect();
        let name = format!("template_{}", &hex::encode(Sha256::digest(digests))[..12]);
        let mut connection = self.connect("postgres").await.expect("the test server answers");
        sqlx::query("select pg_advisory_lock(hashtextextended($1, 0))")
            .bind(&name)
            .execute(&mut connection)
            .await
            .unwrap();
        let known: bool = sqlx::query_scalar("select exists (select 1 from pg_database where datname = $1)")
            .bind(&name)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if !known {
            // Renamed when it is whole, so that a killed test leaves no half-made template.
            let unfinished = format!("{name}_unfinished");
            for statement in [
                format!("drop database if exists {unfinished} with (force)"),
                format!("create database {unfinished}"),
            ] {
                connection.execute(statement.as_str()).await.unwrap();
            }
            let database =
                Database::open(&self.cluster.url(&unfinished)).await.expect("the template answers");
            database.migrate().await.expect("the migrations apply to an empty database");
            database.pool().close().await;
            let rename = format!("alter database {unfinished} rename to {name}");
            connection.execute(rename.as_str()).await.expect("the template can be renamed");
        }
        connection.close().await.unwrap();
        name
    }

    fn show_once(&self) {
        fs::write(self.used(), "x").expect("the server's folder can be written");
    }

    fn used(&self) -> PathBuf {
        self.cluster.data.join("used")
    }

    /// Shows that a test is running, until the returned value is dropped.
    fn show(self) -> mpsc::Sender<()> {
        let (sender, dropped) = mpsc::channel();
        std::thread::spawn(move || {
            while dropped.recv_timeout(SHOW) == Err(RecvTimeoutError::Timeout) {
                if fs::write(self.used(), "x").is_err() {
                    tracing::warn!(folder = %self.folder.display(), "the test server's folder is gone");
                }
            }
        });
        sender
    }
}

/// An empty folder that is removed with this value. Every user can walk through it.
#[derive(Debug)]
pub struct ScratchFolder(PathBuf);

impl ScratchFolder {
    /// A fresh folder below the one for temporary files.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Self {
        let folder =
            std::env::temp_dir().join(format!("almanac-{}", hex::encode(Entropy::system().bytes::<6>())));
        DirBuilder::new().mode(0o711).create(&folder).expect("a scratch folder can be made");
        Self(folder)
    }
}

impl Default for ScratchFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for ScratchFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What cannot be removed stays for the operating system to clean up.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A migrated database on a server that nobody else uses: for tests that hold write transactions open, which
/// would keep every other test of the same server waiting, or that kill servers.
#[derive(Debug)]
pub struct OwnServer {
    database: Database,
    // In this order: the server is told to stop before its folder is removed.
    server: PostgresServer,
    _folder: ScratchFolder,
}

impl OwnServer {
    /// Starts a fresh server.
    ///
    /// # Panics
    /// When there is no server program on this machine, or anything else goes wrong.
    pub async fn start() -> Self {
        let folder = ScratchFolder::new();
        let server = PostgresServer::start(&folder, Settings::for_tests())
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let database = Database::open(server.url()).await.expect("a fresh server answers");
        database.migrate().await.expect("the migrations apply to an empty database");
        Self { database, server, _folder: folder }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        self.server.url()
    }
}

impl Deref for OwnServer {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.database
    }
}

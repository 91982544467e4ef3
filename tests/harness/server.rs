//! A PostgreSQL server that outlives the processes under test, and what is looked up in it past the service.

use std::path::PathBuf;

use almanac_store::Database;
use almanac_store::log::LogReader;
use almanac_store::postgres::{PostgresServer, Settings};
use sqlx::{Connection, Executor, PgConnection};

use crate::Folder;

/// A server of a test's own. Nodes reach it by [`Server::url`].
pub struct Server {
    running: Option<PostgresServer>,
    folder: Folder,
}

impl Server {
    /// Starts one that keeps what it has committed, however it ends: its processes are killed too.
    pub async fn start(name: &str) -> Self {
        Self::start_in(Folder::new(&format!("{name}-pg"))).await
    }

    /// The same with its data in `folder`.
    pub async fn start_in(folder: Folder) -> Self {
        let mut server = Self { running: None, folder };
        server.start_again().await;
        server
    }

    /// Stops it in the orderly way.
    pub async fn stop(&mut self) {
        self.running.take().expect("it runs").stop().await.expect("it ends");
    }

    /// Starts it on the same data.
    pub async fn start_again(&mut self) {
        let server = PostgresServer::start(self.folder.path(), Settings::durable()).await;
        self.running = Some(server.expect("a PostgreSQL server"));
    }

    /// Kills its main process as the kernel does when memory runs out; its keeper starts it again.
    pub fn kill(&self) {
        kill_postmaster(&self.data());
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("postgres")
    }

    /// Where the database is.
    pub fn url(&self) -> String {
        self.running.as_ref().expect("it runs").url().to_owned()
    }

    /// The socket on which it listens.
    pub fn socket(&self) -> PathBuf {
        let url = self.url();
        let (_, folder) = url.split_once("?host=").expect("a URL with a folder");
        PathBuf::from(folder.replace("%2F", "/")).join(".s.PGSQL.5432")
    }

    /// Another database of the same server.
    pub fn url_of(&self, database: &str) -> String {
        self.url().replace("/almanac?", &format!("/{database}?"))
    }

    /// A connection past the service.
    pub async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url_of(database)).await.expect("the server answers")
    }

    /// Makes `copy` from a database to which nobody is connected.
    pub async fn copy(&self, database: &str, copy: &str) {
        let statement = format!("create database {copy} template {database}");
        self.connect("postgres").await.execute(statement.as_str()).await.expect("nobody is connected");
    }
}

/// Kills the main process of the server on the folder `data`.
pub fn kill_postmaster(data: &std::path::Path) {
    let file = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    if let Some(pid) = file.lines().next() {
        let _gone =
            std::process::Command::new("kill").args(["-9", pid]).stderr(std::process::Stdio::null()).status();
    }
}

/// Where the database listens that a service on the data folder `folder` runs for itself.
///
/// # Panics
/// When it does not run.
pub fn own_database_url(folder: &std::path::Path) -> String {
    let file = std::fs::read_to_string(folder.join("postgres/postmaster.pid")).expect("the server runs");
    let sockets = file.lines().nth(4).expect("the folder of the socket");
    format!("postgres://almanac@localhost/almanac?host={}", sockets.replace('/', "%2F"))
}

/// What the log says of itself: contiguous from 1, each stream in its order, each digest that of its event.
///
/// Returns how many events there are.
///
/// # Panics
/// Where that does not hold.
pub async fn check_log(database: &Database) -> i64 {
    let reader = LogReader::new(database);
    let mut streams = std::collections::HashMap::new();
    let mut last = 0;
    loop {
        let events = reader.after(last, 1_000).await.expect("the log can be read");
        let Some(newest) = events.last().map(|event| event.ordinal) else { break };
        for event in events {
            last += 1;
            assert_eq!(event.ordinal, last, "ordinals are contiguous");
            assert_eq!(event.recomputed_hash(), event.event_hash, "{} is what was sealed", event.key);
            let stream = (event.key.aggregate_type.clone(), event.key.aggregate_id.clone());
            let before = streams.insert(stream, event.key.sequence).unwrap_or(0);
            assert_eq!(event.key.sequence, before + 1, "{} follows its predecessor", event.key);
        }
        assert_eq!(newest, last);
    }
    let events: i64 =
        sqlx::query_scalar("select count(*) from events").fetch_one(database.pool()).await.expect("a count");
    assert_eq!(events, last, "every committed event is sealed");
    last
}

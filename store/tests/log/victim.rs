//! A process that dies in the middle of its work: this test program, started once more.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use almanac_store::Database;
use almanac_store::log::{Handler, HandlerError, Issued, Recorded, Sequencer, Subscription};
use async_trait::async_trait;
use sqlx::{Executor, PgConnection};

use crate::counter::{self, Counter, Totals, bus, noon};
use crate::rebuilds::Telling;

/// It hangs when it has applied everything and committed nothing.
pub const BEFORE_COMMIT: &str = "before commit";

/// It hangs when it has committed everything and told nobody.
pub const AFTER_COMMIT: &str = "after commit";

/// It hangs in the warm-up of a rebuild, with some steps of it committed.
pub const WARMING_UP: &str = "warming up";

/// At this event of the warm-up.
pub const LAST_OF_THE_WARM_UP: i64 = 1_400;

/// It seals as a node does, until a failpoint ends it.
pub const SEALING: &str = "sealing";

/// It gives one command and dies at a failpoint, or ends well when it got its answer.
pub const COMMANDING: &str = "commanding";

/// The command it gives: the same one each time.
pub fn the_command() -> (&'static str, counter::Command, Issued) {
    let id = almanac_store::clock::Entropy::seeded(11).uuid_v7(noon());
    ("a", counter::Command::CountTwice, Issued::new(id).for_request(&"count twice").unwrap())
}

/// Held by the victim while it hangs, so that the one who kills it knows when.
const HANGING: &str = "select pg_advisory_lock(4242)";

fn start(url: &str, place: &str, failpoints: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim::the_victim"])
        .env("ALMANAC_VICTIM_URL", url)
        .env("ALMANAC_VICTIM_PLACE", place)
        .env("ALMANAC_FAILPOINTS", failpoints)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub async fn run_until_it_hangs_and_kill_it(database: &Database, url: &str, place: &str) {
    let mut victim = start(url, place, "");
    let hangs =
        "select exists (select 1 from pg_locks where locktype = 'advisory' and objid = 4242 and granted)";
    for _ in 0..2_000 {
        if sqlx::query_scalar(hangs).fetch_one(database.pool()).await.unwrap() {
            victim.kill().unwrap();
            victim.wait().unwrap();
            return;
        }
        assert_eq!(victim.try_wait().unwrap(), None, "the victim ended by itself");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    victim.kill().unwrap();
    panic!("the victim never came to its place");
}

/// Runs it with failpoints until it has ended, by itself or by one of them.
pub async fn run_until_it_ends(url: &str, place: &str, failpoints: &str) -> ExitStatus {
    let mut victim = start(url, place, failpoints);
    let began = Instant::now();
    loop {
        if let Some(status) = victim.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > Duration::from_secs(20) {
            victim.kill().unwrap();
            panic!("the victim lives on: {place} with {failpoints}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Hangs when it has applied this event.
struct HangsAt(i64, Arc<dyn Handler>);

#[async_trait]
impl Handler for HangsAt {
    fn name(&self) -> &'static str {
        "totals"
    }

    fn version(&self) -> i32 {
        1
    }

    fn schema_sql(&self) -> Option<&'static str> {
        Totals { version: 1 }.schema_sql()
    }

    async fn apply(&self, connection: &mut PgConnection, event: &Recorded) -> Result<(), HandlerError> {
        self.1.apply(connection, event).await?;
        if event.ordinal == self.0 {
            connection.execute(HANGING).await?;
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

#[tokio::test]
#[ignore = "it is started by the tests that kill it"]
async fn the_victim() {
    let database = Database::open(&std::env::var("ALMANAC_VICTIM_URL").unwrap()).await.unwrap();
    let counting: Arc<dyn Handler> = Arc::new(Totals { version: 1 });
    match std::env::var("ALMANAC_VICTIM_PLACE").unwrap().as_str() {
        BEFORE_COMMIT => {
            let hanging = Arc::new(HangsAt(3, counting));
            Subscription::install(&database, hanging).await.unwrap().run_until(3).await.unwrap();
        }
        AFTER_COMMIT => {
            Subscription::install(&database, counting).await.unwrap().run_until(3).await.unwrap();
        }
        WARMING_UP => {
            let hanging = Arc::new(HangsAt(LAST_OF_THE_WARM_UP, Arc::new(Telling)));
            let warming = Subscription::install(&database, hanging).await.unwrap();
            while warming.tend().await.is_ok() {}
        }
        SEALING => Sequencer::run(database.clone()).await,
        COMMANDING => {
            let (id, command, issued) = the_command();
            bus(&database).execute::<Counter>(id, command, &issued).await.unwrap();
            return;
        }
        elsewhere => panic!("there is no such place: {elsewhere}"),
    }
    let mut connection = database.pool().acquire().await.unwrap();
    connection.execute(HANGING).await.unwrap();
    std::future::pending::<()>().await;
}

//! A process that dies with SIGKILL in the middle of a step: this test program, started once more.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use almanac_store::Database;
use almanac_store::log::{Handler, HandlerError, Recorded, Subscription};
use async_trait::async_trait;
use sqlx::{Executor, PgConnection};

use crate::counter::Totals;

/// It hangs when it has applied everything and committed nothing.
pub const BEFORE_COMMIT: &str = "before commit";

/// It hangs when it has committed everything and told nobody.
pub const AFTER_COMMIT: &str = "after commit";

/// Held by the victim while it hangs, so that the one who kills it knows when.
const HANGING: &str = "select pg_advisory_lock(4242)";

pub async fn run_until_it_hangs_and_kill_it(database: &Database, url: &str, place: &str) {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim::the_victim"])
        .env("ALMANAC_VICTIM_URL", url)
        .env("ALMANAC_VICTIM_PLACE", place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
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

struct HangsInTheThirdEvent;

#[async_trait]
impl Handler for HangsInTheThirdEvent {
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
        Totals { version: 1 }.apply(connection, event).await?;
        if event.ordinal == 3 {
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
    if std::env::var("ALMANAC_VICTIM_PLACE").unwrap() == BEFORE_COMMIT {
        Subscription::install(&database, Arc::new(HangsInTheThirdEvent))
            .await
            .unwrap()
            .run_until(3)
            .await
            .unwrap();
    } else {
        Subscription::install(&database, Arc::new(Totals { version: 1 }))
            .await
            .unwrap()
            .run_until(3)
            .await
            .unwrap();
    }
    let mut connection = database.pool().acquire().await.unwrap();
    connection.execute(HANGING).await.unwrap();
    std::future::pending::<()>().await;
}

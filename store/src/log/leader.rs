//! Who seals: one node leads, the others wait for their turn.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use super::sequencer::{LOOK_AGAIN, Sequencer};
use crate::database::SEALED_CHANNEL;
use crate::{Database, StoreError};

/// The two-integer form of the advisory lock, apart from the single-integer ones that tools like to use.
const LEADER_LOCK: (i32, i32) = (0x616c_6d61, 1);

/// Other processes may append without ringing here, so the leader looks this often.
const LOOK: Duration = Duration::from_millis(50);

/// A follower tries to become leader this often, and a leader proves that it still is.
const CAMPAIGN: Duration = Duration::from_millis(500);

/// Notifications leave at most this often.
const NOTIFY_EVERY: Duration = Duration::from_millis(10);

impl Sequencer {
    /// Seals whatever is appended, for as long as it is polled, whenever this node has the lead; otherwise it
    /// waits for its turn. It never ends, and dropping it at any moment is safe.
    pub async fn run(database: Database) {
        loop {
            if let Err(error) = Self::lead(&database).await {
                tracing::warn!(%error, "sealing was interrupted");
            }
            tokio::time::sleep(CAMPAIGN).await;
        }
    }

    async fn lead(database: &Database) -> Result<(), StoreError> {
        let mut lock = database.connect_apart().await?;
        if !try_lock(&mut lock).await? {
            lock.close().await?;
            return Ok(());
        }
        let mut sequencer = Self::seize(database).await?;
        tracing::info!(generation = sequencer.generation, "this node seals the log");
        let (mut proven, mut notified) = (Instant::now(), Instant::now());
        let mut unheard = false;
        loop {
            let sealed = sequencer.seal_once().await?;
            unheard |= sealed.events > 0;
            if unheard && notified.elapsed() >= NOTIFY_EVERY {
                notify(database, sealed.head).await?;
                (unheard, notified) = (false, Instant::now());
            }
            if proven.elapsed() >= CAMPAIGN {
                lock.ping().await?;
                proven = Instant::now();
            }
            if sealed.more {
                continue;
            }
            let pause = if sealed.waiting || sealed.held > 0 || unheard { LOOK_AGAIN } else { LOOK };
            // Whether the bell rang or the time passed, the next step is the same: look.
            let _rang = tokio::time::timeout(pause, database.appended()).await;
        }
    }
}

async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_lock($1, $2)")
        .bind(LEADER_LOCK.0)
        .bind(LEADER_LOCK.1)
        .fetch_one(connection)
        .await
}

/// In a transaction of its own: a notification takes a lock of the whole cluster when it commits.
async fn notify(database: &Database, head: i64) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify($1, $2)")
        .bind(SEALED_CHANNEL)
        .bind(head.to_string())
        .execute(database.pool())
        .await?;
    Ok(())
}

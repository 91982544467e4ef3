//! Who seals: one node leads, the others wait for their turn.
//!
//! The leader holds an advisory lock on a connection of its own and shows on it that it lives. A node that dies is
//! followed at once, because its connection ends with it. One that vanishes without a word (a power cut, a network
//! that swallows everything) leaves its connection standing at the server: a follower ends that connection when it has
//! been silent for too long. Nothing rests on this but time: see [`Sequencer`] for what fences a leader.

use std::time::Duration;

use sqlx::{Connection, PgConnection, Row};
use tokio::time::{Instant, timeout};

use super::sequencer::{LOOK_AGAIN, Sequencer};
use crate::database::{ANSWER, SEALED_CHANNEL, too_slow};
use crate::failpoints::reach;
use crate::{Database, StoreError};

/// The two-integer form of the advisory lock, apart from the single-integer ones that tools like to use.
const LEADER_LOCK: (i32, i32) = (0x616c_6d61, 1);

/// Other processes may append without ringing here, so the leader looks this often.
const LOOK: Duration = Duration::from_millis(50);

/// A follower tries to become leader this often, and a leader shows that it still is.
const CAMPAIGN: Duration = Duration::from_millis(500);

/// A leader that has shown no sign of life for so long is deposed.
const SILENCE: Duration = Duration::from_secs(8);

/// One round of sealing is given this long: a connection that a network has swallowed would never end it.
const ROUND: Duration = Duration::from_secs(30);

/// Notifications leave at most this often.
const NOTIFY_EVERY: Duration = Duration::from_millis(10);

/// The node that seals, as the database sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// The server process that serves its lock.
    pub pid: i32,
    /// For how long this process has seen no further sign of life of it, by its own clock.
    pub silent: Duration,
}

impl Sequencer {
    /// Seals whatever is appended, for as long as it is polled, whenever this node has the lead; otherwise it
    /// waits for its turn. It never ends, and dropping it at any moment is safe.
    pub async fn run(database: Database) {
        loop {
            if let Err(error) = Self::lead(&database).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "sealing was interrupted");
            }
            tokio::time::sleep(CAMPAIGN).await;
        }
    }

    /// Who leads now; nobody for a moment after a leader has died.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leader(database: &Database) -> Result<Option<Leader>, StoreError> {
        let row = sqlx::query(
            "select l.pid, l.pid || ' at ' || a.state_change::text as sign
               from pg_locks l join pg_stat_activity a on a.pid = l.pid
              where l.locktype = 'advisory' and l.granted and l.objsubid = 2
                and l.classid = $1::bigint::oid and l.objid = $2::bigint::oid
                and l.database = (select oid from pg_database where datname = current_database())",
        )
        .bind(i64::from(LEADER_LOCK.0))
        .bind(i64::from(LEADER_LOCK.1))
        .fetch_optional(database.pool())
        .await?;
        let (pid, sign): (Option<i32>, Option<String>) = match row {
            Some(row) => (row.try_get("pid")?, row.try_get("sign")?),
            None => (None, None),
        };
        let silent = database.sightings().unchanged("the leader", sign);
        Ok(pid.map(|pid| Leader { pid, silent }))
    }

    async fn lead(database: &Database) -> Result<(), StoreError> {
        let mut lock = timeout(ANSWER, database.connect_apart()).await.map_err(too_slow)??;
        if !timeout(ANSWER, try_lock(&mut lock)).await.map_err(too_slow)?? {
            timeout(ANSWER, lock.close()).await.map_err(too_slow)??;
            return timeout(ANSWER, depose_a_silent_one(database)).await.map_err(too_slow)?;
        }
        tokio::select! {
            lost = show_life(&mut lock) => lost,
            ended = Self::seal_forever(database) => ended,
        }
    }

    async fn seal_forever(database: &Database) -> Result<(), StoreError> {
        let mut sequencer = Self::seize(database).await?;
        let generation = sequencer.generation;
        tracing::info!(generation, "this node seals the log");
        tokio::select! {
            () = Self::keep_inspecting(database, generation) => Ok(()),
            ended = sequencer.seal_whatever_comes() => ended,
        }
    }

    async fn seal_whatever_comes(&mut self) -> Result<(), StoreError> {
        let mut notified = Instant::now();
        let mut unheard = false;
        loop {
            let sealed = timeout(ROUND, self.seal_once()).await.map_err(too_slow)??;
            unheard |= sealed.events > 0;
            if unheard && notified.elapsed() >= NOTIFY_EVERY {
                timeout(ANSWER, notify(&self.database, sealed.head)).await.map_err(too_slow)??;
                reach("seal.after_notify").await?;
                (unheard, notified) = (false, Instant::now());
            }
            if sealed.more {
                continue;
            }
            let pause = if sealed.waiting || sealed.held > 0 || unheard { LOOK_AGAIN } else { LOOK };
            // Whether the bell rang or the time passed, the next step is the same: look.
            let _rang = timeout(pause, self.database.appended()).await;
        }
    }
}

pub(crate) async fn try_lock(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select pg_try_advisory_lock($1, $2)")
        .bind(LEADER_LOCK.0)
        .bind(LEADER_LOCK.1)
        .fetch_one(connection)
        .await
}

/// Shows on the connection of the lock that this node lives; it ends when the connection is lost, and with it the lock.
async fn show_life(lock: &mut PgConnection) -> Result<(), StoreError> {
    loop {
        timeout(ANSWER, sqlx::query("select 1").execute(&mut *lock)).await.map_err(too_slow)??;
        tokio::time::sleep(CAMPAIGN).await;
    }
}

async fn depose_a_silent_one(database: &Database) -> Result<(), StoreError> {
    let Some(leader) = Sequencer::leader(database).await?.filter(|leader| leader.silent > SILENCE) else {
        return Ok(());
    };
    tracing::warn!(pid = leader.pid, silent = ?leader.silent, "the node that leads shows no sign of life and is deposed");
    sqlx::query("select pg_terminate_backend($1)").bind(leader.pid).execute(database.pool()).await?;
    Ok(())
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

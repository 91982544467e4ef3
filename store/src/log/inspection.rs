//! What must always hold of the log and can only be broken from outside: looked at when a leader begins, and hourly.
//!
//! The window trusts three things: nothing unsealed lies below the floor, this is the cluster in which the events
//! were written, and its counter of transaction ids has passed them. A dump restored elsewhere, or onto a physical
//! copy of the cluster (which has the same identifier and an older counter), breaks them without a sound.

use std::time::Duration;

use sqlx::{Executor, Row};

use super::sequencer::Sequencer;
use crate::{Database, StoreError};

/// A leader inspects the log this often.
const EVERY: Duration = Duration::from_secs(3_600);

/// An inspection that could not be made is made again after this time.
const AGAIN: Duration = Duration::from_secs(60);

/// So many events are looked at in one statement.
const PAGE: i64 = 50_000;

/// A page that takes so long is given up: the database has better things to do just now.
const PAGE_LIMIT: &str = "set local statement_timeout = '30s'";

/// True when the events carry transaction ids of another cluster, or of another life of this one: the identifier
/// differs, or an id lies beyond the counter. No event that was written here can be seen before its id was given out.
pub(super) const FOREIGN: &str =
    "(coalesce(s.cluster_identifier <> (select system_identifier::text from pg_control_system()), false)
    or s.xid_floor > pg_snapshot_xmax(pg_current_snapshot())
    or coalesce((select max(xid) from events) >= pg_snapshot_xmax(pg_current_snapshot()), false))";

/// What an inspection has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inspection {
    /// All is well.
    Sound,
    /// The transaction ids are not of this cluster: sealing must begin anew, by position.
    Foreign,
    /// Events lie below the floor without an ordinal and would never get one: the sentence names the first of them.
    Unsound(String),
}

/// What the sequencer's own row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The last ordinal given out.
    pub head: i64,
    /// How many leaders there have been.
    pub generation: i64,
    /// How long ago the log was last inspected; none while it never was.
    pub inspected: Option<Duration>,
    /// What is wrong with the log, in a sentence.
    pub finding: Option<String>,
}

impl Sequencer {
    /// Where sealing stands, whoever leads.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(database: &Database) -> Result<Standing, StoreError> {
        let row = sqlx::query(
            "select last_ordinal, generation, finding,
                    extract(epoch from clock_timestamp() - inspected_at)::float8 as inspected from sequencer",
        )
        .fetch_one(database.pool())
        .await?;
        let inspected: Option<f64> = row.try_get("inspected")?;
        Ok(Standing {
            head: row.try_get("last_ordinal")?,
            generation: row.try_get("generation")?,
            inspected: inspected.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))),
            finding: row.try_get("finding")?,
        })
    }

    /// Looks whether what sealing rests on holds: page by page, so that no statement grows with the log.
    ///
    /// # Errors
    /// When the database fails, or takes longer than 30 s over a page.
    pub async fn inspect(database: &Database) -> Result<Inspection, StoreError> {
        let foreign = format!("select {FOREIGN} from sequencer s");
        if sqlx::query_scalar(&foreign).fetch_one(database.pool()).await? {
            return Ok(Inspection::Foreign);
        }
        let (mut count, mut first, mut after) = (0, None, Some(0));
        while let Some(position) = after {
            let page = Page::read(database, position).await?;
            count += page.lost;
            first = first.or(page.first);
            after = page.last;
        }
        Ok(first.map_or(Inspection::Sound, |first| {
            Inspection::Unsound(format!(
                "{count} committed events were passed over and have no place in the log, the first is {first}"
            ))
        }))
    }

    /// Inspects at once and then hourly, for as long as it is polled; it ends when sealing must begin anew.
    pub(super) async fn keep_inspecting(database: &Database, generation: i64) {
        loop {
            let pause = match Self::inspect_and_note(database, generation).await {
                Ok(Inspection::Foreign) => return,
                Ok(Inspection::Sound | Inspection::Unsound(_)) => EVERY,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the log could not be inspected"
                    );
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn inspect_and_note(database: &Database, generation: i64) -> Result<Inspection, StoreError> {
        let found = Self::inspect(database).await?;
        let finding = match &found {
            Inspection::Sound => None,
            Inspection::Foreign => Some("the log was restored into another cluster"),
            Inspection::Unsound(finding) => Some(finding.as_str()),
        };
        if let Some(finding) = finding {
            tracing::error!(finding, "the log is not sound");
        }
        Self::note(database, generation, finding).await?;
        Ok(found)
    }

    /// Writes down what is wrong with the log, for health, unless another node has taken over.
    pub(super) async fn note(
        database: &Database,
        generation: i64,
        finding: Option<&str>,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "update sequencer set inspected_at = clock_timestamp(), finding = $1 where generation = $2",
        )
        .bind(finding)
        .bind(generation)
        .execute(database.pool())
        .await?;
        Ok(())
    }
}

/// What a look at some events that follow each other has found.
struct Page {
    /// The position of the last one; none when there were no more.
    last: Option<i64>,
    /// How many of them lie below the floor and have no ordinal.
    lost: i64,
    /// The first of these.
    first: Option<String>,
}

impl Page {
    async fn read(database: &Database, after: i64) -> Result<Self, StoreError> {
        let mut transaction = database.pool().begin().await?;
        transaction.execute(PAGE_LIMIT).await?;
        let row = sqlx::query(
            "with page as materialized (
                 select e.position from events e where e.position > $1 order by e.position limit $2
             ), unsealed as materialized (
                 select p.position from page p where not exists (select 1 from event_log l where l.position = p.position)
             )
             select (select max(position) from page) as last, count(*) as lost,
                    (array_agg(e.aggregate_type || ':' || e.aggregate_id || ':' || e.sequence order by e.position))[1] as first
               from unsealed u join events e on e.position = u.position
              where (e.xid, e.position) < (select xid_floor, position_floor from sequencer)",
        )
        .bind(after)
        .bind(PAGE)
        .fetch_one(&mut *transaction)
        .await?;
        transaction.rollback().await?;
        Ok(Self { last: row.try_get("last")?, lost: row.try_get("lost")?, first: row.try_get("first")? })
    }
}

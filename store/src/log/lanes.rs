//! What many commands want of the database at the same moment, done in one statement.
//!
//! A statement costs its round trip, its transaction and its share of a sync to disk, whether it is for one command or
//! for twenty. So there are a few lanes. A job that finds a free one is done at once; while all are busy, jobs gather,
//! and the lane that is free first takes all of them. Nobody ever waits for company.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Database;
use crate::error::is_passing;
use crate::failpoints::reach;

/// A lane is given this long for a group; then everybody in it goes alone.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whoever goes alone is given this long. The server ends a statement sooner, if it can still be heard.
const LONE_PATIENCE: Duration = Duration::from_secs(15);

/// A job that can be done together with others of its kind.
pub(crate) trait Job: Send + Sync + Sized + 'static {
    /// What comes of it.
    type Done: Send;

    /// So many jobs, weighed by [`Job::weight`], are done at once at most.
    const AT_ONCE: usize;

    /// How much it adds to what is done at once.
    fn weight(&self) -> usize;

    /// Does all of `jobs` in one statement, all or none, and returns what comes of each, in their order.
    fn do_all(
        jobs: &[Arc<Self>],
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<Vec<Self::Done>, sqlx::Error>> + Send;
}

/// The lanes of one kind of job. Clones share them.
pub(crate) struct Lanes<J: Job>(Arc<Shared<J>>);

struct Shared<J: Job> {
    /// Of the lanes: here nothing waits for a lock for long, because others wait as well.
    pool: PgPool,
    /// Of those who go alone.
    alone: PgPool,
    lanes: usize,
    state: Mutex<State<J>>,
}

struct State<J: Job> {
    waiting: VecDeque<Waiting<J>>,
    busy: usize,
}

struct Waiting<J: Job> {
    job: Arc<J>,
    answer: oneshot::Sender<Result<J::Done, sqlx::Error>>,
}

impl<J: Job> Lanes<J> {
    pub fn new(database: &Database, lanes: usize) -> Self {
        let (pool, alone) = (database.commands().clone(), database.alone().clone());
        let state = Mutex::new(State { waiting: VecDeque::new(), busy: 0 });
        Self(Arc::new(Shared { pool, alone, lanes, state }))
    }

    /// Does `job`, together with whatever else waits.
    ///
    /// # Errors
    /// What the database says of this job: when several fail together, or the connection is lost, each is done once more
    /// by itself. It may have been done already then, and must bear that.
    pub async fn done(&self, job: J) -> Result<J::Done, sqlx::Error> {
        let job = Arc::new(job);
        let (answer, answered) = oneshot::channel();
        let free = {
            let mut state = self.0.state();
            state.waiting.push_back(Waiting { job: Arc::clone(&job), answer });
            let free = state.busy < self.0.lanes;
            state.busy += usize::from(free);
            free
        };
        if free {
            // A task of its own, because whoever opened the lane may be dropped while others rely on it.
            tokio::spawn(Lane { shared: Arc::clone(&self.0), closed: false }.run());
        }
        if let Ok(done) = answered.await {
            return done;
        }
        let mut connection = living(&self.0.alone).await?;
        if let Ok(done) = timeout(LONE_PATIENCE, J::do_all(&[job], &mut connection)).await {
            return done?.into_iter().next().ok_or(sqlx::Error::RowNotFound);
        }
        drop(connection.detach());
        Err(sqlx::Error::PoolTimedOut)
    }
}

/// A connection that answers: when one is lost, the others of its pool may be as well.
async fn living(pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    loop {
        let mut connection = pool.acquire().await?;
        match timeout(PATIENCE, connection.ping()).await {
            Ok(Ok(())) => return Ok(connection),
            Ok(Err(_)) | Err(_) => drop(connection.detach()),
        }
    }
}

impl<J: Job> Clone for Lanes<J> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<J: Job> fmt::Debug for Lanes<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("lanes", &self.0.lanes).finish_non_exhaustive()
    }
}

impl<J: Job> Shared<J> {
    fn state(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One lane at work.
struct Lane<J: Job> {
    shared: Arc<Shared<J>>,
    closed: bool,
}

impl<J: Job> Lane<J> {
    /// Does what waits until nothing does.
    async fn run(mut self) {
        let mut connection = None;
        while let Some(group) = self.next() {
            let mut taken = match connection.take() {
                Some(taken) => taken,
                None => match self.shared.pool.acquire().await {
                    Ok(taken) => taken,
                    Err(sqlx::Error::PoolTimedOut) => {
                        for Waiting { answer, .. } in group {
                            let _gave_up = answer.send(Err(sqlx::Error::PoolTimedOut));
                        }
                        continue;
                    }
                    // Each learns the reason when it tries by itself.
                    Err(_) => continue,
                },
            };
            let (jobs, answers): (Vec<_>, Vec<_>) =
                group.into_iter().map(|waiting| (waiting.job, waiting.answer)).unzip();
            match timeout(PATIENCE, J::do_all(&jobs, &mut taken)).await {
                // The network has swallowed the connection, or the disk stands still.
                Err(_) => drop(taken.detach()),
                // A test cuts the connection off here: it is done, and nobody hears of it.
                Ok(Ok(_)) if reach("lane.after_done").await.is_err() => drop(taken.detach()),
                Ok(Ok(done)) => {
                    connection = Some(taken);
                    for (answer, done) in answers.into_iter().zip(done) {
                        let _gave_up = answer.send(Ok(done));
                    }
                }
                Ok(Err(error)) => {
                    // Of several, nobody knows yet whose error it is; and one that passes is worth another try.
                    if let (1, Some(answer), false) =
                        (jobs.len(), answers.into_iter().next(), is_passing(&error))
                    {
                        let _gave_up = answer.send(Err(error));
                    }
                }
            }
        }
    }

    /// Everything that waits, up to the limit; none closes the lane.
    fn next(&mut self) -> Option<Vec<Waiting<J>>> {
        let mut state = self.shared.state();
        let (mut group, mut weight) = (vec![], 0);
        while let Some(next) = state.waiting.front() {
            weight += next.job.weight();
            if weight > J::AT_ONCE && !group.is_empty() {
                break;
            }
            // Whoever was dropped while waiting wants nothing any more.
            group.extend(state.waiting.pop_front().filter(|waiting| !waiting.answer.is_closed()));
        }
        if group.is_empty() {
            state.busy -= 1;
            self.closed = true;
            return None;
        }
        Some(group)
    }
}

impl<J: Job> Drop for Lane<J> {
    /// A lane that ends with its runtime, in the middle of its work, lets go of those who wait: they go alone.
    fn drop(&mut self) {
        if !self.closed {
            let mut state = self.shared.state();
            state.busy -= 1;
            if state.busy == 0 {
                state.waiting.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::future::join_all;
    use sqlx::Executor;

    use super::*;
    use crate::testing::TestDatabase;

    /// Adds a number to a table that refuses doubles, and answers with how many were added at once.
    struct Add(i32);

    impl Job for Add {
        type Done = usize;

        const AT_ONCE: usize = 10;

        fn weight(&self) -> usize {
            1
        }

        async fn do_all(
            jobs: &[Arc<Self>],
            connection: &mut PgConnection,
        ) -> Result<Vec<usize>, sqlx::Error> {
            sqlx::query("insert into added select * from unnest($1::int[])")
                .bind(jobs.iter().map(|job| job.0).collect::<Vec<_>>())
                .execute(connection)
                .await?;
            Ok(jobs.iter().map(|_| jobs.len()).collect())
        }
    }

    async fn lanes(lanes: usize) -> (TestDatabase, Lanes<Add>) {
        let database = TestDatabase::new().await;
        database.pool().execute("create table added (number int primary key)").await.unwrap();
        let lanes = Lanes::new(&database, lanes);
        (database, lanes)
    }

    async fn added(database: &TestDatabase) -> Vec<i32> {
        let mut connection = living(database.pool()).await.unwrap();
        sqlx::query_scalar("select number from added order by 1").fetch_all(&mut *connection).await.unwrap()
    }

    #[tokio::test]
    async fn jobs_gather_while_the_lane_is_busy_up_to_the_limit() {
        let (database, lanes) = lanes(1).await;
        let done = join_all((0..31).map(|number| lanes.done(Add(number)))).await;
        let together: Vec<_> = done.into_iter().map(Result::unwrap).collect();
        // All of them came before the lane had begun.
        assert_eq!(together[0], 10);
        assert_eq!(together[30], 1);
        assert_eq!(added(&database).await, (0..31).collect::<Vec<_>>());
        assert_eq!(lanes.done(Add(31)).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn of_jobs_that_fail_together_each_gets_its_own_outcome() {
        let (database, lanes) = lanes(1).await;
        lanes.done(Add(3)).await.unwrap();
        let done = join_all((0..6).map(|number| lanes.done(Add(number)))).await;
        let failed: Vec<_> = done.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, false, false, true, false, false]);
        assert_eq!(added(&database).await, [0, 1, 2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn a_lost_connection_costs_nobody_its_job() {
        let (database, lanes) = lanes(2).await;
        lanes.done(Add(0)).await.unwrap();
        sqlx::query(
            "select pg_terminate_backend(pid) from pg_stat_activity
              where datname = current_database() and pid <> pg_backend_pid()",
        )
        .execute(database.pool())
        .await
        .unwrap();
        let done = join_all((1..20).map(|number| lanes.done(Add(number)))).await;
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        assert_eq!(added(&database).await, (0..20).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn whoever_gives_up_while_waiting_is_left_out_and_holds_up_nobody() {
        let (database, lanes) = lanes(1).await;
        let mut given_up = Box::pin(lanes.done(Add(1)));
        assert!(futures::poll!(&mut given_up).is_pending());
        drop(given_up);
        assert_eq!(lanes.done(Add(2)).await.unwrap(), 1);
        assert_eq!(added(&database).await, [2]);
    }

    #[test]
    fn a_runtime_that_ends_in_the_middle_of_a_job_lets_the_others_go_on() {
        let first = tokio::runtime::Runtime::new().unwrap();
        let second = tokio::runtime::Runtime::new().unwrap();
        let (database, lanes) = second.block_on(lanes(1));
        let blocker = second.block_on(async {
            let mut blocker = database.pool().begin().await.unwrap();
            blocker.execute("insert into added values (1)").await.unwrap();
            blocker
        });
        let stuck = lanes.clone();
        first.spawn(async move { stuck.done(Add(1)).await });
        while lanes.0.state().busy == 0 {
            std::thread::yield_now();
        }
        let waiting = lanes.clone();
        let waiting = second.spawn(async move { waiting.done(Add(2)).await });
        while lanes.0.state().waiting.is_empty() {
            std::thread::yield_now();
        }
        first.shutdown_timeout(Duration::from_secs(5));
        second.block_on(async {
            assert_eq!(waiting.await.unwrap().unwrap(), 1);
            blocker.rollback().await.unwrap();
            assert_eq!(lanes.done(Add(3)).await.unwrap(), 1);
        });
        second.block_on(async move { drop(database) });
    }
}

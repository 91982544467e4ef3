//! Verification of the whole log: every event is read, hashed again and put into the tree, and every published head
//! is compared with the root at its size.
//!
//! Reading, hashing and walking overlap: pages are read ahead, each is hashed as one piece of work on the pool for
//! blocking work, as many at once as there are cores, and one walk takes them in their order.

mod marks;
mod report;
mod source;
mod tiles;
mod walk;

use std::panic::resume_unwind;
use std::pin::pin;
use std::thread::available_parallelism;

use chrono::{DateTime, Utc};
use futures::{Stream, StreamExt};

use self::marks::Marks;
use self::walk::{Seen, Walk};
use super::checkpoint::{self, Checkpoint};
use super::key::VerifierKey;
use crate::log::{Frontier, Recorded};
use crate::{Database, StoreError};

pub use self::report::{Bad, Checked, CheckpointFailure, Flaw, Progress, Report};

/// What the reader of a verification brings.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The key that is trusted; without one the key the log itself names is used.
    pub key: Option<VerifierKey>,
    /// Signed heads that were published elsewhere: in a mail, an object, a webhook.
    pub notes: Vec<String>,
}

/// Work on one batch, done on the pool for blocking work.
type Job<E> = Box<dyn FnOnce() -> Result<Vec<Seen>, E> + Send>;

/// Verifies the log in `database`.
///
/// # Errors
/// When the database fails. What is wrong with the log is no error but in the report.
pub async fn database(
    database: &Database,
    given: Given,
    mut progress: impl FnMut(Progress),
) -> Result<Report, StoreError> {
    let key = match given.key {
        Some(key) => Some(key),
        None => checkpoint::key_of_log(database.pool()).await?,
    };
    // The recorded heads first: what is published while this runs covers more than is read.
    let recorded = checkpoint::page(database.pool(), None, i64::MAX).await?;
    let sealed = checkpoint::sealed(database).await?;
    let end = source::end(database).await?;
    let mut walk = Walk::new(Marks::new(key.as_ref(), recorded, &given.notes, Some(sealed)));
    let total = Some(end.unsigned_abs());
    take_all(source::pages(database, end), &mut walk, |done| progress(Progress { done, total })).await?;
    walk.skip_to(end);
    progress(Progress { done: end.unsigned_abs(), total });
    for (before, key) in source::passed_over(database).await? {
        walk.passed_over(before, key);
    }
    for tile in tiles::wrong(database.pool(), end).await? {
        walk.wrong_tile(&tile);
    }
    Ok(walk.report(source::unsealed(database).await?))
}

/// The log before the first event that is verified: nothing, or as much as is needed to go on from there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The tree over it. That it is the right one shows when a published head fits what is built on it.
    pub frontier: Frontier,
    /// The latest moment of the events in it, which nothing here can show.
    pub as_of: Option<DateTime<Utc>>,
}

/// Verifies a log that is read from elsewhere, such as an export: batches of some thousand events in their order,
/// and the heads that were recorded with them.
///
/// # Errors
/// When the stream fails. What is wrong with the log is no error but in the report.
pub async fn events<E: Send + 'static>(
    events: impl Stream<Item = Result<Vec<Recorded>, E>>,
    given: Given,
    recorded: Vec<Checkpoint>,
    progress: impl FnMut(Progress),
) -> Result<Report, E> {
    part(events, Start::default(), given, recorded, progress).await
}

/// The same for a part of a log, whose first event follows `start`. Heads that cover less than `start` cannot be
/// compared, and of a stream that began before, only the order of the events in the part is seen.
///
/// # Errors
/// When the stream fails. What is wrong with the log is no error but in the report.
pub async fn part<E: Send + 'static>(
    events: impl Stream<Item = Result<Vec<Recorded>, E>>,
    start: Start,
    given: Given,
    recorded: Vec<Checkpoint>,
    mut progress: impl FnMut(Progress),
) -> Result<Report, E> {
    let mut walk = Walk::after(start, Marks::new(given.key.as_ref(), recorded, &given.notes, None));
    let jobs = events.map(|batch| {
        batch.map(|batch| -> Job<E> {
            Box::new(move || Ok(batch.into_iter().map(|event| Seen::event(event, true)).collect()))
        })
    });
    take_all(jobs, &mut walk, |done| progress(Progress { done, total: None })).await?;
    Ok(walk.report(0))
}

async fn take_all<E: Send + 'static>(
    jobs: impl Stream<Item = Result<Job<E>, E>>,
    walk: &mut Walk,
    mut progress: impl FnMut(u64),
) -> Result<(), E> {
    let cores = available_parallelism().map_or(1, usize::from);
    let looked_at = jobs
        .map(|job| async {
            match tokio::task::spawn_blocking(job?).await {
                Ok(batch) => batch,
                Err(panicked) => resume_unwind(panicked.into_panic()),
            }
        })
        // One more than there are cores, so that none waits for the walk.
        .buffered(cores + 1);
    let mut looked_at = pin!(looked_at);
    while let Some(batch) = looked_at.next().await {
        for seen in batch? {
            walk.take(seen);
        }
        progress(walk.done().unsigned_abs());
    }
    Ok(())
}

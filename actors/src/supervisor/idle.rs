//! Waiting until nothing is left to do: for tests, for the demo between two sessions, and for one-off commands.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use almanac_store::log::{LogReader, Sequencer};
use almanac_store::{Database, StoreError};

use super::Running;
use super::status::Passes;

/// How often the actors are looked at while waiting.
const LOOK: Duration = Duration::from_millis(4);
/// They are rung again after so many looks.
const RING_AFTER: u32 = 10;

/// Why the actors did not come to rest.
#[derive(Debug, thiserror::Error)]
pub enum NotIdle {
    /// Time ran out.
    #[error("after {waited:?} there is still something to do: {}", .busy.join("; "))]
    StillBusy {
        /// How long was waited.
        waited: Duration,
        /// Who is not at rest, with the last error.
        busy: Vec<String>,
    },
    /// An actor was given up; what is due for it will never be done.
    #[error("{actor} was given up: {error}")]
    GivenUp {
        /// The actor.
        actor: String,
        /// Why.
        error: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Running {
    /// Waits until every committed event is sealed and every actor has looked since and found nothing due.
    ///
    /// # Errors
    /// [`NotIdle`] when that is not so after `limit`, or cannot become so.
    pub async fn run_until_idle(&self, limit: Duration) -> Result<(), NotIdle> {
        let began = Instant::now();
        loop {
            let head = settled_head(&self.0.database).await?;
            let before = self.passes();
            self.ring();
            let mut looks = 0;
            while let Some(busy) = self.busy_since(&before)? {
                if began.elapsed() > limit {
                    return Err(NotIdle::StillBusy { waited: began.elapsed(), busy });
                }
                tokio::time::sleep(LOOK).await;
                looks += 1;
                // A pass that was put off waits for a bell.
                if looks % RING_AFTER == 0 {
                    self.ring();
                }
            }
            let nothing_done = self.passes().iter().all(|(name, now)| {
                before.get(name).is_some_and(|before| before.productive == now.productive)
            });
            // Only a look at an unchanged log that found nothing, by everyone, is rest.
            if nothing_done && head.is_some() && head == settled_head(&self.0.database).await? {
                return Ok(());
            }
            if began.elapsed() > limit {
                return Err(NotIdle::StillBusy { waited: began.elapsed(), busy: vec!["the log".to_owned()] });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn passes(&self) -> HashMap<String, Passes> {
        self.0.statuses.iter().map(|(name, status)| (name.clone(), status.passes())).collect()
    }

    /// Who has not found nothing to do in a pass begun after `before`; none when everyone has.
    fn busy_since(&self, before: &HashMap<String, Passes>) -> Result<Option<Vec<String>>, NotIdle> {
        let mut busy = Vec::new();
        for (name, status) in &self.0.statuses {
            let error = status.error();
            if status.given_up() {
                let error = error.unwrap_or_default();
                return Err(NotIdle::GivenUp { actor: name.clone(), error });
            }
            let begun_before = before.get(name).map_or(0, |passes| passes.begun);
            // A later pass may be under way by another ring; what it does is seen at the end, by everyone.
            if status.passes().idle <= begun_before {
                busy.push(error.map_or_else(|| name.clone(), |error| format!("{name} ({error})")));
            }
        }
        Ok((!busy.is_empty()).then_some(busy))
    }
}

/// The last ordinal, when no committed event waits for one.
async fn settled_head(database: &Database) -> Result<Option<i64>, StoreError> {
    if Sequencer::stall(database).await?.is_some() {
        return Ok(None);
    }
    LogReader::new(database).head().await.map(Some)
}

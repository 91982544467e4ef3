//! Which of our sessions the server is at work for.

use std::collections::BTreeSet;
use std::sync::{Mutex as Lock, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::SILENCE;
use crate::database::ANSWER;

/// An answer serves everyone who asks within this time.
const FRESH: Duration = Duration::from_millis(500);

/// What swallows one line swallows others. For this long after one was found dead, whoever owes an answer is asked about
/// after [`SUSPICION`] already: they are found one after the other, as somebody comes to use them.
const SUSPICIOUS_FOR: Duration = Duration::from_secs(30);
const SUSPICION: Duration = Duration::from_secs(1);

/// Asks the server, past the lines that may be silent.
pub(super) struct Sessions {
    options: PgConnectOptions,
    /// When a line was last found dead.
    found_dead: Lock<Option<Instant>>,
    known: Mutex<Option<(Instant, Option<BTreeSet<i32>>)>>,
}

impl Sessions {
    pub fn new(options: PgConnectOptions) -> Self {
        Self { options, found_dead: Lock::new(None), known: Mutex::new(None) }
    }

    /// After this time of silence whoever owes an answer is asked about.
    pub fn patience(&self) -> Duration {
        let found_dead = *self.found_dead.lock().unwrap_or_else(PoisonError::into_inner);
        if found_dead.is_some_and(|at| at.elapsed() < SUSPICIOUS_FOR) { SUSPICION } else { SILENCE }
    }

    /// A line was found dead.
    pub fn suspect(&self) {
        *self.found_dead.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether the server is at work for `session`; none when it lives and does not say.
    ///
    /// Whoever cannot get an answer on a new connection either is cut off from the server as a whole.
    pub async fn is_at_work(&self, session: i32) -> Option<bool> {
        let mut known = self.known.lock().await;
        let fresh = known.take().filter(|(asked, _)| asked.elapsed() < FRESH);
        let (asked, sessions) = if let Some(known) = fresh {
            known
        } else {
            let sessions = match timeout(ANSWER, self.ask()).await {
                Ok(Ok(sessions)) => Some(sessions),
                // It refuses connections, or is starting: our lines end by themselves, or there is no room to ask.
                Ok(Err(_)) => None,
                Err(_) => Some(BTreeSet::new()),
            };
            (Instant::now(), sessions)
        };
        let at_work = sessions.as_ref().map(|sessions| sessions.contains(&session));
        *known = Some((asked, sessions));
        at_work
    }

    async fn ask(&self) -> Result<BTreeSet<i32>, sqlx::Error> {
        let mut connection = PgConnection::connect_with(&self.options).await?;
        // One that waits for us to take its answer has given it: the line has lost it.
        let sessions: Vec<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity where state = 'active' and wait_event is distinct from 'ClientWrite'",
        )
        .fetch_all(&mut connection)
        .await?;
        connection.close().await?;
        Ok(sessions.into_iter().collect())
    }
}

//! Reading one's own writes.

use std::time::Duration;

use tokio::time::Instant;

use super::reader::LogReader;
use super::recorded::EventKey;
use super::step::active_position;
use crate::{Database, StoreError};

/// Other processes move projections without ringing here, so a waiter looks this often.
const LOOK: Duration = Duration::from_millis(25);

/// What a reader waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until<'a> {
    /// The event with this key.
    Event(&'a EventKey),
    /// The event with this ordinal.
    Ordinal(i64),
}

/// Waits until the active version of `subscription` has applied an event; false when `timeout` passes before.
///
/// # Errors
/// When the database fails.
pub async fn wait_for(
    database: &Database,
    until: Until<'_>,
    subscription: &str,
    timeout: Duration,
) -> Result<bool, StoreError> {
    let deadline = Instant::now() + timeout;
    let reader = LogReader::new(database);
    let (mut moved, mut head) = (database.moved(), database.head());
    let mut ordinal = match until {
        Until::Ordinal(ordinal) => Some(ordinal),
        Until::Event(_) => None,
    };
    loop {
        moved.mark_unchanged();
        head.mark_unchanged();
        if let (None, Until::Event(key)) = (ordinal, until) {
            ordinal = reader.ordinal_of(key).await?;
        }
        if let Some(ordinal) = ordinal
            && active_position(database, subscription).await?.is_some_and(|position| position >= ordinal)
        {
            return Ok(true);
        }
        let now = Instant::now();
        if now >= deadline {
            return Ok(false);
        }
        // Whichever comes first, the next step is the same: look.
        tokio::select! {
            _ = moved.changed() => {}
            _ = head.changed() => {}
            () = tokio::time::sleep(LOOK.min(deadline - now)) => {}
        }
    }
}

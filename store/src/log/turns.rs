//! Commands on one aggregate take turns inside this process, so that they do not run into each other's
//! conflicts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Queue = Arc<tokio::sync::Mutex<()>>;

/// One first-in-first-out queue for each aggregate that is being commanded right now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<String, Queue>>>);

/// The right to command one aggregate; the next in the queue has its turn when this is dropped.
pub(crate) struct Turn {
    turns: Turns,
    key: String,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for a turn on the aggregate `key`.
    pub async fn take(&self, key: String) -> Turn {
        let queue = Arc::clone(self.queues().entry(key.clone()).or_default());
        // Made before the wait, so that a waiter that gives up cleans up as well.
        let mut turn = Turn { turns: self.clone(), key, held: None };
        turn.held = Some(queue.lock_owned().await);
        turn
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut queues = self.turns.queues();
        // One count is the map's own: nobody else holds it or waits for it.
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_turn_on_the_same_aggregate_waits_and_the_queue_is_cleaned_up() {
        let turns = Turns::default();
        let first = turns.take("a".into()).await;
        let _other = turns.take("b".into()).await;
        let mut second = Box::pin(turns.take("a".into()));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        drop(second.await);
        assert_eq!(turns.queues().len(), 1);
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_leaves_nothing_behind() {
        let turns = Turns::default();
        let first = turns.take("a".into()).await;
        let mut second = Box::pin(turns.take("a".into()));
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        drop(second);
        assert!(turns.queues().is_empty());
    }
}

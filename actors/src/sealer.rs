//! The Sealer and the Listener: they keep standing tasks of the log alive.
//!
//! Sealing and listening run for as long as the process does. Their actors look after them: a task that has ended is
//! a failure like any other, and the supervisor begins it anew.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use almanac_store::Database;
use almanac_store::log::Sequencer;
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::trade::{Progress, Trade, TradeError};

/// Gives committed events their ordinals, whenever this node has the lead.
pub struct Sealer {
    database: Database,
    task: Standing,
}

impl Sealer {
    /// A sealer of the log in `database`.
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), task: Standing::default() }
    }
}

#[async_trait]
impl Trade for Sealer {
    fn name(&self) -> &'static str {
        "sealer"
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        self.task.keep(|| Sequencer::run(self.database.clone()))
    }

    fn observe(&self) -> Value {
        json!({ "head": *self.database.head().borrow() })
    }
}

/// Hears how far the log is sealed, by whichever process.
pub struct Listener {
    database: Database,
    task: Standing,
}

impl Listener {
    /// A listener to the log in `database`.
    pub fn new(database: &Database) -> Self {
        Self { database: database.clone(), task: Standing::default() }
    }
}

#[async_trait]
impl Trade for Listener {
    fn name(&self) -> &'static str {
        "listener"
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let database = self.database.clone();
        self.task.keep(|| async move { database.listen().await })
    }

    fn observe(&self) -> Value {
        json!({ "head": *self.database.head().borrow() })
    }
}

/// A task that is never to end before its actor does.
#[derive(Default)]
struct Standing(Mutex<Option<JoinHandle<()>>>);

impl Standing {
    fn keep<F>(&self, begin: impl FnOnce() -> F) -> Result<Progress, TradeError>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut task = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if task.get_or_insert_with(|| tokio::spawn(begin())).is_finished() {
            return Err(TradeError::broken("a standing task has ended")("it panicked or was cancelled"));
        }
        Ok(Progress::Idle)
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let task = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
        }
    }
}

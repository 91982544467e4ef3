//! The Projector: keeps the tables of one subscription level with the log.
//!
//! 1. Each subscription has a projector of its own, so that one that stops at a poisoned event holds up no other.
//! 2. A pass takes one short step: some events and the checkpoint in one transaction.
//! 3. A step that takes far longer than any does is cut off: it hangs, or speaks on a connection that a network has
//!    swallowed. It is a failure that counts, so a handler that always hangs is given up in the end.
//! 4. A stopped subscription stays red until somebody has seen to it; then it goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use almanac_store::log::{Handler, Step, Subscription};
use almanac_store::{Database, StoreError};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::trade::{Progress, Trade, TradeError};

/// A step is one short transaction, or a switch of tables that is tried for a few seconds.
const LONGEST_STEP: Duration = Duration::from_secs(10);

/// Runs one subscription.
pub struct Projector {
    database: Database,
    handler: Arc<dyn Handler>,
    subscription: OnceCell<Subscription>,
    position: AtomicI64,
}

impl Projector {
    /// A projector of `handler`.
    pub fn new(database: &Database, handler: Arc<dyn Handler>) -> Self {
        Self {
            database: database.clone(),
            handler,
            subscription: OnceCell::new(),
            position: AtomicI64::new(0),
        }
    }

    async fn step(&self) -> Result<Step, StoreError> {
        let install = || Subscription::install(&self.database, Arc::clone(&self.handler));
        self.subscription.get_or_try_init(install).await?.step().await
    }
}

#[async_trait]
impl Trade for Projector {
    fn name(&self) -> &'static str {
        self.handler.name()
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let hung = "a step was cut off: its handler hangs, or the database was not heard of again";
        let step = timeout(LONGEST_STEP, self.step()).await.map_err(TradeError::broken(hung))?;
        match step? {
            Step::Moved { to, .. } => {
                self.position.store(to, Ordering::Relaxed);
                Ok(Progress::More)
            }
            Step::Switched => Ok(Progress::More),
            // Busy: another node is at it, and rings its own bells.
            Step::Idle | Step::Busy | Step::Retired => Ok(Progress::Idle),
            Step::Stopped { ordinal, error } | Step::Waits { ordinal, error } => {
                Err(TradeError::Held(format!("event {ordinal} cannot be applied: {error}")))
            }
        }
    }

    fn observe(&self) -> Value {
        json!({ "position": self.position.load(Ordering::Relaxed), "version": self.handler.version() })
    }
}

//! The Projector: keeps the tables of one subscription level with the log.
//!
//! 1. Each subscription has a projector of its own, so that one that stops at a poisoned event holds up no other.
//! 2. A pass takes one short step: some events and the checkpoint in one transaction.
//! 3. A stopped subscription stays red until somebody has seen to it; then it goes on by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use almanac_store::Database;
use almanac_store::log::{Handler, Step, Subscription};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::trade::{Progress, Trade, TradeError};

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
}

#[async_trait]
impl Trade for Projector {
    fn name(&self) -> &'static str {
        self.handler.name()
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let install = || Subscription::install(&self.database, Arc::clone(&self.handler));
        let subscription = self.subscription.get_or_try_init(install).await?;
        match subscription.step().await? {
            Step::Moved { to, .. } => {
                self.position.store(to, Ordering::Relaxed);
                Ok(Progress::More)
            }
            Step::Switched => Ok(Progress::More),
            // Busy: another node is at it, and rings its own bells.
            Step::Idle | Step::Busy | Step::Retired => Ok(Progress::Idle),
            Step::Stopped { ordinal, error } => {
                Err(TradeError::Held(format!("event {ordinal} cannot be applied: {error}")))
            }
        }
    }

    fn observe(&self) -> Value {
        json!({ "position": self.position.load(Ordering::Relaxed), "version": self.handler.version() })
    }
}

//! The Rebuilder: carries out the rebuilds of projections that somebody has asked for.
//!
//! 1. A rebuild is a row in the database: a pass looks whether there is one and goes on with it where it stands, whoever
//!    was killed over it before.
//! 2. One node of each version of the program does this, by a lease, for the tables of its own projections. It saves work;
//!    what makes it right is the checkpoint of each build.
//! 3. What is ready, and what was live before the last switch, is kept level with the live tables, so that a switch to
//!    either takes a moment. Switching is the administrator's.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use almanac_store::Database;
use almanac_store::leases::{self, Lease};
use almanac_store::log::Subscription;
use almanac_store::log::rebuild::{Build, Tended};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::trade::{Progress, Trade, TradeError};

/// After this time another node goes on with what a killed one has left.
const LEASE: Duration = Duration::from_secs(5);

/// The lease of all programs with these versions of the projections. Versions only grow, so their sum tells programs apart
/// of which one replaces the other.
pub fn lease_of(subscriptions: &[Subscription]) -> String {
    let versions: i64 = subscriptions.iter().map(|subscription| i64::from(subscription.version())).sum();
    format!("rebuilds {versions}")
}

/// Carries out rebuilds.
pub struct Rebuilder {
    database: Database,
    holder: Uuid,
    subscriptions: OnceCell<Vec<Subscription>>,
    lease: tokio::sync::Mutex<Option<Lease>>,
    seen: Mutex<Vec<Build>>,
}

impl Rebuilder {
    /// A rebuilder of every projection; `holder` names it in the lease.
    pub fn new(database: &Database, holder: Uuid) -> Self {
        Self {
            database: database.clone(),
            holder,
            subscriptions: OnceCell::new(),
            lease: tokio::sync::Mutex::new(None),
            seen: Mutex::default(),
        }
    }

    async fn install(&self) -> Result<Vec<Subscription>, TradeError> {
        let mut subscriptions = Vec::new();
        for handler in almanac_projections::all() {
            subscriptions.push(Subscription::install(&self.database, handler).await?);
        }
        Ok(subscriptions)
    }

    /// Whether this node is the one that rebuilds for its version of the program.
    async fn leads(&self, subscriptions: &[Subscription]) -> Result<bool, TradeError> {
        let (pool, mut lease) = (self.database.pool(), self.lease.lock().await);
        if let Some(held) = lease.as_ref()
            && leases::renew(pool, held, LEASE).await?
        {
            return Ok(true);
        }
        *lease = leases::take(&self.database, &lease_of(subscriptions), self.holder, LEASE).await?;
        Ok(lease.is_some())
    }

    async fn resign(&self) -> Result<(), TradeError> {
        if let Some(lease) = self.lease.lock().await.take() {
            leases::release(self.database.pool(), &lease).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Trade for Rebuilder {
    fn name(&self) -> &'static str {
        "rebuilder"
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let subscriptions = self.subscriptions.get_or_try_init(|| self.install()).await?;
        let builds = Build::all(&self.database).await?;
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&builds);
        let mut tended: Vec<&Subscription> = Vec::new();
        for subscription in subscriptions {
            if builds.iter().any(|build| subscription.fills(build)) {
                tended.push(subscription);
            }
        }
        if tended.is_empty() {
            self.resign().await?;
            return Ok(Progress::Idle);
        }
        if !self.leads(subscriptions).await? {
            return Ok(Progress::Idle);
        }
        let mut progress = Progress::Idle;
        for subscription in tended {
            if subscription.tend().await? == Tended::More {
                progress = Progress::More;
            }
        }
        Ok(progress)
    }

    fn observe(&self) -> Value {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let builds: Vec<Value> = seen
            .iter()
            .map(|build| {
                json!({ "name": build.name, "state": build.state.as_str(), "schema": build.schema, "ordinal": build.ordinal })
            })
            .collect();
        json!({ "builds": builds })
    }
}

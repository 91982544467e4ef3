//! The Dispatcher: calls the integrators. It claims due messages from the outbox, lines them up by endpoint, sends
//! them signed by Standard Webhooks 1.0, and notes every attempt.
//!
//! A message may arrive more than once, with the same `webhook-id`; none is missed. Messages under way live on
//! between passes, so that a pass never waits for a slow receiver.

mod courier;
mod lanes;
mod post;
mod resolver;
mod retry;
mod secrets;
mod settings;
mod signature;
mod url_guard;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use almanac_domain::clock::Clock;
use almanac_projections::webhook_endpoints;
use almanac_store::clock::SystemClock;
use almanac_store::log::CommandBus;
use almanac_store::outbox::webhook::{self as outbox, Delivery};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use reqwest::dns::Resolve;
use tokio::sync::{Mutex, OnceCell};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::parts::Parts;
use crate::trade::{Progress, Trade, TradeError};

pub use self::resolver::SystemResolver;
pub use self::secrets::{EndpointSecrets, Secret, SecretRefused};
pub use self::settings::WebhookSettings;
pub use self::signature::{Received, SignatureRefused, sign, verify};
pub use self::url_guard::{Reach, UrlRefused, check_address, check_url};

use self::courier::{Counts, Courier};
use self::lanes::{ALL_LANES, Admission, Health, Lanes};

/// Messages claimed by one pass.
const CLAIM: usize = 128;
/// A pass with messages under way looks again after this, for others that have become due.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Calls the integrators.
pub struct Dispatcher {
    courier: Arc<Courier>,
    desk: Mutex<Desk>,
    waiting: AtomicUsize,
    under_way: AtomicUsize,
    closed: AtomicUsize,
}

/// What is claimed: waiting in lanes or under way. Dropping it ends what is under way; the leases run out.
struct Desk {
    lanes: Lanes<Delivery>,
    under_way: JoinSet<Landed>,
    /// Everything claimed that was not noted or given back yet, each with the number of its claim.
    claimed: HashMap<Uuid, i32>,
    /// When the leases of all of it were last renewed.
    kept_at: Instant,
}

/// A message that is no longer under way.
struct Landed {
    id: Uuid,
    endpoint: Uuid,
    outcome: Result<Health, TradeError>,
}

impl Dispatcher {
    /// The dispatcher of a service.
    pub fn new(parts: &Parts) -> Self {
        let settings = parts.settings.webhooks.clone();
        Self::over(parts.bus.clone(), Arc::new(SystemClock), Arc::new(SystemResolver), settings)
    }

    /// A dispatcher over these parts alone. Receivers compare a message's timestamp with their own clock, so it is
    /// taken from `wall`, the real time; all else runs on the service's clock.
    pub fn over(
        bus: CommandBus,
        wall: Arc<dyn Clock>,
        resolver: Arc<dyn Resolve>,
        settings: WebhookSettings,
    ) -> Self {
        let lanes = Lanes::new(settings.per_endpoint);
        let (client, counts) = (OnceCell::new(), Counts::default());
        Self {
            courier: Arc::new(Courier { bus, wall, settings, resolver, client, counts }),
            desk: Mutex::new(Desk {
                lanes,
                under_way: JoinSet::new(),
                claimed: HashMap::new(),
                kept_at: Instant::now(),
            }),
            waiting: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.courier.bus.clock().now()
    }

    async fn claim(&self, desk: &mut Desk) -> Result<usize, TradeError> {
        let room = ALL_LANES.saturating_sub(desk.lanes.waiting() + desk.under_way.len()).min(CLAIM);
        if room == 0 {
            return Ok(0);
        }
        let (pool, lease) = (self.courier.bus.database().pool(), self.courier.settings.lease);
        let claimed = outbox::claim_due(pool, self.now(), room as i64, lease).await?;
        let (count, now) = (claimed.len(), self.now());
        desk.claimed.extend(claimed.iter().map(|delivery| (delivery.id, delivery.attempts)));
        let mut back = Vec::new();
        for delivery in claimed {
            if let Admission::Back(delivery, until) = desk.lanes.admit(delivery.endpoint, delivery, now) {
                back.push((delivery, until));
            }
        }
        self.start(desk);
        self.give_back(desk, back).await?;
        Ok(count)
    }

    /// Shows that what is claimed is not forgotten, several times within a lease: a lane may be long and its receiver
    /// slow, and after a kill nobody should have to wait for more than one lease.
    async fn keep(&self, desk: &mut Desk) -> Result<(), TradeError> {
        let lease = self.courier.settings.lease;
        if desk.claimed.is_empty() || desk.kept_at.elapsed() < lease / 4 {
            return Ok(());
        }
        let claimed: Vec<_> = desk.claimed.iter().map(|(id, claim)| (*id, *claim)).collect();
        outbox::keep(self.courier.bus.database().pool(), &claimed, lease).await?;
        desk.kept_at = Instant::now();
        Ok(())
    }

    fn start(&self, desk: &mut Desk) {
        while desk.under_way.len() < self.courier.settings.in_flight {
            let Some((endpoint, delivery)) = desk.lanes.next() else { break };
            let courier = Arc::clone(&self.courier);
            desk.under_way.spawn(async move {
                // A panic would take the name of its lane with it, and the lane would stay occupied.
                let outcome = AssertUnwindSafe(courier.deliver(&delivery)).catch_unwind().await;
                let panicked = |_| Err(TradeError::Held("a delivery panicked".to_owned()));
                Landed { id: delivery.id, endpoint, outcome: outcome.unwrap_or_else(panicked) }
            });
        }
    }

    /// Waits a moment for a message to land, and takes in all that have.
    async fn land(&self, desk: &mut Desk) -> Result<(), TradeError> {
        let (mut back, mut broken) = (Vec::new(), None);
        let mut landed = tokio::time::timeout(LOOK_AGAIN, desk.under_way.join_next()).await.ok().flatten();
        while let Some(joined) = landed {
            match joined {
                Ok(Landed { id, endpoint, outcome }) => {
                    desk.claimed.remove(&id);
                    let health = outcome.unwrap_or_else(|error| {
                        broken = Some(error);
                        Health::Answers
                    });
                    back.extend(desk.lanes.landed(endpoint, health, self.now()));
                }
                Err(error) => broken = Some(TradeError::broken("a delivery broke off")(error)),
            }
            landed = desk.under_way.try_join_next();
        }
        self.start(desk);
        self.give_back(desk, back).await?;
        broken.map_or(Ok(()), Err)
    }

    async fn give_back(
        &self,
        desk: &mut Desk,
        back: Vec<(Delivery, DateTime<Utc>)>,
    ) -> Result<(), TradeError> {
        for (delivery, _) in &back {
            desk.claimed.remove(&delivery.id);
        }
        stream::iter(back)
            .map(|(delivery, until)| async move { self.courier.give_back(&delivery, until).await })
            .buffer_unordered(4)
            .try_collect()
            .await
    }
}

#[async_trait]
impl Trade for Dispatcher {
    fn name(&self) -> &'static str {
        "dispatcher"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[webhook_endpoints::NAME]
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        let mut desk = self.desk.lock().await;
        self.keep(&mut desk).await?;
        let claimed = self.claim(&mut desk).await?;
        let landed = self.land(&mut desk).await;
        self.waiting.store(desk.lanes.waiting(), Ordering::Relaxed);
        self.under_way.store(desk.under_way.len(), Ordering::Relaxed);
        self.closed.store(desk.lanes.closed(self.now()), Ordering::Relaxed);
        landed?;
        let busy = claimed > 0 || desk.lanes.waiting() > 0 || !desk.under_way.is_empty();
        Ok(if busy { Progress::More } else { Progress::Idle })
    }

    fn observe(&self) -> serde_json::Value {
        let counts = &self.courier.counts;
        serde_json::json!({
            "delivered": counts.delivered.load(Ordering::Relaxed),
            "failed_attempts": counts.failed.load(Ordering::Relaxed),
            "given_up": counts.given_up.load(Ordering::Relaxed),
            "under_way": self.under_way.load(Ordering::Relaxed),
            "waiting": self.waiting.load(Ordering::Relaxed),
            "endpoints_in_trouble": self.closed.load(Ordering::Relaxed),
        })
    }
}

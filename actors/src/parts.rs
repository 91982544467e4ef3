//! What every actor is built from.

use std::sync::Arc;

use almanac_domain::calendar::Calendar;
use almanac_domain::clock::Clock;
use almanac_domain::values::Session;
use almanac_store::Database;
use almanac_store::clock::Entropy;
use almanac_store::log::CommandBus;
use almanac_store::objects::Objects;
use chrono::TimeDelta;
use tokio::sync::Semaphore;

use crate::market::Market;
use crate::news::News;
use crate::settings::Settings;

/// The service's storage, clock and settings. Clones share everything.
#[derive(Clone)]
pub struct Parts {
    /// The database.
    pub database: Database,
    /// The way in for commands.
    pub bus: CommandBus,
    /// Object storage.
    pub objects: Objects,
    /// The service's clock.
    pub clock: Arc<dyn Clock>,
    /// The service's randomness.
    pub entropy: Entropy,
    /// What the actors are told.
    pub settings: Arc<Settings>,
    /// The bars as they are known.
    pub market: Arc<Market>,
    /// The headlines as they are known.
    pub news: Arc<News>,
    /// One training at a time in this process, also after a trainer was built anew while its work still ended.
    pub(crate) training_room: Arc<Semaphore>,
}

impl Parts {
    /// Joins storage, clock and settings.
    pub fn new(
        database: Database,
        objects: Objects,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
        settings: Settings,
    ) -> Self {
        let market = Arc::new(Market::new(&database, &objects, settings.mode));
        let news = Arc::new(News::new(&database, &objects, &settings));
        Self {
            bus: CommandBus::new(database.clone(), Arc::clone(&clock), entropy.clone()),
            database,
            objects,
            clock,
            entropy,
            settings: Arc::new(settings),
            market,
            news,
            training_room: Arc::new(Semaphore::new(1)),
        }
    }

    /// The calendar of the exchange that is followed.
    pub fn calendar(&self) -> Calendar {
        Calendar::of(&self.settings.exchange)
    }

    /// Whether a version whose data ended at `trained_through` may not speak of `session` any more.
    pub fn is_expired(&self, trained_through: Session, session: Session) -> bool {
        let after = trained_through + TimeDelta::days(1);
        self.calendar().sessions(after, session).count() > self.settings.expire_after as usize
    }

    /// The last session that has closed and settled by now.
    pub fn last_settled_session(&self) -> Session {
        self.calendar().last_closed(self.clock.now() - self.settings.settle)
    }
}

//! What every handler works with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use almanac_actors::Parts;
use almanac_actors::explanations::Explanations;
use almanac_actors::notifier::LinkSecret;
use almanac_actors::supervisor::Running;
use almanac_domain::clock::Clock;
use almanac_projections::moment::{AsOf, Moment};
use almanac_store::log::{Until, wait_for};
use almanac_store::sign_ins::SignIns;
use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::foundation;
use crate::health::Leaderless;
use crate::passwords::Passwords;
use crate::problem::{Kind, Problem};
use crate::reads::{AsOfQuery, read_if};

/// How long a read waits for what it was asked to wait for.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What every handler works with, shared by all of them.
pub struct State {
    /// What the service was told.
    pub config: Config,
    /// The log, the objects, the prices and the news.
    pub parts: Parts,
    /// Who is signed in.
    pub sign_ins: SignIns,
    /// Hashing and checking passwords.
    pub passwords: Passwords,
    /// Takes predictions apart.
    pub explanations: Explanations,
    /// Signs the links in mails.
    pub link_secret: LinkSecret,
    /// The actors of this process.
    pub actors: Running,
    /// Turns of reads that wait for an event.
    pub waiting: Semaphore,
    /// Whether anybody seals.
    pub leaderless: Leaderless,
    /// The real time: a sign-in lasts as long for a person whatever the service's clock does.
    pub wall: Arc<dyn Clock>,
}

impl State {
    /// The service's time.
    pub fn now(&self) -> DateTime<Utc> {
        self.parts.clock.now()
    }

    /// Where mails go when there is no mail server.
    pub fn outbox(&self) -> PathBuf {
        foundation::outbox(&self.config)
    }

    /// The place in the log a replayable read is answered for, once the read model has come as far.
    pub async fn moment(&self, wanted: &AsOfQuery, subscription: &str) -> Result<Moment, Problem> {
        let moment = self.place(wanted).await?;
        self.wait(Until::Ordinal(moment.ordinal), subscription).await?;
        Ok(moment)
    }

    /// The place in the log that was asked for; the last one where none was.
    pub async fn place(&self, wanted: &AsOfQuery) -> Result<Moment, Problem> {
        let as_of: AsOf = read_if("as_of", wanted.as_of.as_deref())?.unwrap_or_default();
        Ok(as_of.moment(self.parts.database.pool()).await?)
    }

    async fn wait(&self, until: Until<'_>, subscription: &str) -> Result<(), Problem> {
        let shown = wait_for(&self.parts.database, until, subscription, PATIENCE).await?;
        if shown { Ok(()) } else { Err(Kind::NotYet.into()) }
    }
}

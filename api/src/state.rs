//! What every handler works with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use almanac_actors::Parts;
use almanac_actors::notifier::LinkSecret;
use almanac_actors::supervisor::Running;
use almanac_domain::clock::Clock;
use almanac_projections::moment::{self, Moment};
use almanac_store::log::{EventKey, Until, wait_for};
use almanac_store::sign_ins::SignIns;
use chrono::{DateTime, Utc};

use crate::config::Config;
use crate::foundation;
use crate::passwords::Passwords;
use crate::problem::{Kind, Problem};
use crate::reads::{AfterQuery, AsOfQuery};

/// How long a read waits for what it was asked to wait for.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// Signs the links in mails.
    pub link_secret: LinkSecret,
    /// The actors of this process.
    pub actors: Running,
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

    /// Waits until the read model `subscription` shows the effect of the command a caller named, if one was named.
    pub async fn settle(&self, after: &AfterQuery, subscription: &str) -> Result<(), Problem> {
        let Some(key) = &after.after else { return Ok(()) };
        let key: EventKey =
            key.parse().map_err(|_| Problem::invalid("after", "this was not the `after` of an answer"))?;
        self.wait(Until::Event(&key), subscription).await
    }

    /// The place in the log a replayable read is answered for, once the read model has come as far.
    pub async fn moment(&self, wanted: &AsOfQuery, subscription: &str) -> Result<Moment, Problem> {
        let moment = self.place(wanted).await?;
        self.wait(Until::Ordinal(moment.ordinal), subscription).await?;
        Ok(moment)
    }

    /// The place in the log that was asked for; the last one where none was.
    pub async fn place(&self, wanted: &AsOfQuery) -> Result<Moment, Problem> {
        let pool = self.parts.database.pool();
        let moment = match wanted.as_of.as_deref() {
            None | Some("") => moment::now(pool).await?,
            Some(text) => match (text.parse::<i64>(), text.parse::<DateTime<Utc>>()) {
                (Ok(ordinal), _) => moment::at_ordinal(pool, ordinal).await?,
                (_, Ok(time)) => moment::at_time(pool, time).await?,
                _ => {
                    return Err(Problem::invalid(
                        "as_of",
                        "this is neither a time (RFC 3339) nor a place in the log",
                    ));
                }
            },
        };
        Ok(moment)
    }

    async fn wait(&self, until: Until<'_>, subscription: &str) -> Result<(), Problem> {
        let shown = wait_for(&self.parts.database, until, subscription, PATIENCE).await?;
        if shown { Ok(()) } else { Err(Kind::NotYet.into()) }
    }
}

//! The Forecaster: publishes a round for the last session with bars, by the champion.
//!
//! 1. A round that was cut off is finished first, by the version that opened it.
//! 2. The champion's artefact is opened (by its digest) and every listed instrument is forecast as of the session.
//! 3. `OpenRound`, then one prediction or abstention for each slot in batches, then `CompleteRound`. Every id follows
//!    from the slot, so that what was published before the cut counts as done.
//! 4. In live mode a round is of the session that closed last or it is none: no prediction is made from old bars. It
//!    waits for a while for shares whose bars have not come.
//! 5. What a challenger on trial makes of the same slots is the Understudy's (`understudy.rs`), an actor of its own: a
//!    challenger that fails keeps no champion from publishing.

mod publication;
mod understudy;
mod wisdom;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use almanac_domain::forecast_round::ForecastRound;
use almanac_domain::ids;
use almanac_domain::values::{Mode, Session};
use almanac_projections::models::{self, Champion};
use almanac_projections::predictions::{self, rounds};
use almanac_projections::{ingestions, instruments};
use almanac_store::log::{Until, wait_for};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::parts::Parts;
use crate::trade::{Progress, Trade, TradeError};
pub(crate) use publication::{abstention, in_decimals};
pub use understudy::Understudy;
pub(crate) use understudy::due as shadow_due;
use wisdom::Library;

/// How long a pass waits to see its round in the tables.
const SEEING: Duration = Duration::from_secs(5);

/// Publishes rounds.
pub struct Forecaster {
    parts: Parts,
    library: Library,
    last: Mutex<Option<PredictReport>>,
}

impl Forecaster {
    /// A forecaster that has opened no artefact yet.
    pub fn new(parts: &Parts) -> Self {
        Self { parts: parts.clone(), library: Library::default(), last: Mutex::new(None) }
    }
}

#[async_trait]
impl Trade for Forecaster {
    fn name(&self) -> &'static str {
        "forecaster"
    }

    fn reads(&self) -> &'static [&'static str] {
        &[ingestions::NAME, instruments::NAME, models::NAME, predictions::NAME]
    }

    async fn pass(&self) -> Result<Progress, TradeError> {
        match due(&self.parts).await? {
            Due::Round { session, champion } => {
                let report = publication::publish(&self.parts, &self.library, session, &champion).await?;
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
                Ok(Progress::More)
            }
            Due::NoBars | Due::NoChampion | Due::Stale { .. } | Due::Waiting { .. } | Due::Done { .. } => {
                Ok(Progress::Idle)
            }
        }
    }

    fn observe(&self) -> Value {
        json!({ "last_round": *self.last.lock().unwrap_or_else(PoisonError::into_inner) })
    }
}

/// What there is to publish.
enum Due {
    Round {
        session: Session,
        champion: Box<Champion>,
    },
    NoBars,
    NoChampion,
    /// The last session has closed and its bars have not come.
    Stale {
        session: Session,
        expected: Session,
    },
    /// The bars of some shares have not come, and there is still time for them.
    Waiting {
        session: Session,
        until: DateTime<Utc>,
    },
    Done {
        session: Session,
    },
}

async fn due(parts: &Parts) -> Result<Due, TradeError> {
    let (pool, settings) = (parts.database.pool(), &parts.settings);
    let Some(last) = ingestions::last_bars_session(pool, settings.mode).await? else {
        return Ok(Due::NoBars);
    };
    // Who opened a round finishes it, also when another version was promoted meanwhile.
    if let Some(open) =
        rounds::open(pool, &settings.model).await?.into_iter().find(|open| open.mode == settings.mode)
    {
        let opener = models::champion_version(pool, &settings.model, open.version, open.ordinal).await?;
        return Ok(opener.map_or(Due::NoChampion, |opener| Due::Round {
            session: open.session,
            champion: Box::new(opener),
        }));
    }
    let champion = match round(parts, last).await? {
        ForecastRound::Complete => return Ok(Due::Done { session: last }),
        ForecastRound::Absent => models::champion(pool, &settings.model, i64::MAX).await?,
        // Opened a moment ago, and not in the tables yet.
        ForecastRound::Open { version } => {
            let opener = models::champion_version(pool, &settings.model, version, i64::MAX).await?;
            return Ok(opener
                .map_or(Due::NoChampion, |opener| Due::Round { session: last, champion: Box::new(opener) }));
        }
    };
    let Some(champion) = champion else { return Ok(Due::NoChampion) };
    if settings.mode == Mode::Live {
        let (calendar, now) = (parts.calendar(), parts.clock.now());
        let expected = calendar.last_closed(now);
        if last < expected {
            return Ok(Due::Stale { session: last, expected });
        }
        let until = calendar.closes_at(last) + settings.wait_for_bars;
        if now < until && misses_some(parts, last).await? {
            return Ok(Due::Waiting { session: last, until });
        }
    }
    Ok(Due::Round { session: last, champion: Box::new(champion) })
}

/// Whether a listed share that had a bar at the session before has none at `session`.
async fn misses_some(parts: &Parts, session: Session) -> Result<bool, TradeError> {
    let before = parts.calendar().at_or_before(session - TimeDelta::days(1));
    let view = parts.market.view().await?;
    let listings = instruments::listings(parts.database.pool()).await?;
    Ok(listings
        .iter()
        .filter(|listing| listing.delisted_after.is_none_or(|end| end >= session))
        .any(|listing| view.has_bar(listing.id, before) && !view.has_bar(listing.id, session)))
}

async fn round(parts: &Parts, session: Session) -> Result<ForecastRound, TradeError> {
    let id = ids::forecast_round(&parts.settings.model, session);
    Ok(parts.bus.load::<ForecastRound>(&id.to_string()).await?)
}

/// What a round has become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PredictReport {
    /// The round.
    pub round: Uuid,
    /// Its session.
    pub session: Session,
    /// The version that published.
    pub version: u32,
    /// Predictions published.
    pub published: u64,
    /// Predictions abstained from.
    pub abstained: u64,
}

/// Why nothing was predicted on the command line.
#[derive(Debug, thiserror::Error)]
pub enum PredictNowError {
    /// There are no bars.
    #[error("there are no bars to predict from: ingest some first")]
    NoBars,
    /// There is no champion.
    #[error("no version of `{0}` is champion: train one first")]
    NoChampion(String),
    /// The bars are old.
    #[error("the last bars are of {session}, but {expected} has closed: nothing is predicted from old bars")]
    Stale {
        /// The session of the last bars.
        session: Session,
        /// The session that closed last.
        expected: Session,
    },
    /// The bars of some shares have not come.
    #[error("the bars of {session} have not come for all shares: it is waited for them until {until}")]
    Waiting {
        /// The session.
        session: Session,
        /// Then it is published without them.
        until: DateTime<Utc>,
    },
    /// It was published before.
    #[error("the round of {0} is published already; nothing published is ever changed")]
    Done(Session),
    /// Ours.
    #[error(transparent)]
    Trade(#[from] TradeError),
}

/// Publishes the round that is due, as the actor would. The tables must be level with the log.
///
/// # Errors
/// When there is nothing to publish, and why.
pub async fn predict_now(parts: &Parts) -> Result<PredictReport, PredictNowError> {
    match due(parts).await? {
        Due::Round { session, champion } => {
            Ok(publication::publish(parts, &Library::default(), session, &champion).await?)
        }
        Due::NoBars => Err(PredictNowError::NoBars),
        Due::NoChampion => Err(PredictNowError::NoChampion(parts.settings.model.to_string())),
        Due::Stale { session, expected } => Err(PredictNowError::Stale { session, expected }),
        Due::Waiting { session, until } => Err(PredictNowError::Waiting { session, until }),
        Due::Done { session } => Err(PredictNowError::Done(session)),
    }
}

/// Waits until the tables show an event.
async fn see(parts: &Parts, event: &almanac_store::log::EventKey) -> Result<(), TradeError> {
    wait_for(&parts.database, Until::Event(event), predictions::NAME, SEEING).await?;
    Ok(())
}

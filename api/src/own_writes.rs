//! Reading one's own writes: every read takes the `after` of a command's answer and waits until it shows the effect.

use std::time::{Duration, Instant};

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use almanac_projections::{
    accounts, ingestions, instruments, mail, models, predictions, training_runs, trials, watchlists,
    webhook_endpoints, webhooks,
};
use almanac_store::Database;
use almanac_store::log::{EventKey, LogReader, Until, wait_for};

use crate::problem::{Kind, Problem};
use crate::reads::AfterQuery;
use crate::state::{PATIENCE, State};

/// Where the reads are that can wait.
pub const BELOW: &str = "/api/v1/";

/// So many reads wait at once in one process; further ones are asked to come again.
pub const MOST_WAITING: usize = 256;

/// How often it is looked whether an event is sealed.
const LOOK: Duration = Duration::from_millis(25);

/// Holds a read back until what it reads has passed the event it names; for five seconds, then it is `not-yet`.
pub async fn shown<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if let Err(problem) = wait(&request).await {
        return Ok(request.into_response(problem.error_response()).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

async fn wait(request: &ServiceRequest) -> Result<(), Problem> {
    let Some(path) = request.path().strip_prefix(BELOW).filter(|_| request.method() == Method::GET) else {
        return Ok(());
    };
    let asked = web::Query::<AfterQuery>::from_query(request.query_string());
    let Some(after) = asked.ok().and_then(|asked| asked.into_inner().after) else { return Ok(()) };
    let key: EventKey =
        after.parse().map_err(|_| Problem::invalid("after", "this was not the `after` of an answer"))?;
    let state = request.app_data::<web::Data<State>>().ok_or(Kind::Unavailable)?;
    let database = &state.parts.database;
    // Most of the time there is nothing to wait for.
    if is_shown(database, &key, read_by(path)).await? {
        return Ok(());
    }
    // An answer names what is committed: for anything else nobody's room is taken.
    if LogReader::new(database).cause(&key).await?.is_none() {
        return Err(Kind::NotYet.into());
    }
    let _turn = state.waiting.try_acquire().map_err(|_| Kind::Unavailable)?;
    let until = Instant::now() + PATIENCE;
    for subscription in read_by(path) {
        let left = until.saturating_duration_since(Instant::now());
        if !wait_for(database, Until::Event(&key), subscription, left).await? {
            return Err(Kind::NotYet.into());
        }
    }
    let log = LogReader::new(database);
    while log.ordinal_of(&key).await?.is_none() {
        if Instant::now() >= until {
            return Err(Kind::NotYet.into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn is_shown(database: &Database, key: &EventKey, by: &[&str]) -> Result<bool, Problem> {
    for subscription in by {
        if !wait_for(database, Until::Event(key), subscription, Duration::ZERO).await? {
            return Ok(false);
        }
    }
    Ok(LogReader::new(database).ordinal_of(key).await?.is_some())
}

/// The read models behind the reads at `path`, without the part they share; none for those of the log itself.
fn read_by(path: &str) -> &'static [&'static str] {
    let mut parts = path.split('/');
    match (parts.next().unwrap_or_default(), path.rsplit('/').next().unwrap_or_default()) {
        ("session" | "status", _) => &[accounts::NAME],
        ("watchlists", _) => &[watchlists::NAME],
        ("instruments", _) => &[instruments::NAME, ingestions::NAME],
        ("predictions", "latest") => &[predictions::NAME, watchlists::NAME],
        ("predictions" | "track-record", _) | ("models", "performance") => &[predictions::NAME],
        ("models", _) if path.contains("/trials") => &[models::NAME, predictions::NAME, trials::NAME],
        ("models", _) => &[models::NAME],
        ("training-runs", _) => &[training_runs::NAME],
        ("webhook-endpoints", "deliveries") | ("webhook-deliveries", _) => {
            &[webhook_endpoints::NAME, webhooks::NAME]
        }
        ("webhook-endpoints", _) => &[webhook_endpoints::NAME],
        ("mails", _) => &[mail::NAME],
        ("admin", "ingestions") => &[ingestions::NAME],
        _ => &[],
    }
}

//! `/admin/log`: how far the log reaches, what holds it up, and what of it is signed.

use actix_web::{get, web};
use almanac_projections::event_log;
use almanac_store::log::{self, Sequencer};
use almanac_store::transparency;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Admin;
use crate::log::{Checkpoint, newest};
use crate::problem::Problem;
use crate::state::State;

/// How far the log reaches.
#[derive(Debug, Serialize, ToSchema)]
pub struct Log {
    /// The last sealed ordinal; 0 while there is none.
    pub head: i64,
    /// The service's time of the first event.
    pub first_at: Option<DateTime<Utc>>,
    /// The service's time of the last event.
    pub last_at: Option<DateTime<Utc>>,
    /// The age of the oldest event that is not sealed yet, in milliseconds; null where all are.
    pub sealed_lag_ms: Option<i64>,
    /// What keeps that event from being sealed; null where nothing waits.
    pub stall: Option<Stall>,
    /// The newest signed head.
    #[schema(value_type = Option<Checkpoint>)]
    pub checkpoint: Option<transparency::Checkpoint>,
    /// How many sealed events it does not cover.
    pub unpublished: i64,
}

/// What keeps committed events from being sealed.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stall {
    /// When the oldest event that waits was written, by the database's clock.
    pub since: DateTime<Utc>,
    /// How long it has waited, in milliseconds.
    pub waiting_ms: i64,
    /// The database process with the oldest open write transaction, if there is one.
    pub blocking_pid: Option<i32>,
    /// The database that process works in.
    pub blocking_database: Option<String>,
}

impl From<log::Stall> for Stall {
    fn from(stall: log::Stall) -> Self {
        let log::Stall { since, waiting_ms, blocking_pid, blocking_database } = stall;
        Self { since, waiting_ms, blocking_pid, blocking_database }
    }
}

/// How far the log reaches, what holds it up, and what of it is signed.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The state of the log", body = Log))
)]
#[get("/admin/log")]
pub async fn get_log(state: web::Data<State>, _admin: Admin) -> Result<web::Json<Log>, Problem> {
    let range = event_log::state(state.parts.database.pool()).await?;
    let stall = Sequencer::stall(&state.parts.database).await?.map(Stall::from);
    let checkpoint = newest(&state).await?;
    let signed = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
    Ok(web::Json(Log {
        head: range.head,
        first_at: range.first_at,
        last_at: range.last_at,
        sealed_lag_ms: stall.as_ref().map(|stall| stall.waiting_ms),
        stall,
        checkpoint,
        // A head may have been signed since the range was read.
        unpublished: (range.head - signed).max(0),
    }))
}

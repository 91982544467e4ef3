//! `/admin/actors`: who is at work, and who needs help.

use actix_web::{get, web};
use almanac_actors::supervisor::{ActorReport as Report, ActorState as Reported};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Admin;
use crate::reads::Items;
use crate::state::State;

/// What an actor says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActorReport {
    /// Its trade.
    pub name: String,
    /// What it is doing.
    pub state: ActorState,
    /// How often it was rebuilt.
    pub restarts: u32,
    /// When it last got something done.
    pub last_progress_at: Option<DateTime<Utc>>,
    /// What it has done, in its own words.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// What went wrong last.
    pub error: Option<String>,
}

/// What an actor is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ActorState {
    /// It is at work.
    Running,
    /// It waits for something to do.
    Waiting,
    /// It cannot go on until somebody has looked; the error says why.
    Held,
    /// It has failed and is given up, or waits to be rebuilt.
    Failed,
}

impl From<Report> for ActorReport {
    fn from(report: Report) -> Self {
        let Report { name, state, restarts, last_progress_at, detail, error } = report;
        let state = match state {
            Reported::Running => ActorState::Running,
            Reported::Waiting => ActorState::Waiting,
            Reported::Held => ActorState::Held,
            Reported::Failed => ActorState::Failed,
        };
        Self { name, state, restarts, last_progress_at, detail, error }
    }
}

/// Every actor of this process.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The actors", body = Items<ActorReport>))
)]
#[get("/admin/actors")]
pub async fn list_actors(state: web::Data<State>, _admin: Admin) -> web::Json<Items<ActorReport>> {
    let reports: Vec<ActorReport> = state.actors.reports().into_iter().map(ActorReport::from).collect();
    web::Json(reports.into())
}

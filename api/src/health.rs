//! `/health`: whether the process lives, and whether it can serve.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::{HttpResponse, get, web};
use almanac_actors::supervisor::ActorState;
use almanac_projections::event_log::{self, ProjectionState};
use almanac_store::StoreError;
use almanac_store::log::{Leader, Sequencer, Stall, Standing};
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::State;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an event may wait to be sealed.
const MOST_LAG_MS: i64 = 10_000;

/// How long the log may be without a leader: a follower needs a moment to take over.
const LEADERLESS: Duration = Duration::from_secs(10);

/// Whether the process lives.
#[derive(Debug, Serialize, ToSchema)]
pub struct Live {
    /// Always `live`.
    pub status: &'static str,
}

/// Whether the service can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// Whether all is well.
    pub ready: bool,
    /// What is not well, each with its reason.
    pub faults: BTreeMap<String, String>,
    /// What somebody should look at although the service does its work, each with its reason.
    pub warnings: BTreeMap<String, String>,
}

/// Whether the process lives.
#[utoipa::path(tag = "health", responses((status = 200, description = "It does", body = Live)))]
#[get("/health/live")]
pub async fn live() -> web::Json<Live> {
    web::Json(Live { status: "live" })
}

/// Whether the service can do its work: database, sequencer, projections, actors.
#[utoipa::path(
    tag = "health",
    responses(
        (status = 200, description = "It can", body = Ready),
        (status = 503, description = "It cannot; the faults say why", body = Ready),
    )
)]
#[get("/health/ready")]
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    let log = log(&state).await;
    let faults = faults_beside(&state, &log);
    let warnings = log.as_ref().map(LogHealth::warnings).unwrap_or_default();
    let ready = faults.is_empty();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(Ready { ready, faults, warnings })
}

/// What is known of the log, wherever it is sealed.
pub(crate) struct LogHealth {
    pub(crate) standing: Standing,
    pub(crate) stall: Option<Stall>,
    pub(crate) leader: Option<Leader>,
    pub(crate) projections: Vec<ProjectionState>,
}

impl LogHealth {
    pub(crate) async fn of(state: &State) -> Result<Self, StoreError> {
        let database = &state.parts.database;
        Ok(Self {
            standing: Sequencer::standing(database).await?,
            stall: Sequencer::stall(database).await?,
            leader: Sequencer::leader(database).await?,
            projections: event_log::projections(database.pool()).await?,
        })
    }

    /// What is wrong with sealing, the gravest first. That every projection has caught up says nothing: they catch up
    /// with what is sealed.
    fn sequencer_fault(&self, leaderless: Duration) -> Option<String> {
        let stalled = self.stall.as_ref().filter(|stall| stall.waiting_ms > MOST_LAG_MS).map(Stall::sentence);
        let abandoned = (leaderless > LEADERLESS).then(|| {
            format!(
                "nobody has sealed the log for {} s: no process with the role `log` or `worker` runs",
                leaderless.as_secs()
            )
        });
        self.standing.finding.clone().or(abandoned).or(stalled)
    }

    /// Events that were set aside: whoever declares that they are wants the rest to go on.
    fn warnings(&self) -> BTreeMap<String, String> {
        let parked = self.projections.iter().filter_map(|one| {
            let (ordinal, error) = (one.parked_ordinal?, one.parked_error.as_ref()?);
            let others =
                if one.parked > 1 { format!(", and {} others", one.parked - 1) } else { String::new() };
            let said = format!("event {ordinal} is set aside: {error}{others}");
            Some((format!("projection {}", one.name), said))
        });
        parked.collect()
    }
}

/// Since when this process has seen the log without a leader that shows that it lives.
#[derive(Debug, Default)]
pub struct Leaderless(Mutex<Option<Instant>>);

impl Leaderless {
    fn seen(&self, leader: Option<Leader>) -> Duration {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match leader {
            Some(leader) if leader.silent < LEADERLESS => {
                *since = None;
                Duration::ZERO
            }
            Some(leader) => leader.silent,
            None => since.get_or_insert_with(Instant::now).elapsed(),
        }
    }
}

/// What is known of the log, or in what way the database does not answer.
pub(crate) async fn log(state: &State) -> Result<LogHealth, String> {
    match tokio::time::timeout(PATIENCE, LogHealth::of(state)).await {
        Ok(Ok(log)) => Ok(log),
        Ok(Err(error)) => {
            tracing::error!(%error, "the database does not answer");
            Err("it cannot be reached".to_owned())
        }
        Err(_) => Err(format!("it does not answer within {} s", PATIENCE.as_secs())),
    }
}

/// Every fault of this process, and those of the log where it is known.
pub(crate) fn faults_beside(state: &State, log: &Result<LogHealth, String>) -> BTreeMap<String, String> {
    let mut faults = BTreeMap::new();
    match log {
        Ok(log) => {
            if let Some(fault) = log.sequencer_fault(state.leaderless.seen(log.leader)) {
                faults.insert("sequencer".to_owned(), fault);
            }
            for projection in &log.projections {
                if let Some(error) = &projection.error {
                    let at = projection.failed_ordinal.unwrap_or_default();
                    let said = format!("stopped at event {at}: {error}");
                    faults.insert(format!("projection {}", projection.name), said);
                }
            }
        }
        Err(fault) => drop(faults.insert("database".to_owned(), fault.clone())),
    }
    for report in state.actors.reports() {
        let fault = match report.state {
            ActorState::Failed => "it has failed and was given up".to_owned(),
            // Said in words of ours for whoever runs the service, not in those of a library.
            ActorState::Held => report.error.unwrap_or_default(),
            ActorState::Running | ActorState::Waiting => continue,
        };
        faults.insert(format!("actor {}", report.name), fault);
    }
    faults
}

//! `/health`: whether the process lives, and whether it can serve.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpResponse, get, web};
use almanac_actors::supervisor::ActorState;
use almanac_projections::event_log;
use almanac_store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::State;

/// How long the database may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long an event may wait to be sealed.
const MOST_LAG_MS: i64 = 10_000;

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
    let faults = faults(&state).await;
    let ready = faults.is_empty();
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(Ready { ready, faults })
}

async fn faults(state: &State) -> BTreeMap<String, String> {
    let mut faults = BTreeMap::new();
    let pool = state.parts.database.pool();
    let log = tokio::time::timeout(PATIENCE, async {
        Ok::<_, StoreError>((event_log::state(pool).await?, event_log::projections(pool).await?))
    });
    match log.await {
        Ok(Ok((log, projections))) => {
            if let Some(lag) = log.sealed_lag_ms.filter(|lag| *lag > MOST_LAG_MS) {
                faults.insert("sequencer".to_owned(), format!("an event waits to be sealed since {lag} ms"));
            }
            for projection in projections {
                if let Some(error) = projection.error {
                    faults.insert(format!("projection {}", projection.name), error);
                }
            }
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the database does not answer");
            faults.insert("database".to_owned(), "it cannot be reached".to_owned());
        }
        Err(_) => {
            faults
                .insert("database".to_owned(), format!("it does not answer within {} s", PATIENCE.as_secs()));
        }
    }
    for report in state.actors.reports() {
        if report.state == ActorState::Failed {
            faults.insert(format!("actor {}", report.name), "it has failed and was given up".to_owned());
        }
    }
    faults
}

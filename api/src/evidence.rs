//! `/predictions/{id}/proof`: a prediction's events with all that is needed to check them without this service.

use actix_web::{get, web};
use almanac_projections::predictions;
use almanac_store::transparency::{self, NoEvidence};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::state::State;

/// Events, the way from each to the root of the log, and the signed root.
#[derive(Debug, Serialize, ToSchema)]
pub struct Evidence {
    /// The version of this form: 1.
    pub version: u32,
    /// The key the checkpoint is signed with. Compare it with a copy you trust.
    pub verifier_key: String,
    /// The newest checkpoint, a signed note.
    pub checkpoint: String,
    /// Every event of the prediction that the checkpoint covers, in order.
    pub events: Vec<ProvenEvent>,
}

/// An event as it was hashed, with its way to the root.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProvenEvent {
    /// Its place in the log, from 1.
    pub ordinal: i64,
    /// The kind of aggregate.
    pub aggregate_type: String,
    /// The aggregate.
    pub aggregate_id: String,
    /// The place in the aggregate's own stream, from 1.
    pub sequence: i64,
    /// Its stored name.
    pub event_type: String,
    /// The version of its shape.
    pub event_version: String,
    /// What it says.
    #[schema(value_type = Object)]
    pub payload: Value,
    /// Who, when, why.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// Its own id.
    pub event_id: Uuid,
    /// The database's time of writing.
    pub recorded_at: DateTime<Utc>,
    /// SHA-256 over `almanac/event`, a zero byte, `v1`, a zero byte and the RFC 8785 canonical form of everything above,
    /// `recorded_at` with six digits; in hexadecimal.
    pub hash: String,
    /// What stands beside the way from its leaf to the root, from the bottom up.
    pub inclusion: Vec<String>,
}

impl From<transparency::Evidence> for Evidence {
    fn from(evidence: transparency::Evidence) -> Self {
        let transparency::Evidence { version, verifier_key, checkpoint, events } = evidence;
        let events = events.into_iter().map(ProvenEvent::from).collect();
        Self { version, verifier_key: verifier_key.to_string(), checkpoint, events }
    }
}

impl From<transparency::ProvenEvent> for ProvenEvent {
    fn from(event: transparency::ProvenEvent) -> Self {
        Self {
            ordinal: event.ordinal,
            aggregate_type: event.aggregate_type,
            aggregate_id: event.aggregate_id,
            sequence: event.sequence,
            event_type: event.event_type,
            event_version: event.event_version,
            payload: event.payload,
            metadata: event.metadata,
            event_id: event.event_id,
            recorded_at: event.recorded_at,
            hash: hex::encode(event.hash),
            inclusion: event.inclusion.iter().map(hex::encode).collect(),
        }
    }
}

impl From<NoEvidence> for Problem {
    fn from(none: NoEvidence) -> Self {
        match none {
            NoEvidence::Absent => Self::with(Kind::Absent, "there is no such prediction"),
            NoEvidence::NotYet => Kind::NotCovered.into(),
            NoEvidence::Store(error) => error.into(),
        }
    }
}

/// Proves what was published, and what became of it: every event of the prediction that the newest checkpoint covers.
#[utoipa::path(
    tag = "predictions",
    responses((status = 200, description = "The proof", body = Evidence))
)]
#[get("/predictions/{id}/proof")]
pub async fn get_prediction_proof(
    state: web::Data<State>,
    id: web::Path<Uuid>,
) -> Result<web::Json<Evidence>, Problem> {
    // What is on trial is nobody's business yet.
    if predictions::find(state.parts.database.pool(), *id).await?.is_none() {
        return Err(NoEvidence::Absent.into());
    }
    let found = transparency::Evidence::of(&state.parts.database, "prediction", &id.to_string()).await?;
    Ok(web::Json(found.into()))
}

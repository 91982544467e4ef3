//! `/predictions/{id}/proof`: a prediction's events with all that is needed to check them without this service.
//!
//! The shapes here are only declared, for the description of the interface. What is sent are the store's own, because a
//! reader hashes it as it stands: a time written with fewer digits would be another event.

use actix_web::{get, web};
use almanac_projections::predictions;
use almanac_store::transparency::{self, NoEvidence};
use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::state::State;

/// Events, the way from each to the root of the log, and the signed root.
#[derive(Debug, ToSchema)]
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
#[derive(Debug, ToSchema)]
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
) -> Result<web::Json<transparency::Evidence>, Problem> {
    // What is on trial is nobody's business yet.
    if predictions::find(state.parts.database.pool(), *id).await?.is_none() {
        return Err(NoEvidence::Absent.into());
    }
    Ok(web::Json(transparency::Evidence::of(&state.parts.database, "prediction", &id.to_string()).await?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::log::tests::{declared, members};

    fn served() -> Value {
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let event = transparency::ProvenEvent {
            ordinal: 7,
            aggregate_type: "prediction".into(),
            aggregate_id: Uuid::nil().to_string(),
            sequence: 1,
            event_type: "PredictionPublished".into(),
            event_version: "1.0".into(),
            payload: Value::Null,
            metadata: Value::Null,
            event_id: Uuid::nil(),
            recorded_at: "2024-05-06T12:00:00.120Z".parse().unwrap(),
            hash: [7; 32],
            inclusion: vec![[8; 32]],
        };
        let evidence = transparency::Evidence {
            version: 1,
            verifier_key: key.parse().unwrap(),
            checkpoint: String::new(),
            events: vec![event],
        };
        serde_json::to_value(evidence).unwrap()
    }

    #[test]
    fn the_time_of_writing_has_the_six_digits_that_are_hashed_also_where_they_are_zeros() {
        assert_eq!(served()["events"][0]["recorded_at"], "2024-05-06T12:00:00.120000Z");
    }

    #[test]
    fn what_is_sent_is_what_is_declared() {
        let served = served();
        assert_eq!(declared::<Evidence>(), members(&served));
        assert_eq!(declared::<ProvenEvent>(), members(&served["events"][0]));
    }
}

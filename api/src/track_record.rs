//! `/track-record`: how the predictions did, beside what guessing would have scored.

use actix_web::{get, web};
use almanac_domain::values::{Horizon, ModelName};
use almanac_projections::predictions::NAME as SUBSCRIPTION;
use almanac_projections::track_record::{self, Query, Record, RecordPoint};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::problem::Problem;
use crate::reads::{AsOfQuery, Items, read_if};
use crate::state::State;

/// Whose record.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RecordQuery {
    /// Of this model; the default model unless said otherwise.
    pub model: Option<String>,
    /// Of this version alone.
    pub version: Option<u32>,
    /// This many sessions ahead.
    #[param(minimum = 1, maximum = 60)]
    pub horizon: Option<u32>,
    /// On this instrument alone.
    pub instrument: Option<Uuid>,
}

/// Whose record, session by session.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SeriesQuery {
    /// Of this model; the default model unless said otherwise.
    pub model: Option<String>,
    /// Of this version alone.
    pub version: Option<u32>,
    /// This many sessions ahead; 1 unless said otherwise.
    #[param(minimum = 1, maximum = 60)]
    pub horizon: Option<u32>,
}

/// How predictions did, as known at a place in the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct TrackRecord {
    /// The place in the log this answer stands for.
    pub ordinal: i64,
    /// The time of that place; null before the first event.
    pub as_of: Option<DateTime<Utc>>,
    /// One record for each horizon and mode.
    pub items: Vec<Record>,
}

impl RecordQuery {
    fn model(&self, state: &State) -> Result<ModelName, Problem> {
        Ok(read_if("model", self.model.as_deref())?.unwrap_or_else(|| state.config.model.clone()))
    }

    fn horizon(&self) -> Result<Option<u32>, Problem> {
        let horizon = self.horizon.map(Horizon::new).transpose();
        Ok(horizon.map_err(|error| Problem::invalid("horizon", error))?.map(Horizon::sessions))
    }
}

/// The track record, by horizon and mode.
#[utoipa::path(
    tag = "track record",
    params(RecordQuery, AsOfQuery),
    responses((status = 200, description = "The record as known then", body = TrackRecord))
)]
#[get("/track-record")]
pub async fn get_track_record(
    state: web::Data<State>,
    wanted: web::Query<RecordQuery>,
    as_of: web::Query<AsOfQuery>,
) -> Result<web::Json<TrackRecord>, Problem> {
    let query = Query {
        model: Some(wanted.model(&state)?),
        version: wanted.version,
        horizon: wanted.horizon()?,
        instrument: wanted.instrument,
        by_version: false,
    };
    let moment = state.moment(&as_of, SUBSCRIPTION).await?;
    let items = track_record::records(state.parts.database.pool(), &query, moment.ordinal).await?;
    Ok(web::Json(TrackRecord { ordinal: moment.ordinal, as_of: moment.as_of, items }))
}

/// The track record session by session, ascending by the session the predictions were made as of.
#[utoipa::path(
    tag = "track record",
    params(SeriesQuery, AsOfQuery),
    responses((status = 200, description = "One point for each as-of session", body = Items<RecordPoint>))
)]
#[get("/track-record/series")]
pub async fn get_track_record_series(
    state: web::Data<State>,
    wanted: web::Query<SeriesQuery>,
    as_of: web::Query<AsOfQuery>,
) -> Result<web::Json<Items<RecordPoint>>, Problem> {
    let SeriesQuery { model, version, horizon } = wanted.into_inner();
    let wanted = RecordQuery { model, version, horizon, instrument: None };
    let (model, horizon) = (wanted.model(&state)?, wanted.horizon()?.unwrap_or(1));
    let moment = state.moment(&as_of, SUBSCRIPTION).await?;
    let pool = state.parts.database.pool();
    let points = track_record::series(pool, &model, horizon, version, moment.ordinal).await?;
    Ok(web::Json(points.into()))
}

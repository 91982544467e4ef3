//! `/predictions`: what was predicted, and what became of it.

use actix_web::{HttpRequest, get, web};
use almanac_domain::values::Horizon;
use almanac_projections::paging::List;
use almanac_projections::predictions::{self, Filter, Prediction};
use almanac_projections::watchlists;
use chrono::NaiveDate;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::caller::Caller;
use crate::problem::{Kind, Problem};
use crate::reads::{Items, PageQuery, read_if};
use crate::state::State;

/// Which predictions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PredictionsQuery {
    /// Of this instrument.
    pub instrument: Option<Uuid>,
    /// Of this model.
    pub model: Option<String>,
    /// This many sessions ahead.
    #[param(minimum = 1, maximum = 60)]
    pub horizon: Option<u32>,
    /// Made as of this session.
    pub as_of_session: Option<NaiveDate>,
    /// In this state.
    #[param(value_type = Option<predictions::State>)]
    pub state: Option<String>,
}

/// Whose latest predictions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LatestQuery {
    /// Of this instrument.
    pub instrument: Option<Uuid>,
    /// Of the instruments of this watchlist, one's own.
    pub watchlist: Option<Uuid>,
}

impl PredictionsQuery {
    fn filter(&self) -> Result<Filter, Problem> {
        let horizon = self.horizon.map(Horizon::new).transpose();
        Ok(Filter {
            instrument: self.instrument,
            model: read_if("model", self.model.as_deref())?,
            horizon: horizon.map_err(|error| Problem::invalid("horizon", error))?.map(Horizon::sessions),
            as_of_session: self.as_of_session,
            state: read_if("state", self.state.as_deref())?,
        })
    }
}

/// Predictions, newest first.
#[utoipa::path(
    tag = "predictions",
    params(PredictionsQuery, PageQuery),
    responses((status = 200, description = "One page of predictions", body = List<Prediction>))
)]
#[get("/predictions")]
pub async fn list_predictions(
    state: web::Data<State>,
    wanted: web::Query<PredictionsQuery>,
    page: web::Query<PageQuery>,
) -> Result<web::Json<List<Prediction>>, Problem> {
    let filter = wanted.filter()?;
    let list = predictions::list(state.parts.database.pool(), &filter, page.cursor()?, page.limit()?).await?;
    Ok(web::Json(list))
}

/// The predictions of the newest round, for each instrument and horizon.
#[utoipa::path(
    tag = "predictions",
    params(LatestQuery),
    responses((status = 200, description = "The latest predictions", body = Items<Prediction>))
)]
#[get("/predictions/latest")]
pub async fn latest_predictions(
    state: web::Data<State>,
    request: HttpRequest,
    wanted: web::Query<LatestQuery>,
) -> Result<web::Json<Items<Prediction>>, Problem> {
    let pool = state.parts.database.pool();
    let instruments = match (wanted.watchlist, wanted.instrument) {
        (Some(watchlist), instrument) => {
            let caller = Caller::of(&request).await?;
            if watchlists::owner(pool, watchlist).await? != Some(caller.id) {
                return Err(Problem::with(Kind::Absent, "there is no such watchlist"));
            }
            let mut watched = watchlists::instruments_of(pool, watchlist).await?;
            watched.retain(|watched| instrument.is_none_or(|wanted| wanted == *watched));
            Some(watched)
        }
        (None, Some(instrument)) => Some(vec![instrument]),
        (None, None) => None,
    };
    let latest = predictions::latest(pool, Some(&state.config.model), instruments.as_deref()).await?;
    Ok(web::Json(latest.into()))
}

/// One prediction.
#[utoipa::path(
    tag = "predictions",
    responses((status = 200, description = "The prediction", body = Prediction))
)]
#[get("/predictions/{id}")]
pub async fn get_prediction(
    state: web::Data<State>,
    id: web::Path<Uuid>,
) -> Result<web::Json<Prediction>, Problem> {
    let found = predictions::find(state.parts.database.pool(), *id).await?;
    Ok(web::Json(found.ok_or_else(|| Problem::with(Kind::Absent, "there is no such prediction"))?))
}

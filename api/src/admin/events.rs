//! `/admin/events`: the log itself, newest first.

use actix_web::{get, web};
use almanac_projections::event_log::{self, LogEvent};
use almanac_projections::paging::List;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::caller::Admin;
use crate::problem::Problem;
use crate::reads::{AsOfQuery, PageQuery};
use crate::state::State;

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Of this type, such as `ModelVersionPromoted`.
    #[serde(rename = "type")]
    pub event_type: Option<String>,
}

/// The sealed log, newest first.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    params(EventsQuery, AsOfQuery, PageQuery),
    responses((status = 200, description = "One page of events", body = List<LogEvent>))
)]
#[get("/admin/events")]
pub async fn list_events(
    state: web::Data<State>,
    _admin: Admin,
    wanted: web::Query<EventsQuery>,
    as_of: web::Query<AsOfQuery>,
    page: web::Query<PageQuery>,
) -> Result<web::Json<List<LogEvent>>, Problem> {
    let pool = state.parts.database.pool();
    let until = state.place(&as_of).await?.ordinal;
    let event_type = wanted.event_type.as_deref();
    Ok(web::Json(event_log::list(pool, until, event_type, page.cursor()?, page.limit()?).await?))
}

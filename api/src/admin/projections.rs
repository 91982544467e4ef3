//! `/admin/projections`: how far each read model has come.

use actix_web::{get, web};
use almanac_projections::event_log::{self, ProjectionState};

use crate::caller::Admin;
use crate::problem::Problem;
use crate::reads::Items;
use crate::state::State;

/// Every read model and outbox.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The projections", body = Items<ProjectionState>))
)]
#[get("/admin/projections")]
pub async fn list_projections(
    state: web::Data<State>,
    _admin: Admin,
) -> Result<web::Json<Items<ProjectionState>>, Problem> {
    Ok(web::Json(event_log::projections(state.parts.database.pool()).await?.into()))
}

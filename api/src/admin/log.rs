//! `/admin/log`: the range of the log, for a slider over it.

use actix_web::{get, web};
use almanac_projections::event_log::{self, Log};

use crate::caller::Admin;
use crate::problem::Problem;
use crate::state::State;

/// The range of the log.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The range", body = Log))
)]
#[get("/admin/log")]
pub async fn get_log(state: web::Data<State>, _admin: Admin) -> Result<web::Json<Log>, Problem> {
    Ok(web::Json(event_log::state(state.parts.database.pool()).await?))
}

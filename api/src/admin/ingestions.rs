//! `/admin/ingestions`: what came in, what was kept out, and why.

use actix_web::{get, web};
use almanac_projections::ingestions::{self, Ingestion};
use almanac_projections::paging::List;

use crate::caller::Admin;
use crate::problem::Problem;
use crate::reads::PageQuery;
use crate::state::State;

/// Batches that came in, newest first.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    params(PageQuery),
    responses((status = 200, description = "One page of batches", body = List<Ingestion>))
)]
#[get("/admin/ingestions")]
pub async fn list_ingestions(
    state: web::Data<State>,
    _admin: Admin,
    page: web::Query<PageQuery>,
) -> Result<web::Json<List<Ingestion>>, Problem> {
    let list = ingestions::list(state.parts.database.pool(), page.cursor()?, page.limit()?).await?;
    Ok(web::Json(list))
}

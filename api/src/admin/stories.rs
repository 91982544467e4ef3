//! `/admin/events/{event_id}/story`: why something happened, and what came of it.

use actix_web::{get, web};
use almanac_projections::stories::{self, Story};
use uuid::Uuid;

use crate::caller::Admin;
use crate::problem::{Kind, Problem};
use crate::state::State;

/// What caused an event, up to where it began, and what it caused.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The story, as a tree", body = Story))
)]
#[get("/admin/events/{event_id}/story")]
pub async fn get_story(
    state: web::Data<State>,
    _admin: Admin,
    event_id: web::Path<Uuid>,
) -> Result<web::Json<Story>, Problem> {
    let story = stories::of(state.parts.database.pool(), *event_id).await?;
    Ok(web::Json(story.ok_or(Kind::Absent)?))
}

//! `/admin/projections`: how far each read model has come, letting one go on after a fix, and rebuilding one beside the
//! live one.

use actix_web::{HttpResponse, get, post, web};
use almanac_projections::builds::{self, Projection};
use almanac_store::log::rebuild::RebuildError;
use almanac_store::log::{Replayed, Subscription};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Admin;
use crate::problem::{Kind, Problem};
use crate::reads::Items;
use crate::state::State;

/// What a projection is after what was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectionChanged {
    /// Its name.
    #[schema(example = "predictions")]
    pub name: String,
    /// `warming` after a rebuild was asked for, `switched`, `cancelled`, `dropped` or `resumed`.
    #[schema(example = "warming")]
    pub state: &'static str,
}

/// What became of the events that a projection had set aside.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectionReplayed {
    /// Its name.
    #[schema(example = "predictions")]
    pub name: String,
    /// So many are applied now.
    #[schema(example = 1)]
    pub applied: u64,
    /// So many still cannot be applied.
    #[schema(example = 0)]
    pub parked: u64,
}

/// How to switch.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct SwitchWanted {
    /// Whether to switch although the rebuild differs from the live tables.
    pub accept_differences: bool,
}

/// Every read model and outbox.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "The projections", body = Items<Projection>))
)]
#[get("/admin/projections")]
pub async fn list_projections(
    state: web::Data<State>,
    _admin: Admin,
) -> Result<web::Json<Items<Projection>>, Problem> {
    Ok(web::Json(builds::list(&state.parts.database).await?.into()))
}

/// Lets a projection that stopped at an event try again, after what was wrong with it is repaired.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "It goes on; where the event still cannot be applied it stops there again", body = ProjectionChanged))
)]
#[post("/admin/projections/{name}/resume")]
pub async fn resume_projection(
    state: web::Data<State>,
    _admin: Admin,
    name: web::Path<String>,
) -> Result<web::Json<ProjectionChanged>, Problem> {
    if !projection(&state, &name).await?.resume().await? {
        return Err(Problem::with(Kind::Refused, format!("{name} has not stopped at an event")));
    }
    state.actors.ring();
    Ok(web::Json(ProjectionChanged { name: name.into_inner(), state: "resumed" }))
}

/// Applies the events that a projection has set aside, after what was wrong with them is repaired. Those that still
/// cannot be applied stay aside.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "How many are applied, and how many are not", body = ProjectionReplayed))
)]
#[post("/admin/projections/{name}/replay")]
pub async fn replay_projection(
    state: web::Data<State>,
    _admin: Admin,
    name: web::Path<String>,
) -> Result<web::Json<ProjectionReplayed>, Problem> {
    let Replayed { applied, parked } = projection(&state, &name).await?.replay_parked().await?;
    state.actors.ring();
    Ok(web::Json(ProjectionReplayed { name: name.into_inner(), applied, parked }))
}

/// Builds the tables of a projection from zero, beside those in use. Nobody is told of anything twice.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 202, description = "It warms up; its progress is in the list", body = ProjectionChanged))
)]
#[post("/admin/projections/{name}/rebuild")]
pub async fn rebuild_projection(
    state: web::Data<State>,
    admin: Admin,
    name: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    projection(&state, &name).await?.request_rebuild(Some(admin.0.id)).await?;
    state.actors.ring();
    Ok(HttpResponse::Accepted().json(ProjectionChanged { name: name.into_inner(), state: "warming" }))
}

/// Calls a rebuild off; its tables are dropped.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Called off", body = ProjectionChanged))
)]
#[post("/admin/projections/{name}/cancel")]
pub async fn cancel_rebuild(
    state: web::Data<State>,
    _admin: Admin,
    name: web::Path<String>,
) -> Result<web::Json<ProjectionChanged>, Problem> {
    projection(&state, &name).await?.cancel_rebuild().await?;
    Ok(web::Json(ProjectionChanged { name: name.into_inner(), state: "cancelled" }))
}

/// Lets readers see the tables of a rebuild that is ready. One that differs from those in use is refused unless the
/// differences are accepted.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    request_body = SwitchWanted,
    responses((status = 200, description = "Readers see them", body = ProjectionChanged))
)]
#[post("/admin/projections/{name}/switch")]
pub async fn switch_projection(
    state: web::Data<State>,
    _admin: Admin,
    name: web::Path<String>,
    wanted: web::Json<SwitchWanted>,
) -> Result<web::Json<ProjectionChanged>, Problem> {
    projection(&state, &name).await?.switch(wanted.accept_differences).await?;
    Ok(web::Json(ProjectionChanged { name: name.into_inner(), state: "switched" }))
}

/// Lets readers see the tables again that were in use before the last switch.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Readers see them", body = ProjectionChanged))
)]
#[post("/admin/projections/{name}/switch-back")]
pub async fn switch_projection_back(
    state: web::Data<State>,
    _admin: Admin,
    name: web::Path<String>,
) -> Result<web::Json<ProjectionChanged>, Problem> {
    projection(&state, &name).await?.switch_back().await?;
    Ok(web::Json(ProjectionChanged { name: name.into_inner(), state: "switched" }))
}

/// Drops whatever stands beside the tables in use: a rebuild, and those from before the last switch.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Dropped", body = ProjectionChanged))
)]
#[post("/admin/projections/{name}/drop")]
pub async fn drop_builds(
    state: web::Data<State>,
    _admin: Admin,
    name: web::Path<String>,
) -> Result<web::Json<ProjectionChanged>, Problem> {
    projection(&state, &name).await?.drop_builds().await?;
    Ok(web::Json(ProjectionChanged { name: name.into_inner(), state: "dropped" }))
}

async fn projection(state: &State, name: &str) -> Result<Subscription, Problem> {
    let found = builds::find(&state.parts.database, name).await?;
    found.ok_or_else(|| Problem::with(Kind::Absent, "there is no such projection"))
}

impl From<RebuildError> for Problem {
    fn from(error: RebuildError) -> Self {
        let kind = match error {
            RebuildError::Absent { .. } => Kind::Absent,
            RebuildError::Busy(_) => Kind::Conflict,
            RebuildError::NoTables(_)
            | RebuildError::OtherVersion { .. }
            | RebuildError::UnderWay(_)
            | RebuildError::NotReady { .. }
            | RebuildError::Differs { .. } => Kind::Refused,
            RebuildError::Store(error) => return error.into(),
        };
        Self::with(kind, error.to_string())
    }
}

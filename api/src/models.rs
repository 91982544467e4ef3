//! `/models`: the versions, their audit timeline, how each has done, and which one publishes.

use actix_web::{get, post, web};
use almanac_domain::model::{
    DecidedBy, Model as Aggregate, ModelCommand, ModelVersionPromoted, ModelVersionQuarantined,
    ModelVersionRetired,
};
use almanac_domain::values::ModelName;
use almanac_projections::models::{self, Model, TimelineEntry};
use almanac_projections::moment::Known;
use almanac_projections::predictions::NAME as PREDICTIONS;
use almanac_projections::track_record::{self, Record};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::commands::{Accepted, AdminOrder};
use crate::problem::{Kind, Problem};
use crate::reads::AsOfQuery;
use crate::state::State;

/// One model as known at a place in the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelAsKnown {
    /// The place in the log this answer stands for.
    pub ordinal: i64,
    /// The time of that place; null before the first event.
    pub as_of: Option<DateTime<Utc>>,
    /// The model.
    #[serde(flatten)]
    pub model: Model,
}

/// Why an administrator decides something.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Reason {
    /// One to 500 characters. It is kept in the log for good and everybody may read it: write nothing personal here.
    #[schema(min_length = 1, max_length = 500, example = "better calibrated over the last quarter")]
    pub reason: String,
}

impl Reason {
    fn checked(&self) -> Result<String, Problem> {
        checked_reason(&self.reason)
    }
}

/// A reason without the white space around it.
pub(crate) fn checked_reason(reason: &str) -> Result<String, Problem> {
    let reason = reason.trim();
    if (1..=500).contains(&reason.chars().count()) {
        Ok(reason.to_owned())
    } else {
        Err(Problem::invalid("reason", "it has 1 to 500 characters"))
    }
}

/// The name in a path; what cannot be a name is the name of nothing.
pub(crate) fn name(text: &str) -> Result<ModelName, Problem> {
    text.parse().map_err(|_| no_such_model())
}

pub(crate) fn no_such_model() -> Problem {
    Problem::with(Kind::Absent, "there is no such model")
}

/// All models with their versions.
#[utoipa::path(
    tag = "models",
    params(AsOfQuery),
    responses((status = 200, description = "The models as known then", body = Known<Model>))
)]
#[get("/models")]
pub async fn list_models(
    state: web::Data<State>,
    as_of: web::Query<AsOfQuery>,
) -> Result<web::Json<Known<Model>>, Problem> {
    let moment = state.moment(&as_of, models::NAME).await?;
    let items = models::list(state.parts.database.pool(), moment.ordinal).await?;
    Ok(web::Json(Known::of(moment, items)))
}

/// One model with its versions.
#[utoipa::path(
    tag = "models",
    params(AsOfQuery),
    responses((status = 200, description = "The model as known then", body = ModelAsKnown))
)]
#[get("/models/{name}")]
pub async fn get_model(
    state: web::Data<State>,
    path: web::Path<String>,
    as_of: web::Query<AsOfQuery>,
) -> Result<web::Json<ModelAsKnown>, Problem> {
    let name = name(&path)?;
    let moment = state.moment(&as_of, models::NAME).await?;
    let found = models::find(state.parts.database.pool(), &name, moment.ordinal).await?;
    let model = found.ok_or_else(no_such_model)?;
    Ok(web::Json(ModelAsKnown { ordinal: moment.ordinal, as_of: moment.as_of, model }))
}

/// Everything that happened to a model, oldest first.
#[utoipa::path(
    tag = "models",
    params(AsOfQuery),
    responses((status = 200, description = "The timeline as known then", body = Known<TimelineEntry>))
)]
#[get("/models/{name}/timeline")]
pub async fn get_timeline(
    state: web::Data<State>,
    path: web::Path<String>,
    as_of: web::Query<AsOfQuery>,
) -> Result<web::Json<Known<TimelineEntry>>, Problem> {
    let name = name(&path)?;
    let moment = state.moment(&as_of, models::NAME).await?;
    let items = models::timeline(state.parts.database.pool(), &name, moment.ordinal).await?;
    Ok(web::Json(Known::of(moment, items)))
}

/// How the published predictions of each version did.
#[utoipa::path(
    tag = "models",
    params(AsOfQuery),
    responses((status = 200, description = "One record for each version and horizon", body = Known<Record>))
)]
#[get("/models/{name}/performance")]
pub async fn get_performance(
    state: web::Data<State>,
    path: web::Path<String>,
    as_of: web::Query<AsOfQuery>,
) -> Result<web::Json<Known<Record>>, Problem> {
    let name = name(&path)?;
    let moment = state.moment(&as_of, PREDICTIONS).await?;
    let items = track_record::performance(state.parts.database.pool(), &name, moment.ordinal).await?;
    Ok(web::Json(Known::of(moment, items)))
}

/// Makes a version the champion: it publishes from the next round on. For administrators.
#[utoipa::path(
    tag = "models",
    security(("session" = []), ("token" = [])),
    request_body = Reason,
    responses((status = 200, description = "Promoted", body = Accepted))
)]
#[post("/models/{name}/versions/{version}/promote")]
pub async fn promote_version(
    state: web::Data<State>,
    order: AdminOrder,
    path: web::Path<(String, u32)>,
    reason: web::Json<Reason>,
) -> Result<web::Json<Accepted>, Problem> {
    let (model, version) = path.into_inner();
    let (by, promoted_at) = (order.decides(), state.now());
    let promotion = ModelVersionPromoted { version, by, reason: reason.checked()?, promoted_at };
    decide(&state, &order, &model, ModelCommand::PromoteVersion(promotion), &reason).await
}

/// Ends a version's service. For administrators.
#[utoipa::path(
    tag = "models",
    security(("session" = []), ("token" = [])),
    request_body = Reason,
    responses((status = 200, description = "Retired", body = Accepted))
)]
#[post("/models/{name}/versions/{version}/retire")]
pub async fn retire_version(
    state: web::Data<State>,
    order: AdminOrder,
    path: web::Path<(String, u32)>,
    reason: web::Json<Reason>,
) -> Result<web::Json<Accepted>, Problem> {
    let (model, version) = path.into_inner();
    let (by, retired_at) = (Some(order.decides()), state.now());
    let retirement = ModelVersionRetired { version, by, reason: reason.checked()?, retired_at };
    decide(&state, &order, &model, ModelCommand::RetireVersion(retirement), &reason).await
}

/// Shuts a version out as not to be trusted. For administrators.
#[utoipa::path(
    tag = "models",
    security(("session" = []), ("token" = [])),
    request_body = Reason,
    responses((status = 200, description = "In quarantine", body = Accepted))
)]
#[post("/models/{name}/versions/{version}/quarantine")]
pub async fn quarantine_version(
    state: web::Data<State>,
    order: AdminOrder,
    path: web::Path<(String, u32)>,
    reason: web::Json<Reason>,
) -> Result<web::Json<Accepted>, Problem> {
    let (model, version) = path.into_inner();
    let (by, quarantined_at) = (Some(order.decides()), state.now());
    let quarantine = ModelVersionQuarantined { version, by, reason: reason.checked()?, quarantined_at };
    decide(&state, &order, &model, ModelCommand::QuarantineVersion(quarantine), &reason).await
}

/// Makes the champion before the present one champion again. For administrators.
#[utoipa::path(
    tag = "models",
    security(("session" = []), ("token" = [])),
    request_body = Reason,
    responses((status = 200, description = "Rolled back", body = Accepted))
)]
#[post("/models/{name}/roll-back")]
pub async fn roll_back(
    state: web::Data<State>,
    order: AdminOrder,
    path: web::Path<String>,
    reason: web::Json<Reason>,
) -> Result<web::Json<Accepted>, Problem> {
    let command = ModelCommand::RollBack { by: order.decides(), reason: reason.checked()?, at: state.now() };
    decide(&state, &order, &path, command, &reason).await
}

impl AdminOrder {
    /// The decision is this administrator's.
    pub(crate) fn decides(&self) -> DecidedBy {
        DecidedBy::Administrator { account: self.0.caller.id }
    }
}

async fn decide(
    state: &State,
    order: &AdminOrder,
    model: &str,
    command: ModelCommand,
    asked: &Reason,
) -> Result<web::Json<Accepted>, Problem> {
    let (name, issued) = (name(model)?, order.0.issued(asked)?);
    let decided = state.parts.bus.execute::<Aggregate>(name.as_str(), command, &issued).await?;
    Ok(web::Json(Accepted::from(&decided)))
}

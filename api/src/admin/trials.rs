//! `/admin/models/{name}/trials`: putting a version on trial, and ending a trial before its time.

use actix_web::{HttpResponse, post, web};
use almanac_domain::model::{Model, ModelCommand};
use almanac_domain::trial::{TrialClosing, TrialOpening};
use almanac_domain::values::{Horizon, Probability};
use almanac_projections::models::{self, ModelVersion};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::commands::{Accepted, AdminOrder, Created, after};
use crate::models::{Reason, checked_reason, name, no_such_model};
use crate::problem::Problem;
use crate::state::State;

/// What to put on trial, and how to decide; what is left out is as for the trials that open by themselves.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct TrialWanted {
    /// The challenger.
    #[schema(example = 2)]
    pub version: u32,
    /// One to 500 characters. It is kept in the log for good and everybody may read it: write nothing personal here.
    #[schema(min_length = 1, max_length = 500, example = "another family of models")]
    pub reason: String,
    /// The horizons that count, in sessions; all that both versions cover unless said otherwise.
    #[schema(example = json!([1]))]
    pub horizons: Option<Vec<u32>>,
    /// It is decided on this many sessions at which both have been scored.
    #[schema(example = 60)]
    pub decide_after: Option<u32>,
    /// After this many sessions it ends anyway.
    #[schema(example = 100)]
    pub latest: Option<u32>,
    /// The one-sided level at which the challenger wins, above 0 and at most 0.5.
    #[schema(example = "0.05")]
    pub significance: Option<String>,
    /// Whether a win is only written down.
    #[serde(default)]
    pub dry_run: bool,
}

/// Puts a version on trial beside the champion: it fills the same slots in shadow, and the rule decides. For administrators.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    request_body = TrialWanted,
    responses((status = 201, description = "Opened", body = Created))
)]
#[post("/admin/models/{name}/trials")]
pub async fn open_trial(
    state: web::Data<State>,
    order: AdminOrder,
    path: web::Path<String>,
    wanted: web::Json<TrialWanted>,
) -> Result<HttpResponse, Problem> {
    let (name, reason) = (name(&path)?, checked_reason(&wanted.reason)?);
    let model =
        models::find(state.parts.database.pool(), &name, i64::MAX).await?.ok_or_else(no_such_model)?;
    let covers = |version: Option<u32>| {
        let found = model.versions.iter().find(|known| Some(known.version) == version);
        found.map_or_else(Vec::new, |version: &ModelVersion| version.horizons.clone())
    };
    let (challenger, champion) = (covers(Some(wanted.version)), covers(model.champion));
    let shared: Vec<Horizon> = challenger.into_iter().filter(|horizon| champion.contains(horizon)).collect();
    let settings = &state.parts.settings.training.trial;
    let mut rule = settings.rule(chosen(wanted.horizons.as_deref(), shared)?);
    rule.dry_run = wanted.dry_run;
    rule.decide_after = wanted.decide_after.unwrap_or(rule.decide_after);
    rule.latest = wanted.latest.unwrap_or(settings.latest_of(rule.decide_after, rule.longest()));
    if let Some(significance) = &wanted.significance {
        let number: f64 = significance
            .parse()
            .map_err(|_| Problem::invalid("significance", "it is a decimal such as `0.05`"))?;
        rule.significance =
            Probability::from_f64(number).map_err(|error| Problem::invalid("significance", error))?;
    }
    let trial = order.0.new_id("trial");
    let opening =
        TrialOpening { trial, version: wanted.version, rule, by: order.decides(), reason, at: state.now() };
    let issued = order.0.issued(&*wanted)?;
    let command = ModelCommand::OpenTrial(Box::new(opening));
    let opened = state.parts.bus.execute::<Model>(name.as_str(), command, &issued).await?;
    Ok(HttpResponse::Created().json(Created { id: trial, after: after(&opened) }))
}

/// The horizons that were asked for, which both versions have to cover.
fn chosen(wanted: Option<&[u32]>, shared: Vec<Horizon>) -> Result<Vec<Horizon>, Problem> {
    let Some(wanted) = wanted else { return Ok(shared) };
    let horizons = wanted.iter().map(|sessions| Horizon::new(*sessions)).collect::<Result<Vec<_>, _>>();
    let horizons = horizons.map_err(|error| Problem::invalid("horizons", error))?;
    // A version that is not there is refused as such.
    match horizons.iter().find(|horizon| !shared.is_empty() && !shared.contains(horizon)) {
        Some(horizon) => {
            let missing = format!("{} is no horizon of both versions", horizon.sessions());
            Err(Problem::invalid("horizons", missing))
        }
        None => Ok(horizons),
    }
}

/// Ends a trial before its rule decides; the champion stays. For administrators.
#[utoipa::path(
    tag = "admin",
    security(("session" = []), ("token" = [])),
    request_body = Reason,
    responses((status = 200, description = "Closed", body = Accepted))
)]
#[post("/admin/models/{name}/trials/{id}/close")]
pub async fn close_trial(
    state: web::Data<State>,
    order: AdminOrder,
    path: web::Path<(String, Uuid)>,
    reason: web::Json<Reason>,
) -> Result<web::Json<Accepted>, Problem> {
    let (model, trial) = path.into_inner();
    let name = name(&model)?;
    let closing =
        TrialClosing { trial, by: order.decides(), reason: checked_reason(&reason.reason)?, at: state.now() };
    let issued = order.0.issued(&*reason)?;
    let command = ModelCommand::CloseTrial(closing);
    let closed = state.parts.bus.execute::<Model>(name.as_str(), command, &issued).await?;
    Ok(web::Json(Accepted::from(&closed)))
}

//! `/training-runs`: from the wish to train a version to the version.

use actix_web::{HttpResponse, get, post, web};
use almanac_domain::training_run::{
    TrainingCancelled, TrainingPlan, TrainingReason, TrainingRequested, TrainingRun as Aggregate,
    TrainingRunCommand,
};
use almanac_domain::values::{Horizon, ModelName};
use almanac_ml::Family;
use almanac_projections::paging::List;
use almanac_projections::training_runs::{self, TrainingRun};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::commands::{Accepted, AdminOrder, Created, after};
use crate::problem::{Kind, Problem};
use crate::reads::{PageQuery, read_if};
use crate::state::State;

/// The actor that tells how far a run has come.
const TRAINER: &str = "trainer";

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TrainingRunsQuery {
    /// Of this model.
    pub model: Option<String>,
}

/// What to train; what is left out is as for the scheduled runs.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct TrainingWanted {
    /// The model; the default model unless said otherwise.
    #[schema(example = "us-daily")]
    pub model: Option<String>,
    /// The family of models.
    #[schema(example = "ridge")]
    pub family: Option<String>,
    /// What it looks at: `core` or `wide`.
    #[schema(example = "wide")]
    pub feature_set: Option<String>,
    /// The horizons, in sessions.
    #[schema(example = json!([1, 5, 20]))]
    pub horizons: Option<Vec<u32>>,
    /// Whether the daily sentiment is a feature.
    pub sentiment: Option<bool>,
}

impl TrainingWanted {
    fn model(&self, usual: &ModelName) -> Result<ModelName, Problem> {
        Ok(read_if("model", self.model.as_deref())?.unwrap_or_else(|| usual.clone()))
    }

    fn plan(&self, usual: TrainingPlan) -> Result<TrainingPlan, Problem> {
        let horizons = match &self.horizons {
            None => usual.horizons,
            Some(wanted) => {
                let mut horizons =
                    wanted.iter().map(|sessions| Horizon::new(*sessions)).collect::<Result<Vec<_>, _>>();
                if let Ok(horizons) = &mut horizons {
                    horizons.sort_unstable();
                    horizons.dedup();
                }
                horizons.map_err(|error| Problem::invalid("horizons", error))?
            }
        };
        let family = self.family.clone().unwrap_or(usual.family);
        if Family::named(&family).is_none() {
            return Err(Problem::invalid("family", format!("it is one of: {}", Family::names().join(", "))));
        }
        let feature_set = read_if("feature_set", self.feature_set.as_deref())?;
        Ok(TrainingPlan {
            family,
            feature_set: feature_set.unwrap_or(usual.feature_set),
            horizons,
            sentiment: self.sentiment.unwrap_or(usual.sentiment),
            seed: usual.seed,
        })
    }
}

/// Training runs, newest first.
#[utoipa::path(
    tag = "training runs",
    params(TrainingRunsQuery, PageQuery),
    responses((status = 200, description = "One page of runs", body = List<TrainingRun>))
)]
#[get("/training-runs")]
pub async fn list_training_runs(
    state: web::Data<State>,
    wanted: web::Query<TrainingRunsQuery>,
    page: web::Query<PageQuery>,
) -> Result<web::Json<List<TrainingRun>>, Problem> {
    let model: Option<ModelName> = read_if("model", wanted.model.as_deref())?;
    let pool = state.parts.database.pool();
    let mut list = training_runs::list(pool, model.as_ref(), page.cursor()?, page.limit()?).await?;
    add_progress(&state, &mut list.items);
    Ok(web::Json(list))
}

/// One training run.
#[utoipa::path(
    tag = "training runs",
    responses((status = 200, description = "The run", body = TrainingRun))
)]
#[get("/training-runs/{id}")]
pub async fn get_training_run(
    state: web::Data<State>,
    id: web::Path<Uuid>,
) -> Result<web::Json<TrainingRun>, Problem> {
    let found = training_runs::find(state.parts.database.pool(), *id).await?;
    let mut run = found.ok_or_else(|| Problem::with(Kind::Absent, "there is no such training run"))?;
    add_progress(&state, std::slice::from_mut(&mut run));
    Ok(web::Json(run))
}

/// How far the run has come that is under way in this process, as its trainer tells.
fn add_progress(state: &State, runs: &mut [TrainingRun]) {
    let reports = state.actors.reports();
    let Some(trainer) = reports.iter().find(|report| report.name == TRAINER) else { return };
    let training = &trainer.detail["training"];
    let under_way = training["run"].as_str().and_then(|run| run.parse::<Uuid>().ok());
    if let Some(run) = runs.iter_mut().find(|run| Some(run.id) == under_way && run.ended_at.is_none()) {
        run.progress = training["progress"].as_f64().map(|share| format!("{share:.2}"));
    }
}

/// Asks for a training run. For administrators.
#[utoipa::path(
    tag = "training runs",
    security(("session" = []), ("token" = [])),
    request_body = TrainingWanted,
    responses((status = 202, description = "Requested; a trainer takes it up", body = Created))
)]
#[post("/training-runs")]
pub async fn request_training(
    state: web::Data<State>,
    order: AdminOrder,
    wanted: web::Json<TrainingWanted>,
) -> Result<HttpResponse, Problem> {
    let settings = &state.parts.settings;
    let request = TrainingRequested {
        model: wanted.model(&settings.model)?,
        reason: TrainingReason::Manual,
        figures: vec![],
        plan: wanted.plan(settings.training.plan())?,
        import: None,
        requested_by: Some(order.0.caller.id),
    };
    let (id, issued) = (order.0.new_id("training_run"), order.0.issued(&*wanted)?);
    let command = TrainingRunCommand::RequestTraining(request);
    let requested = state.parts.bus.execute::<Aggregate>(&id.to_string(), command, &issued).await?;
    Ok(HttpResponse::Accepted().json(Created { id, after: after(&requested) }))
}

/// Calls a training run off. For administrators.
#[utoipa::path(
    tag = "training runs",
    security(("session" = []), ("token" = [])),
    responses((status = 200, description = "Called off", body = Accepted))
)]
#[post("/training-runs/{id}/cancel")]
pub async fn cancel_training(
    state: web::Data<State>,
    order: AdminOrder,
    id: web::Path<Uuid>,
) -> Result<web::Json<Accepted>, Problem> {
    let cancel = TrainingRunCommand::CancelTraining(TrainingCancelled { by: order.0.caller.id });
    let issued = order.0.issued(&())?;
    let cancelled = state.parts.bus.execute::<Aggregate>(&id.to_string(), cancel, &issued).await?;
    Ok(web::Json(Accepted::from(&cancelled)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use almanac_domain::training_run::FeatureSet;

    use super::*;

    fn usual(family: &str) -> TrainingPlan {
        let horizons = vec![Horizon::new(1).unwrap()];
        TrainingPlan {
            family: family.to_owned(),
            feature_set: FeatureSet::Wide,
            horizons,
            sentiment: false,
            seed: 1,
        }
    }

    #[test]
    fn every_family_that_can_be_configured_can_be_asked_for_and_is_what_is_meant_without_a_name() {
        for family in Family::names() {
            let wanted = TrainingWanted { family: Some(family.to_owned()), ..TrainingWanted::default() };
            assert_eq!(wanted.plan(usual("ridge")).ok(), Some(usual(family)));
            assert_eq!(TrainingWanted::default().plan(usual(family)).ok(), Some(usual(family)));
        }
        for unknown in ["prophet", "onnx", ""] {
            let wanted = TrainingWanted { family: Some(unknown.to_owned()), ..TrainingWanted::default() };
            assert!(wanted.plan(usual("ridge")).is_err(), "{unknown}");
        }
    }

    #[test]
    fn a_feature_set_is_asked_for_by_its_word() {
        let asked = |word: &str| {
            let feature_set = Some(word.to_owned());
            TrainingWanted { feature_set, ..TrainingWanted::default() }.plan(usual("ridge"))
        };
        for set in FeatureSet::ALL {
            assert_eq!(asked(set.as_str()).ok().map(|plan| plan.feature_set), Some(set));
        }
        assert!(asked("all").is_err());
    }
}

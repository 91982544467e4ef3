//! `/models/{name}/versions/{version}/evaluation` and `…/report`: how a version did out of sample, whole and as a page.

use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, get, web};
use almanac_projections::models::{self, ModelVersion};
use almanac_store::StoreError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::problem::{Kind, Problem};
use crate::reads::read;
use crate::report::{self, Fact};
use crate::state::State;
use crate::tagged::{self, ASK_EACH_TIME, FOR_GOOD};

/// The evaluation as it was stored when the version was registered. Its numbers are binary ones, written as JSON
/// numbers, and later versions of the program add parts.
#[derive(Debug, Serialize, ToSchema)]
pub struct StoredEvaluation {
    /// Scores by horizon, each beside its baselines.
    #[schema(value_type = Object)]
    pub evaluation: Value,
    /// What the leak sentinel looked at.
    #[schema(value_type = Object)]
    pub leak_report: Value,
}

/// How the page comes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// As a file to keep instead of a page to look at.
    #[serde(default)]
    pub download: bool,
}

/// A version's whole evaluation, as it was stored at its registration.
#[utoipa::path(
    tag = "models",
    responses((status = 200, description = "The evaluation", body = StoredEvaluation))
)]
#[get("/models/{name}/versions/{version}/evaluation")]
pub async fn get_evaluation(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, u32)>,
) -> Result<HttpResponse, Problem> {
    let (version, bytes) = stored(&state, &path).await?;
    let tag = format!("\"{}\"", version.evaluation_object.sha256);
    Ok(tagged::answer(&request, tag, FOR_GOOD, "application/json", bytes))
}

/// A version's evaluation as a page with pictures: one HTML file that needs nothing else and runs nothing.
#[utoipa::path(
    tag = "models",
    params(ReportQuery),
    responses((status = 200, description = "The report", body = String, content_type = "text/html"))
)]
#[get("/models/{name}/versions/{version}/report")]
pub async fn get_report(
    state: web::Data<State>,
    request: HttpRequest,
    path: web::Path<(String, u32)>,
    wanted: web::Query<ReportQuery>,
) -> Result<HttpResponse, Problem> {
    let (version, bytes) = stored(&state, &path).await?;
    let title = format!("{} v{}", version.model, version.version);
    let page = report::page(&title, &facts(&version), &bytes).map_err(Problem::broken)?;
    let mut response = tagged::text(&request, ASK_EACH_TIME, "text/html; charset=utf-8", page);
    let policy = HeaderValue::from_str(&report::content_security_policy()).map_err(Problem::broken)?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    if wanted.download {
        let file = format!("attachment; filename=\"{}-v{}-report.html\"", version.model, version.version);
        let file = HeaderValue::from_str(&file).map_err(Problem::broken)?;
        response.headers_mut().insert(actix_web::http::header::CONTENT_DISPOSITION, file);
    }
    Ok(response)
}

async fn stored(state: &State, path: &(String, u32)) -> Result<(ModelVersion, Vec<u8>), Problem> {
    let absent = || Problem::with(Kind::Absent, "there is no such version");
    let model = read("name", &path.0).map_err(|_| absent())?;
    let found = models::version(state.parts.database.pool(), &model, path.1).await?;
    let version = found.ok_or_else(absent)?;
    let bytes = state.parts.objects.get(&version.evaluation_object.key).await.map_err(StoreError::from)?;
    Ok((version, bytes))
}

fn facts(version: &ModelVersion) -> Vec<Fact> {
    vec![
        Fact { name: "Family", value: version.family.replace('_', " ") },
        Fact { name: "Features", value: version.feature_set.as_str().to_owned() },
        Fact { name: "Trained through", value: version.trained_through.to_string() },
        Fact { name: "Registered", value: version.registered_at.format("%Y-%m-%d %H:%M UTC").to_string() },
        Fact { name: "Data", value: version.mode.as_str().to_owned() },
        Fact { name: "Seed", value: version.seed.clone() },
        Fact { name: "Code", value: version.code_version.clone() },
        Fact { name: "Artefact", value: version.artefact.sha256.to_string() },
        Fact { name: "Dataset", value: version.dataset.to_string() },
    ]
}

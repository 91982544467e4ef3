//! The routes, and the OpenAPI document that follows from them.

use std::collections::BTreeSet;

use actix_web::web::Bytes;
use actix_web::{App, HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayItems, Components, ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder, Schema};
use utoipa::{IntoParams, Modify, OpenApi as Describe, PartialSchema, ToSchema};
use utoipa_actix_web::service_config::ServiceConfig;
use utoipa_actix_web::{AppExt, scope};

use crate::problem::{self, Kind};
use crate::reads::AfterQuery;
use crate::tagged::ASK_EACH_TIME;
use crate::{
    accounts, admin, evaluations, evidence, explanations, health, imports, instruments, log, mails, metrics,
    models, own_writes, predictions, session, status, tagged, track_record, training_runs, trials,
    watchlists, webhook_deliveries, webhook_endpoints,
};

/// Everything that is described: the API below `/api/v1`, the identity of the log, and the health of the service.
pub fn routes(config: &mut ServiceConfig) {
    config
        .service(scope("/api/v1").configure(api))
        .service(log::get_log_identity)
        .service(health::live)
        .service(health::ready)
        .service(metrics::get_metrics);
}

fn api(config: &mut ServiceConfig) {
    config
        .service(status::get_status)
        .service(accounts::register)
        .service(accounts::change_account)
        .service(accounts::erase_account)
        .service(accounts::unsubscribe)
        .service(accounts::unsubscribe_page)
        .service(session::sign_in)
        .service(session::current_session)
        .service(session::sign_out)
        .service(watchlists::list_watchlists)
        .service(watchlists::create_watchlist)
        .service(watchlists::rename_watchlist)
        .service(watchlists::delete_watchlist)
        .service(watchlists::watch_instrument)
        .service(watchlists::unwatch_instrument)
        .service(instruments::list_instruments)
        .service(instruments::get_instrument)
        .service(instruments::list_bars)
        .service(instruments::list_sentiment)
        .service(instruments::list_headlines)
        .service(predictions::list_predictions)
        .service(predictions::latest_predictions)
        .service(predictions::get_prediction)
        .service(evidence::get_prediction_proof)
        .service(explanations::get_prediction_explanation)
        .service(log::get_checkpoint)
        .service(log::list_checkpoints)
        .service(log::get_consistency)
        .service(log::get_inclusion)
        .service(track_record::get_track_record)
        .service(track_record::get_track_record_series)
        .service(models::list_models)
        .service(models::get_model)
        .service(models::get_timeline)
        .service(models::get_performance)
        .service(evaluations::get_evaluation)
        .service(evaluations::get_report)
        .service(models::promote_version)
        .service(models::retire_version)
        .service(models::quarantine_version)
        .service(models::roll_back)
        .service(trials::list_trials)
        .service(trials::get_trial)
        .service(training_runs::list_training_runs)
        .service(training_runs::get_training_run)
        .service(training_runs::request_training)
        .service(training_runs::cancel_training)
        .service(imports::request_import)
        .service(mails::list_mails)
        .service(webhook_endpoints::list_endpoints)
        .service(webhook_endpoints::register_endpoint)
        .service(webhook_endpoints::get_endpoint)
        .service(webhook_endpoints::change_endpoint)
        .service(webhook_endpoints::remove_endpoint)
        .service(webhook_endpoints::rotate_secret)
        .service(webhook_endpoints::enable_endpoint)
        .service(webhook_endpoints::disable_endpoint)
        .service(webhook_deliveries::list_deliveries)
        .service(webhook_deliveries::test_endpoint)
        .service(webhook_deliveries::list_attempts)
        .service(webhook_deliveries::resend_delivery)
        .service(admin::log::get_log)
        .service(admin::events::list_events)
        .service(admin::stories::get_story)
        .service(admin::trials::open_trial)
        .service(admin::trials::close_trial)
        .service(admin::ingestions::list_ingestions)
        .service(admin::actors::list_actors)
        .service(admin::projections::list_projections)
        .service(admin::projections::resume_projection)
        .service(admin::projections::replay_projection)
        .service(admin::projections::rebuild_projection)
        .service(admin::projections::cancel_rebuild)
        .service(admin::projections::switch_projection)
        .service(admin::projections::switch_projection_back)
        .service(admin::projections::drop_builds);
}

#[derive(Describe)]
#[openapi(
    info(
        title = "Almanac",
        description = "Forecasts of stocks, written before their outcome is known, and an honest record of every one.\n\n\
            Prices, returns, probabilities and measures are decimals written as strings; returns are logarithmic. \
            Times are RFC 3339 in UTC, sessions are dates. A command answers with `after`, which a read takes to wait for \
            its effect. An `Idempotency-Key` header makes repeating a command harmless. What goes wrong is answered \
            as `application/problem+json` (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Conventions),
    tags(
        (name = "status", description = "What this service is"),
        (name = "account", description = "Opening an account, signing in and out"),
        (name = "watchlists", description = "The stocks an account wants to hear of"),
        (name = "instruments", description = "The stocks, their prices and their news"),
        (name = "predictions", description = "What was predicted, and what became of it"),
        (name = "log", description = "Signed heads of the record, and proofs under them"),
        (name = "track record", description = "How the predictions did, beside guessing"),
        (name = "models", description = "Versions, their timeline, and which one publishes"),
        (name = "training runs", description = "From the wish to train a version to the version"),
        (name = "mails", description = "Mails written to a folder"),
        (name = "webhooks", description = "Signed calls to integrators"),
        (name = "admin", description = "For administrators"),
        (name = "health", description = "Whether the service lives and can serve"),
    )
)]
struct Head;

/// What holds for every operation: how one signs in, and what a problem looks like.
struct Conventions;

impl Modify for Conventions {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let cookie = ApiKeyValue::with_description("almanac_session", "The cookie set at sign-in");
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The token of the sign-in, for programs"))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        components.schemas.insert("ProblemType".into(), Kind::schema());
        components.schemas.insert("Problem".into(), problem::Body::schema());
    }
}

/// The whole document.
pub fn document() -> OpenApi {
    let app = App::new().into_utoipa_app().openapi(Head::openapi()).configure(routes);
    let (_, mut document) = app.split_for_parts();
    for (path, item) in &mut document.paths.paths {
        for operation in
            [&mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
        {
            // Sending again twice sends twice: that is what is asked for. A sign-in that has ended signs nobody out.
            // How a projection is kept is no event: what is asked for twice is refused the second time, or done already.
            let keyed = ["/resend", "/session"].iter().all(|last| !path.ends_with(last))
                && !path.starts_with("/api/v1/admin/projections/");
            if operation.security.is_some() && keyed {
                let parameters = operation.parameters.get_or_insert_default();
                parameters.extend([idempotency_key(), request_id()]);
            }
        }
        if let Some(read) = item.get.as_mut().filter(|_| path.starts_with(own_writes::BELOW)) {
            let after = AfterQuery::into_params(|| Some(ParameterIn::Query)).into_iter().map(RefOr::T);
            read.parameters.get_or_insert_default().extend(after);
        }
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            responses.entry("default".to_owned()).or_insert_with(|| RefOr::T(any_problem()));
        }
    }
    if let Some(components) = &mut document.components {
        name_the_items(components);
    }
    document
}

/// utoipa writes the items of a generic list out in full; a client wants their name.
fn name_the_items(components: &mut Components) {
    let names: BTreeSet<String> = components.schemas.keys().cloned().collect();
    for (name, schema) in &mut components.schemas {
        let item = name.split_once('_').map(|(_, item)| item).filter(|item| names.contains(*item));
        let (Some(item), RefOr::T(Schema::Object(list))) = (item, schema) else { continue };
        if let Some(RefOr::T(Schema::Array(array))) = list.properties.get_mut("items") {
            array.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(item).into()));
        }
    }
}

/// The document as it is committed and served: pretty, always the same.
pub fn document_text() -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&document())?;
    text.push('\n');
    Ok(text)
}

/// The document as it is served: with a tag, so that a client that has it does not get it again.
pub struct Served {
    text: Bytes,
    tag: String,
}

impl Served {
    /// Serves `text`.
    pub fn new(text: String) -> Self {
        Self { tag: tagged::tag(&Sha256::digest(&text)), text: text.into() }
    }

    /// The document, or that the client has it.
    pub fn answer(&self, request: &HttpRequest) -> HttpResponse {
        tagged::answer(request, self.tag.clone(), ASK_EACH_TIME, "application/json", self.text.clone())
    }
}

fn idempotency_key() -> RefOr<Parameter> {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Names the command: given twice, it has one effect and one answer."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).max_length(Some(200))))
        .build()
        .into()
}

fn request_id() -> RefOr<Parameter> {
    ParameterBuilder::new()
        .name("X-Request-Id")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Names the story: what follows from requests of one id is told together."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
        .into()
}

fn any_problem() -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(problem::Body::name()))).build();
    ResponseBuilder::new()
        .description("What went wrong (RFC 9457)")
        .content(problem::MEDIA_TYPE, content)
        .build()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    use super::*;

    #[test]
    fn the_committed_document_is_the_one_of_this_program() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
        let committed = std::fs::read_to_string(path).unwrap();
        let same = committed == document_text().unwrap();
        assert!(same, "openapi/openapi.json is stale: run `almanac openapi > openapi/openapi.json`");
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_summary_and_a_problem() {
        let document = serde_json::to_value(document()).unwrap();
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let name = operation["operationId"].as_str().unwrap();
                assert!(names.insert(name.to_owned()), "{name} is there twice");
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                let problem = operation.pointer("/responses/default/content/application~1problem+json");
                assert!(problem.is_some(), "{method} {path} has no problem");
            }
        }
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let text = document_text().unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let there = document["components"]["schemas"].as_object().unwrap();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(there.contains_key(name), "{name} is named and not there");
        }
    }
}
